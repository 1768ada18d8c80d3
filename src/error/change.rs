//! Why a server that serves was not changed.

use std::io;
use std::net::SocketAddr;

use super::{ConfigError, MembershipError, reason};

/// Why a handle could not change its server: a group, a guard, a timer. All is as it was.
///
/// # Examples
/// ```
/// use socketserver::{ChangeError, ThreadingUdpServer};
///
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// let error = server.set_denied_networks(["10.0.0.0/33"]).unwrap_err();
/// assert!(matches!(error, ChangeError::Config(error) if error.option == "deny_networks"));
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// What was asked for makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system would not let a multicast group be joined or left.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The thread for timers could not be started.
    #[error("cannot start a thread for the timers of {addr}: {}", reason(.cause))]
    StartTimers {
        /// The server's address.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// As many timers as there may be are set and not due yet.
    #[error("cannot set a timer: {most} are set and not due yet")]
    TooManyTimers {
        /// How many there may be.
        most: usize,
    },
    /// What a server on a Unix socket was refused.
    #[cfg(unix)]
    #[error(transparent)]
    Unix(#[from] super::UnixError),
    /// The server is closed.
    #[error("the server is closed")]
    Closed,
}

impl ChangeError {
    /// What was wrong, in the vocabulary of [`io::ErrorKind`].
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::ChangeError::Closed.kind(), std::io::ErrorKind::NotConnected);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            #[cfg(unix)]
            Self::Unix(error) => error.cause.kind(),
            Self::Config(_) => io::ErrorKind::InvalidInput,
            Self::Membership(error) => error.cause.kind(),
            Self::StartTimers { cause, .. } => cause.kind(),
            Self::TooManyTimers { .. } => io::ErrorKind::ResourceBusy,
            Self::Closed => io::ErrorKind::NotConnected,
        }
    }
}
