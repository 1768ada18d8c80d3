//! The socket: what it is asked, and how its readiness is waited for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::address::RawAddress;
use super::control::Control;
use super::memory::Memory;
use super::missing_calls::{MissingCalls, Optional};
use super::options::{
    ask_for, ask_for_local_ends, discard_error_queue, ignore_path_mtu, receives_gro, set_option,
};
use super::wait::{Readiness, entry, poll, ppoll};
use super::{ReceiveBlock, Waker, check};
use crate::logging::{log_debug, log_warn};
use crate::sys::bound::Bound;
use crate::sys::{Detail, Egress, Ready, Received, TakeOver, UnixSource};

/// One bound UDP socket. Every call on it is non-blocking by flag
/// (`MSG_DONTWAIT`): `O_NONBLOCK` belongs to the open file, which another
/// process may share, and is left as it is.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(in crate::sys) bound: Bound,
    receives_gro: bool,
    memory: Memory,
    missing_calls: MissingCalls,
}

impl Socket {
    /// Sockets that share an address (`SO_REUSEPORT`) each get a part of the
    /// peers, by a hash of both addresses (socket(7)).
    pub(crate) const SHARDS: bool = true;

    /// `SO_TIMESTAMPNS` (socket(7)).
    pub(crate) const STAMPS: bool = true;
    /// By control messages.
    pub(crate) const SENDS_AS_TOLD: bool = true;

    /// Takes over a bound socket.
    pub(crate) fn new(inner: UdpSocket, options: TakeOver) -> io::Result<Self> {
        let bound = Bound::new(inner, options.number)?;
        let Bound {
            inner,
            local_addr,
            only_ip,
            ..
        } = &bound;
        let is_v6 = local_addr.is_ipv6();
        if options.ignore_path_mtu {
            ignore_path_mtu(inner, is_v6);
        }
        if only_ip.is_none() {
            if let Err(error) = ask_for_local_ends(inner, is_v6) {
                log_warn!(
                    "{local_addr}: replies leave from the address that the route gives them: \
                     {error} (IP_PKTINFO)"
                );
            }
        }
        if options.stamps {
            if let Err(error) = ask_for(inner, Detail::Time) {
                log_warn!("{local_addr}: nothing is shed for its age: {error} (SO_TIMESTAMPNS)");
            }
        }
        let mut coalesces = options.coalesce;
        if coalesces {
            if let Err(error) = set_option(inner, libc::SOL_UDP, libc::UDP_GRO, 1) {
                log_debug!("{local_addr}: datagrams are received one by one: {error} (UDP_GRO)");
                coalesces = false;
            }
        }
        let socket = Self {
            receives_gro: receives_gro(inner, coalesces),
            memory: Memory::of(inner),
            missing_calls: MissingCalls::default(),
            bound,
        };
        socket.probe_batches();
        Ok(socket)
    }

    /// Takes over a Unix socket.
    pub(crate) fn unix(source: UnixSource) -> io::Result<Self> {
        let bound = Bound::unix(source)?;
        let socket = Self {
            receives_gro: false,
            memory: Memory::of(&bound.inner),
            missing_calls: MissingCalls::default(),
            bound,
        };
        socket.probe_batches();
        Ok(socket)
    }

    /// Whether several datagrams of one peer may be received as one (`UDP_GRO`).
    pub(crate) fn receives_gro(&self) -> bool {
        self.receives_gro
    }

    /// Datagrams that the kernel dropped from this socket's queue since it was
    /// taken over: no room, or a bad checksum.
    pub(crate) fn kernel_drops(&self) -> Option<u64> {
        Some(self.memory.look(&self.bound.inner)?.drops)
    }

    /// Memory that waiting datagrams hold, in bytes, the kernel's overhead included. On a
    /// Unix socket it is the senders' memory, and not told.
    pub(crate) fn unread_bytes(&self) -> Option<u64> {
        if self.bound.unix_addr.is_some() {
            return None;
        }
        let usage = self.memory.look(&self.bound.inner)?;
        Some(u64::from(usage.waiting))
    }

    /// Whether the receive buffer fills up: more waits than whoever receives
    /// gets to within a few milliseconds.
    pub(crate) fn is_backlogged(&self) -> bool {
        let usage = self.memory.look(&self.bound.inner);
        usage.is_some_and(|usage| usage.waiting > usage.receive_buffer / BACKLOG_FRACTION)
    }

