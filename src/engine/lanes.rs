//! Order per peer or per key: lanes, each worked by one worker at a time.
//!
//! A worker that has received a batch puts its datagrams into lanes before it
//! leaves the door, so the order in a lane is the order of arrival. The lane is
//! chosen by a hash of the peer's address, or of the key that users' code finds in
//! the datagram; those that share one may wait for each other.
//!
//! # Why nothing waits in a lane that nobody works
//! A lane is *taken* from the moment the first datagram is put into it until a
//! worker lets go of it, which it may only when nothing waits; both are decided
//! under the lane's lock ([`Turn`]). Who puts the first in is told so ([`Put::First`]) and hands the lane on as a job, in the
//! transition with which it leaves the door. While a lane is taken it is a job
//! that waits, or in the hands of one worker, who looks again before letting go.
//!
//! Replies keep the order, too: a lane is let go only after the replies of those
//! who worked it have been sent. To send them in batches all the same, a worker
//! keeps hold of the lanes it has emptied until it has no other, or the
//! supervisor has looked; when it gets stuck, the supervisor sends its replies
//! and lets go for it.

mod owned;
mod turn;

pub(crate) use owned::OwnedDatagrams;
pub(crate) use turn::Turn;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Executor, Order};
use crate::stats::Padded;
use crate::sys::Datagram;

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
    order: Order,
    /// Keyed, so that nobody can aim at a peer's lane.
    hasher: RandomState,
    /// Bytes that each lane has for itself: one datagram of the greatest length.
    own: usize,
    /// Bytes used of what all lanes share: by what waits beyond a lane's own
    /// bytes, and by all datagrams in the hands of who works them.
    used: Padded<AtomicUsize>,
    /// The server closes: what is left is not handled any more.
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Lane {
    turn: Turn,
    waiting: OwnedDatagrams,
    /// Bytes of what waits that count as the lane's own.
    own: usize,
}

