//! The server with one handler instance per datagram.

use std::time::Duration;

use crate::engine::ChildExit;
use crate::handler::HandlerError;
use crate::server::{Builder, Core, Isolation, Lifetime, Style, server_methods};

/// A UDP server that handles each datagram with a fresh handler instance:
/// the programming model of Python's `ForkingUDPServer`.
///
/// For each datagram the factory makes an instance, and `setup`, `handle` and
/// `finish` run in this order; nothing is carried over to the next. At most
/// [`max_children`](Builder::max_children) datagrams are handled at the same
/// time, each on a thread, or with [`isolation(Isolation::Process)`](Builder::isolation)
/// in a process: then a handler may crash, and the server goes on.
///
/// # Examples
/// ```
/// use socketserver::{DatagramHandler, ForkingStyleUdpServer, HandlerError, SocketHandle};
/// use std::net::SocketAddr;
///
/// /// Spoilt by every use, and never used twice.
/// struct Fresh {
///     used: bool,
/// }
///
/// impl DatagramHandler for Fresh {
///     fn handle(
///         &mut self,
///         bytes: &[u8],
///         _addr: SocketAddr,
///         socket: &SocketHandle,
///     ) -> Result<(), HandlerError> {
///         assert!(!std::mem::replace(&mut self.used, true));
///         Ok(socket.reply(bytes)?)
///     }
/// }
///
/// let server = ForkingStyleUdpServer::bind("127.0.0.1:0", || Fresh { used: false })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("ForkingUDPServer", "ForkingMixIn"))]
#[must_use = "it serves with serve_forever, spawn or handle_request, and closes when dropped"]
pub struct ForkingStyleUdpServer {
    core: Core,
}

server_methods!(ForkingStyleUdpServer);

impl Style for ForkingStyleUdpServer {
    const LIFETIME: Lifetime = Lifetime::Datagram;
    const MAX_WORKERS: usize = 40;
    const WORKERS_KNOB: &'static str = "max_children";

    fn from_core(core: Core) -> Self {
        Self { core }
    }
}

impl Builder<ForkingStyleUdpServer> {
    /// The most datagrams handled at the same time. Defaults to 40, as in
    /// Python. At least one thread for each processor is kept, if that is not
    /// more. The others wait in the kernel's receive buffer; receiving never
    /// waits for a child to end.
    ///
    /// With [`Isolation::Process`], so many processes, all of them from the start: as
    /// many handlers can wait at the same time. One takes some 50 KiB of memory of its own,
    /// and what its handlers use. Where handlers only compute, a few more
    /// than there are processors answer more: each datagram wakes one that
    /// has slept, and the longer it has, the less is left in the processor's caches.
    ///
    /// # Examples
    /// ```
    /// use socketserver::ForkingStyleUdpServer;
    ///
    /// let builder = ForkingStyleUdpServer::builder().max_children(8);
    /// ```
    pub fn max_children(mut self, most: usize) -> Self {
        self.set_most_workers(most);
        self
    }

