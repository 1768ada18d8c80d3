//! Room for a batch of datagrams to send, one call each.

use std::io;
use std::net::SocketAddr;

use crate::sys::ledger::{BYTES, Ledger};
use crate::sys::send_loop::{Messages, Patience, SendReport, Wire, send_all};
use crate::sys::{Egress, QueueOptions};

/// A queue of datagrams in one block of memory.
#[derive(Debug)]
pub(crate) struct SendQueue {
    pub(in crate::sys) ledger: Ledger,
    payload: Vec<u8>,
}

impl SendQueue {
    /// An empty queue for a socket bound to `_local`; an error where there is no
    /// memory for it.
    pub(crate) fn new(_local: SocketAddr, _options: QueueOptions) -> io::Result<Self> {
        let mut payload = Vec::new();
        payload.try_reserve_exact(BYTES)?;
        Ok(Self {
            ledger: Ledger::new(),
            payload,
        })
    }

    /// From now on datagrams are for another socket: nothing to do, as each is
    /// addressed when it is sent.
    pub(crate) fn turn_to(&mut self, _local: SocketAddr) {
        debug_assert!(self.is_empty(), "all that is queued leaves by one socket");
    }

    /// Appends a datagram, for which there must be room.
    pub(crate) fn push(&mut self, bytes: &[u8], to: SocketAddr, egress: &Egress) {
        self.payload.truncate(self.ledger.used());
        self.ledger.push((to, *egress), bytes.len());
        self.payload.extend_from_slice(bytes);
    }

    /// Drops all that is queued; returns how many entries that were.
    pub(crate) fn discard(&mut self) -> usize {
        self.ledger.discard()
    }

    pub(in crate::sys) fn flush_to(
        &mut self,
        wire: &mut impl Wire,
        patience: Patience,
        report: &mut impl SendReport,
    ) {
        let mut messages = OneByOne {
            queue: self,
            report,
        };
        send_all(&mut messages, wire, patience);
    }
}

struct OneByOne<'a, R> {
    queue: &'a mut SendQueue,
    report: &'a mut R,
}

impl<W: Wire, R: SendReport> Messages<W> for OneByOne<'_, R> {
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn send(&mut self, wire: &mut W) -> io::Result<()> {
        let ledger = &mut self.queue.ledger;
        let index = ledger.head();
        let (to, egress) = ledger.flow(index);
        let sent = wire.send_now(&self.queue.payload[ledger.bytes(index)], to, &egress);
        match sent {
            Ok(()) => ledger.sent(1, self.report),
            Err(_) => self.report.called(0, 0),
        }
        sent
    }

    fn give_up(&mut self, error: &io::Error) {
        self.queue.ledger.give_up(1, error, self.report);
    }
}

#[cfg(test)]
#[path = "../send_tests.rs"]
mod scripted;
