//! The socket: blocking calls with timeouts.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{ReceiveBlock, Waker};
use crate::sys::bound::Bound;
use crate::sys::lost_peers::ignore_lost_peers;
use crate::sys::{Egress, Ready, ReceiveFault, Received, TakeOver, mapped};

/// One bound UDP socket, in blocking mode with timeouts. A socket handed in in
/// non-blocking mode is switched: without a portable wait it would spin.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(in crate::sys) bound: Bound,
}

impl Socket {
    /// On other systems than Linux, the last socket bound gets everything, or
    /// there is no such option.
    pub(crate) const SHARDS: bool = false;

    /// Not to be had portably.
    pub(crate) const STAMPS: bool = false;
    /// `std` sends bytes to an address, and that is all it can be told.
    pub(crate) const SENDS_AS_TOLD: bool = false;

    /// Takes over a bound socket.
    pub(crate) fn new(inner: UdpSocket, options: TakeOver) -> io::Result<Self> {
        ignore_lost_peers(&inner);
        inner.set_nonblocking(false)?;
        inner.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let bound = Bound::new(inner, options.number)?;
        Ok(Self { bound })
    }

    /// Never, portably.
    pub(crate) fn receives_gro(&self) -> bool {
        false
    }

    /// Not to be known portably.
    pub(crate) fn kernel_drops(&self) -> Option<u64> {
        None
    }

    /// Not to be known portably.
    pub(crate) fn unread_bytes(&self) -> Option<u64> {
        None
    }

    /// Not to be known portably.
    pub(crate) fn discard_pending_errors(&self) -> bool {
        false
    }

    /// Not to be known portably: one worker receives, a datagram at a time, and
    /// is relieved by the supervisor when it takes long.
    pub(crate) fn is_backlogged(&self) -> bool {
        false
    }

    /// Not to be known portably without receiving it.
    pub(crate) fn has_pending(&self) -> bool {
        true
    }

    /// Waits for a datagram and receives it into `block`.
    pub(crate) fn receive(
        &self,
        block: &mut ReceiveBlock,
        _limit: usize,
        waker: &Waker,
        timeout: Option<Duration>,
    ) -> io::Result<Received> {
        #[cfg(unix)]
        if let Some(pipe) = waker.pipe() {
            return self.receive_unix(block, waker, pipe, timeout);
        }
        let inner = &self.bound.inner;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let Some(receiving) = waker.receiving() else {
                return Ok(Received::Woken);
            };
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            // A timeout of zero is refused by `std`: it would mean none at all.
            let wait = left.map_or(BACKSTOP, |left| left.clamp(SHORTEST, BACKSTOP));
            inner.set_read_timeout(Some(wait))?;
            let filled = block.fill(self, waker);
            drop(receiving);
            match filled {
                Ok(true) => return Ok(Received::Datagrams(1)),
                // A waker's datagram: the flag tells whether it was this one's.
                Ok(false) => {}
                Err(error) => match ReceiveFault::of(&error) {
                    ReceiveFault::WouldBlock => {
                        if left.is_some_and(|left| left.is_zero()) {
                            return Ok(Received::TimedOut);
                        }
                        // Whoever else has the socket may have switched it back,
                        // and then nothing would wait.
                        inner.set_nonblocking(false)?;
                    }
                    ReceiveFault::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Waits until one of `sockets` can be received from, the nearest from `near`
    /// on, or the waker is set. Nothing portable waits at several sockets: each is
    /// looked at in turn, for as short a time as there is.
    pub(crate) fn wait_for_any(
        sockets: &[&Self],
        near: usize,
        waker: &Waker,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            for at in (near..near + sockets.len()).map(|at| at % sockets.len()) {
                if waker.wait(Duration::ZERO) {
                    return Ok(Ready::Woken);
                }
                if sockets[at].is_ready()? {
                    return Ok(Ready::Socket(at));
                }
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Ready::Nothing);
            }
        }
    }

    /// Whether a receive would return within the shortest wait.
    fn is_ready(&self) -> io::Result<bool> {
        let inner = &self.bound.inner;
        inner.set_read_timeout(Some(SHORTEST))?;
        // An error is the receive's to report.
        Ok(inner.peek_from(&mut [0; 1]).map_or_else(
            |error| {
                let fault = ReceiveFault::of(&error);
                !matches!(fault, ReceiveFault::WouldBlock | ReceiveFault::Interrupted)
            },
            |_| true,
        ))
    }

    /// A blocking send waits by itself; this only lets others run.
    pub(crate) fn wait_writable(&self, _timeout: Duration) {
        std::thread::yield_now();
    }

    /// Sends one datagram or says why not, after [`WRITE_TIMEOUT`] at the latest.
    pub(crate) fn send_now(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        _egress: &Egress,
    ) -> io::Result<()> {
        let Bound {
            inner, local_addr, ..
        } = &self.bound;
        let to = mapped(to, local_addr.is_ipv6());
        inner.send_to(bytes, to).map(drop)
    }
}

/// How long a receive blocks at most before it looks at the waker's flag.
const BACKSTOP: Duration = Duration::from_millis(500);
const SHORTEST: Duration = Duration::from_millis(1);
/// How long a send may wait for room in the send buffer.
const WRITE_TIMEOUT: Duration = Duration::from_millis(10);
