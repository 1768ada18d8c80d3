//! Searches every interleaving of the protocol with the deliveries of its calls.
//!
//! The transitions are those of `protocol.rs`, the very code that runs. Around
//! them stands a small world: a kernel with datagrams, workers and a supervisor
//! that take the steps of `worker.rs`, `supervisor.rs` and `watch.rs`, mailboxes,
//! the bell and the supervisor's token. A step is either one transition or the
//! delivery of one call; between any two steps of one actor, all others may act.
//! Time is left out: whatever a clock could trigger may happen at any moment.
//! A handler is quick, or stuck for ever.
//!
//! Checked in every state: nobody's mailbox overflows, and at most one worker
//! is at the door. Checked wherever nothing can move any more: nothing is left
//! undone while fewer workers are stuck than there may be, and after a stop
//! everyone is gone who is not stuck, and the supervisor with them.

mod world;

use std::collections::HashSet;

use world::{Bounds, World};

/// Searches all states within the bounds; returns how many there are.
fn search(bounds: Bounds) -> usize {
    let first = World::new(bounds);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        world.check();
        let mut moved = false;
        for next in world.successors(bounds) {
            if next == world {
                continue;
            }
            moved = true;
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
        if !moved {
            world.check_at_rest(bounds);
        }
    }
    seen.len()
}

#[track_caller]
fn searched(bounds: Bounds) {
    let states = search(bounds);
    assert!(states > 1_000, "only {states} states: nothing was searched");
}

const SERVING: Bounds = Bounds {
    min: 2,
    max: 3,
    arrivals: 2,
    batch: 2,
    stuck: 0,
    stops: false,
    retires: true,
};

const STUCK: Bounds = Bounds {
    min: 1,
    max: 3,
    arrivals: 2,
    batch: 2,
    stuck: 1,
    stops: false,
    retires: false,
};

/// As many as there may be, and one of them stuck.
const STUCK_AND_FULL: Bounds = Bounds {
    min: 2,
    max: 2,
    arrivals: 3,
    batch: 3,
    stuck: 1,
    stops: false,
    retires: false,
};

const STOPPED: Bounds = Bounds {
    min: 2,
    max: 2,
    arrivals: 2,
    batch: 2,
    stuck: 1,
    stops: true,
    retires: false,
};

const STOPPED_AND_RESIZED: Bounds = Bounds {
    min: 1,
    max: 2,
    arrivals: 2,
    batch: 1,
    stuck: 0,
    stops: true,
    retires: true,
};

#[test]
fn no_wake_up_is_lost_while_serving() {
    searched(SERVING);
}

#[test]
fn stuck_workers_hold_nobody_up_while_one_is_free() {
    searched(STUCK);
}

#[test]
fn the_last_worker_leaves_the_door_for_a_rescue() {
    searched(STUCK_AND_FULL);
}

#[test]
fn a_stop_at_any_moment_ends_everyone() {
    searched(STOPPED);
}

#[test]
fn a_stop_while_the_pool_grows_and_shrinks_ends_everyone() {
    searched(STOPPED_AND_RESIZED);
}

#[test]
#[ignore = "millions of states: cargo test --release --lib model -- --ignored"]
fn nothing_goes_wrong_with_more_of_everything() {
    let (arrivals, stuck) = (3, 2);
    searched(Bounds {
        arrivals,
        ..SERVING
    });
    searched(Bounds {
        arrivals,
        stuck,
        ..STUCK
    });
    searched(Bounds {
        max: 3,
        retires: true,
        ..STOPPED
    });
}
