//! What is known of peers with a session, outside and inside of it.

use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::keeper::Keeper;
use super::table::Id;
use crate::engine::{SentToAll, Way};
use crate::error::SendError;
use crate::server::ServerHandle;
use crate::socket_handle::{DetachedHandle, SocketHandle};

/// A peer that has a session: sends to it, and ends the session, from any thread.
///
/// All clones are of the same peer and session. It keeps neither the session nor the
/// server: once the session is over it still sends, and once the server is closed
/// every send returns [`SendError::Closed`].
///
/// # Examples
/// ```
/// # use socketserver::{HandlerError, Peer, PerPeer, Session, SocketHandle};
/// /// Answers a second later.
/// struct Slow(Peer);
///
/// impl Session for Slow {
///     fn handle(
///         &mut self,
///         bytes: &[u8],
///         _: &Peer,
///         socket: &SocketHandle,
///     ) -> Result<(), HandlerError> {
///         let (peer, answer) = (self.0.clone(), bytes.to_vec());
///         socket.server().after(std::time::Duration::from_secs(1), move |_| {
///             if let Err(error) = peer.send(&answer) {
///                 eprintln!("{}: {error}", peer.addr());
///             }
///         })?;
///         Ok(())
///     }
/// }
///
/// let sessions = PerPeer::new(|peer| Slow(peer.clone()));
/// ```
#[derive(Clone)]
pub struct Peer(Arc<Known>);

struct Known {
    addr: SocketAddr,
    id: Id,
    server: ServerHandle,
    /// How the last datagram came.
    way: Mutex<DetachedHandle>,
    peers: Peers,
}

impl Peer {
    pub(super) fn new(id: Id, socket: &SocketHandle, server: &ServerHandle, peers: &Peers) -> Self {
        let way = socket.detach();
        Self(Arc::new(Known {
            addr: way.peer_addr(),
            id,
            server: server.clone(),
            way: Mutex::new(way),
            peers: peers.clone(),
        }))
    }

    /// From now on, what is sent leaves as answers to the datagram at hand do.
    pub(super) fn follow(&self, socket: &SocketHandle) {
        self.way().follow(socket);
    }

    /// The address of the peer: the one that it writes from.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Peer;
    /// fn name(peer: &Peer) -> String {
    ///     peer.addr().to_string()
    /// }
    /// ```
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// The address of the server that the peer wrote to last, as
    /// [`SocketHandle::local_addr`](crate::SocketHandle::local_addr) says it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Peer;
    /// fn way(peer: &Peer) -> String {
    ///     format!("{} to {}", peer.addr(), peer.local_addr())
    /// }
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.way().local_addr()
    }

    /// Sends one datagram to the peer, from the address that it wrote to last. It is
    /// not batched: what the session has sent before leaves first, and this has left
    /// when it returns. Waits up to 50 ms for room in the send buffer.
    ///
    /// # Errors
    /// As [`DetachedHandle::reply`](crate::DetachedHandle::reply).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{Peer, SendError};
    /// fn greet(peer: &Peer) -> Result<(), SendError> {
    ///     peer.send(b"welcome")
    /// }
    /// ```
    pub fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        // Sending may take a while, and the next datagram need not wait for it.
        let way = self.way().clone();
        way.reply(bytes)
    }

    /// Ends the session, which is told [`EndReason::Requested`](crate::EndReason): here
    /// and now, on the calling thread, or when whoever is in it returns. `false` if
    /// that was asked for before, or it is over.
    ///
    /// The peer's next datagram makes a new session.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{HandlerError, Peer, Session, SocketHandle};
    /// struct Talk;
    ///
    /// impl Session for Talk {
    ///     fn handle(
    ///         &mut self,
    ///         bytes: &[u8],
    ///         peer: &Peer,
    ///         socket: &SocketHandle,
    ///     ) -> Result<(), HandlerError> {
    ///         if bytes == b"bye" {
    ///             peer.end();
    ///         }
    ///         Ok(socket.reply(bytes)?)
    ///     }
    /// }
    /// ```
    pub fn end(&self) -> bool {
        let keeper = self.0.peers.keeper();
        keeper.is_some_and(|keeper| keeper.end_session(self.0.id))
    }

    /// All peers that have a session.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{Peer, SendError};
    /// fn say(peer: &Peer, text: &str) -> Result<(), SendError> {
    ///     let line = format!("{}: {text}", peer.addr());
    ///     peer.peers().send_to_all(line.as_bytes()).map(drop)
    /// }
    /// ```
    pub fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// The server.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Peer;
    /// fn log(peer: &Peer) {
    ///     log::info!("{}: {}", peer.addr(), peer.server().stats());
    /// }
    /// ```
    pub fn server(&self) -> &ServerHandle {
        &self.0.server
    }

    fn way(&self) -> MutexGuard<'_, DetachedHandle> {
        self.0.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_way(&self) -> Way {
        self.way().way()
    }
}

