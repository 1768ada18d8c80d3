//! Room for a batch of datagrams to send, one call each.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Socket;
use crate::sys::send_loop::{self, Flushed, Patience, Wire};
use crate::sys::{FlushReport, LocalEnd, SendOptions};

/// A queue of datagrams in one block of memory.
#[derive(Debug)]
pub(crate) struct SendQueue {
    payload: Vec<u8>,
    entries: Vec<Entry>,
    /// The first entry that is not settled yet.
    first: usize,
}

#[derive(Debug)]
struct Entry {
    start: usize,
    len: usize,
    to: SocketAddr,
}

impl SendQueue {
    /// Entries it has room for.
    pub(crate) const ENTRIES: usize = 64;
    /// Payload bytes it has room for: two of the largest datagrams.
    pub(crate) const BYTES: usize = 128 * 1024;

    /// An empty queue for a socket bound to `_local`; an error where there is no
    /// memory for it.
    pub(crate) fn new(_local: SocketAddr, _options: SendOptions) -> io::Result<Self> {
        let (mut payload, mut entries) = (Vec::new(), Vec::new());
        payload.try_reserve_exact(Self::BYTES)?;
        entries.try_reserve_exact(Self::ENTRIES)?;
        Ok(Self {
            payload,
            entries,
            first: 0,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.entries.len()
    }

    /// Whether a datagram of `len` bytes finds room.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.entries.len() < Self::ENTRIES && len <= Self::BYTES - self.payload.len()
    }

    /// Appends a datagram, for which there must be room.
    pub(crate) fn push(&mut self, bytes: &[u8], to: SocketAddr, _from: Option<LocalEnd>) {
        assert!(self.has_room(bytes.len()), "the caller looked for room");
        self.entries.push(Entry {
            start: self.payload.len(),
            len: bytes.len(),
            to,
        });
        self.payload.extend_from_slice(bytes);
    }

    /// Sends what is queued, in order; tells `failed` the length, the destination
    /// and the error of each datagram that is given up.
    pub(crate) fn flush(
        &mut self,
        socket: &Socket,
        patience: Patience,
        mut failed: impl FnMut(usize, SocketAddr, io::Error),
    ) -> FlushReport {
        let mut wire = OneByOne {
            socket,
            queue: self,
            calls: 0,
        };
        let mut report = FlushReport::default();
        let count = self.entries.len() - self.first;
        let flushed = send_loop::send_all(count, &mut wire, patience, |at, end| {
            let len = self.entries[self.first + at].len;
            match end {
                Ok(()) => {
                    report.sent += 1;
                    report.bytes += len as u64;
                }
                Err(error) => {
                    let to = self.entries[self.first + at].to;
                    failed(len, to, error);
                }
            }
        });
        report.calls = wire.calls;
        match flushed {
            Flushed::All => {
                self.discard();
            }
            Flushed::From(at) => self.first += at,
        }
        report
    }

    /// Drops all that is queued; returns how many entries that were.
    pub(crate) fn discard(&mut self) -> usize {
        let dropped = self.entries.len() - self.first;
        self.entries.clear();
        self.payload.clear();
        self.first = 0;
        dropped
    }
}

struct OneByOne<'a> {
    socket: &'a Socket,
    queue: &'a SendQueue,
    calls: u64,
}

impl Wire for OneByOne<'_> {
    fn send(&mut self, at: usize) -> io::Result<usize> {
        let entry = &self.queue.entries[self.queue.first + at];
        let bytes = &self.queue.payload[entry.start..entry.start + entry.len];
        self.calls += 1;
        self.socket.send_now(bytes, entry.to, None)?;
        Ok(1)
    }

    fn wait_writable(&mut self, timeout: Duration) {
        self.socket.wait_writable(timeout);
    }

    fn pause(&mut self, length: Duration) {
        std::thread::sleep(length);
    }

    fn discard_late_news(&mut self) -> bool {
        self.socket.discard_late_news()
    }
}
