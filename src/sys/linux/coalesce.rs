//! Which datagrams of a queue can leave together as one segmented send
//! (`UDP_SEGMENT`, udp(7)): the plan alone, without a kernel.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::sys::Egress;
use crate::sys::ledger::{ENTRIES, Flow};

/// A queue's datagrams in the order they are sent, cut into messages: each is
/// one datagram, or several of the same size to the same destination, of which
/// the last may be shorter.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where each message begins in the order; one more says where the last ends.
    starts: [u8; ENTRIES + 1],
    messages: usize,
}

/// A message that may still grow.
#[derive(Debug, Clone, Copy)]
struct Message {
    flow: Flow,
    segment: usize,
    bytes: usize,
    parts: u8,
    is_closed: bool,
}

impl Message {
    fn of_one(flow: Flow, len: usize, stays_alone: bool) -> Self {
        Self {
            flow,
            segment: len,
            bytes: len,
            parts: 1,
            is_closed: stays_alone || len == 0 || len > LARGEST_SEGMENT,
        }
    }

    /// Takes one more datagram in, if it fits.
    fn join(&mut self, flow: Flow, len: usize) -> bool {
        let fits = !self.is_closed
            && self.flow == flow
            && (1..=self.segment).contains(&len)
            && self.parts < MOST_SEGMENTS
            && self.bytes + len <= MOST_BYTES;
        if fits {
            self.bytes += len;
            self.parts += 1;
            self.is_closed = len < self.segment;
        }
        fits
    }
}

impl Plan {
    /// Sorts `order`, which names entries of a queue, so that those of one
    /// message follow one another. What goes to one destination keeps its order:
    /// a datagram joins only the newest message to its destination. What goes
    /// where `refuses` says so stays alone.
    pub(super) fn new(
        order: &mut [u8],
        entry: impl Fn(u8) -> (Flow, usize),
        refuses: impl Fn(SocketAddr) -> bool,
    ) -> Self {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let nothing = Message::of_one((nobody, Egress::default()), 0, true);
        let mut messages = [nothing; ENTRIES];
        let mut count = 0;
        let mut newest = Newest::new();
        let mut message_of = [0_u8; ENTRIES];
        for (place, index) in order.iter().enumerate() {
            let (flow, len) = entry(*index);
            let slot = newest.slot(flow.0);
            let joined = slot.is_some_and(|at| messages[usize::from(at)].join(flow, len));
            if !joined {
                messages[count] = Message::of_one(flow, len, refuses(flow.0));
                *slot = Some(count as u8);
                count += 1;
            }
            message_of[place] = slot.unwrap_or_default();
        }
        let mut starts = [0; ENTRIES + 1];
        for (at, message) in messages[..count].iter().enumerate() {
            starts[at + 1] = starts[at] + message.parts;
        }
        let mut next = starts;
        let mut sorted = [0_u8; ENTRIES];
        for (place, index) in order.iter().enumerate() {
            let at = &mut next[usize::from(message_of[place])];
            sorted[usize::from(*at)] = *index;
            *at += 1;
        }
        order.copy_from_slice(&sorted[..order.len()]);
        Self {
            starts,
            messages: count,
        }
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// The places in the order that a message covers.
    pub(super) fn places(&self, message: usize) -> std::ops::Range<usize> {
        usize::from(self.starts[message])..usize::from(self.starts[message + 1])
    }

    /// Makes each datagram of a message a message of its own.
    pub(super) fn split(&mut self, message: usize) {
        let places = self.places(message);
        let more = places.len() - 1;
        self.starts
            .copy_within(message + 1..=self.messages, message + 1 + more);
        for (at, place) in places.enumerate() {
            self.starts[message + at] = place as u8;
        }
        self.messages += more;
    }

    /// The same for all messages from this one on.
    pub(super) fn split_all_from(&mut self, message: usize) {
        for at in (message..self.messages).rev() {
            self.split(at);
        }
    }
}

/// The newest message to each destination. Two destinations that fall into one
/// slot cost each other their coalescing, never their order.
#[derive(Debug)]
pub(super) struct Newest([Option<u8>; 128]);

impl Newest {
    pub(super) fn new() -> Self {
        Self([None; 128])
    }

