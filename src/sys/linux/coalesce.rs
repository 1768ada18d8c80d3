//! Which datagrams of a queue can leave together as one segmented send
//! (`UDP_SEGMENT`, udp(7)): the plan alone, without a kernel.

use std::net::{IpAddr, SocketAddr};

use super::send::SendQueue;
use crate::sys::LocalEnd;

/// Where a datagram goes, and from which local address.
pub(super) type Flow = (SocketAddr, Option<LocalEnd>);

/// A queue's datagrams in the order they are sent, cut into messages: each is
/// one datagram, or several of the same size to the same destination, of which
/// the last may be shorter.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where each message begins in the order; one more says where the last ends.
    starts: [u8; SendQueue::ENTRIES + 1],
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
    fn of_one(flow: Flow, len: usize) -> Self {
        Self {
            flow,
            segment: len,
            bytes: len,
            parts: 1,
            is_closed: len == 0 || len > LARGEST_SEGMENT,
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
    /// a datagram joins only the newest message to its destination.
    pub(super) fn new(order: &mut [u8], entry: impl Fn(u8) -> (Flow, usize)) -> Self {
        let nothing = Message::of_one((SocketAddr::from(([0, 0, 0, 0], 0)), None), 0);
        let mut messages = [nothing; SendQueue::ENTRIES];
        let mut count = 0;
        let mut newest = Newest::new();
        let mut message_of = [0_u8; SendQueue::ENTRIES];
        for (place, index) in order.iter().enumerate() {
            let (flow, len) = entry(*index);
            let slot = newest.slot(flow.0);
            let joined = slot.is_some_and(|at| messages[usize::from(at)].join(flow, len));
            if !joined {
                messages[count] = Message::of_one(flow, len);
                *slot = Some(count as u8);
                count += 1;
            }
            message_of[place] = slot.unwrap_or_default();
        }
        let mut starts = [0; SendQueue::ENTRIES + 1];
        for (at, message) in messages[..count].iter().enumerate() {
            starts[at + 1] = starts[at] + message.parts;
        }
        let mut next = starts;
        let mut sorted = [0_u8; SendQueue::ENTRIES];
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

    /// The message that begins at this place.
    pub(super) fn message_at(&self, place: usize) -> usize {
        let starts = &self.starts[..self.messages];
        starts.partition_point(|start| usize::from(*start) < place)
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
        let ip = match to.ip() {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => {
                let bits = u128::from(v6);
                (bits >> 64) as u64 ^ bits as u64
            }
        };
        let mixed = (ip << 16 ^ u64::from(to.port())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &mut self.0[(mixed >> 57) as usize]
    }
}

/// `UDP_MAX_SEGMENTS` of older kernels (include/linux/udp.h); newer take 128.
const MOST_SEGMENTS: u8 = 64;
/// What one datagram could carry over IPv4; a segmented send is one until it is cut.
const MOST_BYTES: usize = 65_507;
/// A segment must fit the route's MTU or the whole send fails: what fits
/// Ethernet's 1,500 over IPv6 fits most routes.
const LARGEST_SEGMENT: usize = 1_452;

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
        let plan = Plan::new(&mut order, |index| {
            let (to, len) = entries[usize::from(index)];
            ((peer(to), None), len)
        });
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