    /// What handlers are isolated from one another by. Defaults to
    /// [`Isolation::Thread`].
    ///
    /// With [`Isolation::Process`], `serve_forever` forks
    /// [`max_children`](Self::max_children) processes before traffic. Each takes one
    /// datagram after the other from the one socket, and what it has not taken waits in
    /// the kernel for the next: so a process that dies costs the datagram that it
    /// handles, and nothing else. The parent handles none; it replaces who has died.
    ///
    /// *When.* For handlers that call code which may crash, leak or hang. It takes some
    /// two to three times the processor time of threads for a datagram, most of it to
    /// wake a process; with few more processes than processors less than twice as much.
    /// Handlers share nothing but what the system lets processes share: an `Arc` is a
    /// copy in each.
    ///
    /// *How it ends.* SIGTERM and SIGINT end the server as
    /// [`shutdown`](crate::ServerHandle::shutdown) does, and are blocked in the parent
    /// until `serve_forever` returns, when masks and handlers are as before. Children finish their datagram
    /// and leave; who has not by the end of `drain_timeout` is killed. When the parent
    /// is killed, its children leave by themselves, within the same time.
    ///
    /// *What is counted.* [`Stats`](crate::Stats) are of all processes together. A
    /// datagram whose process died in its handler is in
    /// [`lost_with_child`](crate::Stats::lost_with_child). (One that is killed from
    /// outside, between the kernel's handing the datagram over and counting it, leaves
    /// that one uncounted; and one that is killed between sending an answer and counting
    /// that leaves it among the lost.)
    ///
    /// *What is different.* Hooks run in the child that handles the datagram;
    /// `service_actions` and timers set before serving in a child of their own, which
    /// handles none. A timer that a handler sets runs in the handler's process, and goes
    /// with it. What is changed by a handle while serving, such as `deny_networks`, changes
    /// the process that changes it. [`defer`](crate::SocketHandle::defer) is refused as if
    /// `max_deferred` were 0.
    ///
    /// # Errors
    /// At `bind`, [`BindError::Config`](crate::BindError::Config) on other systems than
    /// Linux, and for options that need state which all handlers share: `rate_limit`,
    /// `break_reply_loops`, `amplification_limit` without `token_secret`,
    /// `order_per_peer`, `order_by`, `coalesce_receives`, `shards`, several addresses,
    /// `shed_older_than`, `follow_interfaces`.
    ///
    /// [`ServeError::Isolation`](crate::ServeError::Isolation) from `spawn` and
    /// `handle_request`, and from `serve_forever` when the process has other threads:
    /// a process can be forked safely only by one that has none.
    /// [`ServeError::Children`](crate::ServeError::Children) when ten children in a row
    /// have died of their start.
    ///
    /// # Examples
    /// ```no_run
    /// use socketserver::{ForkingStyleUdpServer, Isolation};
    /// use std::time::Duration;
    ///
    /// // Before any thread is started.
    /// let server = ForkingStyleUdpServer::builder()
    ///     .isolation(Isolation::Process)
    ///     .child_timeout(Duration::from_secs(10))
    ///     .bind_fn("127.0.0.1:8080", |bytes, _, socket| match bytes {
    ///         b"crash" => std::process::abort(),
    ///         _ => Ok(socket.reply(bytes)?),
    ///     })?;
    /// let report = server.serve_forever()?;
    /// println!("{} crashed", report.stats.lost_with_child.signalled);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "fork")]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.set_isolation(isolation);
        self
    }

    /// How many datagrams a child process handles before a fresh one takes its place:
    /// what it leaked goes with it. At least 1, which is a fork for each datagram, as in
    /// Python: some 300 µs of processor time. Defaults to no limit.
    ///
    /// # Errors
    /// At `bind`, [`BindError::Config`](crate::BindError::Config) for 0, and without
    /// [`Isolation::Process`].
    ///
    /// # Examples
    /// ```
    /// use socketserver::{ForkingStyleUdpServer, Isolation};
    ///
    /// let builder = ForkingStyleUdpServer::builder()
    ///     .isolation(Isolation::Process)
    ///     .max_requests_per_child(10_000);
    /// ```
    pub fn max_requests_per_child(mut self, most: u64) -> Self {
        self.set_max_requests(most);
        self
    }

    /// How long a child process may be in one handler. One that takes longer is killed
    /// and replaced, and its datagram is counted in
    /// [`LostWithChild::timed_out`](crate::LostWithChild::timed_out); nobody else is
    /// affected. (One that comes to its end in the very moment may be killed just after.)
    /// Defaults to no limit.
    ///
    /// # Errors
    /// At `bind`, [`BindError::Config`](crate::BindError::Config) for zero, and without
    /// [`Isolation::Process`].
    ///
    /// # Examples
    /// ```
    /// use socketserver::{ForkingStyleUdpServer, Isolation};
    /// use std::time::Duration;
    ///
    /// let builder = ForkingStyleUdpServer::builder()
    ///     .isolation(Isolation::Process)
    ///     .child_timeout(Duration::from_secs(30));
    /// ```
    pub fn child_timeout(mut self, timeout: Duration) -> Self {
        self.set_child_timeout(timeout);
        self
    }

    /// Is called in each child process before its first datagram: opens a database,
    /// seeds a generator, sets limits. An error is logged and ends the child, with exit
    /// code 1. Children that die of their start are tried again after pauses from 4 ms to
    /// 1 s, one at a time. Nothing without [`Isolation::Process`]. Defaults to nothing.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{ForkingStyleUdpServer, Isolation};
    ///
    /// let builder = ForkingStyleUdpServer::builder()
    ///     .isolation(Isolation::Process)
    ///     .on_child_start(|| {
    ///         std::fs::create_dir_all(std::env::temp_dir().join("work"))?;
    ///         Ok(())
    ///     });
    /// ```
    pub fn on_child_start(
        mut self,
        hook: impl Fn() -> Result<(), HandlerError> + Send + Sync + 'static,
    ) -> Self {
        self.set_on_child_start(hook);
        self
    }

    /// Is called in the parent for each child process that has ended: nobody is replaced
    /// before it returns, and it must start no thread. Nothing without
    /// [`Isolation::Process`]. Defaults to nothing; a child that did not leave of its own accord
    /// is logged at `warn`, at most ten lines per second, in any case.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{ForkingStyleUdpServer, Isolation};
    ///
    /// let builder = ForkingStyleUdpServer::builder()
    ///     .isolation(Isolation::Process)
    ///     .on_child_exit(|child| eprintln!("{} {}", child.pid, child.end));
    /// ```
    pub fn on_child_exit(mut self, hook: impl Fn(&ChildExit) + Send + Sync + 'static) -> Self {
        self.set_on_child_exit(hook);
        self
    }
}
