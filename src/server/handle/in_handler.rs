//! The way from a handler to its server.

use std::sync::{Arc, OnceLock};

use super::{Reach, ServerHandle};
use crate::socket_handle::{Address, SocketHandle};

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> SocketHandle<A> {
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
    pub fn server(&self) -> ServerHandle<A> {
        let own = self.in_server();
        let reach = own.reach.downcast_ref::<OnceLock<Reach>>();
        let reach = reach.and_then(OnceLock::get);
        let reach = reach.expect("made before the first handler is called");
        ServerHandle::new(Arc::clone(&own.engine), reach.clone())
    }
}