    /// Forgets errors that are queued: what became of earlier sends.
    /// Returns whether there were any.
    pub(crate) fn discard_pending_errors(&self) -> bool {
        discard_error_queue(&self.bound.inner) > 0
    }

    /// Whether a receive would return at once.
    pub(crate) fn has_pending(&self) -> bool {
        poll(Some(self), libc::POLLIN, None, Some(Duration::ZERO)).contains(Readiness::SOCKET)
    }

    /// Waits for datagrams and receives up to `limit` of them into `block`.
    ///
    /// The receive comes first and the wait only after `EAGAIN`, so that under
    /// load there is no extra call. When that was in vain a few times in a row,
    /// as with a single peer that waits for each reply, the wait comes first
    /// for a while. `recvmmsg`'s own timeout is no use: it is looked at only
    /// after a datagram arrived (recvmmsg(2), BUGS).
    pub(crate) fn receive(
        &self,
        block: &mut ReceiveBlock,
        limit: usize,
        waker: &Waker,
        timeout: Option<Duration>,
    ) -> io::Result<Received> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut wait_first = block.expects_to_wait();
        let mut in_vain = 0;
        loop {
            if !std::mem::take(&mut wait_first) {
                match block.fill(self, limit) {
                    Ok(count) => return Ok(Received::Datagrams(count)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        // Those behind it take up room in the receive buffer.
                        self.discard_pending_errors();
                        return Err(error);
                    }
                }
            }
            if let Some(news) = self.missing_calls.untold() {
                return Ok(Received::Degraded(news));
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let ready = poll(Some(self), libc::POLLIN, Some(waker), left);
            if ready.contains(Readiness::UNKNOWN) {
                self.missing_calls.note(Optional::Wait);
            }
            if ready.contains(Readiness::WAKER) && waker.clear() {
                return Ok(Received::Woken);
            }
            let is_ready = ready.contains(Readiness::SOCKET);
            // An error in the queue also makes a socket ready. It is looked for
            // only now: a receive has to report the pending one first.
            if is_ready && in_vain > 0 && self.discard_pending_errors() {
                in_vain = 0;
            }
            let is_last = left.is_some_and(|left| left.is_zero());
            if is_last && (in_vain > 0 || !is_ready) {
                return Ok(Received::TimedOut);
            }
            if is_ready {
                if let Some(pause) = pause_after(in_vain) {
                    if waker.wait(pause) {
                        return Ok(Received::Woken);
                    }
                }
                in_vain += 1;
            }
        }
    }

    /// Waits until one of `sockets` can be received from, the nearest from `near`
    /// on, or the waker is set.
    pub(crate) fn wait_for_any(
        sockets: &[&Self],
        near: usize,
        waker: &Waker,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut entries: Vec<_> = sockets
            .iter()
            .map(|socket| entry(socket.raw(), libc::POLLIN))
            .collect();
        entries.push(entry(waker.fd(), libc::POLLIN));
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            ppoll(&mut entries, left);
            let is_ready = |at: &usize| entries[*at].revents != 0;
            if is_ready(&sockets.len()) && waker.clear() {
                return Ok(Ready::Woken);
            }
            let from_near = (near..near + sockets.len()).map(|at| at % sockets.len());
            if let Some(at) = from_near.into_iter().find(is_ready) {
                return Ok(Ready::Socket(at));
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Ready::Nothing);
            }
        }
    }

    /// Waits for room in the send buffer.
    pub(crate) fn wait_writable(&self, timeout: Duration) {
        poll(Some(self), libc::POLLOUT, None, Some(timeout));
    }

    /// Sends one datagram now or says why not.
    pub(crate) fn send_now(&self, bytes: &[u8], to: SocketAddr, egress: &Egress) -> io::Result<()> {
        let (mut name, name_len) = RawAddress::encode(to, self.bound.local_addr.is_ipv6());
        let mut control = Control::EMPTY;
        control.fill(to, egress, None);
        let mut vector = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: all-zero is a valid `msghdr`.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        if control.len() > 0 {
            // SAFETY: a local variable.
            header.msg_control = unsafe { Control::messages(&raw mut control) };
            header.msg_controllen = control.len() as _;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the header leads to `bytes` and to the local variables above,
        // which live through the call; sendmsg(2) does not write to them.
        let sent = unsafe { libc::sendmsg(self.raw(), &raw const header, flags) };
        check(sent as libc::c_int).map(drop)
    }

    pub(super) fn raw(&self) -> libc::c_int {
        self.bound.inner.as_raw_fd()
    }

    pub(super) fn missing_calls(&self) -> &MissingCalls {
        &self.missing_calls
    }
}

