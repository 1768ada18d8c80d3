//! What can go wrong: what was being done, with what, and why it failed.
//!
//! | room | what failed |
//! |---|---|
//! | `bind` | setting a server up |
//! | `serve` | serving |
//! | `send` | sending one datagram |
//! | `unix` | what a server on a Unix socket was refused |
//! | `change` | changing a server that serves |

mod bind;
mod change;
mod send;
mod serve;
#[cfg(unix)]
mod unix;

pub use bind::BindError;
pub use change::ChangeError;
pub use send::SendError;
pub use serve::ServeError;
#[cfg(unix)]
pub use unix::UnixError;

use std::fmt;
use std::io;
use std::net::IpAddr;

use crate::sys::Interface;

/// Any error of this crate: for a function that binds, serves and sends, and passes
/// on with `?` whatever fails.
///
/// Each function of the crate returns the kind that it can fail with: [`BindError`],
/// [`ServeError`], [`SendError`] or [`ChangeError`]. All of them say in one line what was
/// being done, with what address or option, and why it failed. That line has the
/// cause in it, so that [`source`](std::error::Error::source) does not repeat it;
/// the operating system's own error is in the variant's field. [`Debug`](fmt::Debug)
/// prints the same line, so that an error returned from `main` reads well. They
/// convert into [`io::Error`], keeping the kind.
///
/// # Examples
/// ```
/// use socketserver::{Error, ThreadingUdpServer};
///
/// fn main() -> Result<(), Error> {
///     let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
///         Ok(socket.reply(bytes)?)
///     })?;
///     # server.shutdown();
///     server.serve_forever()?;
///     Ok(())
/// }
/// ```
#[derive(thiserror::Error)]
#[error(transparent)]
pub enum Error {
    /// A server was not bound.
    Bind(#[from] BindError),
    /// A server does not serve, or no longer.
    Serve(#[from] ServeError),
    /// A datagram was not sent.
    Send(#[from] SendError),
    /// A server that serves was not changed.
    Change(#[from] ChangeError),
}

impl Error {
    /// What was wrong, in the vocabulary of [`io::ErrorKind`].
    ///
    /// # Examples
    /// ```
    /// use socketserver::{Error, SendError};
    ///
    /// let error = Error::from(SendError::Closed);
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Bind(error) => error.kind(),
            Self::Serve(error) => error.kind(),
            Self::Send(error) => error.kind(),
            Self::Change(error) => error.kind(),
        }
    }
}

/// An option was set to something that makes no sense.
///
/// # Examples
/// ```
/// use socketserver::{BindError, ThreadingUdpServer};
///
/// let bound = ThreadingUdpServer::builder().workers(0).bind_fn("127.0.0.1:0", |_, _, _| Ok(()));
/// let Err(BindError::Config(error)) = bound else { panic!("0 workers cannot work") };
/// assert_eq!(error.option, "workers");
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {problem}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The option's name, as the method is called that sets it.
    pub option: &'static str,
    /// What is wrong with its value.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(option: &'static str, problem: impl Into<String>) -> Self {
        Self {
            option,
            problem: problem.into(),
        }
    }
}

/// The system would not let a multicast group be joined or left.
///
/// # Examples
/// ```
/// use socketserver::MembershipError;
///
/// fn is_full(error: &MembershipError) -> bool {
///     error.action == "join" && error.cause.kind() == std::io::ErrorKind::OutOfMemory
/// }
/// ```
#[derive(thiserror::Error)]
#[error("cannot {action} {group}{} on {interface}: {}", of(.from), reason(.cause))]
#[non_exhaustive]
pub struct MembershipError {
    /// What was tried: `"join"` or `"leave"`.
    pub action: &'static str,
    /// The group.
    pub group: IpAddr,
    /// The one source that is heard, if it was about one.
    pub from: Option<IpAddr>,
    /// Where it was tried.
    pub interface: Interface,
    /// What the operating system said.
    pub cause: io::Error,
}

/// What all errors have in common.
macro_rules! in_words {
    ($($error:ty),+) => {$(
        /// The line that [`Display`](fmt::Display) prints: what `main` returns is
        /// printed this way.
        impl fmt::Debug for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

#[cfg(unix)]
in_words!(UnixError);

in_words!(
    Error,
    BindError,
    ServeError,
    SendError,
    ChangeError,
    ConfigError,
    MembershipError
);

/// They become an [`io::Error`] of the same kind, with the same words.
macro_rules! with_kind {
    ($($error:ty),+) => {$(
        impl From<$error> for io::Error {
            fn from(error: $error) -> Self {
                Self::new(error.kind(), error)
            }
        }
    )+};
}

with_kind!(Error, BindError, ServeError, SendError, ChangeError);

/// Whose datagrams to a group, if not everybody's.
fn of(from: &Option<IpAddr>) -> String {
    from.map_or_else(String::new, |source| format!(" from {source}"))
}

/// Why an address could not be resolved. What is no address at all, `std` calls
/// invalid input.
fn unresolved(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidInput => "expected HOST:PORT".to_owned(),
        _ => reason(error),
    }
}

/// An operating system error in words: its kind where that says something, else
/// its own text.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidInput => error.to_string(),
        kind => {
            let words = kind.to_string();
            if words.starts_with("uncategorized") {
                error.to_string()
            } else {
                words
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_bind_error_reads_as_a_sentence() {
        let error = BindError::Bind {
            addr: SocketAddr::from(([127, 0, 0, 1], 80)),
            cause: io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(
            error.to_string(),
            "cannot bind 127.0.0.1:80: permission denied"
        );
    }

    #[test]
    fn an_error_that_main_returns_reads_as_a_sentence() {
        let error = ConfigError::new("workers", "0 workers cannot work");
        assert_eq!(format!("{error:?}"), "workers: 0 workers cannot work");
    }

    #[test]
    fn conversion_keeps_the_kind_and_the_words() {
        let error = io::Error::from(BindError::from(ConfigError::new(
            "workers",
            "0 workers cannot work",
        )));
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "workers: 0 workers cannot work");
    }
}
