//! What is written once for both servers.

use std::fmt::Debug;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::ops::Deref;
use std::time::Duration;

use super::builder::{Builder, Style};
use super::handle::{RequestOutcome, ServerHandle, ShutdownReport};
use super::running::RunningServer;
use crate::error::{BindError, ServeError};
use crate::handler::{HandlerError, HandlerFactory};
use crate::socket_handle::SocketHandle;

/// Either of the two servers, for code that is written once for both:
/// [`ThreadingUdpServer`](crate::ThreadingUdpServer) and
/// [`ForkingStyleUdpServer`](crate::ForkingStyleUdpServer), and no others.
///
/// Each method is that of the same name of the server itself. What a
/// [`ServerHandle`] can do (`shutdown`, `stats`, `local_addr` and so on), either
/// server can do as well.
///
/// # Examples
/// ```
/// use socketserver::{Error, ForkingStyleUdpServer, Server, Stats, ThreadingUdpServer};
///
/// fn served_for_a_moment<S: Server>() -> Result<Stats, Error> {
///     let server = S::bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
///     assert_eq!(server.stats().received, 0);
///     Ok(server.spawn().stop()?.stats)
/// }
///
/// served_for_a_moment::<ThreadingUdpServer>()?;
/// served_for_a_moment::<ForkingStyleUdpServer>()?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[expect(private_bounds, reason = "sealed: the two servers alone have a style")]
pub trait Server: Style + Deref<Target = ServerHandle> + Debug + Send + 'static {
    /// All options, at their defaults.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{BindError, Server};
    /// fn small<S: Server>() -> Result<S, BindError> {
    ///     S::builder().max_packet_size(512).bind_fn("127.0.0.1:0", |_, _, _| Ok(()))
    /// }
    /// ```
    fn builder() -> Builder<Self> {
        Builder::new()
    }

    /// Binds to the first of the addresses that can be bound.
    ///
    /// # Errors
    /// [`BindError::Resolve`], [`BindError::NoAddress`] and [`BindError::Bind`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{BindError, DatagramHandler, Server};
    /// fn bound<S: Server, H: DatagramHandler + Default + 'static>() -> Result<S, BindError> {
    ///     S::bind("127.0.0.1:0", H::default)
    /// }
    /// ```
    fn bind<A, F, Kind>(addr: A, factory: F) -> Result<Self, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        Self::builder().bind(addr, factory)
    }

    /// As [`bind`](Self::bind) with one closure in [`from_fn`](crate::from_fn).
    ///
    /// # Errors
    /// As `bind`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{BindError, Server};
    /// fn echo<S: Server>() -> Result<S, BindError> {
    ///     S::bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))
    /// }
    /// ```
    fn bind_fn<A, F>(addr: A, f: F) -> Result<Self, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        Self::builder().bind_fn(addr, f)
    }

    /// Serves on a socket that is bound already.
    ///
    /// # Errors
    /// [`BindError::TakeOver`] if it cannot be served.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{BindError, Server, from_fn};
    /// # use std::net::UdpSocket;
    /// fn echo<S: Server>(socket: UdpSocket) -> Result<S, BindError> {
    ///     S::from_socket(socket, from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?)))
    /// }
    /// ```
    fn from_socket<F, Kind>(socket: UdpSocket, factory: F) -> Result<Self, BindError>
    where
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        Self::builder().from_socket(socket, factory)
    }

    /// A handle to watch and stop the server with, from any thread.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Server;
    /// fn stop_later(server: &impl Server) {
    ///     let handle = server.handle();
    ///     std::thread::spawn(move || handle.shutdown());
    /// }
    /// ```
    fn handle(&self) -> ServerHandle {
        (**self).clone()
    }

    /// Serves on the calling thread until [`shutdown`](ServerHandle::shutdown)
    /// is called.
    ///
    /// # Errors
    /// As the server's own method.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{ServeError, Server};
    /// fn run(server: impl Server) -> Result<(), ServeError> {
    ///     println!("{}", server.serve_forever()?.stats);
    ///     Ok(())
    /// }
    /// ```
    fn serve_forever(self) -> Result<ShutdownReport, ServeError>;

    /// Serves on a thread of its own.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{RunningServer, Server};
    /// fn start(servers: Vec<impl Server>) -> Vec<RunningServer> {
    ///     servers.into_iter().map(Server::spawn).collect()
    /// }
    /// ```
    fn spawn(self) -> RunningServer;

    /// Handles one datagram on the calling thread.
    ///
    /// # Errors
    /// As the server's own method.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{ServeError, Server};
    /// fn run_here(mut server: impl Server) -> Result<(), ServeError> {
    ///     while server.handle_request(None)?.is_handled() {}
    ///     Ok(())
    /// }
    /// ```
    fn handle_request(&mut self, timeout: Option<Duration>) -> Result<RequestOutcome, ServeError>;
}