impl Debug for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.0.addr).finish()
    }
}

/// The peers that have a session with a server, for any thread: made by
/// [`PerPeer::peers`](crate::PerPeer::peers), and in a session by [`Peer::peers`].
///
/// All clones are of the same server. There are none before it is bound, and none
/// once it is closed. No lock is held while a caller's code runs.
///
/// # Examples
/// ```
/// # use socketserver::{HandlerError, Peer, PerPeer, Session, SocketHandle, ThreadingUdpServer};
/// # struct Player;
/// # impl Session for Player {
/// #     fn handle(&mut self, _: &[u8], _: &Peer, _: &SocketHandle) -> Result<(), HandlerError> {
/// #         Ok(())
/// #     }
/// # }
/// let sessions = PerPeer::new(|_| Player);
/// let players = sessions.peers();
/// let server = ThreadingUdpServer::bind("127.0.0.1:0", sessions)?.spawn();
/// players.send_to_all(b"the game begins")?;
/// println!("{} players", players.len());
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Peers(Arc<OnceLock<Weak<Keeper>>>);

impl Peers {
    pub(super) fn are_of(&self, keeper: &Arc<Keeper>) {
        // There is one server for each: who makes it takes all that there is of it.
        let _ = self.0.set(Arc::downgrade(keeper));
    }

    /// How many there are.
    ///
    /// # Examples
    /// As for [`Peers`].
    pub fn len(&self) -> usize {
        self.keeper().map_or(0, |keeper| keeper.len())
    }

    /// Whether there are none.
    ///
    /// # Examples
    /// ```
    /// assert!(socketserver::Peers::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The peer at this address, if it has a session.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Peers;
    /// # use std::net::SocketAddr;
    /// fn kick(players: &Peers, addr: SocketAddr) -> bool {
    ///     players.get(addr).is_some_and(|player| player.end())
    /// }
    /// ```
    pub fn get(&self, addr: SocketAddr) -> Option<Peer> {
        self.keeper()?.get(addr)
    }

    /// All of them, in no order. Who comes or goes meanwhile may be among them or not;
    /// none is there twice.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Peers;
    /// fn names(players: &Peers) -> Vec<String> {
    ///     players.iter().map(|player| player.addr().to_string()).collect()
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Peer> + use<> {
        let keeper = self.keeper();
        let (mut from, mut some) = (keeper.is_some().then_some(0), Vec::new());
        std::iter::from_fn(move || {
            while some.is_empty() {
                from = keeper.as_ref()?.peers_from(from?, &mut some);
            }
            some.pop()
        })
    }

    /// Sends one datagram to each of them, from the address that it wrote to last, in
    /// few system calls, as [`ServerHandle::send_to_all`] does.
    ///
    /// # Errors
    /// [`SendError::Closed`] once the server is closed. All other errors are in
    /// [`SentToAll::failures`].
    ///
    /// # Examples
    /// As for [`Peers`].
    pub fn send_to_all(&self, bytes: &[u8]) -> Result<SentToAll, SendError> {
        let Some(server) = self.keeper().and_then(|keeper| keeper.server().cloned()) else {
            return match self.0.get() {
                // It is closed.
                Some(keeper) if keeper.strong_count() == 0 => Err(SendError::Closed),
                _ => Ok(SentToAll::default()),
            };
        };
        server.send_by_ways(bytes, &mut self.iter().map(|peer| peer.last_way()))
    }

    fn keeper(&self) -> Option<Arc<Keeper>> {
        self.0.get()?.upgrade()
    }
}

impl Debug for Peers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("len", &self.len()).finish()
    }
}
