//! Why a datagram was not sent.

use std::io;
use std::net::SocketAddr;

use super::{ConfigError, reason};

/// Why one datagram was not sent, or an answer not deferred. Others are not concerned.
///
/// # Examples
/// ```
/// use socketserver::{SendError, SocketHandle};
///
/// /// An answer, or where it is too long a word that says so.
/// fn answer(socket: &SocketHandle, bytes: &[u8]) -> Result<(), SendError> {
///     match socket.reply(bytes) {
///         Err(SendError::TooLong { max, .. }) => socket.reply(format!("> {max}").as_bytes()),
///         sent => sent,
///     }
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The operating system refused it.
    #[error("cannot send {len} bytes to {to}: {}", reason(.cause))]
    Refused {
        /// The length of the payload, in bytes.
        len: usize,
        /// Where it should have gone.
        to: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The payload is longer than a UDP datagram can be: 65,507 bytes over IPv4,
    /// 65,527 over IPv6.
    #[error("cannot send {len} bytes to {to}: a datagram carries at most {max}")]
    TooLong {
        /// The length of the payload, in bytes.
        len: usize,
        /// The most that can be sent there, in bytes.
        max: usize,
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// A broadcast address was sent to without
    /// [`allow_broadcast`](crate::Builder::allow_broadcast).
    #[error("cannot send {len} bytes to {to}: a broadcast address needs allow_broadcast(true)")]
    BroadcastNotAllowed {
        /// The length of the payload, in bytes.
        len: usize,
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// An IPv6 address cannot be reached from an IPv4 socket, nor an IPv4
    /// address from a socket for IPv6 alone.
    #[error("cannot send to {to} from a socket bound to {from}: different address families")]
    AddressFamily {
        /// Where it should have gone.
        to: SocketAddr,
        /// The server's address.
        from: SocketAddr,
    },
    /// Nobody can be reached at port 0 (RFC 768).
    #[error("cannot send to {to}: port 0 is nobody's")]
    PortZero {
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// Nobody can be reached at an unspecified address, `0.0.0.0` or `::`. Linux
    /// would send to this host itself.
    #[error(
        "cannot send to {to}: the unspecified address is nobody's: this host is 127.0.0.1 or ::1, \
         and who has no address yet hears broadcasts"
    )]
    UnspecifiedAddress {
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// The [`AmplificationLimit`](crate::AmplificationLimit) forbids it: the
    /// address is not validated, and too little has come from there.
    #[error("cannot send {len} bytes to {to}: too much for an address that is not validated")]
    Withheld {
        /// The length of the payload, in bytes.
        len: usize,
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// As many answers are deferred as [`max_deferred`](crate::Builder::max_deferred)
    /// permits.
    #[error("cannot defer another answer: {limit} may be due at the same time")]
    Busy {
        /// How many may be due.
        limit: usize,
    },
    /// There is nothing left to answer: the handler returned an error or panicked,
    /// or the datagram had been deferred before.
    #[error("the datagram is settled or deferred already")]
    Settled,
    /// An option of the datagram makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refused to send a datagram from a Unix socket: the peer's queue is full,
    /// or this server's send buffer (`WouldBlock`), nobody has a socket there
    /// (`NotFound`, `ConnectionRefused`), or the datagram is longer than the send buffer.
    #[cfg(unix)]
    #[error("cannot send {len} bytes to {to}: {}", super::unix::unsent(.cause))]
    RefusedToUnix {
        /// The length of the datagram, in bytes.
        len: usize,
        /// Where it should have gone.
        to: Box<crate::sys::UnixAddr>,
        /// What the system said.
        cause: io::Error,
    },
    /// A client on a Unix socket has no name, as it has not called `bind`: nothing can
    /// be sent to it.
    #[cfg(unix)]
    #[error("cannot send to a client without a name")]
    Unnamed,
    /// The server is closed, its socket with it.
    #[error("the server is closed")]
    Closed,
}

impl SendError {
    /// What was wrong, in the vocabulary of [`io::ErrorKind`].
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::SendError::Closed.kind(), std::io::ErrorKind::NotConnected);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            #[cfg(unix)]
            Self::RefusedToUnix { cause, .. } => cause.kind(),
            #[cfg(unix)]
            Self::Unnamed => io::ErrorKind::AddrNotAvailable,
            Self::Refused { cause, .. } => cause.kind(),
            Self::TooLong { .. }
            | Self::AddressFamily { .. }
            | Self::PortZero { .. }
            | Self::UnspecifiedAddress { .. }
            | Self::Config(_) => io::ErrorKind::InvalidInput,
            Self::BroadcastNotAllowed { .. } | Self::Withheld { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Self::Busy { .. } => io::ErrorKind::ResourceBusy,
            Self::Settled => io::ErrorKind::AlreadyExists,
            Self::Closed => io::ErrorKind::NotConnected,
        }
    }
}
