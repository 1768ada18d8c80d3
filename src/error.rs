//! The one error type: what was being done, with what, and why it failed.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::sys::Interface;

/// What can go wrong with a server or a send.
///
/// Each variant says what was being done, with what address or option, and why
/// it failed, in one line. That line has the cause in it, so that
/// [`source`](std::error::Error::source) does not repeat it; the operating
/// system's own error is in the variant's field. [`Debug`](fmt::Debug) prints the
/// same line, so that an error returned from `main` reads well. It converts into
/// [`io::Error`], keeping the kind. [`stage`](Self::stage) says which part of a
/// server's life it belongs to.
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
/// let addr = taken.local_addr().unwrap();
/// let error = ThreadingUdpServer::bind_fn(addr, |_, _, _| Ok(())).unwrap_err();
/// assert_eq!(error.to_string(), format!("cannot bind {addr}: address in use"));
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::AddrInUse);
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// The system would not let a multicast group be joined or left.
    #[error("cannot {action} {group}{} on {interface}: {}", of(.from), reason(.cause))]
    Membership {
        /// What was tried: `"join"` or `"leave"`.
        action: &'static str,
        /// The group.
        group: IpAddr,
        /// The one source that is heard, if it was about one.
        from: Option<IpAddr>,
        /// Where it was tried.
        interface: Interface,
        /// What the operating system said.
        cause: io::Error,
    },
    /// An option of the builder was set to something that makes no sense.
    #[error("{option}: {problem}")]
    Config {
        /// The option's name, as the builder's method is called.
        option: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The threads that the server needs at least could not be started.
    ///
    /// `started` is counted from 0, so that it is the number of the thread as well.
    #[error("cannot start worker thread {started} of {wanted} on {addr}: {cause}")]
    StartWorkers {
        /// The server's address.
        addr: SocketAddr,
        /// How many had been started before.
        started: usize,
        /// How many are needed at least.
        wanted: usize,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The thread to serve on could not be started.
    #[error("cannot start a thread to serve {addr} on: {}", reason(.cause))]
    StartServer {
        /// The server's address.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The system had not what it takes to serve: descriptors, as a rule.
    #[error("cannot begin to serve {addr}: {}", reason(.cause))]
    Serve {
        /// The server's address.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The thread for the `service_actions` hook could not be started.
    #[error("cannot start a thread for the service_actions hook of {addr}: {}", reason(.cause))]
    StartService {
        /// The server's address.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
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
    /// The socket can no longer be received from.
    #[error("cannot receive on {addr}: {}", reason(.cause))]
    Receive {
        /// The server's address.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A datagram could not be sent.
    #[error("cannot send {len} bytes to {to}: {}", reason(.cause))]
    Send {
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
    #[error("cannot send to {to}: the unspecified address is nobody's")]
    UnspecifiedAddress {
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// The [`AmplificationLimit`](crate::AmplificationLimit) forbids it: the
    /// address has not proved itself, and too little has come from there.
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
    /// The server is closed, its socket with it.
    #[error("the server is closed")]
    Closed,
}

impl Error {
    /// What was wrong, in the vocabulary of [`io::ErrorKind`].
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::Error::Closed.kind(), std::io::ErrorKind::NotConnected);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Resolve { cause, .. }
            | Self::Bind { cause, .. }
            | Self::TakeOver { cause }
            | Self::Inherited { cause, .. }
            | Self::Membership { cause, .. }
            | Self::StartWorkers { cause, .. }
            | Self::StartServer { cause, .. }
            | Self::Serve { cause, .. }
            | Self::StartService { cause, .. }
            | Self::StartTimers { cause, .. }
            | Self::Receive { cause, .. }
            | Self::Send { cause, .. } => cause.kind(),
            Self::Config { .. }
            | Self::Activation { .. }
            | Self::TooLong { .. }
            | Self::AddressFamily { .. }
            | Self::PortZero { .. }
            | Self::UnspecifiedAddress { .. } => io::ErrorKind::InvalidInput,
            Self::NoAddress { .. } => io::ErrorKind::NotFound,
            Self::BroadcastNotAllowed { .. } | Self::Withheld { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Self::Busy { .. } | Self::TooManyTimers { .. } => io::ErrorKind::ResourceBusy,
            Self::Settled => io::ErrorKind::AlreadyExists,
            Self::Closed => io::ErrorKind::NotConnected,
        }
    }

    /// Which part of a server's life it belongs to: what can be done about it
    /// depends on that.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{Stage, ThreadingUdpServer};
    ///
    /// let error = ThreadingUdpServer::bind_fn("nonsense", |_, _, _| Ok(())).unwrap_err();
    /// assert_eq!(error.stage(), Stage::Bind);
    /// ```
    pub fn stage(&self) -> Stage {
        match self {
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Bind { .. }
            | Self::TakeOver { .. }
            | Self::Activation { .. }
            | Self::Inherited { .. }
            | Self::Membership { .. }
            | Self::Config { .. } => Stage::Bind,
            Self::StartWorkers { .. }
            | Self::StartServer { .. }
            | Self::Serve { .. }
            | Self::StartService { .. }
            | Self::StartTimers { .. }
            | Self::Receive { .. } => Stage::Serve,
            Self::Send { .. }
            | Self::TooLong { .. }
            | Self::BroadcastNotAllowed { .. }
            | Self::AddressFamily { .. }
            | Self::PortZero { .. }
            | Self::UnspecifiedAddress { .. }
            | Self::Withheld { .. }
            | Self::Busy { .. }
            | Self::TooManyTimers { .. }
            | Self::Settled => Stage::Send,
            Self::Closed => Stage::Closed,
        }
    }

    pub(crate) fn config(option: &'static str, problem: impl Into<String>) -> Self {
        Self::Config {
            option,
            problem: problem.into(),
        }
    }
}

/// Which part of a server's life an [`Error`] belongs to.
///
/// # Examples
/// ```
/// use socketserver::{Error, Stage};
///
/// fn is_worth_another_try(error: &Error) -> bool {
///     error.stage() == Stage::Send
/// }
/// assert!(!is_worth_another_try(&Error::Closed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Setting up: options, addresses, sockets, groups. What `bind`,
    /// `from_socket` and `activated_sockets` return.
    Bind,
    /// Beginning to serve, or receiving. What `serve_forever`, `handle_request`
    /// and `join` return.
    Serve,
    /// Sending one datagram. The others are not concerned.
    Send,
    /// Anything at all, once the server is closed.
    Closed,
}

/// The line that [`Display`](fmt::Display) prints: what `main` returns is printed
/// this way.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

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
    use super::*;

    #[test]
    fn a_bind_error_reads_as_a_sentence() {
        let error = Error::Bind {
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
        let error = Error::config("workers", "0 workers cannot work");
        assert_eq!(format!("{error:?}"), "workers: 0 workers cannot work");
        assert_eq!(error.stage(), Stage::Bind);
    }

    #[test]
    fn conversion_keeps_the_kind_and_the_words() {
        let error = io::Error::from(Error::config("workers", "0 workers cannot work"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "workers: 0 workers cannot work");
    }
}
