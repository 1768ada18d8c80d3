//! Options for the server's sockets themselves, and several of them.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::{Builder, Style};
use crate::error::BindError;
use crate::handler::{HandlerError, HandlerFactory};
use crate::server::opening::SocketSource;
use crate::server::settings::look_up;
use crate::socket_handle::SocketHandle;
use crate::sys::{Configure, SocketView};

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// Binds *all* of these addresses, for one server with one pool of workers, one
    /// set of guards and one [`Stats`](crate::Stats): several ports, several
    /// addresses of this host, both families. Where [`bind`](Self::bind) takes the
    /// first address of a name that can be bound, this takes each: so
    /// `"localhost:53"` is 127.0.0.1 and `::1`, if that is what the name stands for
    /// on this host.
    ///
    /// A reply leaves by the socket that its datagram came in by, also the
    /// [detached](SocketHandle::detach) one. What a handler sends to
    /// anyone else leaves by that socket, too, or by the first of the right family.
    /// [`SocketHandle::local_addr`] says which address a datagram was sent to, and
    /// [`ServerHandle::local_addrs`](crate::ServerHandle::local_addrs) which there are.
    ///
    /// All ports that are 0 become one port, free at all of these addresses. An
    /// address that is named twice is bound once. Beside an IPv4 address, a socket
    /// for IPv6 is for IPv6 alone unless [`only_v6`](Self::only_v6) says otherwise: so
    /// `0.0.0.0` and `[::]` share a port. Groups are joined at each address that can
    /// hear them.
    ///
    /// Each address has a socket of its own (or as many as
    /// [`shards`](Self::shards)), with its own
    /// [`receive_buffer`](Self::receive_buffer) and a worker that waits there: there
    /// are never fewer workers than sockets, whatever their minimum. At most 1,024
    /// sockets, and no more than workers. `AsFd` gives the first socket.
    ///
    /// # Errors
    /// As `bind`: [`BindError::Bind`] for the first address that cannot be bound, and
    /// then none is; [`BindError::Config`] for no address at all, or for more sockets
    /// than there may be workers.
    ///
    /// # Examples
    /// ```no_run
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::from_fn;
    ///
    /// let echo = from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let addrs = ["127.0.0.1:5300", "[::1]:5300"];
    /// let server = ThreadingUdpServer::builder().bind_all(addrs, echo)?;
    /// assert_eq!(server.local_addrs().len(), 2);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn bind_all<A, F, Kind>(
        self,
        addrs: impl IntoIterator<Item = A>,
        factory: F,
    ) -> Result<S, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        self.settings.check()?;
        let addresses = resolve_all(addrs)?;
        self.open(SocketSource::Each(addresses), factory.into_factory())
    }

    /// As [`bind_all`](Self::bind_all) with one closure in [`from_fn`](crate::from_fn).
    ///
    /// # Errors
    /// As `bind_all`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::builder()
    ///     .bind_all_fn(["localhost:0"], |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    /// println!("serves {:?}", server.local_addrs());
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn bind_all_fn<A, F>(self, addrs: impl IntoIterator<Item = A>, f: F) -> Result<S, BindError>
    where
        A: ToSocketAddrs + Debug,
        F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.bind_all(addrs, f)
    }

    /// Sets up each socket that the server opens, [`shards`](Self::shards)
    /// included, before it is bound: for options that have no method here. It is
    /// called after all other options have been set, once for each socket, on the
    /// thread that calls `bind`. Defaults to nothing.
    ///
    /// The socket is a `BorrowedFd`, and on Windows a `BorrowedSocket`: `socket2`,
    /// `nix` and `rustix` take it as it is. What the server relies on is not to be
    /// changed: it is a UDP socket, and is neither bound nor connected by this.
    ///
    /// # Errors
    /// What it returns is a [`BindError::Bind`] of `bind`. For a socket that is handed
    /// in, which is bound already, it is a [`BindError::Config`].
    ///
    /// # Examples
    /// ```
    /// # #[cfg(unix)] {
    /// use socketserver::ThreadingUdpServer;
    /// use socket2::SockRef;
    ///
    /// let server = ThreadingUdpServer::builder()
    ///     .configure_socket(|socket| SockRef::from(&socket).set_tos_v4(0xb8))
    ///     .bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    /// # }
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "setsockopt")]
    pub fn configure_socket(
        mut self,
        configure: impl Fn(SocketView<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.settings.before_bind.configure = Some(Configure::new(configure));
        self
    }

    /// Ties the server to one network interface, or to a VRF by the name of its
    /// device (`SO_BINDTODEVICE`): it hears what comes in there and nothing else, and
    /// what it sends goes out there, whatever the routes say. Defaults to all.
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`] where the system refuses, as for an interface that
    /// does not exist, on other systems than Linux, and for a socket that is handed in.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().device("eth0");
    /// ```
    #[doc(alias = "SO_BINDTODEVICE")]
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.settings.before_bind.device = Some(name.into());
        self
    }

    /// Whether the server may be bound to an address that this host does not have
    /// (yet): one of a tunnel that is still to come up, or one that moves between
    /// hosts (`IP_FREEBIND`, `IPV6_FREEBIND`). It is served as soon as the host has
    /// it. Defaults to the system's false.
    ///
    /// # Errors
    /// As for [`device`](Self::device).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().freebind(true);
    /// ```
    #[doc(alias = "IP_FREEBIND")]
    pub fn freebind(mut self, allow: bool) -> Self {
        self.settings.before_bind.freebind = Some(allow);
        self
    }

    /// Marks all that the server sends, for policy routing and packet filters on
    /// this host (`SO_MARK`). Needs `CAP_NET_ADMIN`, or from Linux 5.17 on
    /// `CAP_NET_RAW`. Defaults to 0, no mark.
    ///
    /// # Errors
    /// As for [`device`](Self::device); also where the process may not.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().mark(7);
    /// ```
    #[doc(alias = "SO_MARK")]
    pub fn mark(mut self, mark: u32) -> Self {
        self.settings.before_bind.mark = Some(mark);
        self
    }

    /// The priority of all that the server sends in the queues of this host's
    /// devices (`SO_PRIORITY`). From 0 to 6; more needs `CAP_NET_ADMIN`. Setting
    /// `IP_TOS` afterwards, as in [`configure_socket`](Self::configure_socket), changes
    /// it. Defaults to the system's 0.
    ///
    /// # Errors
    /// As for [`device`](Self::device); also where the process may not.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().priority(6);
    /// ```
    #[doc(alias = "SO_PRIORITY")]
    pub fn priority(mut self, priority: u32) -> Self {
        self.settings.before_bind.priority = Some(priority);
        self
    }
}

/// Each address that these stand for, once.
fn resolve_all<A: ToSocketAddrs + Debug>(
    addrs: impl IntoIterator<Item = A>,
) -> Result<Vec<SocketAddr>, BindError> {
    let mut all = Vec::new();
    for named in addrs {
        for addr in look_up(&named)? {
            if !all.contains(&addr) {
                all.push(addr);
            }
        }
    }
    Ok(all)
}
