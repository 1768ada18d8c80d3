//! Sends that ask the kernel at once, and tell its answer.

use super::{Address, SocketHandle};
use crate::error::SendError;

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> SocketHandle<A> {
    /// Sends one datagram to the sender of the datagram at hand now, without
    /// batching or waiting, from the local address that it was sent to, and tells
    /// the kernel's answer.
    ///
    /// What this handler and those before it on this worker have sent is sent
    /// first, so that nothing overtakes.
    ///
    /// # Errors
    /// [`SendError::Refused`] with the kernel's answer: the kind `WouldBlock` when the
    /// send buffer has no room for it, or for what was to be sent first. What is
    /// known without asking the kernel: [`SendError::TooLong`], [`SendError::Closed`], and
    /// [`SendError::Withheld`] for what an
    /// [`AmplificationLimit`](crate::AmplificationLimit) forbids.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::{AmplificationLimit, SendError};
    ///
    /// let server = ThreadingUdpServer::builder()
    ///     .amplification_limit(AmplificationLimit::new())
    ///     .bind_fn("127.0.0.1:0", |_, _, socket| match socket.try_reply(&[b'x'; 4_000]) {
    ///         Err(SendError::Withheld { .. }) => Ok(socket.reply(b"ask me by TCP")?),
    ///         sent => Ok(sent?),
    ///     })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn try_reply(&self, bytes: &[u8]) -> Result<(), SendError> {
        A::try_reply(self, bytes)
    }

    /// As [`try_reply`](Self::try_reply), to anyone; to the sender of the datagram
    /// at hand from the address that it wrote to, to others from the address that
    /// the route gives it.
    ///
    /// # Errors
    /// As `try_reply`, and [`SendError::AddressFamily`] and [`SendError::PortZero`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// # use std::net::SocketAddr;
    /// let audit: SocketAddr = "127.0.0.1:9999".parse().unwrap();
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |bytes, addr, socket| {
    ///     if let Err(error) = socket.try_send_to(bytes, audit) {
    ///         eprintln!("nobody is told of {addr}: {error}");
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn try_send_to(&self, bytes: &[u8], to: A) -> Result<(), SendError> {
        A::try_send_to(self, bytes, to)
    }
}
