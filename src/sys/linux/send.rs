//! Room for a batch of datagrams to send.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::address::RawAddress;
use super::slab::Slab;
use super::{Socket, check};
use crate::sys::FlushReport;
use crate::sys::send_loop::{self, Flushed, Patience, Wire};

/// A queue of datagrams in one block of memory, sent by `sendmmsg`. What is
/// pushed is laid out for the kernel at once; a flush converts nothing.
pub(crate) struct SendQueue {
    to_v6: bool,
    payload: Slab<u8>,
    used: usize,
    headers: Slab<libc::mmsghdr>,
    names: Slab<RawAddress>,
    vectors: Slab<libc::iovec>,
    /// The first entry that is not settled yet.
    first: usize,
    /// One past the last entry.
    end: usize,
}

// SAFETY: the pointers in headers and vectors lead into the queue's own slabs,
// which move with it and are freed with it; nothing is tied to a thread.
unsafe impl Send for SendQueue {}

impl SendQueue {
    /// Entries it has room for.
    pub(crate) const ENTRIES: usize = 64;
    /// Payload bytes it has room for: two of the largest datagrams.
    pub(crate) const BYTES: usize = 128 * 1024;

    /// An empty queue for a socket bound to `local`.
    pub(crate) fn new(local: SocketAddr) -> Self {
        // SAFETY: zero bytes, null pointers and zero lengths are valid values of
        // all four.
        unsafe {
            Self {
                to_v6: local.is_ipv6(),
                payload: Slab::zeroed(Self::BYTES),
                used: 0,
                headers: Slab::zeroed(Self::ENTRIES),
                names: Slab::zeroed(Self::ENTRIES),
                vectors: Slab::zeroed(Self::ENTRIES),
                first: 0,
                end: 0,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Whether a datagram of `len` bytes finds room.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.end < Self::ENTRIES && len <= Self::BYTES - self.used
    }

    /// Appends a datagram, for which there must be room.
    pub(crate) fn push(&mut self, bytes: &[u8], to: SocketAddr) {
        assert!(self.has_room(bytes.len()), "the caller looked for room");
        let index = self.end;
        let start = self.used;
        self.payload.write(start, bytes);
        let (name, name_len) = RawAddress::encode(to, self.to_v6);
        self.names.set(index, name);
        self.vectors.set(
            index,
            libc::iovec {
                // An empty datagram at the very end points at the last byte,
                // which nobody reads.
                iov_base: self.payload.at(start.min(Self::BYTES - 1)).cast(),
                iov_len: bytes.len(),
            },
        );
        let mut header = self.headers.get(index);
        header.msg_hdr.msg_name = self.names.at(index).cast();
        header.msg_hdr.msg_namelen = name_len;
        header.msg_hdr.msg_iov = self.vectors.at(index);
        header.msg_hdr.msg_iovlen = 1;
        self.headers.set(index, header);
        self.end += 1;
        self.used += bytes.len();
    }

    /// Sends what is queued, in order; tells `failed` the length, the destination
    /// and the error of each datagram that is given up.
    pub(crate) fn flush(
        &mut self,
        socket: &Socket,
        patience: Patience,
        mut failed: impl FnMut(usize, Option<SocketAddr>, io::Error),
    ) -> FlushReport {
        let mut wire = Kernel {
            socket,
            queue: self,
            calls: 0,
        };
        let mut report = FlushReport::default();
        let count = self.end - self.first;
        let flushed = send_loop::send_all(count, &mut wire, patience, |at, end| {
            let len = self.vectors.get(self.first + at).iov_len;
            match end {
                Ok(()) => {
                    report.sent += 1;
                    report.bytes += len as u64;
                }
                Err(error) => {
                    let to = {
                        let header = self.headers.get(self.first + at).msg_hdr;
                        self.names.get(self.first + at).decode(header.msg_namelen)
                    };
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
        let dropped = self.end - self.first;
        (self.first, self.end, self.used) = (0, 0, 0);
        dropped
    }
}

impl std::fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendQueue")
            .field("entries", &(self.end - self.first))
            .field("bytes", &self.used)
            .finish_non_exhaustive()
    }
}

/// The queue on its way into the kernel. The headers are written to (sent
/// lengths) through their raw pointers alone.
struct Kernel<'a> {
    socket: &'a Socket,
    queue: &'a SendQueue,
    calls: u64,
}

impl Wire for Kernel<'_> {
    fn send(&mut self, at: usize) -> io::Result<usize> {
        let first = self.queue.first + at;
        let count = self.queue.end - first;
        self.calls += 1;
        // SAFETY: `count` headers from `first` on were filled by `push` and lead
        // into the queue's slabs; `flush` holds the queue mutably, so nobody
        // else reaches them during the call.
        check(unsafe {
            libc::sendmmsg(
                self.socket.raw(),
                self.queue.headers.at(first),
                count as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        })
    }

    fn wait_writable(&mut self, timeout: Duration) {
        self.socket.wait_writable(timeout);
    }

    fn pause(&mut self, length: Duration) {
        std::thread::sleep(length);
    }
}
