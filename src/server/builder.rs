//! The options.
//!
//! | room | what it holds |
//! |---|---|
//! | `binding` | where options end: UDP sockets to bind or to take over |
//! | `workers` | the threads of servers that have threads |
//! | `flow` | how datagrams pass through: batches, freshness, sockets |
//! | `order` | what is handled one after another |
//! | `sockets` | what the server's sockets are, beside their addresses; several of them |
//! | `multicast` | groups and broadcasts |
//! | `guards` | what stands between a hostile network and the handlers |
//! | `sources` | sources that are refused unless they are allowed by name |
//! | `isolation` | processes in place of threads |
//! | `telling` | where is told what goes wrong |
//! | `details` | what the kernel tells of each datagram |
//! | `sending` | how all that is sent leaves |

mod binding;
mod details;
mod flow;
mod guards;
mod isolation;
mod multicast;
mod order;
mod sending;
mod sockets;
mod sources;
mod telling;
mod workers;

pub(crate) use workers::Threading;
pub use workers::Workers;

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::dispatch::Lifetime;
use super::handle::ServerHandle;
use super::hooks::{HandlerFailure, Hooks};
use super::opening::Opened;
use super::settings::{OnTruncated, PacketSizes, Settings, at_most};
use crate::error::BindError;
use crate::handler::Factory;
use crate::socket_handle::Address;

/// What tells one server from the other, with peers of one kind of address. Only the
/// servers of this crate have a style.
pub(crate) trait Style<A = SocketAddr>: Sized {
    const LIFETIME: Lifetime;
    const MAX_WORKERS: usize;
    /// The option that sets how many work at the same time.
    const WORKERS_KNOB: &'static str;
    /// How long the datagrams may be that it serves.
    const PACKET_SIZES: PacketSizes = PacketSizes::UDP;
    fn from_core(core: Core<A>) -> Self;
}

/// Sets a server up: made by `builder()` of a server, ended by
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
pub struct Builder<S, A = SocketAddr> {
    pub(crate) settings: Settings,
    hooks: Hooks<A>,
    server: PhantomData<fn() -> S>,
}

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style<A>, A: Address> Builder<S, A> {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings::new(S::MAX_WORKERS, S::WORKERS_KNOB, S::PACKET_SIZES),
            hooks: Hooks::default(),
            server: PhantomData,
        }
    }

    /// The most bytes a datagram may have. Longer ones are truncated by the
    /// kernel and treated as [`on_truncated`](Self::on_truncated) says. From 1
    /// to 65,535. Defaults to 65,535: no datagram is longer. On a Unix socket, where the
    /// sender's send buffer is the limit, up to 16 MiB, and 212,992 by default.
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
    /// to 4 MiB; a socket that is handed in keeps its own unless this is set. So does a
    /// Unix socket, of which Linux takes no heed of it.
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
    /// [`SendFailures::no_room`](crate::SendFailures::no_room). A process with
    /// `CAP_NET_ADMIN` gets it whatever the system's limit is (`SO_SNDBUFFORCE`), any
    /// other up to that limit. Less granted is logged at `warn`, once, and of the
    /// default at `debug` on loopback and elsewhere than on Linux. Defaults to 4 MiB;
    /// a socket that is handed in keeps its own unless this is set.
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
        hook: impl Fn(&[u8], A) -> bool + Send + Sync + 'static,
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
    pub fn handle_error(
        mut self,
        hook: impl Fn(&HandlerFailure<A>) + Send + Sync + 'static,
    ) -> Self {
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
    pub fn service_actions(
        mut self,
        hook: impl Fn(&ServerHandle<A>) + Send + Sync + 'static,
    ) -> Self {
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

    pub(crate) fn set_workers(&mut self, workers: RangeInclusive<usize>) {
        self.settings.workers = workers;
    }

    /// Sets the most workers, and the least by the number of processors.
    pub(crate) fn set_most_workers(&mut self, most: usize) {
        self.settings.workers = at_most(most);
    }

    /// A server on sockets that were opened for it.
    pub(crate) fn on(self, opened: Opened, factory: Factory<A>) -> Result<S, BindError> {
        let lifetime = self.settings.lifetime(S::LIFETIME);
        Core::open(opened, self.settings, self.hooks, factory, lifetime).map(S::from_core)
    }
}
