//! The socket: blocking calls with timeouts.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{ReceiveBlock, Waker, mapped};
use crate::sys::open::{granted_receive_buffer, limit_receive_buffer, reaches_v4};
use crate::sys::{LocalEnd, Ready, Received, TakeOver};

/// One bound UDP socket, in blocking mode with timeouts. A socket handed in in
/// non-blocking mode is switched: without a portable wait it would spin.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: UdpSocket,
    local_addr: SocketAddr,
    reaches_v4: bool,
    granted_receive_buffer: usize,
}

impl Socket {
    /// On other systems than Linux, the last socket bound gets everything, or
    /// there is no such option.
    pub(crate) const SHARDS: bool = false;

    /// Takes over a bound socket. Stamps are not to be had portably.
    pub(crate) fn new(inner: UdpSocket, _options: TakeOver) -> io::Result<Self> {
        inner.set_nonblocking(false)?;
        inner.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self {
            local_addr: inner.local_addr()?,
            reaches_v4: reaches_v4(&inner)?,
            granted_receive_buffer: granted_receive_buffer(&inner)?,
            inner,
        })
    }

    /// Another descriptor of the same socket.
    pub(super) fn second_descriptor(&self) -> io::Result<UdpSocket> {
        self.inner.try_clone()
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Whether IPv4 peers can be reached from here.
    pub(crate) fn reaches_v4(&self) -> bool {
        self.reaches_v4
    }

    /// Never, portably.
    pub(crate) fn receives_gro(&self) -> bool {
        false
    }

    /// The receive buffer that the kernel granted, in bytes as they are asked.
    pub(crate) fn granted_receive_buffer(&self) -> usize {
        self.granted_receive_buffer
    }

    /// Limits what the kernel queues from now on, in the same unit.
    pub(crate) fn limit_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        limit_receive_buffer(&self.inner, bytes)
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
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let Some(receiving) = waker.receiving() else {
                return Ok(Received::Woken);
            };
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            // A timeout of zero is refused by `std`: it would mean none at all.
            let wait = left.map_or(BACKSTOP, |left| left.clamp(SHORTEST, BACKSTOP));
            self.inner.set_read_timeout(Some(wait))?;
            let filled = block.fill(&self.inner, waker);
            drop(receiving);
            match filled {
                Ok(true) => return Ok(Received::Datagrams(1)),
                // A waker's datagram: the flag tells whether it was this one's.
                Ok(false) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if left.is_some_and(|left| left.is_zero()) {
                            return Ok(Received::TimedOut);
                        }
                        // Whoever else has the socket may have switched it back,
                        // and then nothing would wait.
                        self.inner.set_nonblocking(false)?;
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// There is one socket, which [`receive`](Self::receive) waits at.
    pub(crate) fn wait_for_any(
        _sockets: &[&Self],
        _near: usize,
        _bell: &Waker,
        _timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        Err(io::ErrorKind::Unsupported.into())
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
        _from: Option<LocalEnd>,
    ) -> io::Result<()> {
        self.inner
            .send_to(bytes, mapped(to, self.local_addr.is_ipv6()))
            .map(drop)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Socket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.inner.as_socket()
    }
}

/// How long a receive blocks at most before it looks at the waker's flag.
const BACKSTOP: Duration = Duration::from_millis(500);
const SHORTEST: Duration = Duration::from_millis(1);
/// How long a send may wait for room in the send buffer.
const WRITE_TIMEOUT: Duration = Duration::from_millis(10);
