//! Servers on Unix datagram sockets, for clients on the same host: Python's
//! `UnixDatagramServer`. Syslog, statsd and service managers speak this.
//!
//! A [`ThreadingUnixDatagramServer`] is the UDP server on another kind of socket: the
//! same engine, options, statistics and life. A peer is known by a [`UnixAddr`] in place
//! of a `SocketAddr`, so a handler is a `DatagramHandler<UnixAddr>`, with a
//! `SocketHandle<UnixAddr>` in its hands. Nothing is lost on the way, and nobody can
//! forge an address: the options against a hostile network, for groups, broadcasts and
//! headers do not exist here. Who may send is what the permissions of the socket's file
//! say.
//!
//! This module exists on Unix alone: other systems have no such sockets, and no
//! [`ThreadingUnixDatagramServer`].
//!
//! # Examples
//! ```
//! use socketserver::ThreadingUnixDatagramServer;
//! use std::os::unix::net::UnixDatagram;
//!
//! # let folder = std::env::temp_dir().join(format!("unix-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! let path = folder.join("app.sock");
//! let server = ThreadingUnixDatagramServer::bind_fn(&path, |bytes, addr, socket| {
//!     println!("{} bytes from {addr}", bytes.len());
//!     Ok(socket.reply(&bytes.to_ascii_uppercase())?)
//! })?
//! .spawn();
//!
//! // Only who has a name can be answered.
//! let client = UnixDatagram::bind(folder.join("client.sock")).unwrap();
//! client.send_to(b"hello", &path).unwrap();
//! let mut reply = [0; 16];
//! let len = client.recv(&mut reply).unwrap();
//! assert_eq!(&reply[..len], b"HELLO");
//!
//! server.stop()?;
//! assert!(!path.exists(), "the server has removed its file");
//! # std::fs::remove_dir_all(folder).unwrap();
//! # Ok::<(), socketserver::Error>(())
//! ```
//!
//! # What is different
//!
//! | | |
//! |---|---|
//! | a client without a name | is received, as [`UnixAddr::UNNAMED`], and cannot be answered: [`SendError::Unnamed`](crate::SendError::Unnamed) |
//! | a send | is one call at once, and never waits nor is batched: also `reply`, in a handler, returns the system's answer |
//! | a peer that does not read | has a short queue of its own: when it is full, the send fails at once, with [`SendError::RefusedToUnix`](crate::SendError::RefusedToUnix) of the kind `WouldBlock`, counted in [`SendFailures::no_room`](crate::SendFailures::no_room). What is sent and not yet read takes up this server's send buffer as well |
//! | a server that does not keep up | makes its clients wait, or their sends fail: the kernel drops nothing. On Linux its queue holds `net.unix.max_dgram_qlen` datagrams, 10 by default and often 512; [`receive_buffer`](crate::Builder::receive_buffer) has no effect |
//! | the longest datagram | is what the *sender's* send buffer allows. [`max_packet_size`](crate::Builder::max_packet_size), what the server has room for, is 212,992 bytes by default, Linux's default send buffer, and 16 MiB at most |
//! | order per peer | is by name; all clients without one are one peer |
//! | a shutdown | drops what has not been read from the kernel, as everywhere; [`unread_bytes`](crate::ShutdownReport::unread_bytes) is `None`. Clients' sends fail from then on |

mod binding;

use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

pub use crate::error::UnixError;
pub use crate::sys::UnixAddr;

use crate::error::{BindError, ServeError};
use crate::handler::{HandlerError, HandlerFactory};
use crate::server::{
    Builder, Core, Lifetime, PacketSizes, RequestOutcome, RunningServer, ServerHandle,
    ShutdownReport, Style, Threading,
};
use crate::socket_handle::SocketHandle;