    pub(super) fn slot(&mut self, to: SocketAddr) -> &mut Option<u8> {
        &mut self.0[(mixed(to.ip(), to.port()) >> 57) as usize]
    }
}

/// Destinations that are sent to without segmentation: segmented sends there
/// failed though their parts can be sent, as the route or its device takes none.
///
/// Each is remembered for up to [`REMEMBERED`], whatever the port, as a bit for
/// the hash of its address. Two with one hash cost each other their coalescing.
/// A try that fails costs some calls, so after one there is none for a while:
/// however many such destinations there are, most calls send.
#[derive(Debug)]
pub(super) struct Unsegmented {
    bits: [u64; WORDS],
    /// When they are all forgotten; `None` while there are none.
    until: Option<Instant>,
    /// How many more flushes are not to try.
    pause: u8,
}

impl Default for Unsegmented {
    fn default() -> Self {
        Self {
            bits: [0; WORDS],
            until: None,
            pause: 0,
        }
    }
}

impl Unsegmented {
    pub(super) fn add(&mut self, to: SocketAddr, now: Instant) {
        let (word, bit) = Self::place(to);
        self.bits[word] |= bit;
        self.until.get_or_insert(now + REMEMBERED);
        self.pause = PAUSE;
    }

    /// Whether this flush is not to try anything.
    pub(super) fn takes_pause(&mut self) -> bool {
        let is_pause = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        is_pause
    }

    /// Forgets those whose time is over. The clock is read only if there are any.
    pub(super) fn forget(&mut self, now: impl FnOnce() -> Instant) {
        if self.until.is_some_and(|until| now() >= until) {
            self.bits = [0; WORDS];
            self.until = None;
        }
    }

    pub(super) fn contains(&self, to: SocketAddr) -> bool {
        let (word, bit) = Self::place(to);
        self.until.is_some() && self.bits[word] & bit != 0
    }

    /// The word and the bit of an address.
    fn place(to: SocketAddr) -> (usize, u64) {
        let hash = mixed(to.ip(), 0) >> 49;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

/// Spreads addresses over tables; the upper bits are the better ones.
fn mixed(ip: IpAddr, port: u16) -> u64 {
    let ip = match ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    (ip << 16 ^ u64::from(port)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// `UDP_MAX_SEGMENTS` of older kernels (include/linux/udp.h); newer take 128.
const MOST_SEGMENTS: u8 = 64;
/// What one datagram could carry over IPv4; a segmented send is one until it is cut.
const MOST_BYTES: usize = 65_507;
/// A segment must fit the route's MTU or the whole send fails: what fits
/// Ethernet's 1,500 over IPv6 fits most routes.
const LARGEST_SEGMENT: usize = 1_452;
/// Routes rarely change sooner.
const REMEMBERED: Duration = Duration::from_secs(30);
/// A try that fails costs four calls at most: what left before it, the error,
/// once more where it may have been another's, and the parts with all that follows.
const PAUSE: u8 = 16;
/// 32,768 bits.
const WORDS: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 4000))
    }

    /// The plan for these (peer, length) pairs, as the entries of each message.
    fn plan(entries: &[(u8, usize)]) -> Vec<Vec<u8>> {
        let mut order: Vec<u8> = (0..entries.len() as u8).collect();
        let plan = Plan::new(
            &mut order,
            |index| {
                let (to, len) = entries[usize::from(index)];
                ((peer(to), Egress::default()), len)
            },
            |_| false,
        );
        (0..plan.messages())
            .map(|message| order[plan.places(message)].to_vec())
            .collect()
    }

