//! Finding out whether a peer receives at the address it writes from.

use std::net::SocketAddr;
use std::time::Instant;

use super::{DetachedHandle, SocketHandle};
use crate::guard::Token;

impl SocketHandle {
    /// A token for the sender of the datagram at hand: whoever sends it back
    /// receives at that address, and has not forged it.
    ///
    /// It depends on the address, the port and the time, and on a secret that
    /// the server draws when it is bound. Nothing is stored for it. It is good
    /// for one to two minutes.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     if socket.is_validated() || socket.validate(bytes) {
    ///         socket.reply(b"all that you wanted to know")?;
    ///     } else {
    ///         socket.reply(socket.token().as_ref())?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn token(&self) -> Token {
        self.server
            .proofs
            .token(self.current.get().peer, Instant::now())
    }

    /// Whether `bytes` are a token that was made for the sender of the datagram
    /// at hand within the last minute or two; if so, that address
    /// [is validated](Self::is_validated) from now on.
    ///
    /// Takes the bytes of a [`Token`], its short form, and its 32 hexadecimal
    /// digits. Any other bytes are no token, and no error.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     assert!(socket.validate(socket.token().as_ref()));
    ///     assert!(!socket.validate(b"open sesame"));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn validate(&self, bytes: &[u8]) -> bool {
        let peer = self.current.get().peer;
        self.server.proofs.validate(peer, bytes, Instant::now())
    }

    /// Whether the sender of the datagram at hand has proved its address with
    /// [`validate`](Self::validate), and not too long ago:
    /// [`AmplificationLimit::validity`](crate::AmplificationLimit::validity).
    ///
    /// Without an [`AmplificationLimit`](crate::AmplificationLimit) it is the
    /// same, for an hour, with the last 65,536 addresses; only, nothing is
    /// withheld from the others.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, socket| {
    ///     let answer: &[u8] = match socket.is_validated() {
    ///         true => &[b'x'; 1_000],
    ///         false => b"who are you?",
    ///     };
    ///     Ok(socket.reply(answer)?)
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn is_validated(&self) -> bool {
        let peer = self.current.get().peer;
        self.server.proofs.is_validated(peer, Instant::now())
    }
}

impl DetachedHandle {
    /// Takes an address for validated, without a token: for whoever knows by
    /// other means that it is not forged, from a handshake of its own or from a
    /// person. Does nothing once the server is closed, nor where
    /// [`validate`](SocketHandle::validate) would have no memory to remember it in.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, SendError};
    /// fn after_a_handshake(handle: &DetachedHandle, answer: &[u8]) -> Result<(), SendError> {
    ///     handle.mark_validated(handle.peer_addr());
    ///     handle.reply(answer)
    /// }
    /// ```
    pub fn mark_validated(&self, addr: SocketAddr) {
        if let Some(proofs) = self.proofs.upgrade() {
            proofs.mark_validated(addr, Instant::now());
        }
    }
}
