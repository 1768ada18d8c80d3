//! State for each peer: sessions.
//!
//! | room | what it holds |
//! |---|---|
//! | `table` | which peers have a session, and whose turn it is: decided on values |
//! | `keeper` | one datagram to its session; how sessions are made and end |
//! | `clock` | what is due without a datagram: ticks, the end of who is idle |
//! | `peers` | what is known of peers, outside and inside of their sessions |

mod clock;
mod keeper;
mod peers;
mod table;

pub use peers::{Peer, Peers};

use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::keeper::{Keeper, Options};
use self::table::Limits;
use crate::handler::{DatagramHandler, Factory, HandlerError, HandlerFactory, Keeping};
use crate::socket_handle::SocketHandle;

/// What a server keeps for one peer: made with its first datagram, given each that
/// follows, in their order.
///
/// A session is in one thread's hands at a time, and moves from one to the other. What
/// several sessions share is shared as ever in Rust: each captures a clone of an `Arc`.
///
/// A panic costs the session: it is dropped without [`end`](Self::end), and its peer's
/// next datagram makes a new one.
///
/// # Examples
/// As for [`PerPeer`].
pub trait Session: Send + 'static {
    /// Handles one datagram of the peer, as
    /// [`DatagramHandler::handle`] does, also the first.
    ///
    /// # Errors
    /// Whatever went wrong: it is counted and given to `handle_error`, and costs this
    /// datagram only. The session goes on.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{HandlerError, Peer, Session, SocketHandle};
    /// struct Counter(u64);
    ///
    /// impl Session for Counter {
    ///     fn handle(
    ///         &mut self,
    ///         _: &[u8],
    ///         _: &Peer,
    ///         socket: &SocketHandle,
    ///     ) -> Result<(), HandlerError> {
    ///         self.0 += 1;
    ///         Ok(socket.reply(format!("your {}th", self.0).as_bytes())?)
    ///     }
    /// }
    /// ```
    fn handle(
        &mut self,
        bytes: &[u8],
        peer: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError>;

    /// Is called every [`tick_every`](PerPeer::tick_every), never while a datagram of
    /// the peer is being handled: then when that is done. `missed` ticks were due before
    /// this one, while the session was busy, and are made up for by this one. A panic is
    /// counted in [`Stats::hook_panics`](crate::Stats::hook_panics). Defaults to nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{HandlerError, Peer, Session, SocketHandle};
    /// struct Ball {
    ///     height: f64,
    /// }
    ///
    /// impl Session for Ball {
    /// #   fn handle(&mut self, _: &[u8], _: &Peer, _: &SocketHandle) -> Result<(), HandlerError> {
    /// #       Ok(())
    /// #   }
    ///     fn tick(&mut self, peer: &Peer, missed: u64) {
    ///         self.height -= 0.1 * (1 + missed) as f64;
    ///         if let Err(error) = peer.send(self.height.to_string().as_bytes()) {
    ///             log::debug!("{}: {error}", peer.addr());
    ///         }
    ///     }
    /// }
    /// ```
    #[expect(unused_variables, reason = "names for the documentation")]
    fn tick(&mut self, peer: &Peer, missed: u64) {}

    /// The session is over, and is dropped when this returns. It may still send, also
    /// at the shutdown. A panic is counted in
    /// [`Stats::hook_panics`](crate::Stats::hook_panics). Defaults to nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{EndReason, HandlerError, Peer, Session, SocketHandle};
    /// struct Member;
    ///
    /// impl Session for Member {
    /// #   fn handle(&mut self, _: &[u8], _: &Peer, _: &SocketHandle) -> Result<(), HandlerError> {
    /// #       Ok(())
    /// #   }
    ///     fn end(&mut self, peer: &Peer, reason: EndReason) {
    ///         log::info!("{} leaves: {reason}", peer.addr());
    ///     }
    /// }
    /// ```
    #[expect(unused_variables, reason = "names for the documentation")]
    fn end(&mut self, peer: &Peer, reason: EndReason) {}
}

/// Why a session is over. [`Display`](std::fmt::Display) says it in words.
///
/// # Examples
/// ```
/// assert_eq!(socketserver::EndReason::Idle.to_string(), "idle for too long");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Nothing came from the peer for [`idle_after`](PerPeer::idle_after).
    Idle,
    /// It made room for another, with [`WhenFull::EvictOldest`].
    Evicted,
    /// [`Peer::end`] was called.
    Requested,
    /// The server shuts down.
    Shutdown,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle for too long",
            Self::Evicted => "made room for another",
            Self::Requested => "as requested",
            Self::Shutdown => "the server shuts down",
        })
    }
}

