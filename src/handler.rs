//! What a user writes: a handler.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::socket_handle::SocketHandle;

/// Whatever a handler fails with. It reaches the `handle_error` hook.
///
/// # Examples
/// ```
/// fn port(bytes: &[u8]) -> Result<u16, socketserver::HandlerError> {
///     Ok(std::str::from_utf8(bytes)?.trim().parse()?)
/// }
/// assert!(port(b"none").is_err());
/// ```
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Handles datagrams: Python's `BaseRequestHandler`.
///
/// The server makes instances with the factory given to `bind`, on the thread
/// that uses them, when the first datagram for them is there. So an instance
/// need not be `Send`, and may keep what it likes between calls.
///
/// | | [`ThreadingUdpServer`](crate::ThreadingUdpServer) | [`ForkingStyleUdpServer`](crate::ForkingStyleUdpServer) |
/// |---|---|---|
/// | an instance lives | as long as its worker | for one datagram |
/// | `setup` | once, before the first datagram | before the datagram |
/// | `handle` | for each datagram | once |
/// | `finish` | when the worker leaves | after `handle`, also when that failed |
///
/// After a panic, and when `setup` fails, the instance is dropped without
/// `finish`; the next datagram gets a new one.
///
/// A closure `FnMut(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>`
/// is a handler, too. In a factory its argument types must be written out;
/// [`serve`](crate::serve) and `bind_fn` take a closure as it is.
///
/// # Examples
/// ```
/// use socketserver::{DatagramHandler, HandlerError, SocketHandle, ThreadingUdpServer};
/// use std::net::SocketAddr;
///
/// struct Counter {
///     seen: u64,
/// }
///
/// impl DatagramHandler for Counter {
///     fn handle(
///         &mut self,
///         bytes: &[u8],
///         addr: SocketAddr,
///         socket: &SocketHandle,
///     ) -> Result<(), HandlerError> {
///         self.seen += 1;
///         let answer = format!("{addr}: {} bytes, my {}th", bytes.len(), self.seen);
///         Ok(socket.reply(answer.as_bytes())?)
///     }
/// }
///
/// let server = ThreadingUdpServer::bind("127.0.0.1:0", || Counter { seen: 0 })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[doc(alias("BaseRequestHandler", "DatagramRequestHandler"))]
pub trait DatagramHandler {
    /// Prepares a new instance. If it fails, so does the datagram at hand, and
    /// the next one gets a new instance.
    ///
    /// # Errors
    /// Whatever the handler cannot work without.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DatagramHandler, HandlerError, SocketHandle};
    /// # use std::net::SocketAddr;
    /// struct Journal(Option<std::fs::File>);
    ///
    /// impl DatagramHandler for Journal {
    ///     fn setup(&mut self) -> Result<(), HandlerError> {
    ///         self.0 = Some(std::fs::File::create("journal")?);
    ///         Ok(())
    ///     }
    /// #   fn handle(&mut self, _: &[u8], _: SocketAddr, _: &SocketHandle) -> Result<(), HandlerError> {
    /// #       Ok(())
    /// #   }
    /// }
    /// ```
    fn setup(&mut self) -> Result<(), HandlerError> {
        Ok(())
    }

    /// Handles one datagram: exactly what one `send` sent, neither merged nor
    /// split; possibly empty.
    ///
    /// # Errors
    /// Whatever went wrong: it is counted and given to `handle_error`, and
    /// costs this datagram only.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DatagramHandler, HandlerError, SocketHandle};
    /// # use std::net::SocketAddr;
    /// struct Echo;
    ///
    /// impl DatagramHandler for Echo {
    ///     fn handle(
    ///         &mut self,
    ///         bytes: &[u8],
    ///         addr: SocketAddr,
    ///         socket: &SocketHandle,
    ///     ) -> Result<(), HandlerError> {
    ///         log::debug!("{} bytes from {addr}", bytes.len());
    ///         Ok(socket.reply(bytes)?)
    ///     }
    /// }
    /// ```
    #[doc(alias("client_address", "packet", "rfile", "finish_request"))]
    fn handle(
        &mut self,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError>;

    /// Cleans up before the instance is dropped.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DatagramHandler, HandlerError, SocketHandle};
    /// # use std::net::SocketAddr;
    /// struct Counter(u64);
    ///
    /// impl DatagramHandler for Counter {
    /// #   fn handle(&mut self, _: &[u8], _: SocketAddr, _: &SocketHandle) -> Result<(), HandlerError> {
    /// #       Ok(())
    /// #   }
    ///     fn finish(&mut self) {
    ///         log::info!("handled {} datagrams", self.0);
    ///     }
    /// }
    /// ```
    fn finish(&mut self) {}
}

impl<F> DatagramHandler for F
where
    F: FnMut(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>,
{
    fn handle(
        &mut self,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self(bytes, addr, socket)
    }
}

/// Makes handler instances, each on the thread that will use it.
pub(crate) struct Factory {
    make: Box<dyn Fn() -> Box<dyn DatagramHandler> + Send + Sync>,
    /// Whether each instance is as good as any other.
    is_stateless: bool,
}

impl Factory {
    pub(crate) fn make(&self) -> Box<dyn DatagramHandler> {
        (self.make)()
    }

    /// Whether an instance has nothing of its own that is worth keeping.
    pub(crate) fn is_stateless(&self) -> bool {
        self.is_stateless
    }
}

/// Boxes a factory of any handler.
pub(crate) fn boxed<H, F>(factory: F) -> Factory
where
    H: DatagramHandler + 'static,
    F: Fn() -> H + Send + Sync + 'static,
{
    Factory {
        make: Box::new(move || Box::new(factory())),
        is_stateless: false,
    }
}

/// A factory of handlers that all call the one `f`.
pub(crate) fn shared<F>(f: F) -> Factory
where
    F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    let f = Arc::new(f);
    let factory = boxed(move || {
        let f = Arc::clone(&f);
        move |bytes: &[u8], addr: SocketAddr, socket: &SocketHandle| f(bytes, addr, socket)
    });
    Factory {
        is_stateless: true,
        ..factory
    }
}
