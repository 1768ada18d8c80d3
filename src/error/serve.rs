//! Why a server does not serve, or no longer.

use std::io;
use std::net::SocketAddr;

use super::reason;

/// Why a server does not serve, or no longer. What `serve_forever`, `handle_request`,
/// `join` and `stop` return.
///
/// # Examples
/// ```
/// use socketserver::{ServeError, ThreadingUdpServer};
///
/// fn served() -> Result<(), socketserver::Error> {
///     let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
///     # server.shutdown();
///     match server.serve_forever() {
///         Err(error @ ServeError::Receive { .. }) => eprintln!("bind again: {error}"),
///         ended => println!("{}", ended?.stats),
///     }
///     Ok(())
/// }
/// # served().unwrap();
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
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
    Begin {
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
    /// The socket can no longer be received from.
    #[error("cannot receive on {addr}: {}", reason(.cause))]
    Receive {
        /// The server's address.
        addr: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// With [`Isolation::Process`](crate::Isolation::Process), what was asked for needs
    /// threads, or there are others than the one that serves.
    #[error("cannot serve {addr} with processes: {problem}")]
    Isolation {
        /// The server's address.
        addr: SocketAddr,
        /// What is in the way, and what to do instead.
        problem: String,
    },
    /// No child process could be kept alive: all have died of their start, in a row.
    #[error("no child process to serve {addr} stays alive, after {tries} tries: {cause}")]
    Children {
        /// The server's address.
        addr: SocketAddr,
        /// How often it was tried.
        tries: u32,
        /// What became of the last one.
        cause: String,
    },
    /// What a server on a Unix socket was refused.
    #[cfg(unix)]
    #[error(transparent)]
    Unix(#[from] super::UnixError),
    /// The server is closed already.
    #[error("the server is closed")]
    Closed,
}

impl ServeError {
    /// What was wrong, in the vocabulary of [`io::ErrorKind`].
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::ServeError::Closed.kind(), std::io::ErrorKind::NotConnected);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            #[cfg(unix)]
            Self::Unix(error) => error.cause.kind(),
            Self::StartWorkers { cause, .. }
            | Self::StartServer { cause, .. }
            | Self::Begin { cause, .. }
            | Self::StartService { cause, .. }
            | Self::Receive { cause, .. } => cause.kind(),
            Self::Isolation { .. } => io::ErrorKind::Unsupported,
            Self::Children { .. } => io::ErrorKind::BrokenPipe,
            Self::Closed => io::ErrorKind::NotConnected,
        }
    }
}
