//! What a socket error means, and so what to do about it. The tables follow
//! ip(7), udp(7), recvmmsg(2) and sendmmsg(2).

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// What an error of a receive call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiveFault {
    /// A signal came in between: try again.
    Interrupted,
    /// Nothing there: wait.
    WouldBlock,
    /// A pending socket error: it tells of a datagram that was sent earlier and
    /// nothing of what can be received, and anyone can forge it. Reading it has
    /// consumed it: count it and go on.
    PendingError,
    /// The system lacks something for now: count it, back off if it repeats, go on.
    Exhausted,
    /// An error that no receive of this kind is known to have: as a shortage,
    /// but if it does not end, it ends the server.
    Unforeseen,
    /// The socket is gone or was never one: stop the server in order.
    Fatal,
}

impl ReceiveFault {
    /// Judges an error of a receive call.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Interrupted => return Self::Interrupted,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => return Self::WouldBlock,
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => return Self::PendingError,
            ErrorKind::NetworkDown | ErrorKind::OutOfMemory => return Self::Exhausted,
            _ => {}
        }
        match error.raw_os_error() {
            Some(raw::NO_BUFFERS) => Self::Exhausted,
            Some(code) if raw::PENDING_ERRORS.contains(&code) => Self::PendingError,
            Some(code) if raw::FATAL.contains(&code) => Self::Fatal,
            _ => Self::Unforeseen,
        }
    }
}

/// What an error of a send call asks for, and the reason it is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendFault {
    /// A signal came in between: try again.
    Interrupted,
    /// The send buffer is full: wait for room, up to a deadline.
    WouldBlock,
    /// The system lacks memory for now: one short pause, then give up.
    NoMemory,
    /// The datagram is too long for the protocol or for the route.
    TooLong,
    /// No way leads there, or nobody listens there.
    Unreachable,
    /// A firewall, or a broadcast address without permission.
    NotPermitted,
    /// An address that cannot be sent to from this socket.
    BadAddress,
    /// Anything else.
    Other,
}

impl SendFault {
    /// Judges an error of a send call.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Interrupted => return Self::Interrupted,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => return Self::WouldBlock,
            ErrorKind::OutOfMemory => return Self::NoMemory,
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NotFound => return Self::Unreachable,
            ErrorKind::PermissionDenied => return Self::NotPermitted,
            ErrorKind::InvalidInput | ErrorKind::AddrNotAvailable => return Self::BadAddress,
            _ => {}
        }
        match error.raw_os_error() {
            Some(code) if code == raw::NO_BUFFERS => Self::NoMemory,
            Some(code) if code == raw::MESSAGE_TOO_LONG => Self::TooLong,
            Some(code) if raw::BAD_FAMILY.contains(&code) => Self::BadAddress,
            _ => Self::Other,
        }
    }

    /// Whether it may be about an earlier datagram, of which news has come
    /// only now. What is wrong with an address shows at once.
    pub(crate) fn may_be_pending_error(self) -> bool {
        matches!(
            self,
            Self::TooLong | Self::Unreachable | Self::NotPermitted | Self::Other
        )
    }
}

/// Whether a send was refused because it goes to a broadcast address without
/// permission (send(2), `EACCES`). Only the routes know which addresses these
/// are; and a route that prohibits is refused in the same way. So two sockets
/// are asked, with permission and without.
pub(crate) fn lacks_broadcast(error: &Error, to: SocketAddr) -> bool {
    let connects = |broadcast| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_broadcast(broadcast)?;
        socket.connect((to.ip().to_canonical(), to.port()))
    };
    error.raw_os_error() == Some(raw::NO_BROADCAST)
        && to.ip().to_canonical().is_ipv4()
        && connects(true).is_ok()
        && connects(false).is_err()
}