/// One closure for all datagrams of a Unix socket, for wherever a [`HandlerFactory`]
/// is taken: [`from_fn`](crate::from_fn), with the types of such a socket.
///
/// # Examples
/// ```
/// use socketserver::{ThreadingUnixDatagramServer, unix};
///
/// # let path = format!("\0from-fn-{}", std::process::id());
/// # #[cfg(target_os = "linux")] {
/// let echo = unix::from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
/// let server = ThreadingUnixDatagramServer::bind(path, echo)?;
/// # }
/// # Ok::<(), socketserver::Error>(())
/// ```
pub fn from_fn<F>(f: F) -> F
where
    F: Fn(&[u8], UnixAddr, &SocketHandle<UnixAddr>) -> Result<(), HandlerError>
        + Send
        + Sync
        + 'static,
{
    f
}

/// Serves datagrams of a Unix socket with a pool of worker threads: Python's
/// `ThreadingUnixDatagramServer`, and its `UnixDatagramServer`.
///
/// All that is said of [`ThreadingUdpServer`](crate::ThreadingUdpServer) holds, but for
/// what is [different](self#what-is-different).
///
/// # Examples
/// ```
/// use socketserver::unix::UnixAddr;
/// use socketserver::{DatagramHandler, HandlerError, SocketHandle, ThreadingUnixDatagramServer};
///
/// struct Journal;
///
/// impl DatagramHandler<UnixAddr> for Journal {
///     fn handle(
///         &mut self,
///         bytes: &[u8],
///         addr: UnixAddr,
///         _socket: &SocketHandle<UnixAddr>,
///     ) -> Result<(), HandlerError> {
///         println!("{addr}: {}", String::from_utf8_lossy(bytes));
///         Ok(())
///     }
/// }
///
/// # let path = std::env::temp_dir().join(format!("journal-{}", std::process::id()));
/// let server = ThreadingUnixDatagramServer::bind(path, || Journal)?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("UnixDatagramServer", "AF_UNIX", "SOCK_DGRAM"))]
#[must_use = "it serves with serve_forever, spawn or handle_request, and closes when dropped"]
pub struct ThreadingUnixDatagramServer {
    core: Core<UnixAddr>,
}

impl Style<UnixAddr> for ThreadingUnixDatagramServer {
    const LIFETIME: Lifetime = Lifetime::Worker;
    const MAX_WORKERS: usize = 256;
    const WORKERS_KNOB: &'static str = "workers";
    const PACKET_SIZES: PacketSizes = PacketSizes::UNIX;

    fn from_core(core: Core<UnixAddr>) -> Self {
        Self { core }
    }
}

impl Threading for ThreadingUnixDatagramServer {}

impl ThreadingUnixDatagramServer {
    /// All options, at their defaults. Those that only UDP has are not there:
    ///
    /// ```compile_fail,E0599
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// let builder = ThreadingUnixDatagramServer::builder().allow_broadcast(true);
    /// ```
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// let builder = ThreadingUnixDatagramServer::builder().workers(2).order_per_peer(true);
    /// ```
    pub fn builder() -> Builder<Self, UnixAddr> {
        Builder::new()
    }

    /// As [`Builder::bind`], with all options at their defaults.
    ///
    /// # Errors
    /// [`BindError::Unix`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{ThreadingUnixDatagramServer, unix};
    /// # let path = std::env::temp_dir().join(format!("bind-{}", std::process::id()));
    /// let echo = unix::from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUnixDatagramServer::bind(path, echo)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("RequestHandlerClass", "server_bind"))]
    pub fn bind<F, Kind>(path: impl AsRef<Path> + Debug, factory: F) -> Result<Self, BindError>
    where
        F: HandlerFactory<Kind, UnixAddr> + Send + Sync + 'static,
    {
        Self::builder().bind(path, factory)
    }

