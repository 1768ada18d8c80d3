//! What a user writes: a handler, and how it is handed over.

mod factory;
mod keeping;

pub(crate) use factory::Factory;
pub use factory::{HandlerFactory, from_fn};
pub(crate) use keeping::{Declined, Keeping};

use std::net::SocketAddr;

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
/// | | [`ThreadingUdpServer`](crate::ThreadingUdpServer) | the same with [`fresh_instance(true)`](crate::Builder::fresh_instance), and [`ForkingStyleUdpServer`](crate::ForkingStyleUdpServer) |
/// |---|---|---|
/// | an instance lives | as long as its worker | for one datagram |
/// | `setup` | once, before the first datagram | before the datagram |
/// | `handle` | for each datagram | once |
/// | `finish` | when the worker leaves | after `handle`, also when that failed |
///
/// After a panic, and when `setup` fails, the instance is dropped without
/// `finish`; the next datagram gets a new one.
///
/// **What an instance keeps from one datagram to the next is of another client**,
/// as a rule: `self.user = …` in `handle` is seen by whoever writes next to the
/// same worker. What belongs to one datagram is a local variable, or a field of
/// an instance that lives for that datagram alone: in the right column, or with
/// [`fresh_instance(true)`](crate::Builder::fresh_instance) on the threading server.
///
/// A closure `FnMut(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>`
/// is a handler, too. One that all workers share is handed over with [`from_fn`].
///
/// `A` is the address that a peer is known by: that of an IP socket, unless it says
/// otherwise. A handler on a Unix socket is a `DatagramHandler<UnixAddr>`, see the
/// module `unix`.
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
/// // One counter for each worker.
/// let server = ThreadingUdpServer::bind("127.0.0.1:0", || Counter { seen: 0 })?;
///
/// // One counter for each datagram: it never comes further than 1.
/// let server = ThreadingUdpServer::builder()
///     .fresh_instance(true)
///     .bind("127.0.0.1:0", || Counter { seen: 0 })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[doc(alias("BaseRequestHandler", "DatagramRequestHandler"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` handles no datagrams",
    note = "implement `DatagramHandler`, or write a closure with the types \
            `|bytes: &[u8], addr: SocketAddr, socket: &SocketHandle|` \
            that returns `Result<(), HandlerError>`"
)]
pub trait DatagramHandler<A = SocketAddr> {
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
        addr: A,
        socket: &SocketHandle<A>,
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

impl<F, A> DatagramHandler<A> for F
where
    F: FnMut(&[u8], A, &SocketHandle<A>) -> Result<(), HandlerError>,
{
    fn handle(
        &mut self,
        bytes: &[u8],
        addr: A,
        socket: &SocketHandle<A>,
    ) -> Result<(), HandlerError> {
        self(bytes, addr, socket)
    }
}
