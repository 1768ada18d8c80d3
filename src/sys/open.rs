//! Opening a socket with its options, the same on every platform.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Type};

use super::multicast::hear_joined_groups_only;

/// What is asked of a socket before it is bound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// `SO_RCVBUF`, in bytes of payload and overhead.
    pub(crate) receive_buffer: Option<usize>,
    /// `SO_SNDBUF`, in bytes.
    pub(crate) send_buffer: Option<usize>,
    /// `SO_REUSEADDR`.
    pub(crate) reuse_address: bool,
    /// `SO_REUSEPORT`, where there is one.
    pub(crate) reuse_port: bool,
    /// `IPV6_V6ONLY`; `None` leaves the system's default.
    pub(crate) only_v6: Option<bool>,
}

/// Opens a UDP socket with these options and binds it.
pub(crate) fn bind(addr: SocketAddr, options: &Options) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if let (Some(only), SocketAddr::V6(_)) = (options.only_v6, addr) {
        socket.set_only_v6(only)?;
    }
    if options.reuse_address {
        socket.set_reuse_address(true)?;
    }
    if options.reuse_port {
        set_reuse_port(&SockRef::from(&socket))?;
    }
    hear_joined_groups_only(&socket, addr.is_ipv6());
    set_buffers(&socket, options)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Lets sockets to be bound from now on share the address of this one, which
/// was bound alone: so nobody else had it.
pub(crate) fn share_port(socket: &UdpSocket) -> io::Result<()> {
    set_reuse_port(&SockRef::from(socket))
}

/// Asks for the buffer sizes of `options` on a socket.
pub(crate) fn set_buffers<'s>(socket: impl Into<SockRef<'s>>, options: &Options) -> io::Result<()> {
    let socket = socket.into();
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

/// Asks for a send buffer of this size; what the kernel granted, in the same
/// unit. Some systems refuse what is too much, and then leave it as it is.
pub(crate) fn ask_for_send_buffer(socket: &UdpSocket, size: usize) -> io::Result<usize> {
    let socket = SockRef::from(socket);
    let _ = socket.set_send_buffer_size(size);
    socket.send_buffer_size().map(as_asked)
}

/// Linux doubles what was asked to make room for its own overhead, and reports
/// the doubled value (socket(7), `SO_RCVBUF` and `SO_SNDBUF`).
pub(super) fn as_asked(reported: usize) -> usize {
    if cfg!(target_os = "linux") {
        reported / 2
    } else {
        reported
    }
}

/// Whether IPv4 peers can be reached from this socket.
pub(crate) fn reaches_v4(socket: &UdpSocket) -> io::Result<bool> {
    let is_v4 = socket.local_addr()?.is_ipv4();
    Ok(is_v4 || !SockRef::from(socket).only_v6()?)
}

#[cfg(unix)]
fn set_reuse_port(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn set_reuse_port(_socket: &SockRef<'_>) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this platform has no SO_REUSEPORT",
    ))
}