/// What happens to a new peer while there are [`max_peers`](PerPeer::max_peers).
///
/// # Examples
/// ```
/// # use socketserver::{PerPeer, WhenFull};
/// fn busy(sessions: PerPeer) -> PerPeer {
///     sessions.max_peers(1_000).when_full(WhenFull::EvictOldest)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// Its datagram is refused, counted as
    /// [`Refusal::PeersFull`](crate::Refusal::PeersFull) and logged at `warn`, at a
    /// limited rate: who has a session keeps it. The default.
    #[default]
    Refuse,
    /// The session that was not heard for the longest time ends. It is told and dropped
    /// before the new one is made, on the same worker. While all of them are busy, as
    /// with `Refuse`.
    EvictOldest,
}

/// State for each peer: a factory for `bind` that keeps a [`Session`] for each address
/// that datagrams come from.
///
/// A session is made with its peer's first datagram, and given each that follows, one
/// after another in the order received: with this factory a server has
/// [`order_per_peer`](crate::Builder::order_per_peer), unless it is told another order. It
/// ends when nothing has come from the peer for [`idle_after`](Self::idle_after), when
/// it [is asked to](Peer::end), when it makes [room for another](WhenFull::EvictOldest),
/// and when the server shuts down; each time it is [told](Session::end). At a
/// shutdown that is when all datagrams received have been handled, and it may take as
/// long as is left of [`drain_timeout`](crate::Builder::drain_timeout).
///
/// All of them run [at a tick](Self::tick_every), each can send at any time
/// ([`Peer::send`]), and all can be sent to and ended from elsewhere ([`Peers`]).
///
/// | option | default |
/// |---|---|
/// | [`max_peers`](Self::max_peers), [`when_full`](Self::when_full) | 65,536; refuse |
/// | [`idle_after`](Self::idle_after) | 5 minutes |
/// | [`tick_every`](Self::tick_every) | no ticks |
/// | [`admit`](Self::admit) | everybody |
///
/// # What waits for what
/// A session that blocks, in whatever method, delays its own peer: that one's datagrams
/// wait, in memory as [`order_by`](crate::Builder::order_by) says, and keep at most one
/// worker waiting; its ticks are due until it returns, and then run once. Other
/// sessions' datagrams, ticks and ends go on, their ticks up to 5 ms late once, as long
/// as no more than 64 hang in a tick or at their end. One thread is started with the
/// first session, one when something is due for the first time, others while sessions hang.
///
/// With `order_by`, datagrams come in the order of its keys. A session still handles
/// one at a time, but those of one peer with different keys may come in any order, and
/// while it hangs each of them keeps a worker waiting: such a key should contain the peer.
///
/// Works with both servers. A handler instance for each datagram, as in forking style
/// or with `fresh_instance`, does not mean a session for each.
///
/// # Forged addresses
/// Anybody can write from any address, and each makes a session: up to `max_peers` of
/// them, which refuse or evict the honest ones. [`admit`](Self::admit) says who may have
/// one: peers that [have proved](crate::SocketHandle::is_validated) that they receive at
/// their address, or whose first datagram is in order. With an
/// [`AmplificationLimit`](crate::AmplificationLimit), what sessions send by themselves
/// does not flood others.
///
/// # Examples
/// ```
/// use socketserver::{
///     EndReason, HandlerError, Peer, PerPeer, Session, SocketHandle, ThreadingUdpServer,
/// };
/// use std::time::Duration;
///
/// /// Adds up what one peer sends.
/// #[derive(Default)]
/// struct Sum(u64);
///
/// impl Session for Sum {
///     fn handle(
///         &mut self,
///         bytes: &[u8],
///         _: &Peer,
///         socket: &SocketHandle,
///     ) -> Result<(), HandlerError> {
///         self.0 += std::str::from_utf8(bytes)?.parse::<u64>()?;
///         Ok(socket.reply(self.0.to_string().as_bytes())?)
///     }
///
///     fn end(&mut self, peer: &Peer, reason: EndReason) {
///         log::info!("{}: {} ({reason})", peer.addr(), self.0);
///     }
/// }
///
/// let sums = PerPeer::new(|_| Sum::default()).idle_after(Duration::from_secs(60));
/// let server = ThreadingUdpServer::bind("127.0.0.1:0", sums)?.spawn();
///
/// # use std::net::UdpSocket;
/// let ask = |client: &UdpSocket, number: &[u8]| {
///     client.send_to(number, server.local_addr()).unwrap();
///     let mut reply = [0; 16];
///     let len = client.recv(&mut reply).unwrap();
///     String::from_utf8_lossy(&reply[..len]).into_owned()
/// };
/// let one = UdpSocket::bind("127.0.0.1:0").unwrap();
/// let other = UdpSocket::bind("127.0.0.1:0").unwrap();
/// assert_eq!(ask(&one, b"1"), "1");
/// assert_eq!(ask(&one, b"2"), "3");
/// assert_eq!(ask(&other, b"5"), "5");
/// # Ok::<(), socketserver::Error>(())
/// ```
#[must_use = "it does nothing until it is given to `bind`"]
pub struct PerPeer {
    options: Options,
    peers: Peers,
}

