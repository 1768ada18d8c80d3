//! What the server sends of its own accord.

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::time::Instant;

use super::ServerHandle;
use crate::engine::{SentToAll, Way};
use crate::error::{ChangeError, ConfigError, SendError};
use crate::socket_handle::Address;

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> ServerHandle<A> {
    /// Sends one datagram from the server's port to anyone, who need not have
    /// written before: from any thread, from `bind` until the server is closed, and
    /// also in between, while it drains. It has left when this returns, so what one
    /// thread sends goes out in order; with what handlers send there is none.
    ///
    /// On a server bound to a wildcard it leaves from the address that the route
    /// gives it; on one that is bound to several addresses, from the first of the peer's
    /// family, unless the handle was told another ([`from`](ServerHandle::from)).
    /// Waits up to 50 ms for room in the send buffer. Counted in
    /// [`Stats::replies`](crate::Stats::replies).
    ///
    /// # Errors
    /// [`SendError::Closed`] once the server is closed, [`SendError::TooLong`],
    /// [`SendError::AddressFamily`], [`SendError::PortZero`], [`SendError::UnspecifiedAddress`],
    /// [`SendError::BroadcastNotAllowed`], [`SendError::Withheld`] where an
    /// [`AmplificationLimit`](crate::AmplificationLimit) is set and the address is
    /// not [validated](Self::mark_validated), and [`SendError::Refused`] for what the
    /// operating system refuses.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// # let neighbour = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    /// # let neighbour = neighbour.local_addr().unwrap();
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// server.handle().send_to(b"I am up", neighbour)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn send_to(&self, bytes: &[u8], to: A) -> Result<(), SendError> {
        A::send_unsolicited(self.engine.unsolicited(), bytes, to, self.near)
    }
}

impl ServerHandle {
    /// A handle whose sends leave from this address, one of
    /// [`local_addrs`](Self::local_addrs), where the peer's family is the same: for servers
    /// on several addresses, whose clients hear only the one that they have written to.
    ///
    /// # Errors
    /// [`ChangeError::Config`] for an address that the server is not bound to.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// # let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    /// let server = ThreadingUdpServer::builder()
    ///     .bind_all_fn(["127.0.0.1:0", "127.0.0.2:0"], |_, _, _| Ok(()))?;
    /// let second = server.local_addrs()[1];
    /// # client.connect(second).unwrap();
    /// # let player = client.local_addr().unwrap();
    /// server.handle().from(second)?.send_to(b"news", player)?;
    /// # assert_eq!(client.recv(&mut [0; 8]).unwrap(), 4);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn from(&self, addr: SocketAddr) -> Result<Self, ChangeError> {
        let Some(near) = self.engine.socket().door_at(addr) else {
            let problem = format!("the server is not bound to {addr}");
            return Err(ConfigError::new("from", problem).into());
        };
        Ok(Self {
            near,
            ..self.clone()
        })
    }

    /// Sends one datagram to each of many peers, as [`send_to`](Self::send_to) does
    /// to one, in few system calls: on Linux one for 64 of them. Peers are sent to in
    /// their order, and one that fails costs the others nothing.
    ///
    /// Takes addresses and references to them. The iterator runs on the calling
    /// thread, while no lock is held. Waits up to 50 ms for room in the send buffer,
    /// for each 64 peers, or fewer if the datagram is longer than 2 KiB; what finds
    /// none is among the failures.
    ///
    /// # Errors
    /// [`SendError::Closed`] once the server is closed: then the peers that are left get
    /// none. All other errors are in [`SentToAll::failures`].
    ///
    /// # Examples
    /// ```
    /// use socketserver::ThreadingUdpServer;
    /// use std::collections::HashSet;
    /// use std::net::SocketAddr;
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// let players = Arc::new(Mutex::new(HashSet::<SocketAddr>::new()));
    /// let joining = Arc::clone(&players);
    /// let server = ThreadingUdpServer::builder()
    ///     .poll_interval(Duration::from_millis(50))
    ///     .service_actions(move |server| {
    ///         let players = players.lock().unwrap().clone();
    ///         match server.send_to_all(b"tick", &players) {
    ///             Ok(told) => log::debug!("{} of {} told", told.sent, players.len()),
    ///             Err(error) => log::debug!("{error}"),
    ///         }
    ///     })
    ///     .bind_fn("127.0.0.1:0", move |_, addr, _| {
    ///         joining.lock().unwrap().insert(addr);
    ///         Ok(())
    ///     })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn send_to_all<P>(&self, bytes: &[u8], peers: P) -> Result<SentToAll, SendError>
    where
        P: IntoIterator,
        P::Item: Borrow<SocketAddr>,
    {
        let near = self.near;
        let way = |peer: P::Item| Way::by(*peer.borrow(), near);
        let mut ways = peers.into_iter().map(way);
        self.send_by_ways(bytes, &mut ways)
    }

    /// The same, each by its way.
    pub(crate) fn send_by_ways(
        &self,
        bytes: &[u8],
        ways: &mut dyn Iterator<Item = Way>,
    ) -> Result<SentToAll, SendError> {
        self.engine.unsolicited().send_to_all(bytes, ways)
    }

    /// Takes an address for validated, as
    /// [`DetachedHandle::mark_validated`](crate::DetachedHandle::mark_validated)
    /// does: an [`AmplificationLimit`](crate::AmplificationLimit) then lets the
    /// server speak first to a peer that is known by other means. (For whole
    /// networks there is [`trust`](crate::AmplificationLimit::trust).)
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{AmplificationLimit, ThreadingUdpServer};
    /// # let neighbour = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    /// # let neighbour = neighbour.local_addr().unwrap();
    /// let server = ThreadingUdpServer::builder()
    ///     .amplification_limit(AmplificationLimit::new())
    ///     .bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
    /// let handle = server.handle();
    /// assert!(handle.send_to(b"who is there?", neighbour).is_err(), "withheld");
    /// handle.mark_validated(neighbour);
    /// handle.send_to(b"it is me", neighbour)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn mark_validated(&self, addr: SocketAddr) {
        if let Some(proofs) = self.reach.proofs.upgrade() {
            proofs.mark_validated(addr, Instant::now());
        }
    }
}
