//! What is left to hold while a server serves, and what it leaves behind.
//!
//! | room | what it holds |
//! |---|---|
//! | `in_handler` | the handle of the server that a handler serves for |
//! | `sends` | what the server sends of its own accord |
//! | `timers` | what is due once, after a while |

mod in_handler;
mod sends;
mod timers;

pub use timers::Timer;

mod guards;

use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use super::admission::Guards;
use super::memberships::{self, Memberships};
use crate::engine::{Closing, DoorId, Engine};
use crate::error::{ChangeError, ServeError};
use crate::guard::ValidatedPeers;
use crate::logging::Unlogged;
use crate::socket_handle::Address;
use crate::stats::{SideCounts, Stats};
use crate::sys::{Interface, LocalName};

/// Watches and stops a server from any thread, sends from its port, sets timers.
///
/// There is one from `bind` on: [`handle`](crate::ThreadingUdpServer::handle) of
/// either server, and [`SocketHandle::server`](crate::SocketHandle::server) in a
/// handler.
///
/// All clones are about the same server. A handle keeps neither the server
/// alive nor its port: once that is closed, the last stats remain.
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// let handle = server.handle();
/// std::thread::spawn(move || handle.shutdown());
/// server.serve_forever()?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerHandle<A = SocketAddr> {
    engine: Arc<Engine>,
    pub(super) reach: Reach,
    /// The door of the socket that sends leave by, if its family can.
    near: DoorId,
    address: PhantomData<fn() -> A>,
}

/// What a handle reaches besides the engine.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) counts: Arc<SideCounts>,
    /// Gone with the server, as the guards are: they may have a lot of memory.
    pub(crate) proofs: Weak<ValidatedPeers>,
    pub(crate) guards: Weak<Guards>,
    pub(crate) memberships: Arc<Memberships>,
}

#[cfg(feature = "testing")]
impl Reach {
    /// Of a test bench, in the form in which handlers have it.
    pub(crate) fn on_bench(
        engine: &Engine,
        proofs: &Arc<ValidatedPeers>,
    ) -> Arc<dyn std::any::Any + Send + Sync> {
        let memberships = Memberships::new(Arc::clone(engine.socket()), &[], false);
        let reach = Self {
            counts: Arc::new(SideCounts::new(Unlogged::default())),
            proofs: Arc::downgrade(proofs),
            guards: Weak::new(),
            memberships: Arc::new(memberships.expect("there is nothing to join")),
        };
        Arc::new(std::sync::OnceLock::from(reach))
    }
}

impl<A> ServerHandle<A> {
    /// Where its errors go without a logger.
    pub(super) fn unlogged(&self) -> Unlogged {
        self.reach.counts.unlogged()
    }

    /// Runs users' code; a panic is counted and logged. Whether it returned.
    pub(crate) fn contain(&self, name: &str, code: impl FnOnce()) -> bool {
        self.reach.counts.contain(name, code)
    }

    /// What the server's threads are called.
    pub(crate) fn thread_name(&self) -> &str {
        self.engine.thread_name()
    }

    /// What the server is bound to, for the log.
    pub(super) fn name(&self) -> LocalName<'_> {
        self.engine.socket().name()
    }

    /// There was no thread to serve on.
    pub(super) fn not_started(&self, cause: io::Error) -> ServeError {
        let sockets = self.engine.socket();
        let addr = sockets.local_addr();
        sockets.explain(ServeError::StartServer { addr, cause })
    }

    /// Tells the server to stop: nothing more is received, what was received is
    /// handled and answered, then it closes.
    ///
    /// Never blocks. May be called from a handler, before serving (then serving
    /// returns at once), after it, and any number of times.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// server.handle().shutdown();
    /// let report = server.serve_forever()?;
    /// assert_eq!(report.stats.received, 0);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "server_close")]
    pub fn shutdown(&self) {
        self.engine.stop();
    }
}

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> ServerHandle<A> {
    pub(super) fn new(engine: Arc<Engine>, reach: Reach) -> Self {
        Self {
            engine,
            reach,
            near: 0,
            address: PhantomData,
        }
    }

    /// Whether the server was told to stop, by anyone or by an error of its socket;
    /// stays true once it is closed. For handlers that live long: who looks at it
    /// now and then is not left behind at the end of `drain_timeout`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// # use std::time::Duration;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, socket| {
    ///     let server = socket.server();
    ///     while !server.is_shutting_down() {
    ///         socket.reply(b"still here")?;
    ///         std::thread::sleep(Duration::from_secs(1));
    ///     }
    ///     Ok(socket.reply(b"goodbye")?)
    /// })?;
    /// assert!(!server.handle().is_shutting_down());
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn is_shutting_down(&self) -> bool {
        self.engine.was_told_to_stop()
    }

    /// What the server has done so far.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// println!("{}", server.handle().stats());
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let mut stats = self.engine.stats();
        self.reach.counts.complete(&mut stats);
        stats
    }

    /// The address that the server is bound to, with the port really bound.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// assert_ne!(server.handle().local_addr().port(), 0);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("server_address", "getsockname"))]
    pub fn local_addr(&self) -> A {
        A::local(self.engine.socket(), 0, None)
    }

    /// Workers that are handling datagrams: for a
    /// [`ForkingStyleUdpServer`](crate::ForkingStyleUdpServer), its children.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ForkingStyleUdpServer;
    /// let server = ForkingStyleUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// assert_eq!(server.handle().active_children(), 0);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("collect_children", "_threads"))]
    pub fn active_children(&self) -> usize {
        self.engine.busy_workers()
    }
}

