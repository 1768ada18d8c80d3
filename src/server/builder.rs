//! The options.
//!
//! | room | what it holds |
//! |---|---|
//! | `flow` | how datagrams pass through: batches, freshness, sockets |
//! | `order` | what is handled one after another |
//! | `sockets` | what the server's sockets are, beside their addresses; several of them |
//! | `multicast` | groups and broadcasts |
//! | `guards` | what stands between a hostile network and the handlers |
//! | `sources` | sources that are refused unless they are allowed by name |
//! | `telling` | where is told what goes wrong |
//! | `details` | what the kernel tells of each datagram |
//! | `sending` | how all that is sent leaves |

mod details;
mod flow;
mod guards;
mod multicast;
mod order;
mod sending;
mod sockets;
mod sources;
mod telling;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, SocketSource};
use super::dispatch::Lifetime;
use super::handle::ServerHandle;
use super::hooks::{HandlerFailure, Hooks};
use super::settings::{OnTruncated, Settings, at_most};
use crate::error::BindError;
use crate::handler::{Factory, HandlerError, HandlerFactory};
use crate::socket_handle::SocketHandle;

/// What tells one server from the other. Only the two servers of this crate have a style.
pub(crate) trait Style: Sized {
    const LIFETIME: Lifetime;
    const MAX_WORKERS: usize;
    /// The option that sets how many work at the same time.
    const WORKERS_KNOB: &'static str;
    fn from_core(core: Core) -> Self;
}

/// Sets a server up: made by `builder()` of either server, ended by
/// [`bind`](Self::bind), [`bind_fn`](Self::bind_fn) or [`from_socket`](Self::from_socket).
///
/// What makes no sense is refused there, by a [`BindError::Config`] that names the option.
///
/// What most servers set, if anything:
///
/// | option | default |
/// |---|---|
/// | `workers(n)`, or `workers(min..=max)`; in forking style `max_children(n)` | up to 256; 40 |
/// | [`max_packet_size`](Self::max_packet_size) | 65,535 bytes |
/// | [`receive_buffer`](Self::receive_buffer) | 4 MiB |
/// | [`order_per_peer`](Self::order_per_peer) | off |
/// | [`handle_error`](Self::handle_error), [`service_actions`](Self::service_actions) | a line in the log; nothing |
/// | [`drain_timeout`](Self::drain_timeout) | 10 s |
/// | [`only_v6`](Self::only_v6) | the system's |
/// | [guards](crate::guide::hostile_network) | off |
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
/// use std::time::Duration;
///
/// let server = ThreadingUdpServer::builder()
///     .workers(4..=64)
///     .max_packet_size(1_500)
///     .drain_timeout(Duration::from_secs(2))
///     .bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
///
/// let nonsense = ThreadingUdpServer::builder().workers(0).bind_fn("127.0.0.1:0", |_, _, _| Ok(()));
/// assert_eq!(nonsense.unwrap_err().to_string(), "workers: 0 workers cannot serve; at least 1");
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it binds"]
pub struct Builder<S> {
    pub(crate) settings: Settings,
    hooks: Hooks,
    server: PhantomData<fn() -> S>,
}

