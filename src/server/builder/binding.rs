//! Where the options of a UDP server end: its sockets are bound, or were handed in.

use std::fmt::Debug;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use super::{Builder, Style};
use crate::error::BindError;
use crate::handler::{Factory, HandlerError, HandlerFactory};
use crate::server::opening::{SocketSource, open_udp};
use crate::socket_handle::SocketHandle;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// Sets `SO_REUSEADDR` before binding. Defaults to false: for UDP it lets
    /// two servers share one port on Linux, and one of them gets nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().allow_reuse_address(true);
    /// ```
    #[doc(alias = "SO_REUSEADDR")]
    pub fn allow_reuse_address(mut self, allow: bool) -> Self {
        self.settings.reuse_address = allow;
        self
    }

    /// Sets `SO_REUSEPORT` before binding. Defaults to false: it lets any
    /// process of the same user share the port, and the kernel splits the
    /// peers between them. A port that the system chooses (port 0) is nobody else's
    /// when it is bound. Fails at `bind` where there is no such option.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().allow_reuse_port(true);
    /// ```
    #[doc(alias = "SO_REUSEPORT")]
    pub fn allow_reuse_port(mut self, allow: bool) -> Self {
        self.settings.reuse_port = allow;
        self
    }

    /// Whether a socket bound to an IPv6 address is for IPv6 alone
    /// (`IPV6_V6ONLY`). With false, `[::]` serves IPv4 as well, whose peers are
    /// shown with IPv4 addresses. Defaults to what the system does. With true,
    /// an address that is IPv4 alone is refused at `bind`; to
    /// [`bind_all`](Self::bind_all) it concerns the IPv6 addresses only.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().only_v6(false);
    /// ```
    #[doc(alias("IPV6_V6ONLY", "address_family"))]
    pub fn only_v6(mut self, only: bool) -> Self {
        self.settings.only_v6 = Some(only);
        self
    }

    /// Binds the first of the addresses that can be bound, for handlers that
    /// `factory` makes, or for one function in [`from_fn`](crate::from_fn). No
    /// thread is started yet.
    ///
    /// (A closure whose arguments "need type annotations", E0282, is one that wants
    /// `from_fn` around it.)
    ///
    /// # Errors
    /// [`BindError::Resolve`], [`BindError::NoAddress`], [`BindError::Bind`], and
    /// [`BindError::Config`] for options that make no sense.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::from_fn;
    ///
    /// let echo = from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUdpServer::builder().workers(2).bind("127.0.0.1:0", echo)?;
    ///
    /// let nonsense = ThreadingUdpServer::builder().bind("localhost", echo);
    /// let problem = r#"cannot resolve "localhost": expected HOST:PORT"#;
    /// assert_eq!(nonsense.unwrap_err().to_string(), problem);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("RequestHandlerClass", "server_bind", "server_activate"))]
    pub fn bind<A, F, Kind>(self, addr: A, factory: F) -> Result<S, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        self.settings.check()?;
        let addresses = self.settings.resolve(addr)?;
        self.open(SocketSource::Addresses(addresses), factory.into_factory())
    }

    /// As [`bind`](Self::bind) with one closure in [`from_fn`](crate::from_fn).
    ///
    /// # Errors
    /// As `bind`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::builder()
    ///     .workers(2)
    ///     .bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn bind_fn<A, F>(self, addr: A, f: F) -> Result<S, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.bind(addr, f)
    }

    /// Serves on a socket that is bound already. Its options stay as they are,
    /// but for buffer sizes, what concerns multicast and broadcast and how all that is
    /// sent leaves if they were set here, and what tells the server where and when a datagram was
    /// received.
    ///
    /// # Errors
    /// [`BindError::TakeOver`] if it cannot be served: if it is not a UDP socket of
    /// IPv4 or IPv6, not bound, or connected. [`BindError::Config`] as for `bind`
    /// and for options that a bound socket cannot follow any more.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::from_fn;
    /// use std::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// let echo = from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUdpServer::builder().from_socket(socket, echo)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "bind_and_activate")]
    pub fn from_socket<F, Kind>(self, socket: UdpSocket, factory: F) -> Result<S, BindError>
    where
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        self.settings.check()?;
        self.open(SocketSource::Given(socket), factory.into_factory())
    }

    /// Opens a server whose settings were checked.
    pub(super) fn open(mut self, source: SocketSource, factory: Factory) -> Result<S, BindError> {
        self.set_order_of(&factory)?;
        let opened = open_udp(source, &self.settings)?;
        self.on(opened, factory)
    }
}
