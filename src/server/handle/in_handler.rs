//! The way from a handler to its server.

use std::sync::{Arc, Weak};

use super::ServerHandle;
use crate::server::admission::Guards;
use crate::socket_handle::SocketHandle;

impl SocketHandle {
    /// The server that the handler serves for: Python's `self.server`. It may be
    /// kept, and moved to other threads.
    ///
    /// What is sent with it is not in order with what the handler sends itself:
    /// that may still wait in a batch.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     match bytes {
    ///         b"stats" => socket.reply(socket.server().stats().to_string().as_bytes())?,
    ///         b"stop" => socket.server().shutdown(),
    ///         _ => socket.reply(bytes)?,
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn server(&self) -> ServerHandle {
        let own = self.in_server();
        let guards = own.guards.upgrade();
        let guards = guards.and_then(|guards| guards.downcast::<Guards>().ok());
        ServerHandle::new(
            Arc::clone(&own.engine),
            Arc::clone(&own.counts),
            Arc::downgrade(&own.proofs),
            guards.map_or_else(Weak::new, |guards| Arc::downgrade(&guards)),
        )
    }
}