#[expect(
    private_bounds,
    reason = "a builder of anything but the two servers cannot be made"
)]
impl<S: Style> Builder<S> {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings::new(S::MAX_WORKERS, S::WORKERS_KNOB),
            hooks: Hooks::default(),
            server: PhantomData,
        }
    }

    /// The most bytes a datagram may have. Longer ones are truncated by the
    /// kernel and treated as [`on_truncated`](Self::on_truncated) says. From 1
    /// to 65,535. Defaults to 65,535: no datagram is longer.
    ///
    /// Smaller values save address space, and memory if long datagrams do come.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().max_packet_size(1_500);
    /// ```
    pub fn max_packet_size(mut self, bytes: usize) -> Self {
        self.settings.max_packet_size = bytes;
        self
    }

    /// What happens to truncated datagrams. Defaults to [`OnTruncated::Refuse`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().on_truncated(socketserver::OnTruncated::Deliver);
    /// ```
    pub fn on_truncated(mut self, policy: OnTruncated) -> Self {
        self.settings.on_truncated = policy;
        self
    }

    /// The receive buffer to ask the kernel for, in bytes (`SO_RCVBUF`): the
    /// queue of datagrams that no worker has got to yet. A process with
    /// `CAP_NET_ADMIN` gets it whatever the system's limit is (`SO_RCVBUFFORCE`), any
    /// other up to that limit. What was granted is in
    /// [`Stats::receive_buffer`](crate::Stats::receive_buffer); less than asked is logged at `warn`. Defaults
    /// to 4 MiB; a socket that is handed in keeps its own unless this is set.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().receive_buffer(16 << 20);
    /// ```
    #[doc(alias("SO_RCVBUF", "request_queue_size"))]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.settings.receive_buffer = Some(bytes);
        self
    }

    /// The send buffer to ask the kernel for, in bytes (`SO_SNDBUF`): what was
    /// sent and has not left the host, such as replies to hosts whose link-layer
    /// address is still being asked for, which may be nowhere. While it is full,
    /// no reply leaves; what finds no room within 50 ms is counted in
    /// [`SendFailures::no_room`](crate::SendFailures::no_room). Less granted than
    /// set here is logged at `warn`. Defaults to 4 MiB, of which less granted is
    /// logged at `debug`; a socket that is handed in keeps its own unless this
    /// is set.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().send_buffer(1 << 20);
    /// ```
    #[doc(alias = "SO_SNDBUF")]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.settings.send_buffer = Some(bytes);
        self
    }

    /// Sets `SO_REUSEADDR` before binding. Defaults to false: for UDP it lets
    /// two servers share one port on Linux, and one of them gets nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().allow_reuse_address(true);
    /// ```
    #[doc(alias = "SO_REUSEADDR")]
    pub fn allow_reuse_address(mut self, allow: bool) -> Self {
        self.settings.reuse_address = allow;
        self
    }

    /// Sets `SO_REUSEPORT` before binding. Defaults to false: it lets any
    /// process of the same user share the port, and the kernel splits the
    /// peers between them. A port that the system chooses (port 0) is nobody else's
    /// when it is bound. Fails at `bind` where there is no such option.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().allow_reuse_port(true);
    /// ```
    #[doc(alias = "SO_REUSEPORT")]
    pub fn allow_reuse_port(mut self, allow: bool) -> Self {
        self.settings.reuse_port = allow;
        self
    }

    /// Whether a socket bound to an IPv6 address is for IPv6 alone
    /// (`IPV6_V6ONLY`). With false, `[::]` serves IPv4 as well, whose peers are
    /// shown with IPv4 addresses. Defaults to what the system does. With true,
    /// an address that is IPv4 alone is refused at `bind`; to
    /// [`bind_all`](Self::bind_all) it concerns the IPv6 addresses only.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().only_v6(false);
    /// ```
    #[doc(alias("IPV6_V6ONLY", "address_family"))]
    pub fn only_v6(mut self, only: bool) -> Self {
        self.settings.only_v6 = Some(only);
        self
    }

    /// How often [`service_actions`](Self::service_actions) is called: at least
    /// 1 ms. Defaults to 0.5 s. Nothing else depends on it: shutdown does not wait for it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().poll_interval(std::time::Duration::from_secs(5));
    /// ```
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// How long a shutdown waits for handlers that are still at work. What is
    /// not finished then is counted as abandoned. Defaults to 10 s; zero
    /// waits for nobody in a handler (for other threads to end, up to 0.1 s).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().drain_timeout(std::time::Duration::from_secs(1));
    /// ```
    #[doc(alias = "daemon_threads")]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
        self
    }

    /// Python's name for [`drain_timeout`](Self::drain_timeout), which there
    /// has no limit.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().block_on_close(std::time::Duration::from_secs(1));
    /// ```
    pub fn block_on_close(self, timeout: Duration) -> Self {
        self.drain_timeout(timeout)
    }

    /// What worker threads are called; each adds its number where the system
    /// shows it. Defaults to `socketserver`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().thread_name("echo");
    /// ```
    #[doc(alias = "pthread_setname_np")]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.settings.thread_name = name.into();
        self
    }

    /// The stack of each worker thread, in bytes. Defaults to `std`'s 2 MiB.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().stack_size(256 << 10);
    /// ```
    #[doc(alias = "pthread_attr_setstacksize")]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// Looks at each datagram before a handler does; `false` refuses it, which
    /// is counted. Runs on the workers, like handlers. Defaults to accepting all.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().verify_request(|bytes, _addr| bytes.len() > 3);
    /// ```
    pub fn verify_request(
        mut self,
        hook: impl Fn(&[u8], SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.hooks.verify_request =
            Some(Box::new(move |datagram, peer| hook(datagram.bytes, peer)));
        self
    }

    /// Learns of each handler that failed or panicked, on the worker's thread.
    /// Defaults to a log line at `error`, at most ten per second; without a
    /// logger, on standard error ([`stderr_errors`](Self::stderr_errors)).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().handle_error(|failure| eprintln!("{failure}"));
    /// ```
    pub fn handle_error(mut self, hook: impl Fn(&HandlerFailure) + Send + Sync + 'static) -> Self {
        self.hooks.handle_error = Some(Box::new(hook));
        self
    }

    /// Is called every [`poll_interval`](Self::poll_interval) while serving, with
    /// the server's handle, on a thread of its own: it delays nobody. What it
    /// misses by taking longer is left out. A shutdown waits for it to return, at
    /// most for [`drain_timeout`](Self::drain_timeout), and leaves it behind then.
    /// Defaults to nothing; then there is no such thread, and an idle server never
    /// wakes up. Serving fails with [`ServeError::StartService`](crate::ServeError::StartService) if there is no thread
    /// for it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder()
    ///     .service_actions(|server| println!("{} received", server.stats().received));
    /// ```
    pub fn service_actions(mut self, hook: impl Fn(&ServerHandle) + Send + Sync + 'static) -> Self {
        self.hooks.service_actions = Some(Arc::new(hook));
        self
    }

    /// Is called when `handle_request` has waited in vain. Defaults to nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().handle_timeout(|| println!("nobody there"));
    /// ```
    pub fn handle_timeout(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.handle_timeout = Some(Box::new(hook));
        self
    }

    /// Binds the first of the addresses that can be bound, for handlers that
    /// `factory` makes, or for one function in [`from_fn`](crate::from_fn). No
    /// thread is started yet.
    ///
    /// (A closure whose arguments "need type annotations", E0282, is one that wants
    /// `from_fn` around it.)
    ///
    /// # Errors
    /// [`BindError::Resolve`], [`BindError::NoAddress`], [`BindError::Bind`], and
    /// [`BindError::Config`] for options that make no sense.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::from_fn;
    ///
    /// let echo = from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUdpServer::builder().workers(2).bind("127.0.0.1:0", echo)?;
    ///
    /// let nonsense = ThreadingUdpServer::builder().bind("localhost", echo);
    /// let problem = r#"cannot resolve "localhost": expected HOST:PORT"#;
    /// assert_eq!(nonsense.unwrap_err().to_string(), problem);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("RequestHandlerClass", "server_bind", "server_activate"))]
    pub fn bind<A, F, Kind>(self, addr: A, factory: F) -> Result<S, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        self.settings.check()?;
        let addresses = self.settings.resolve(addr)?;
        self.open(SocketSource::Addresses(addresses), factory.into_factory())
    }

    /// As [`bind`](Self::bind) with one closure in [`from_fn`](crate::from_fn).
    ///
    /// # Errors
    /// As `bind`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::builder()
    ///     .workers(2)
    ///     .bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn bind_fn<A, F>(self, addr: A, f: F) -> Result<S, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.bind(addr, f)
    }

    /// Serves on a socket that is bound already. Its options stay as they are,
    /// but for buffer sizes, what concerns multicast and broadcast and how all that is
    /// sent leaves if they were set here, and what tells the server where and when a datagram was
    /// received.
    ///
    /// # Errors
    /// [`BindError::TakeOver`] if it cannot be served: if it is not a UDP socket of
    /// IPv4 or IPv6, not bound, or connected. [`BindError::Config`] as for `bind`
    /// and for options that a bound socket cannot follow any more.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::from_fn;
    /// use std::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// let echo = from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUdpServer::builder().from_socket(socket, echo)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "bind_and_activate")]
    pub fn from_socket<F, Kind>(self, socket: UdpSocket, factory: F) -> Result<S, BindError>
    where
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        self.settings.check()?;
        self.open(SocketSource::Given(socket), factory.into_factory())
    }

    pub(crate) fn set_workers(&mut self, workers: RangeInclusive<usize>) {
        self.settings.workers = workers;
    }

    /// Sets the most workers, and the least by the number of processors.
    pub(crate) fn set_most_workers(&mut self, most: usize) {
        self.settings.workers = at_most(most);
    }

    /// Opens a server whose settings were checked.
    pub(super) fn open(mut self, source: SocketSource, factory: Factory) -> Result<S, BindError> {
        self.set_order_of(&factory)?;
        let lifetime = self.settings.lifetime(S::LIFETIME);
        Core::open(source, self.settings, self.hooks, factory, lifetime).map(S::from_core)
    }
}
