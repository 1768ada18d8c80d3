//! Why a server was not bound.

use std::io;
use std::net::SocketAddr;

use super::{ConfigError, MembershipError, reason, unresolved};

/// Why there is no server: its options, its addresses, its sockets, its groups.
/// What `bind`, `from_socket` and `activated_sockets` return.
///
/// # Examples
/// ```
/// use socketserver::{BindError, ThreadingUdpServer};
///
/// let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
/// let addr = taken.local_addr().unwrap();
/// let error = ThreadingUdpServer::bind_fn(addr, |_, _, _| Ok(())).unwrap_err();
/// assert!(matches!(error, BindError::Bind { .. }));
/// assert_eq!(error.to_string(), format!("cannot bind {addr}: address in use"));
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::AddrInUse);
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address to bind could not be looked up, or is not one.
    #[error("cannot resolve {addr}: {}", unresolved(.cause))]
    Resolve {
        /// The address as it was given, as its `Debug` prints it.
        addr: String,
        /// What the resolver said.
        cause: io::Error,
    },
    /// The address to bind stands for no address at all: an empty list, or a
    /// name without addresses.
    #[error("cannot bind {addr}: there is no address in it")]
    NoAddress {
        /// The address as it was given, as its `Debug` prints it.
        addr: String,
    },
    /// The socket could not be opened, set up or bound.
    #[error("cannot bind {addr}: {}", reason(.cause))]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A socket that was handed in cannot be served.
    #[error("cannot take over the socket: {}", reason(.cause))]
    TakeOver {
        /// What is wrong with it, or what the operating system said.
        cause: io::Error,
    },
    /// What the service manager says about sockets makes no sense.
    #[error("{variable}: {problem}")]
    Activation {
        /// The variable of the environment that says it.
        variable: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A descriptor that this process was started with cannot be served.
    #[error("cannot take over descriptor {descriptor}: {}", reason(.cause))]
    Inherited {
        /// Its number.
        descriptor: i32,
        /// What is wrong with it, or what the operating system said.
        cause: io::Error,
    },
    /// What a server on a Unix socket was refused.
    #[cfg(unix)]
    #[error(transparent)]
    Unix(#[from] super::UnixError),
    /// The system would not let a multicast group be joined.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// An option of the builder was set to something that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl BindError {
    /// What was wrong, in the vocabulary of [`io::ErrorKind`].
    ///
    /// # Examples
    /// ```
    /// let error = socketserver::ThreadingUdpServer::bind_fn("nonsense", |_, _, _| Ok(())).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            #[cfg(unix)]
            Self::Unix(error) => error.cause.kind(),
            Self::Resolve { cause, .. }
            | Self::Bind { cause, .. }
            | Self::TakeOver { cause }
            | Self::Inherited { cause, .. } => cause.kind(),
            Self::Membership(error) => error.cause.kind(),
            Self::Activation { .. } | Self::Config(_) => io::ErrorKind::InvalidInput,
            Self::NoAddress { .. } => io::ErrorKind::NotFound,
        }
    }
}
