//! Which datagrams wait in a send queue: what every platform keeps of them
//! beside their bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use super::Egress;
use super::send_loop::SendReport;

/// Datagrams that a queue has room for.
pub(super) const ENTRIES: usize = 64;
/// Payload bytes that it has room for: two of the largest datagrams.
pub(super) const BYTES: usize = 128 * 1024;

/// Where a datagram goes, and how it leaves.
pub(super) type Flow = (SocketAddr, Egress);

/// The datagrams of one queue, by the number that each had when it was pushed,
/// and the order in which they are sent.
///
/// A datagram leaves the ledger before anybody is told how it ended. So whatever
/// the one who is told does, none is sent twice, and none is counted twice.
#[derive(Debug)]
pub(super) struct Ledger {
    flows: [Flow; ENTRIES],
    /// Where each datagram's bytes begin; one more says where the last ends.
    starts: [u32; ENTRIES + 1],
    /// Numbers of datagrams, in the order in which these are sent.
    order: [u8; ENTRIES],
    /// The first place in the order whose datagram has not ended yet.
    first: usize,
    /// One past the last place.
    end: usize,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            flows: [(nobody, Egress::default()); ENTRIES],
            starts: [0; ENTRIES + 1],
            order: std::array::from_fn(|place| place as u8),
            first: 0,
            end: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// How many datagrams wait.
    pub(super) fn len(&self) -> usize {
        self.end - self.first
    }

    /// Payload bytes in use, also by datagrams that were sent: room comes back
    /// when all have left.
    pub(super) fn used(&self) -> usize {
        self.starts[self.end] as usize
    }

    /// Whether a datagram of `len` bytes finds room.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.end < ENTRIES && len <= BYTES - self.used()
    }

    /// Takes in a datagram, for which there must be room; its number.
    pub(super) fn push(&mut self, flow: Flow, len: usize) -> usize {
        assert!(self.has_room(len), "the caller looked for room");
        let index = self.end;
        self.flows[index] = flow;
        self.order[index] = index as u8;
        self.starts[index + 1] = self.starts[index] + len as u32;
        self.end += 1;
        index
    }

    /// Where datagram `index` goes, and how.
    pub(super) fn flow(&self, index: usize) -> Flow {
        self.flows[index]
    }

    /// Where the bytes of datagram `index` stand.
    pub(super) fn bytes(&self, index: usize) -> Range<usize> {
        self.starts[index] as usize..self.starts[index + 1] as usize
    }

    /// The number of the datagram to be sent first.
    pub(super) fn head(&self) -> usize {
        usize::from(self.order[self.first])
    }

    /// The datagrams that wait, in their order.
    #[allow(dead_code, reason = "platforms that send one by one pass over it")]
    pub(super) fn waiting(&self) -> &[u8] {
        &self.order[self.first..self.end]
    }

    /// Sorts the datagrams that wait.
    #[allow(dead_code, reason = "platforms that send one by one pass over it")]
    pub(super) fn sort<T>(&mut self, sort: impl FnOnce(&mut [u8], &Self) -> T) -> T {
        let mut order = self.order;
        let sorted = sort(&mut order[self.first..self.end], self);
        self.order = order;
        sorted
    }

    /// One call sent the first `count` datagrams.
    pub(super) fn sent(&mut self, count: usize, report: &mut impl SendReport) {
        let places = self.take(count);
        let lens = places.map(|place| self.bytes(usize::from(self.order[place])).len());
        let bytes: usize = lens.sum();
        report.called(count as u64, bytes as u64);
    }

    /// The first `count` datagrams are given up.
    pub(super) fn give_up(
        &mut self,
        count: usize,
        error: &io::Error,
        report: &mut impl SendReport,
    ) {
        for place in self.take(count) {
            let index = usize::from(self.order[place]);
            report.failed(self.bytes(index).len(), self.flows[index].0, error);
        }
    }

    /// Drops all that wait; how many these were.
    pub(super) fn discard(&mut self) -> usize {
        self.take(self.len()).len()
    }

    /// Moves on past the first `count` datagrams; their places, which keep what
    /// they hold until the next push.
    fn take(&mut self, count: usize) -> Range<usize> {
        assert!(count <= self.len(), "no more than wait");
        let places = self.first..self.first + count;
        self.first += count;
        if self.is_empty() {
            (self.first, self.end) = (0, 0);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics at whatever it is told.
    struct Panics;

    impl SendReport for Panics {
        fn called(&mut self, _sent: u64, _bytes: u64) {
            panic!("told of a call");
        }

        fn failed(&mut self, _len: usize, _to: SocketAddr, _error: &io::Error) {
            panic!("told of a failure");
        }
    }

    #[test]
    fn a_datagram_has_left_before_anybody_is_told() {
        use std::panic::{AssertUnwindSafe, catch_unwind};

        let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
        let mut ledger = Ledger::new();
        for len in [1, 2, 3] {
            ledger.push((peer, Egress::default()), len);
        }
        let told = catch_unwind(AssertUnwindSafe(|| ledger.sent(1, &mut Panics)));
        assert!(told.is_err(), "it was told");
        assert_eq!(ledger.waiting(), [1, 2], "the first is not sent again");
        let error = io::ErrorKind::WouldBlock.into();
        let told = catch_unwind(AssertUnwindSafe(|| ledger.give_up(2, &error, &mut Panics)));
        assert!(told.is_err(), "it was told");
        assert!(ledger.is_empty() && ledger.has_room(BYTES), "all are gone");
    }
}
