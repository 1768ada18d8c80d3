//! What is known of the datagram at hand.

use super::{DetachedHandle, SocketHandle};
use crate::metadata::DatagramMeta;

impl SocketHandle {
    /// What else is known of the datagram at hand: where it was sent to and by which
    /// interface it came, and what was asked for in the [`Builder`](crate::Builder).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// // As neighbours do (RFC 5082): what has passed a router is not for us.
    /// let server = ThreadingUdpServer::builder()
    ///     .receive_hop_limit(true)
    ///     .bind_fn("0.0.0.0:0", |bytes, _, socket| match socket.meta().hop_limit() {
    ///         Some(255) => Ok(socket.reply(bytes)?),
    ///         far => Err(format!("hop limit {far:?}").into()),
    ///     });
    /// ```
    pub fn meta(&self) -> DatagramMeta {
        DatagramMeta::of(&self.current.get().meta)
    }
}

impl DetachedHandle {
    /// What else is known of the peer's datagram, as
    /// [`SocketHandle::meta`] says it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DetachedHandle;
    /// fn is_too_late(handle: &DetachedHandle) -> bool {
    ///     handle.meta().age().is_some_and(|age| age.as_secs() > 2)
    /// }
    /// ```
    pub fn meta(&self) -> DatagramMeta {
        DatagramMeta::of(&self.current.meta)
    }
}
