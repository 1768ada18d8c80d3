//! Searches every interleaving of the protocol with the deliveries of its calls.
//!
//! The transitions are those of `protocol.rs`, the very code that runs. Around
//! them stands a small world: a kernel with datagrams, workers and a supervisor
//! that take the steps of `worker.rs`, `supervisor.rs` and `watch.rs`, mailboxes,
//! the waker and the supervisor's token. A step is either one transition or the
//! delivery of one call; between any two steps of one actor, all others may act.
//! Time is left out: whatever a clock could trigger may happen at any moment.
//! A handler is quick, or stuck for ever.
//!
//! Checked in every state: nobody's mailbox overflows, and at most one worker
//! is at each door. Checked wherever nothing happens any more ([`searched`]):
//! nothing is left undone while fewer workers are stuck than there may be, and
//! after a stop everyone is gone who is not stuck, and the supervisor with them.
//!
//! Order per peer has a world of its own. Checked there: no lane is in the hands
//! of two workers, its replies are sent in order, and none is left with
//! something in it but those where a handler is stuck.

mod lanes;
mod supervisor;
mod world;

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::contain::contain;
use world::{Bounds, World};

/// A world to be searched.
trait Model: Clone + Debug + Eq + Hash {
    type Bounds: Copy;

    fn first(bounds: Self::Bounds) -> Self;
    /// All worlds that one step leads to.
    fn successors(&self, bounds: Self::Bounds) -> Vec<Self>;
    /// What must hold always.
    fn check(&self);
    /// What must hold when nothing happens any more.
    fn check_at_rest(&self, bounds: Self::Bounds);
}

/// Searches all states within the bounds.
///
/// The end of all is a set of states that lead to one another and nowhere else:
/// a single one in which nothing moves, or several through which the supervisor
/// goes round with its looks. There everything has to be done.
#[track_caller]
fn searched<M: Model>(bounds: M::Bounds) {
    let first = M::first(bounds);
    let mut steps = DiGraph::<(), ()>::new();
    // Each state with its number and the state it was first reached from.
    let mut reached = HashMap::from([(first.clone(), (steps.add_node(()), None))]);
    let mut open = VecDeque::from([first]);
    while let Some(world) = open.pop_front() {
        on_path(&reached, &world, || world.check());
        let from = reached[&world].0;
        for next in on_path(&reached, &world, || world.successors(bounds)) {
            let (to, _) = *reached.entry(next).or_insert_with_key(|next| {
                open.push_back(next.clone());
                (steps.add_node(()), Some(from))
            });
            steps.add_edge(from, to, ());
        }
    }
    let states = reached.len();
    assert!(states > 1_000, "only {states} states: nothing was searched");
    let rounds = kosaraju_scc(&steps);
    let mut round_of = vec![0; states];
    for (round, states) in rounds.iter().enumerate() {
        for state in states {
            round_of[state.index()] = round;
        }
    }
    let mut is_end = vec![true; rounds.len()];
    for step in steps.edge_references() {
        let (from, to) = (step.source().index(), step.target().index());
        is_end[round_of[from]] &= round_of[from] == round_of[to];
    }
    for (world, (number, _)) in &reached {
        if is_end[round_of[number.index()]] {
            on_path(&reached, world, || world.check_at_rest(bounds));
        }
    }
}

/// Runs a check of this state; should it fail, the shortest path to the state is
/// printed first.
fn on_path<M: Model, T>(reached: &Reached<M>, world: &M, check: impl FnOnce() -> T) -> T {
    contain(check).unwrap_or_else(|message| {
        let worlds: HashMap<_, _> = reached
            .iter()
            .map(|(world, (number, from))| (*number, (world, *from)))
            .collect();
        let mut path = Vec::new();
        let mut at = reached.get(world).map(|(number, _)| *number);
        while let Some((world, from)) = at.and_then(|number| worlds.get(&number)) {
            path.push(format!("{world:?}"));
            at = *from;
        }
        path.reverse();
        panic!("{message}\nreached by\n{}", path.join("\n"));
    })
}

/// All states found so far, each with its number and that of the one before it.
type Reached<M> = HashMap<M, (NodeIndex, Option<NodeIndex>)>;

