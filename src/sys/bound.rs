//! What the sockets of all platforms have in common.

use std::io;
#[cfg(unix)]
use std::net::Ipv4Addr;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::SockRef;

use super::is_bound_to_one_host;
use super::open::{as_asked, can_have_receive_buffer, reaches_v4, set_receive_buffer};
use super::{LocalName, Socket, UnixAddr};

/// A bound socket, and what it was asked when it was taken over.
#[derive(Debug)]
pub(super) struct Bound {
    /// The first to be dropped: the file goes before the socket is closed.
    #[cfg(unix)]
    _file: Option<super::unix_socket::SocketFile>,
    pub(super) inner: UdpSocket,
    pub(super) local_addr: SocketAddr,
    /// The one address of this host that it is bound to: all that it receives was
    /// sent there. `None` on a wildcard, a group or a broadcast address.
    pub(super) only_ip: Option<IpAddr>,
    reaches_v4: bool,
    granted_receive_buffer: usize,
    /// Which of the server's sockets it is.
    pub(super) number: u16,
    /// The address of a Unix socket, which has none of the addresses above.
    pub(super) unix_addr: Option<Box<UnixAddr>>,
}

impl Bound {
    pub(super) fn new(inner: UdpSocket, number: u16) -> io::Result<Self> {
        let granted = SockRef::from(&inner).recv_buffer_size()?;
        let local_addr = inner.local_addr()?;
        let only_ip = local_addr.ip().to_canonical();
        Ok(Self {
            #[cfg(unix)]
            _file: None,
            unix_addr: None,
            local_addr,
            only_ip: is_bound_to_one_host(local_addr).then_some(only_ip),
            reaches_v4: reaches_v4(&inner)?,
            granted_receive_buffer: as_asked(granted),
            number,
            inner,
        })
    }

    /// A Unix socket, behind the type that owns the others.
    #[cfg(unix)]
    pub(super) fn unix(source: super::unix_socket::UnixSource) -> io::Result<Self> {
        let socket = SockRef::from(&source.socket);
        let granted = socket.recv_buffer_size()?;
        let unix_addr = super::unix_socket::local_addr(&socket)?;
        Ok(Self {
            _file: source.file,
            inner: UdpSocket::from(std::os::fd::OwnedFd::from(source.socket)),
            local_addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            only_ip: None,
            reaches_v4: false,
            granted_receive_buffer: as_asked(granted),
            number: 0,
            unix_addr: Some(Box::new(unix_addr)),
        })
    }
}

impl Socket {
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr
    }

    /// What it is bound to, for the log.
    pub(crate) fn name(&self) -> LocalName<'_> {
        match self.unix_addr() {
            Some(addr) => LocalName::Unix(addr),
            None => LocalName::Ip(self.local_addr()),
        }
    }

    /// The address of a Unix socket; `None` of any other.
    pub(crate) fn unix_addr(&self) -> Option<&UnixAddr> {
        self.bound.unix_addr.as_deref()
    }

    /// Sends one datagram from a Unix socket, without waiting.
    #[cfg(unix)]
    pub(crate) fn send_to_unix(&self, bytes: &[u8], to: &UnixAddr) -> io::Result<()> {
        super::unix_socket::send_now(&SockRef::from(&self.bound.inner), bytes, to)
    }

    /// Whether IPv4 peers can be reached from here.
    pub(crate) fn reaches_v4(&self) -> bool {
        self.bound.reaches_v4
    }

    /// The receive buffer that the kernel granted, in bytes as they are asked.
    pub(crate) fn granted_receive_buffer(&self) -> usize {
        self.bound.granted_receive_buffer
    }

    /// Limits what the kernel queues from now on, in the same unit. What is
    /// queued already stays. Nothing changes where the buffer that was granted
    /// could not be had back, or less than this would be granted.
    pub(crate) fn limit_receive_buffer(&self, bytes: usize) {
        let socket = SockRef::from(&self.bound.inner);
        let granted = self.granted_receive_buffer();
        let is_less = |now| as_asked(now) > bytes;
        let needed = match socket.recv_buffer_size().is_ok_and(is_less) {
            true => granted,
            false => bytes.min(granted),
        };
        if can_have_receive_buffer(self.local_addr(), needed) {
            let _ = set_receive_buffer(&socket, bytes.min(granted));
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.bound.inner.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Socket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.bound.inner.as_socket()
    }
}
