//! Order per peer: lanes, each worked by one worker at a time.
//!
//! A worker that has received a batch puts its datagrams into lanes before it
//! leaves the door, so the order in a lane is the order of arrival. The lane is
//! chosen by the peer's address; peers that share one may wait for each other.
//!
//! # Why nothing waits in a lane that nobody works
//! A lane is *taken* from the moment the first datagram is put into it until a
//! worker finds it empty; both are decided under the lane's lock. Who puts the
//! first in is told so ([`Put::First`]) and hands the lane on as a job, in the
//! transition with which it leaves the door. While a lane is taken it is a job
//! that waits, or in the hands of one worker, who looks again before letting go.
//!
//! Replies keep the order, too: a lane is let go only after the replies of those
//! who worked it have been sent. To send them in batches all the same, a worker
//! keeps hold of the lanes it has emptied until it has no other, or the
//! supervisor has looked; when it gets stuck, the supervisor sends its replies
//! and lets go for it.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sys::{Datagram, LocalEnd};

/// Names a lane.
pub(crate) type LaneId = usize;

/// What became of a datagram put into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// Nobody works this lane: it is to be handed on as a job.
    First(LaneId),
    /// Somebody does, or will.
    Behind,
    /// There was no room.
    Full,
}

#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Box<[Mutex<Lane>]>,
    /// Keyed, so that nobody can aim at a peer's lane.
    hasher: RandomState,
    /// The server closes: what is left is not handled any more.
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: Parcels,
    is_taken: bool,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Puts a copy of a datagram into its peer's lane.
    pub(crate) fn put(&self, datagram: &Datagram<'_>) -> Put {
        let id = self.lane_of(datagram.peer);
        let mut lane = self.lane(id);
        if !lane.waiting.has_room(datagram.bytes.len()) {
            return Put::Full;
        }
        lane.waiting.push(datagram);
        if std::mem::replace(&mut lane.is_taken, true) {
            Put::Behind
        } else {
            Put::First(id)
        }
    }

    /// Takes what waits in a lane in exchange for the room in `empty`; `false`
    /// when there was nothing, and the lane is let go.
    pub(crate) fn take(&self, id: LaneId, empty: &mut Parcels) -> bool {
        empty.clear();
        let mut lane = self.lane(id);
        if lane.waiting.items.is_empty() {
            lane.is_taken = false;
            lane.waiting.give_back_room();
            return false;
        }
        std::mem::swap(&mut lane.waiting, empty);
        true
    }

    /// Lets go of a lane in which nothing waits; `false` when something does,
    /// and the lane stays taken.
    pub(crate) fn let_go(&self, id: LaneId) -> bool {
        let mut lane = self.lane(id);
        lane.is_taken = !lane.waiting.items.is_empty();
        !lane.is_taken
    }

    /// Leaves nothing to handle, for good: the server closes.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    fn lane_of(&self, peer: Option<SocketAddr>) -> LaneId {
        (self.hasher.hash_one(peer) % LANES as u64) as LaneId
    }

    fn lane(&self, id: LaneId) -> MutexGuard<'_, Lane> {
        self.lanes[id]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Datagrams of their own, in order.
#[derive(Debug, Default)]
pub(crate) struct Parcels {
    bytes: Vec<u8>,
    items: Vec<Parcel>,
}

#[derive(Debug)]
struct Parcel {
    start: usize,
    len: usize,
    peer: Option<SocketAddr>,
    local: Option<LocalEnd>,
    stamp: Option<Duration>,
    truncated: bool,
    glued: bool,
}

impl Parcels {
    /// The datagrams, first the one that came first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.items.iter().map(|parcel| Datagram {
            bytes: &self.bytes[parcel.start..parcel.start + parcel.len],
            peer: parcel.peer,
            local: parcel.local,
            stamp: parcel.stamp,
            truncated: parcel.truncated,
            glued: parcel.glued,
        })
    }

    fn has_room(&self, len: usize) -> bool {
        self.items.len() < MOST_WAITING && self.bytes.len() + len <= MOST_BYTES_WAITING
    }

    fn push(&mut self, datagram: &Datagram<'_>) {
        self.items.push(Parcel {
            start: self.bytes.len(),
            len: datagram.bytes.len(),
            peer: datagram.peer,
            local: datagram.local,
            stamp: datagram.stamp,
            truncated: datagram.truncated,
            glued: datagram.glued,
        });
        self.bytes.extend_from_slice(datagram.bytes);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// What a flood once needed is not kept.
    fn give_back_room(&mut self) {
        if self.bytes.capacity() > ROOM_KEPT {
            *self = Self::default();
        }
    }
}

/// Enough that two of the peers of a busy moment rarely share one.
const LANES: usize = 1_024;
/// Datagrams that wait in one lane at most.
const MOST_WAITING: usize = 256;
/// Bytes of these: two of the longest datagrams.
const MOST_BYTES_WAITING: usize = 128 * 1_024;
/// Bytes of room that an empty lane keeps for the next datagrams.
const ROOM_KEPT: usize = 4 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(port: u16, bytes: &[u8]) -> Datagram<'_> {
        Datagram {
            bytes,
            peer: Some(SocketAddr::from(([192, 0, 2, 1], port))),
            local: None,
            stamp: None,
            truncated: false,
            glued: false,
        }
    }

    fn taken(lanes: &Lanes, id: LaneId) -> Vec<Vec<u8>> {
        let mut parcels = Parcels::default();
        lanes.take(id, &mut parcels);
        parcels.iter().map(|one| one.bytes.to_vec()).collect()
    }

    #[test]
    fn a_lane_is_a_job_once_until_it_was_found_empty() {
        let lanes = Lanes::new();
        let Put::First(id) = lanes.put(&datagram(1, b"a")) else {
            panic!("nobody works it yet");
        };
        assert_eq!(lanes.put(&datagram(1, b"b")), Put::Behind);
        assert_eq!(taken(&lanes, id), [b"a", b"b"], "in order");
        assert_eq!(lanes.put(&datagram(1, b"c")), Put::Behind, "still worked");
        assert!(!lanes.let_go(id), "something waits");
        assert_eq!(taken(&lanes, id), [b"c"]);
        assert!(lanes.let_go(id));
        assert_eq!(lanes.put(&datagram(1, b"d")), Put::First(id));
    }

    #[test]
    fn a_lane_is_full_at_its_limits_and_others_are_not() {
        let lanes = Lanes::new();
        let put = |port, bytes: &[u8]| lanes.put(&datagram(port, bytes));
        for count in 0..MOST_WAITING {
            assert_ne!(put(1, b""), Put::Full, "datagram {count}");
        }
        assert_eq!(put(1, b""), Put::Full);
        let own = lanes.lane_of(datagram(1, b"").peer);
        let others = (2..100).filter(|port| lanes.lane_of(datagram(*port, b"").peer) != own);
        for port in others.take(1) {
            assert!(matches!(put(port, &[0; 65_535]), Put::First(_)));
            assert_eq!(put(port, &[0; 65_535]), Put::Behind);
            assert_eq!(put(port, b"123"), Put::Full, "two bytes are left");
            assert_eq!(put(port, b"12"), Put::Behind);
        }
    }
}