/// Two lanes, two workers, and one of them stuck.
const ORDERED: lanes::Bounds = lanes::Bounds {
    workers: 2,
    lanes: 2,
    arrivals: 2,
    batch: 2,
    stuck: 1,
};

const SERVING: Bounds = Bounds {
    doors: 1,
    min: 1,
    max: 2,
    arrivals: 2,
    batch: 2,
    stuck: 0,
    deaths: 0,
    stops: false,
    retires: true,
};

const STUCK: Bounds = Bounds {
    doors: 1,
    min: 1,
    max: 3,
    arrivals: 2,
    batch: 2,
    stuck: 1,
    deaths: 0,
    stops: false,
    retires: false,
};

/// As many as there may be, and one of them stuck.
const STUCK_AND_FULL: Bounds = Bounds {
    doors: 1,
    min: 2,
    max: 2,
    arrivals: 3,
    batch: 3,
    stuck: 1,
    deaths: 0,
    stops: false,
    retires: false,
};

const STOPPED: Bounds = Bounds {
    doors: 1,
    min: 2,
    max: 2,
    arrivals: 2,
    batch: 2,
    stuck: 1,
    deaths: 0,
    stops: true,
    retires: false,
};

const STOPPED_AND_RESIZED: Bounds = Bounds {
    doors: 1,
    min: 1,
    max: 2,
    arrivals: 2,
    batch: 1,
    stuck: 0,
    deaths: 0,
    stops: true,
    retires: true,
};

/// Two sockets, and a free worker for one of them at a time.
const TWO_DOORS: Bounds = Bounds {
    doors: 2,
    min: 2,
    max: 2,
    arrivals: 2,
    batch: 2,
    stuck: 1,
    deaths: 0,
    stops: false,
    retires: false,
};

const TWO_DOORS_STOPPED: Bounds = Bounds {
    arrivals: 1,
    stops: true,
    ..TWO_DOORS
};

/// A worker panics, wherever it is.
const DEADLY: Bounds = Bounds {
    doors: 1,
    min: 2,
    max: 2,
    arrivals: 2,
    batch: 2,
    stuck: 0,
    deaths: 1,
    stops: false,
    retires: false,
};

#[test]
fn a_worker_that_goes_leaves_nothing_undone() {
    searched::<World>(DEADLY);
}

#[test]
fn no_wake_up_is_lost_while_serving() {
    searched::<World>(SERVING);
}

#[test]
fn stuck_workers_hold_nobody_up_while_one_is_free() {
    searched::<World>(STUCK);
}

#[test]
fn the_last_worker_leaves_the_door_for_a_rescue() {
    searched::<World>(STUCK_AND_FULL);
}

#[test]
fn a_stop_at_any_moment_ends_everyone() {
    searched::<World>(STOPPED);
}

#[test]
fn a_stop_while_the_pool_grows_and_shrinks_ends_everyone() {
    searched::<World>(STOPPED_AND_RESIZED);
}

#[test]
fn one_free_worker_serves_two_sockets() {
    searched::<World>(TWO_DOORS);
}

#[test]
fn a_stop_with_two_sockets_ends_everyone() {
    searched::<World>(TWO_DOORS_STOPPED);
}

#[test]
fn lanes_keep_their_order_and_none_is_left() {
    searched::<lanes::World>(ORDERED);
}

#[test]
#[ignore = "millions of states: cargo test --release --lib model -- --ignored"]
fn nothing_goes_wrong_with_more_of_everything() {
    searched::<World>(Bounds {
        min: 2,
        max: 3,
        ..SERVING
    });
    searched::<World>(Bounds {
        arrivals: 3,
        ..SERVING
    });
    searched::<World>(Bounds {
        arrivals: 3,
        ..TWO_DOORS
    });
    searched::<World>(Bounds {
        arrivals: 2,
        ..TWO_DOORS_STOPPED
    });
    searched::<World>(Bounds { stuck: 1, ..DEADLY });
    searched::<lanes::World>(lanes::Bounds {
        arrivals: 3,
        ..ORDERED
    });
}