/// How long to wait before the next look at a socket that was ready so often,
/// and had nothing to receive. Once or twice, somebody else who has the socket
/// was quicker. Whatever else it is must not spin: a socket that somebody has
/// shut down, for one, is ready for ever (`datagram_poll` of Linux).
fn pause_after(in_vain: u32) -> Option<Duration> {
    let step = in_vain.checked_sub(WAKES_IN_VAIN_WITHOUT_PAUSE)?;
    Some(Duration::from_millis(1 << step.min(2)))
}

/// With the default buffer a sixteenth of it holds some 600 small datagrams.
const BACKLOG_FRACTION: u32 = 16;

/// Wakes in a row that may turn out to have been for nothing, without a pause.
const WAKES_IN_VAIN_WITHOUT_PAUSE: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{BlockShape, ReceiveFault};

    /// A socket that reports errors, as one that was handed in may, to which so
    /// many have come.
    fn told_of_errors(count: usize) -> Socket {
        let inner = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        set_option(&inner, libc::IPPROTO_IP, libc::IP_RECVERR, 1).expect("an option of IPv4");
        let socket = Socket::new(inner, TakeOver::default()).expect("a UDP socket");
        let nobody = UdpSocket::bind("127.0.0.1:0").and_then(|nobody| nobody.local_addr());
        let nobody = nobody.expect("a port that is free again");
        for _ in 0..count {
            // Every second send hears of the one before.
            let _ = socket.send_now(b"is anybody there?", nobody, &Egress::default());
        }
        socket
    }

    #[test]
    fn errors_that_tell_of_others_are_read_and_nothing_else_is_made_of_them() {
        let shape = BlockShape {
            slots: 1,
            max_packet_size: 100,
            gro: false,
            unix: false,
        };
        for count in [1, 2, 3, 200, 201] {
            let socket = told_of_errors(count);
            let waker = Waker::new(&socket).expect("a descriptor");
            let mut block = ReceiveBlock::new(shape).expect("memory");
            loop {
                let at_once = Some(Duration::ZERO);
                match socket.receive(&mut block, 1, &waker, at_once) {
                    Ok(received) => {
                        assert_eq!(received, Received::TimedOut, "after {count}");
                        break;
                    }
                    Err(error) => {
                        assert_eq!(
                            ReceiveFault::of(&error),
                            ReceiveFault::PendingError,
                            "{error}"
                        );
                    }
                }
            }
            assert!(!socket.has_pending(), "all {count} have been read");
        }
    }

    #[test]
    fn wakes_in_vain_pause_after_a_few_and_never_for_long() {
        let millis = |in_vain| pause_after(in_vain).map(|pause| pause.as_millis());
        assert_eq!([0, 1, 7].map(millis), [None; 3]);
        assert_eq!([8, 9, 10].map(millis), [Some(1), Some(2), Some(4)]);
        assert_eq!(millis(u32::MAX), Some(4));
    }

    /// That the socket is not connected is what shutdown(2) answers, and it
    /// takes effect all the same: from then on the socket is always ready.
    #[test]
    fn a_socket_that_somebody_has_shut_down_neither_fails_nor_spins() {
        let inner = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        let _ = socket2::SockRef::from(&inner).shutdown(std::net::Shutdown::Both);
        let socket = Socket::new(inner, TakeOver::default()).expect("a UDP socket");
        assert!(socket.has_pending(), "it claims to be ready");
        let waker = Waker::new(&socket).expect("a descriptor");
        let mut block = ReceiveBlock::new(BlockShape {
            slots: 1,
            max_packet_size: 100,
            gro: false,
            unix: false,
        })
        .expect("memory");
        let timeout = Some(Duration::from_millis(50));
        let received = socket.receive(&mut block, 1, &waker, timeout);
        assert_eq!(received.expect("no error"), Received::TimedOut);
    }
}
