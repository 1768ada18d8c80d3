//! Which peers have a session, and whose turn it is. Decides on values: it knows no
//! threads, locks, clocks or sockets, and runs no user's code.
//!
//! A session is *resting* in the table, or *busy*: taken out by the one thread that
//! runs it, or *ending*: taken out for good. So two threads never have the same one,
//! and whoever has it runs it while no lock is held.
//!
//! # Why no tick is lost, and none delays a datagram for ever
//! A tick is a number that the table counts up; each session remembers the last one
//! that it has run. What is missing between the two is due. Whoever gives a session
//! back after a datagram runs what is due before it rests. After a tick it rests at
//! once, and is passed over by ticks while somebody waits for it: so ticks and
//! datagrams take turns, however long either takes.

mod due;

pub(super) use due::Due;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{EndReason, WhenFull};

/// Names a place in the table, and the session that is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    place: usize,
    generation: u64,
}

/// The sessions of type `S` of peers that are known outside as `P`.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Table<P, S> {
    limits: Limits,
    by_addr: HashMap<SocketAddr, usize>,
    places: Vec<Place<P, S>>,
    free: Vec<usize>,
    /// The ends of the list of all that are not ending, by when they were heard.
    oldest: Option<usize>,
    newest: Option<usize>,
    live: usize,
    /// The number of the last tick.
    ticks: u64,
    /// Where the round of a tick goes on, and how many places are left of it.
    cursor: usize,
    left: usize,
    is_closed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) most: usize,
    pub(super) when_full: WhenFull,
    pub(super) idle_after: Duration,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Place<P, S> {
    generation: u64,
    node: Option<Node<P, S>>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Node<P, S> {
    addr: SocketAddr,
    peer: P,
    state: State<S>,
    /// When the last datagram came.
    heard: Instant,
    older: Option<usize>,
    newer: Option<usize>,
    /// The last tick that it has run, or that was before it.
    ticked: u64,
    /// Threads that wait for it with a datagram.
    waiting: usize,
    /// It is to end when it is given back.
    is_to_end: bool,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum State<S> {
    Resting(S),
    Busy,
    Ending,
}

/// What a datagram finds.
#[derive(Debug)]
pub(super) enum Begin<P, S> {
    /// The peer's session, which is busy now.
    Known(Id, P, S),
    /// Somebody else has it.
    Busy(Id),
    /// None: there is a place for one, which counts as busy. Who had to make room is
    /// to be ended first.
    New {
        id: Id,
        peer: P,
        evicted: Option<(Id, P, S)>,
    },
    /// None, and nobody has said that there may be one.
    Stranger,
    /// None, and no room for one.
    Full,
    /// None is made any more.
    Closed,
}

/// What is to be done with a session that was given back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<S> {
    Rest,
    /// A tick, after so many that were missed.
    Tick(S, u64),
    End(S, EndReason),
}

/// What becomes of the wish to end a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending<P, S> {
    /// It is to be ended now.
    Now(P, S),
    /// By whoever has it.
    Later,
    /// There is none, or it is ending already.
    None,
}

