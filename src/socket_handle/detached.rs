//! The owned form of a handle, for one peer.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use super::{Address, Current, SocketHandle};
use crate::engine::{DoorId, Outbox, Way};
use crate::error::SendError;
use crate::guard::ValidatedPeers;

/// Answers one peer later, or from another thread: the owned form of
/// [`SocketHandle`].
///
/// It keeps neither the server nor its port: once the server is closed, every
/// send returns [`SendError::Closed`].
///
/// Sends are not batched: first leaves what the worker that it was made on has
/// batched so far, then the datagram. So it comes after all that the handler has
/// sent before, also once that has returned. Among sends that several threads
/// make at the same time there is no order.
///
/// # Examples
/// ```
/// use socketserver::{DetachedHandle, ThreadingUdpServer};
///
/// let (sender, handles) = std::sync::mpsc::channel::<DetachedHandle>();
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |_, _, socket| {
///     sender.send(socket.detach())?;
///     Ok(())
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DetachedHandle<A = SocketAddr> {
    /// Of the worker that it was made on.
    pub(super) outbox: Arc<Outbox>,
    /// The datagram that it was made for.
    pub(super) current: Current<A>,
    /// Gone with the server: it may have a lot of memory.
    pub(super) proofs: Weak<ValidatedPeers>,
}

impl DetachedHandle {
    /// How what is sent to the peer leaves.
    pub(crate) fn way(&self) -> Way {
        Way {
            to: self.current.peer,
            egress: self.current.answering(self.outbox.socket().defaults()),
            near: self.near(),
        }
    }

    /// Turns to the datagram at hand. Costs little where that came the same way, to
    /// the same worker.
    pub(crate) fn follow(&mut self, socket: &SocketHandle) {
        if !Arc::ptr_eq(&self.outbox, &socket.outbox) {
            self.outbox = Arc::clone(&socket.outbox);
        }
        self.current = socket.current.get();
    }
}

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> DetachedHandle<A> {
    /// The door of the socket that the peer wrote to.
    pub(super) fn near(&self) -> DoorId {
        self.current.meta.socket.into()
    }

    /// The peer that [`reply`](Self::reply) sends to.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DetachedHandle;
    /// fn name(handle: &DetachedHandle) -> String {
    ///     handle.peer_addr().to_string()
    /// }
    /// ```
    pub fn peer_addr(&self) -> A {
        self.current.peer
    }

    /// The local address that the peer's datagram was sent to, as
    /// [`SocketHandle::local_addr`](crate::SocketHandle::local_addr) says it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DetachedHandle;
    /// fn port(handle: &DetachedHandle) -> u16 {
    ///     handle.local_addr().port()
    /// }
    /// ```
    pub fn local_addr(&self) -> A {
        A::local(self.outbox.socket(), self.near(), self.current.meta.local)
    }

    /// Sends one datagram to the peer, from the address that it wrote to. Waits
    /// up to 50 ms for room in the send buffer, and as long for a worker that
    /// does.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, SendError};
    /// fn done(handle: &DetachedHandle) -> Result<(), SendError> {
    ///     handle.reply(b"done")
    /// }
    /// ```
    pub fn reply(&self, bytes: &[u8]) -> Result<(), SendError> {
        A::send_detached(self, bytes, self.current.peer)
    }

    /// Sends one datagram to anyone. Waits like [`reply`](Self::reply). To the peer it
    /// leaves from the address that it wrote to; to others, on a server bound to a
    /// wildcard, from the address that the route gives it.
    ///
    /// # Errors
    /// [`SendError::Closed`] once the server is closed, [`SendError::TooLong`],
    /// [`SendError::AddressFamily`], [`SendError::PortZero`], [`SendError::UnspecifiedAddress`], [`SendError::Withheld`] for
    /// what an [`AmplificationLimit`](crate::AmplificationLimit) forbids, and
    /// [`SendError::Refused`] for what the operating system refuses.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, SendError};
    /// # use std::net::SocketAddr;
    /// fn tell(handle: &DetachedHandle, peers: &[SocketAddr]) -> Result<(), SendError> {
    ///     peers.iter().try_for_each(|peer| handle.send_to(b"news", *peer))
    /// }
    /// ```
    pub fn send_to(&self, bytes: &[u8], to: A) -> Result<(), SendError> {
        A::send_detached(self, bytes, to)
    }
}