impl Lanes {
    /// Lanes for datagrams of up to so many bytes.
    pub(crate) fn new(order: Order, longest: usize) -> Self {
        let own = OwnedDatagrams::size_for(longest);
        let count = MOST_LANES.min(OWN_BUDGET / own);
        Self {
            lanes: (0..count).map(|_| Mutex::default()).collect(),
            order,
            hasher: RandomState::new(),
            own,
            used: Padded::default(),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    /// The lane that a datagram belongs to. May run users' code: no lock is held. If
    /// that panics, it is the lane of the peer, and the panic goes with the datagram.
    pub(crate) fn lane_of(
        &self,
        datagram: &Datagram<'_>,
        executor: &dyn Executor,
    ) -> (LaneId, Option<String>) {
        let key = match self.order {
            Order::ByPeer => None,
            Order::ByKey => Some(executor.order_key(datagram, &self.hasher)),
        };
        let by_peer = || match datagram.meta.peer {
            None if !datagram.name.is_empty() => self.hasher.hash_one(datagram.name),
            peer => self.hasher.hash_one(peer),
        };
        let (hash, panic) = match key {
            None => (by_peer(), None),
            Some(Ok(hash)) => (hash, None),
            Some(Err(message)) => (by_peer(), Some(message)),
        };
        ((hash % self.lanes.len() as u64) as LaneId, panic)
    }

    /// Puts a copy of a datagram into its lane.
    ///
    /// Each lane has room for one datagram that no other can take. Beyond that
    /// all share one budget, and one of them may use a part of what is left: so a
    /// burst of one peer finds room as long as others do not need it, and however
    /// many peers fill their lanes, there is room for one more datagram in the
    /// lane of another.
    pub(crate) fn put(&self, id: LaneId, datagram: &Datagram<'_>, panic: Option<String>) -> Put {
        let size = OwnedDatagrams::size_for(datagram.bytes.len() + datagram.name.len());
        let mut lane = self.lane(id);
        if lane.own + size <= self.own {
            lane.own += size;
        } else {
            let left = BUDGET.saturating_sub(self.used.load(Relaxed));
            if lane.waiting.size() + size > left / SHARE_OF_LEFT {
                return Put::Full;
            }
            self.used.fetch_add(size, Relaxed);
        }
        lane.waiting.push(datagram, panic);
        if lane.turn.put() {
            Put::First(id)
        } else {
            Put::Behind
        }
    }

    /// Takes what waits in a lane, in exchange for the room of what was taken
    /// before. The lane's own bytes are free again at once.
    pub(crate) fn take(&self, id: LaneId, owned: &mut OwnedDatagrams) {
        self.done(owned);
        let mut lane = self.lane(id);
        lane.turn.take();
        self.used.fetch_add(std::mem::take(&mut lane.own), Relaxed);
        std::mem::swap(&mut lane.waiting, owned);
    }

    /// What was taken is dealt with.
    pub(crate) fn done(&self, owned: &mut OwnedDatagrams) {
        self.used.fetch_sub(owned.size(), Relaxed);
        owned.clear(ROOM_KEPT_BY_WORKER);
    }

    /// Lets go of a lane in which nothing waits; `false` when something does,
    /// and the lane stays taken.
    pub(crate) fn let_go(&self, id: LaneId) -> bool {
        let mut lane = self.lane(id);
        let is_free = lane.turn.let_go();
        if is_free {
            lane.waiting.clear(ROOM_KEPT_BY_LANE);
        }
        is_free
    }

    /// Leaves nothing to handle, for good: the server closes.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    fn lane(&self, id: LaneId) -> MutexGuard<'_, Lane> {
        self.lanes[id]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enough that two of the peers of a busy moment rarely share one.
const MOST_LANES: usize = 1_024;
/// Bytes that all lanes have for themselves together: 511 lanes for datagrams of
/// the greatest length, and [`MOST_LANES`] if none is longer than 32,000 bytes.
const OWN_BUDGET: usize = 32 << 20;
/// Bytes that all lanes share. Both are with what it takes to keep datagrams.
const BUDGET: usize = 32 << 20;
/// A lane may use this part of what is left of the budget: when it is full, a
/// fifth of the budget is in it.
const SHARE_OF_LEFT: usize = 4;
/// Bytes of room that an empty lane keeps for the next datagrams.
const ROOM_KEPT_BY_LANE: usize = 8 << 10;
/// The same for a worker.
const ROOM_KEPT_BY_WORKER: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::SocketAddr;

    use super::*;
    use crate::stats::Fate;
    use crate::sys::Meta;

    fn datagram(port: u16, bytes: &[u8]) -> Datagram<'_> {
        Datagram {
            bytes,
            meta: Meta {
                peer: Some(SocketAddr::from(([192, 0, 2, 1], port))),
                ..Meta::default()
            },
            name: b"",
        }
    }

    /// In the order of peers, no executor is asked.
    struct Nobody;

    impl Executor for Nobody {
        fn execute(&mut self, _: &Datagram<'_>) -> Fate {
            unreachable!("nothing is handled here")
        }

        fn order_key(&self, _: &Datagram<'_>, _: &RandomState) -> Result<u64, String> {
            unreachable!("lanes are chosen by peers here")
        }

        fn give_up(&mut self, _: &Datagram<'_>, _: String) -> Fate {
            unreachable!("nothing is handled here")
        }

        fn finish(&mut self) {}
    }

    fn lanes_for(max_packet_size: usize) -> Lanes {
        Lanes::new(Order::ByPeer, max_packet_size)
    }

    fn lane_of(lanes: &Lanes, port: u16) -> LaneId {
        lanes.lane_of(&datagram(port, b""), &Nobody).0
    }

    fn put(lanes: &Lanes, datagram: &Datagram<'_>) -> Put {
        let (lane, panic) = lanes.lane_of(datagram, &Nobody);
        lanes.put(lane, datagram, panic)
    }

    fn taken(lanes: &Lanes, id: LaneId) -> Vec<Vec<u8>> {
        let mut owned = OwnedDatagrams::default();
        lanes.take(id, &mut owned);
        let bytes = owned.iter().map(|(one, _)| one.bytes.to_vec()).collect();
        lanes.done(&mut owned);
        bytes
    }

    #[test]
    fn a_lane_is_a_job_once_until_it_was_let_go() {
        let lanes = lanes_for(65_535);
        let Put::First(id) = put(&lanes, &datagram(1, b"a")) else {
            panic!("nobody works it yet");
        };
        assert_eq!(put(&lanes, &datagram(1, b"b")), Put::Behind);
        assert_eq!(taken(&lanes, id), [b"a", b"b"], "in order");
        assert_eq!(put(&lanes, &datagram(1, b"c")), Put::Behind, "still worked");
        assert!(!lanes.let_go(id), "something waits");
        assert_eq!(taken(&lanes, id), [b"c"]);
        assert!(lanes.let_go(id));
        assert_eq!(put(&lanes, &datagram(1, b"d")), Put::First(id));
    }

    #[test]
    fn one_peer_has_room_for_a_burst_and_leaves_room_for_the_others() {
        let lanes = lanes_for(65_535);
        let put = |port, len| put(&lanes, &datagram(port, &[0; 65_535][..len])) != Put::Full;
        // Peers that share a lane share its room: here each has one of its own.
        let lane_of = |port: &u16| lane_of(&lanes, *port);
        let mut lanes_seen = HashSet::new();
        let mut ports = (1..).filter(|port| lanes_seen.insert(lane_of(port)));
        let mut next_port = || ports.next().expect("there are more than a hundred lanes");
        let (one, two) = (next_port(), next_port());
        let burst = (0..).take_while(|_| put(one, 64)).count();
        assert!(burst > 10_000, "as much as the kernel's queue: {burst}");
        let longest = (0..).take_while(|_| put(two, 65_535)).count();
        assert!(longest > 50, "batches of the longest as well: {longest}");
        for _ in 0..100 {
            let other = next_port();
            assert!(put(other, 1_400), "port {other} is not made to pay for it");
        }
        for port in 1..60_000 {
            put(port, 65_535);
        }
        assert!(lanes.used.load(Relaxed) <= BUDGET, "whatever comes");
        let size = |lane: &Mutex<Lane>| lane.lock().map_or(0, |lane| lane.waiting.size());
        let all: usize = lanes.lanes.iter().map(size).sum();
        assert!(all <= BUDGET + OWN_BUDGET, "{all}");
    }

    #[test]
    fn peers_that_fill_their_lanes_one_after_another_leave_room_in_all_others() {
        for max_packet_size in [1_500, 65_535] {
            let lanes = lanes_for(max_packet_size);
            let whole = vec![0; max_packet_size];
            let lane_of = |port: u16| lane_of(&lanes, port);
            let quick = 1;
            for port in (2..)
                .take(2_000)
                .filter(|port| lane_of(*port) != lane_of(quick))
            {
                // The handlers of some are at work on the first one.
                if let Put::First(id) = put(&lanes, &datagram(port, &whole)) {
                    if port % 4 == 0 {
                        lanes.take(id, &mut OwnedDatagrams::default());
                    }
                }
                for _ in 0..100_000 {
                    if put(&lanes, &datagram(port, &whole[..1_000])) == Put::Full {
                        break;
                    }
                }
            }
            for turn in 0..20 {
                let Put::First(id) = put(&lanes, &datagram(quick, &whole)) else {
                    panic!("turn {turn} with {max_packet_size} bytes");
                };
                assert_eq!(taken(&lanes, id).len(), 1);
                assert!(lanes.let_go(id));
            }
        }
    }

    #[test]
    fn all_lanes_have_room_for_a_datagram_within_the_budget() {
        for (max_packet_size, count) in [(1, 1_024), (32_000, 1_024), (65_535, 510)] {
            let lanes = lanes_for(max_packet_size);
            assert_eq!(lanes.lanes.len(), count, "{max_packet_size}");
            assert!(count * lanes.own <= OWN_BUDGET);
        }
    }

    #[test]
    fn what_was_dealt_with_makes_room_again_and_is_given_back() {
        let lanes = lanes_for(65_535);
        let mut owned = OwnedDatagrams::default();
        for _ in 0..2 {
            let Put::First(id) = put(&lanes, &datagram(1, &[0; 9_000])) else {
                panic!("nobody works it yet");
            };
            for _ in 1..10 {
                put(&lanes, &datagram(1, &[0; 9_000]));
            }
            lanes.take(id, &mut owned);
            assert_eq!(owned.iter().count(), 10);
            lanes.done(&mut owned);
            assert_eq!(lanes.used.load(Relaxed), 0);
            assert!(lanes.let_go(id));
            assert!(lanes.lane(id).waiting.room() <= ROOM_KEPT_BY_LANE);
        }
        assert!(
            owned.room() > 10 * 9_000,
            "kept by the worker, and used again"
        );
    }
}