impl<P: Clone, S> Table<P, S> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_addr: HashMap::new(),
            places: Vec::new(),
            free: Vec::new(),
            oldest: None,
            newest: None,
            live: 0,
            ticks: 0,
            cursor: 0,
            left: 0,
            is_closed: false,
        }
    }

    /// Sessions that are not ending.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// The peer at this address, if its session is not ending.
    pub(super) fn get(&self, addr: SocketAddr) -> Option<P> {
        let place = *self.by_addr.get(&addr)?;
        let node = self.places[place].node.as_ref()?;
        (!matches!(node.state, State::Ending)).then(|| node.peer.clone())
    }

    /// A datagram has come from a peer that may have a session, or is admitted to
    /// one. `make` makes what a new peer is known as.
    pub(super) fn begin(
        &mut self,
        addr: SocketAddr,
        now: Instant,
        is_admitted: bool,
        make: impl FnOnce(Id) -> P,
    ) -> Begin<P, S> {
        if self.is_closed {
            return Begin::Closed;
        }
        if let Some(place) = self.by_addr.get(&addr).copied() {
            self.hear(place, now);
            let id = self.id(place);
            let node = self.node_at(place);
            return match std::mem::replace(&mut node.state, State::Busy) {
                State::Resting(session) => Begin::Known(id, node.peer.clone(), session),
                taken => {
                    node.state = taken;
                    Begin::Busy(id)
                }
            };
        }
        if !is_admitted {
            return Begin::Stranger;
        }
        let mut evicted = None;
        if self.live >= self.limits.most {
            evicted = match self.limits.when_full {
                WhenFull::Refuse => None,
                WhenFull::EvictOldest => self.evict(now),
            };
            if evicted.is_none() {
                return Begin::Full;
            }
        }
        let (id, peer) = self.add(addr, now, make);
        Begin::New { id, peer, evicted }
    }

    /// So many threads more, or less, wait for this session.
    pub(super) fn waits(&mut self, id: Id, is_waiting: bool) {
        if let Some(node) = self.node(id) {
            node.waiting = match is_waiting {
                true => node.waiting + 1,
                false => node.waiting.saturating_sub(1),
            };
        }
    }

    /// Gives a session back that was busy, after a datagram or after a tick.
    pub(super) fn give_back(&mut self, id: Id, session: S, has_ticked: bool) -> Next<S> {
        let ticks = self.ticks;
        let is_closed = self.is_closed;
        let Some(node) = self.node(id) else {
            return Next::End(session, EndReason::Shutdown);
        };
        if is_closed || node.is_to_end {
            let reason = match is_closed {
                true => EndReason::Shutdown,
                false => EndReason::Requested,
            };
            self.set_ending(id.place);
            return Next::End(session, reason);
        }
        let due = ticks - node.ticked;
        if due > 0 && !has_ticked {
            node.ticked = ticks;
            return Next::Tick(session, due - 1);
        }
        node.state = State::Resting(session);
        Next::Rest
    }

    /// A session that was taken out is no more: its peer's next datagram makes a new one.
    pub(super) fn gone(&mut self, id: Id) {
        if self.node(id).is_none() {
            return;
        }
        self.set_ending(id.place);
        let place = &mut self.places[id.place];
        place.generation += 1;
        if let Some(node) = place.node.take() {
            self.by_addr.remove(&node.addr);
        }
        self.free.push(id.place);
    }

    pub(super) fn end(&mut self, id: Id) -> Ending<P, S> {
        let Some(node) = self.node(id) else {
            return Ending::None;
        };
        match std::mem::replace(&mut node.state, State::Ending) {
            State::Resting(session) => {
                let peer = node.peer.clone();
                self.set_ending(id.place);
                Ending::Now(peer, session)
            }
            State::Busy => {
                node.state = State::Busy;
                match std::mem::replace(&mut node.is_to_end, true) {
                    false => Ending::Later,
                    true => Ending::None,
                }
            }
            State::Ending => Ending::None,
        }
    }

    /// From now on no session begins, and all are to end.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.left = self.places.len();
    }

    /// Adds peers from this place on, as many as are looked at in one go; returns
    /// where to go on.
    pub(super) fn peers_from(&self, place: usize, peers: &mut Vec<P>) -> Option<usize> {
        let rest = self.places.get(place..)?;
        for node in rest.iter().take(LOOKS).filter_map(|at| at.node.as_ref()) {
            if !matches!(node.state, State::Ending) {
                peers.push(node.peer.clone());
            }
        }
        (rest.len() > LOOKS).then_some(place + LOOKS)
    }

    /// Makes room: the session that was not heard for the longest time, among those
    /// that rest. Those that do not are in use: that is as good as heard.
    fn evict(&mut self, now: Instant) -> Option<(Id, P, S)> {
        for _ in 0..LOOKS.min(self.live) {
            let oldest = self.oldest?;
            if let Some(evicted) = self.take_idle(oldest) {
                return Some(evicted);
            }
            self.hear(oldest, now);
        }
        None
    }

    /// Takes a session out for good, if nobody has it or waits for it.
    fn take_idle(&mut self, place: usize) -> Option<(Id, P, S)> {
        let id = self.id(place);
        if self.node_at(place).waiting > 0 {
            return None;
        }
        match std::mem::replace(&mut self.node_at(place).state, State::Busy) {
            State::Resting(session) => {
                let peer = self.node_at(place).peer.clone();
                self.set_ending(place);
                Some((id, peer, session))
            }
            taken => {
                self.node_at(place).state = taken;
                None
            }
        }
    }

    fn add(&mut self, addr: SocketAddr, now: Instant, make: impl FnOnce(Id) -> P) -> (Id, P) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                node: None,
            });
            self.places.len() - 1
        });
        let id = self.id(place);
        let peer = make(id);
        self.places[place].node = Some(Node {
            addr,
            peer: peer.clone(),
            state: State::Busy,
            heard: now,
            older: None,
            newer: None,
            ticked: self.ticks,
            waiting: 0,
            is_to_end: false,
        });
        self.by_addr.insert(addr, place);
        self.live += 1;
        self.link_newest(place);
        (id, peer)
    }

    /// It is not among the living any more, until it is gone.
    fn set_ending(&mut self, place: usize) {
        if self.is_linked(place) {
            self.unlink(place);
            self.live -= 1;
        }
        self.node_at(place).state = State::Ending;
    }

    /// A datagram has come, or it is in use, which is as good.
    fn hear(&mut self, place: usize, now: Instant) {
        if self.is_linked(place) {
            self.unlink(place);
            self.link_newest(place);
            self.node_at(place).heard = now;
        }
    }

    fn is_linked(&mut self, place: usize) -> bool {
        self.oldest == Some(place) || self.node_at(place).older.is_some()
    }

    fn unlink(&mut self, place: usize) {
        let node = self.node_at(place);
        let (older, newer) = (node.older.take(), node.newer.take());
        match older {
            Some(older) => self.node_at(older).newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.node_at(newer).older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, place: usize) {
        let before = self.newest.replace(place);
        self.node_at(place).older = before;
        match before {
            Some(before) => self.node_at(before).newer = Some(place),
            None => self.oldest = Some(place),
        }
    }

    fn id(&self, place: usize) -> Id {
        let generation = self.places[place].generation;
        Id { place, generation }
    }

    fn node(&mut self, id: Id) -> Option<&mut Node<P, S>> {
        let place = self.places.get_mut(id.place)?;
        let node = place.node.as_mut()?;
        (place.generation == id.generation).then_some(node)
    }

    /// Of a place that is known to be taken.
    fn node_at(&mut self, place: usize) -> &mut Node<P, S> {
        let node = self.places[place].node.as_mut();
        node.expect("addresses and links lead to places that are taken")
    }
}

/// Places that are looked at under one lock.
const LOOKS: usize = 64;

#[cfg(test)]
mod tests;