    /// As [`bind`](Self::bind) with one closure in [`from_fn`].
    ///
    /// # Errors
    /// As `bind`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// # let path = std::env::temp_dir().join(format!("bind-fn-{}", std::process::id()));
    /// let server = ThreadingUnixDatagramServer::bind_fn(path, |bytes, _addr, socket| {
    ///     Ok(socket.reply(bytes)?)
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn bind_fn<F>(path: impl AsRef<Path> + Debug, f: F) -> Result<Self, BindError>
    where
        F: Fn(&[u8], UnixAddr, &SocketHandle<UnixAddr>) -> Result<(), HandlerError>
            + Send
            + Sync
            + 'static,
    {
        Self::builder().bind_fn(path, f)
    }

    /// As [`Builder::from_socket`], with all options at their defaults.
    ///
    /// # Errors
    /// [`BindError::TakeOver`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{ThreadingUnixDatagramServer, unix};
    /// use std::os::unix::net::UnixDatagram;
    ///
    /// # let path = std::env::temp_dir().join(format!("given-{}", std::process::id()));
    /// let socket = UnixDatagram::bind(&path).unwrap();
    /// let echo = unix::from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUnixDatagramServer::from_socket(socket, echo)?;
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("bind_and_activate", "fileno"))]
    pub fn from_socket<F, Kind>(socket: UnixDatagram, factory: F) -> Result<Self, BindError>
    where
        F: HandlerFactory<Kind, UnixAddr> + Send + Sync + 'static,
    {
        Self::builder().from_socket(socket, factory)
    }

    /// A handle to watch and stop the server with, from any thread.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// fn stop_later(server: &ThreadingUnixDatagramServer) {
    ///     let handle = server.handle();
    ///     std::thread::spawn(move || handle.shutdown());
    /// }
    /// ```
    pub fn handle(&self) -> ServerHandle<UnixAddr> {
        self.core.handle().clone()
    }

    /// Serves on the calling thread until [`shutdown`](ServerHandle::shutdown) is called.
    /// When it returns, the file is removed.
    ///
    /// # Errors
    /// [`ServeError::Unix`], where a UDP server has
    /// [other errors](crate::ThreadingUdpServer::serve_forever).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{Error, ThreadingUnixDatagramServer};
    /// fn run(server: ThreadingUnixDatagramServer) -> Result<(), Error> {
    ///     println!("{}", server.serve_forever()?.stats);
    ///     Ok(())
    /// }
    /// ```
    pub fn serve_forever(self) -> Result<ShutdownReport, ServeError> {
        self.core.serve_forever()
    }

    /// Serves on a thread of its own.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// # let path = std::env::temp_dir().join(format!("spawn-{}", std::process::id()));
    /// let server = ThreadingUnixDatagramServer::bind_fn(path, |_, _, _| Ok(()))?.spawn();
    /// server.stop()?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn spawn(self) -> RunningServer<UnixAddr> {
        RunningServer::start(self.core)
    }

    /// Handles one datagram on the calling thread. `None` waits for ever.
    ///
    /// # Errors
    /// [`ServeError::Unix`], [`ServeError::Closed`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{RequestOutcome, ThreadingUnixDatagramServer};
    /// use std::time::Duration;
    ///
    /// # let path = std::env::temp_dir().join(format!("one-{}", std::process::id()));
    /// let mut server = ThreadingUnixDatagramServer::bind_fn(path, |_, _, _| Ok(()))?;
    /// let outcome = server.handle_request(Some(Duration::from_millis(1)))?;
    /// assert_eq!(outcome, RequestOutcome::TimedOut);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "timeout")]
    pub fn handle_request(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<RequestOutcome, ServeError> {
        self.core.handle_request(timeout)
    }
}

/// What a [`ServerHandle`] can do, a bound server can do as well.
impl std::ops::Deref for ThreadingUnixDatagramServer {
    type Target = ServerHandle<UnixAddr>;

    fn deref(&self) -> &ServerHandle<UnixAddr> {
        self.core.handle()
    }
}

impl AsFd for ThreadingUnixDatagramServer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.as_fd()
    }
}