impl ServerHandle {
    /// All addresses that the server is bound to, in the order in which
    /// [`bind_all`](crate::Builder::bind_all) was given them, with the port really
    /// bound. The first is [`local_addr`](Self::local_addr).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// let handle = server.handle();
    /// assert_eq!(handle.local_addrs(), [handle.local_addr()]);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.engine.socket().local_addrs()
    }

    /// Joins a multicast group, as
    /// [`Builder::join_multicast`](crate::Builder::join_multicast) does at `bind`.
    ///
    /// # Errors
    /// As there, and [`ChangeError::Closed`] once the server is closed.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    /// use std::net::Ipv4Addr;
    ///
    /// let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", |_, _, _| Ok(()))?.spawn();
    /// let here = Interface::Address(Ipv4Addr::LOCALHOST);
    /// server.join_multicast([239, 255, 70, 85].into(), here.clone())?;
    /// server.leave_multicast([239, 255, 70, 85].into(), here)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("IP_ADD_MEMBERSHIP", "IPV6_JOIN_GROUP"))]
    pub fn join_multicast(&self, group: IpAddr, interface: Interface) -> Result<(), ChangeError> {
        self.reach
            .memberships
            .join(&memberships::whole(group, interface))
    }

    /// Joins what one source sends to a multicast group, as
    /// [`Builder::join_multicast_from`](crate::Builder::join_multicast_from) does at
    /// `bind`.
    ///
    /// # Errors
    /// As there, and [`ChangeError::Closed`] once the server is closed.
    ///
    /// # Examples
    /// ```no_run
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    ///
    /// let server = ThreadingUdpServer::bind_fn("0.0.0.0:5000", |_, _, _| Ok(()))?.spawn();
    /// let (group, source) = ([232, 1, 2, 3].into(), [192, 0, 2, 1].into());
    /// server.join_multicast_from(group, source, Interface::Any)?;
    /// server.leave_multicast_from(group, source, Interface::Any)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn join_multicast_from(
        &self,
        group: IpAddr,
        source: IpAddr,
        interface: Interface,
    ) -> Result<(), ChangeError> {
        let membership = memberships::from(group, source, interface);
        self.reach.memberships.join(&membership)
    }

    /// Leaves what one source sends to a multicast group, and was joined so on that
    /// interface.
    ///
    /// # Errors
    /// As [`leave_multicast`](Self::leave_multicast).
    ///
    /// # Examples
    /// As for [`join_multicast_from`](Self::join_multicast_from).
    pub fn leave_multicast_from(
        &self,
        group: IpAddr,
        source: IpAddr,
        interface: Interface,
    ) -> Result<(), ChangeError> {
        let membership = memberships::from(group, source, interface);
        self.reach.memberships.leave(&membership)
    }

    /// Leaves a multicast group that was joined on that interface, at `bind` or later.
    ///
    /// # Errors
    /// [`ChangeError::Membership`] when it was not joined there, [`ChangeError::Config`]
    /// for what is no group or no interface, [`ChangeError::Closed`] once the server is closed.
    ///
    /// # Examples
    /// As for [`join_multicast`](Self::join_multicast).
    #[doc(alias("IP_DROP_MEMBERSHIP", "IPV6_LEAVE_GROUP", "IPV6_DROP_MEMBERSHIP"))]
    pub fn leave_multicast(&self, group: IpAddr, interface: Interface) -> Result<(), ChangeError> {
        self.reach
            .memberships
            .leave(&memberships::whole(group, interface))
    }
}

/// How a server ended.
///
/// # Examples
/// ```
/// # use socketserver::ThreadingUdpServer;
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// let report = server.spawn().stop()?;
/// assert_eq!(report.abandoned, 0);
/// println!("{}", report.stats);
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The last stats.
    pub stats: Stats,
    /// Datagrams received but not finished within `drain_timeout`. The same
    /// number stands in the stats.
    pub abandoned: u64,
    /// Threads left behind in handlers that had not returned by then. They end
    /// when these do.
    pub abandoned_threads: usize,
    /// Memory that datagrams not yet read held in the kernel when the socket
    /// was closed, in bytes, the kernel's overhead included (some 830 bytes for
    /// a small datagram on Linux). They are gone. `None` where that is not known.
    #[doc(alias = "FIONREAD")]
    pub unread_bytes: Option<u64>,
}

impl ShutdownReport {
    pub(super) fn new(closing: Closing, counts: &SideCounts) -> Self {
        let mut stats = closing.stats;
        counts.complete(&mut stats);
        Self {
            abandoned: stats.abandoned,
            stats,
            abandoned_threads: closing.abandoned_threads,
            unread_bytes: closing.unread_bytes,
        }
    }
}

/// How a call of `handle_request` ended.
///
/// # Examples
/// ```
/// use socketserver::{RequestOutcome, ThreadingUdpServer};
/// use std::time::Duration;
///
/// let mut server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// # server.shutdown();
/// loop {
///     match server.handle_request(Some(Duration::from_secs(1)))? {
///         RequestOutcome::Handled => println!("one more"),
///         RequestOutcome::TimedOut => println!("nobody for a second"),
///         RequestOutcome::ShutDown => break,
///     }
/// }
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// A datagram was dealt with, also if it was refused, failed or panicked.
    Handled,
    /// None came in time; the `handle_timeout` hook was called.
    TimedOut,
    /// The server was told to shut down, now or before: no call will handle anything any more.
    ShutDown,
}

impl RequestOutcome {
    /// Whether a datagram was dealt with.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let mut server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// # server.shutdown();
    /// while server.handle_request(None)?.is_handled() {
    ///     println!("one more");
    /// }
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn is_handled(self) -> bool {
        self == Self::Handled
    }
}