/// Error numbers for which `std` has no stable kind.
#[cfg(unix)]
mod raw {
    pub(super) const NO_BROADCAST: i32 = libc::EACCES;
    /// What an ICMP message becomes besides (`icmp_err_convert` and
    /// `icmpv6_err_convert` of Linux; in BSDs `inetctlerrmap`).
    pub(super) const PENDING_ERRORS: &[i32] = &[
        libc::EPROTO,
        libc::EMSGSIZE,
        libc::EACCES,
        libc::ENOPROTOOPT,
        libc::EOPNOTSUPP,
        libc::EHOSTDOWN,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        libc::ENONET,
    ];
    pub(super) const FATAL: &[i32] = &[libc::EBADF, libc::ENOTSOCK, libc::EFAULT];
    pub(super) const NO_BUFFERS: i32 = libc::ENOBUFS;
    pub(super) const MESSAGE_TOO_LONG: i32 = libc::EMSGSIZE;
    pub(super) const BAD_FAMILY: &[i32] = &[libc::EAFNOSUPPORT, libc::EDESTADDRREQ, libc::EISCONN];
}

/// Error numbers for which `std` has no stable kind (Winsock).
#[cfg(not(unix))]
mod raw {
    pub(super) const NO_BROADCAST: i32 = 10_013; // WSAEACCES
    const WSAEBADF: i32 = 10_009;
    const WSAEFAULT: i32 = 10_014;
    const WSAENOTSOCK: i32 = 10_038;
    const WSAEMSGSIZE: i32 = 10_040;
    const WSAEAFNOSUPPORT: i32 = 10_047;
    const WSAENETRESET: i32 = 10_052;
    const WSAENOBUFS: i32 = 10_055;

    pub(super) const PENDING_ERRORS: &[i32] = &[WSAENETRESET, WSAEMSGSIZE];
    pub(super) const FATAL: &[i32] = &[WSAEBADF, WSAENOTSOCK, WSAEFAULT];
    pub(super) const NO_BUFFERS: i32 = WSAENOBUFS;
    pub(super) const MESSAGE_TOO_LONG: i32 = WSAEMSGSIZE;
    pub(super) const BAD_FAMILY: &[i32] = &[WSAEAFNOSUPPORT];
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[track_caller]
    fn received(code: i32) -> ReceiveFault {
        ReceiveFault::of(&Error::from_raw_os_error(code))
    }

    #[track_caller]
    fn sent(code: i32) -> SendFault {
        SendFault::of(&Error::from_raw_os_error(code))
    }

    /// All that Linux makes of ICMP and ICMPv6.
    #[test]
    fn forgeable_receive_errors_are_never_fatal() {
        for code in [
            libc::ECONNREFUSED,
            libc::ECONNRESET,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::EPROTO,
            libc::EMSGSIZE,
            libc::EACCES,
            libc::ENOPROTOOPT,
            libc::EOPNOTSUPP,
            libc::EHOSTDOWN,
        ] {
            assert_eq!(received(code), ReceiveFault::PendingError, "errno {code}");
        }
    }

    #[test]
    fn shortages_back_off_and_only_a_lost_socket_is_fatal() {
        for code in [libc::ENETDOWN, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(received(code), ReceiveFault::Exhausted, "errno {code}");
        }
        for code in [libc::EIO, libc::ENOTCONN, libc::EPERM, libc::ENOSYS] {
            assert_eq!(received(code), ReceiveFault::Unforeseen, "errno {code}");
        }
        for code in [libc::EBADF, libc::ENOTSOCK, libc::EFAULT] {
            assert_eq!(received(code), ReceiveFault::Fatal, "errno {code}");
        }
        assert_eq!(received(libc::EINTR), ReceiveFault::Interrupted);
        assert_eq!(received(libc::EAGAIN), ReceiveFault::WouldBlock);
    }

    #[test]
    fn send_errors_are_told_apart_by_reason() {
        assert_eq!(sent(libc::EINTR), SendFault::Interrupted);
        assert_eq!(sent(libc::EAGAIN), SendFault::WouldBlock);
        assert_eq!(sent(libc::ENOBUFS), SendFault::NoMemory);
        assert_eq!(sent(libc::ENOMEM), SendFault::NoMemory);
        assert_eq!(sent(libc::EMSGSIZE), SendFault::TooLong);
        for code in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ECONNREFUSED] {
            assert_eq!(sent(code), SendFault::Unreachable, "errno {code}");
        }
        assert_eq!(sent(libc::EPERM), SendFault::NotPermitted);
        assert_eq!(sent(libc::EACCES), SendFault::NotPermitted);
        for code in [libc::EINVAL, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT] {
            assert_eq!(sent(code), SendFault::BadAddress, "errno {code}");
        }
        assert_eq!(sent(libc::EIO), SendFault::Other);
    }
}