    #[test]
    fn equal_sizes_to_one_peer_leave_together() {
        let entries = [(1, 64), (2, 64), (1, 64), (2, 64), (1, 64)];
        assert_eq!(plan(&entries), [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_shorter_one_ends_a_message_and_a_longer_one_begins_another() {
        let entries = [(1, 64), (1, 64), (1, 10), (1, 64), (1, 65)];
        assert_eq!(plan(&entries), [vec![0, 1, 2], vec![3], vec![4]]);
    }

    #[test]
    fn empty_and_large_datagrams_travel_alone() {
        let entries = [(1, 0), (1, 0), (1, 1_453), (1, 1_453)];
        assert_eq!(plan(&entries), [vec![0], vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn a_split_message_is_one_for_each_part_and_the_others_stay() {
        let lens = [64, 64, 10, 64, 64, 65];
        let mut order: Vec<u8> = (0..6).collect();
        let entry = |index| ((peer(1), Egress::default()), lens[usize::from(index)]);
        let mut plan = Plan::new(&mut order, entry, |_| false);
        let places = |plan: &Plan| -> Vec<_> {
            (0..plan.messages())
                .map(|message| plan.places(message))
                .collect()
        };
        assert_eq!(places(&plan), [0..3, 3..5, 5..6]);
        plan.split(1);
        assert_eq!(places(&plan), [0..3, 3..4, 4..5, 5..6]);
        plan.split(0);
        assert_eq!(places(&plan), [0..1, 1..2, 2..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    fn what_takes_no_segments_is_remembered_for_a_while() {
        let mut unsegmented = Unsegmented::default();
        let now = Instant::now();
        unsegmented.forget(|| unreachable!("there is nobody to forget"));
        assert!(!unsegmented.contains(peer(1)), "nobody yet");
        unsegmented.add(peer(1), now);
        unsegmented.forget(|| now + REMEMBERED / 2);
        let other_port = SocketAddr::new(peer(1).ip(), 1);
        assert!(unsegmented.contains(peer(1)) && unsegmented.contains(other_port));
        assert!(!unsegmented.contains(peer(2)), "another host");
        unsegmented.forget(|| now + REMEMBERED);
        assert!(!unsegmented.contains(peer(1)), "forgotten");
        let pauses = (0..100).filter(|_| unsegmented.takes_pause()).count();
        assert_eq!(pauses, usize::from(PAUSE));
        let mut order = [0, 1, 2, 3];
        let entry = |index: u8| ((peer(index % 2), Egress::default()), 64);
        let plan = Plan::new(&mut order, entry, |to| to == peer(1));
        assert_eq!(order[plan.places(0)], [0, 2]);
        assert_eq!(plan.messages(), 3, "those to the other stay alone");
    }

    proptest! {
        #[test]
        fn order_to_each_peer_is_kept_and_messages_are_valid(
            entries in prop::collection::vec((0_u8..5, prop::sample::select(vec![0, 1, 64, 65, 1_400, 2_000])), 1..=64)
        ) {
            let messages = plan(&entries);
            let sent: Vec<u8> = messages.concat();
            for number in 0..5 {
                let to_peer = |index: &u8| entries[usize::from(*index)].0 == number;
                let order: Vec<u8> = sent.iter().copied().filter(to_peer).collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                prop_assert_eq!(order, sorted, "order to one peer");
            }
            let mut all = sent;
            all.sort_unstable();
            prop_assert!(all.iter().copied().eq(0..entries.len() as u8), "each exactly once");
            for message in &messages {
                let of = |index: &u8| entries[usize::from(*index)];
                let (to, segment) = of(&message[0]);
                let (last, body) = message.split_last().expect("no message is empty");
                prop_assert!(body.iter().all(|index| of(index) == (to, segment)), "equal sizes");
                prop_assert!(of(last).0 == to && of(last).1 <= segment, "the last may be shorter");
                prop_assert!(message.iter().map(|index| of(index).1).sum::<usize>() <= MOST_BYTES);
            }
        }
    }
}
