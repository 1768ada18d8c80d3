//! What the sockets of all platforms have in common.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::SockRef;

use super::Socket;
use super::is_bound_to_one_host;
use super::open::{as_asked, reaches_v4, set_receive_buffer};

/// A bound socket, and what it was asked when it was taken over.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) inner: UdpSocket,
    pub(super) local_addr: SocketAddr,
    /// The one address of this host that it is bound to: all that it receives was
    /// sent there. `None` on a wildcard, a group or a broadcast address.
    pub(super) only_ip: Option<IpAddr>,
    reaches_v4: bool,
    granted_receive_buffer: usize,
    /// Which of the server's sockets it is.
    pub(super) number: u16,
}

impl Bound {
    pub(super) fn new(inner: UdpSocket, number: u16) -> io::Result<Self> {
        let granted = SockRef::from(&inner).recv_buffer_size()?;
        let local_addr = inner.local_addr()?;
        let only_ip = local_addr.ip().to_canonical();
        Ok(Self {
            local_addr,
            only_ip: is_bound_to_one_host(local_addr).then_some(only_ip),
            reaches_v4: reaches_v4(&inner)?,
            granted_receive_buffer: as_asked(granted),
            number,
            inner,
        })
    }
}

impl Socket {
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr
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
    /// queued already stays.
    pub(crate) fn limit_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        set_receive_buffer(&SockRef::from(&self.bound.inner), bytes)
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