impl PerPeer {
    /// `make` makes the session of a peer, on a worker, before its first datagram is
    /// handled. A panic costs that datagram.
    ///
    /// # Examples
    /// As for [`PerPeer`].
    pub fn new<S: Session>(make: impl Fn(&Peer) -> S + Send + Sync + 'static) -> Self {
        Self {
            options: Options {
                make: Box::new(move |peer| Box::new(make(peer))),
                admit: None,
                limits: Limits {
                    most: DEFAULT_PEERS,
                    when_full: WhenFull::default(),
                    idle_after: DEFAULT_IDLE,
                },
                tick_every: None,
            },
            peers: Peers::default(),
        }
    }

    /// How long nothing may come from a peer until its session ends: within some
    /// milliseconds after that. What is sent to it does not count. Whoever is in use at
    /// that time counts as heard. `Duration::MAX` is for ever. Defaults to 5 minutes:
    /// after that, most NATs have forgotten the peer (RFC 4787, 4.3).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::PerPeer;
    /// fn short(sessions: PerPeer) -> PerPeer {
    ///     sessions.idle_after(std::time::Duration::from_secs(10))
    /// }
    /// ```
    pub fn idle_after(mut self, idle: Duration) -> Self {
        self.options.limits.idle_after = idle;
        self
    }

    /// The most sessions at a time, at least 1. Each takes some 500 bytes beside what it
    /// is itself, which is not given back before the server is closed. Those that are
    /// being ended are not among them. Defaults to 65,536, as many as timers or deferred answers.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::PerPeer;
    /// fn small(sessions: PerPeer) -> PerPeer {
    ///     sessions.max_peers(64)
    /// }
    /// ```
    pub fn max_peers(mut self, most: usize) -> Self {
        self.options.limits.most = most;
        self
    }

    /// What happens to a new peer while there are [`max_peers`](Self::max_peers).
    /// Defaults to [`WhenFull::Refuse`].
    ///
    /// # Examples
    /// As for [`WhenFull`].
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.options.limits.when_full = policy;
        self
    }

    /// Has [`Session::tick`] called for all sessions every so often, at least every
    /// millisecond: by one thread, one session after the other. A session that takes
    /// longer than 5 ms is left to that thread, and another goes on. Who does not come
    /// about before the next tick gets one for both. Defaults to no ticks.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::PerPeer;
    /// fn game(sessions: PerPeer) -> PerPeer {
    ///     sessions.tick_every(std::time::Duration::from_millis(50))
    /// }
    /// ```
    pub fn tick_every(mut self, interval: Duration) -> Self {
        self.options.tick_every = Some(interval);
        self
    }

    /// Looks at each datagram of a peer that has no session; `false` refuses it, counted
    /// as [`Refusal::NotAdmitted`](crate::Refusal::NotAdmitted), and makes none. It may
    /// reply. Runs on the workers, like handlers; a panic is one of the handler.
    /// Defaults to admitting everybody.
    ///
    /// # Examples
    /// Nobody has a session before it has sent back a token, so no forged address does:
    ///
    /// ```
    /// # use socketserver::PerPeer;
    /// fn proved(sessions: PerPeer) -> PerPeer {
    ///     sessions.admit(|bytes, _addr, socket| {
    ///         if socket.validate(bytes) {
    ///             return true;
    ///         }
    ///         if let Err(error) = socket.reply(socket.token().as_ref()) {
    ///             log::debug!("{error}");
    ///         }
    ///         false
    ///     })
    /// }
    /// ```
    pub fn admit(
        mut self,
        hook: impl Fn(&[u8], SocketAddr, &SocketHandle) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.options.admit = Some(Box::new(hook));
        self
    }

    /// The peers that will have a session, for any thread.
    ///
    /// # Examples
    /// As for [`Peers`].
    pub fn peers(&self) -> Peers {
        self.peers.clone()
    }
}

impl Debug for PerPeer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerPeer")
            .field("limits", &self.options.limits)
            .field("tick_every", &self.options.tick_every)
            .finish_non_exhaustive()
    }
}

/// The kind of factories that keep sessions.
#[derive(Debug)]
pub struct Keeps;

impl HandlerFactory<Keeps> for PerPeer {
    fn into_factory(self) -> Factory {
        let keeper = Keeper::new(self.options, &self.peers);
        let keeping = Arc::clone(&keeper) as Arc<dyn Keeping>;
        let make = move || Visitor(Arc::clone(&keeper));
        make.into_factory().keeping(keeping)
    }
}

/// The handler of all datagrams: has nothing of its own.
struct Visitor(Arc<Keeper>);

impl DatagramHandler for Visitor {
    fn handle(
        &mut self,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.0.handle(bytes, addr, socket)
    }
}

const DEFAULT_PEERS: usize = 65_536;
const DEFAULT_IDLE: Duration = Duration::from_secs(300);
