//! The server with one handler instance per datagram.

use crate::server::{Builder, Core, Lifetime, Style, server_methods};

/// A UDP server that handles each datagram with a fresh handler instance:
/// the programming model of Python's `ForkingUDPServer`.
///
/// For each datagram the factory makes an instance, and `setup`, `handle` and
/// `finish` run in this order; nothing is carried over to the next. At most
/// [`max_children`](Builder::max_children) datagrams are handled at the same
/// time, each on a thread. (Threads isolate less than processes: a handler that
/// aborts takes the server with it.)
///
/// # Examples
/// ```
/// use socketserver::{DatagramHandler, ForkingStyleUdpServer, HandlerError, SocketHandle};
/// use std::net::SocketAddr;
///
/// /// Spoilt by every use, and never used twice.
/// struct Fresh {
///     used: bool,
/// }
///
/// impl DatagramHandler for Fresh {
///     fn handle(
///         &mut self,
///         bytes: &[u8],
///         _addr: SocketAddr,
///         socket: &SocketHandle,
///     ) -> Result<(), HandlerError> {
///         assert!(!std::mem::replace(&mut self.used, true));
///         Ok(socket.reply(bytes)?)
///     }
/// }
///
/// let server = ForkingStyleUdpServer::bind("127.0.0.1:0", || Fresh { used: false })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("ForkingUDPServer", "ForkingMixIn"))]
#[must_use = "it serves with serve_forever, spawn or handle_request, and closes when dropped"]
pub struct ForkingStyleUdpServer {
    core: Core,
}

server_methods!(ForkingStyleUdpServer);

impl Style for ForkingStyleUdpServer {
    const LIFETIME: Lifetime = Lifetime::Datagram;
    const MAX_WORKERS: usize = 40;
    const WORKERS_KNOB: &'static str = "max_children";

    fn from_core(core: Core) -> Self {
        Self { core }
    }
}

impl Builder<ForkingStyleUdpServer> {
    /// The most datagrams handled at the same time. Defaults to 40, as in
    /// Python. At least one thread for each processor is kept, if that is not
    /// more. The others wait in the kernel's receive buffer; receiving never
    /// waits for a child to end.
    ///
    /// # Examples
    /// ```
    /// use socketserver::ForkingStyleUdpServer;
    ///
    /// let builder = ForkingStyleUdpServer::builder().max_children(8);
    /// ```
    pub fn max_children(mut self, most: usize) -> Self {
        self.set_most_workers(most);
        self
    }
}
