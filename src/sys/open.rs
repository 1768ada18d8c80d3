//! Opening a socket with its options, the same on every platform.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Type};

use super::before_bind::{BeforeBind, OpenError};
use super::multicast::hear_joined_groups_only;

/// What is asked of a socket before it is bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// `SO_RCVBUFFORCE`, or else `SO_RCVBUF`, in bytes of payload and overhead.
    pub(crate) receive_buffer: Option<usize>,
    /// `SO_SNDBUFFORCE`, or else `SO_SNDBUF`, in bytes of payload and overhead.
    pub(crate) send_buffer: Option<usize>,
    /// `SO_REUSEADDR`.
    pub(crate) reuse_address: bool,
    /// `SO_REUSEPORT`, where there is one.
    pub(crate) reuse_port: bool,
    /// `IPV6_V6ONLY`; `None` leaves the system's default.
    pub(crate) only_v6: Option<bool>,
    pub(crate) before_bind: BeforeBind,
}

/// Opens a UDP socket with these options and binds it. With port 0 it is bound
/// alone: the port that the system chooses is nobody else's.
pub(crate) fn bind(addr: SocketAddr, options: &Options) -> Result<UdpSocket, OpenError> {
    if addr.port() == 0 {
        return bind_alone(addr, options);
    }
    open(addr, options, |socket| share(socket, options))
}

/// As `bind`, and fails if anyone has the address, also if they would share it.
///
/// A socket that may share its port when it is bound to port 0 may be given one
/// that others share (Linux: `udp_lib_lport_inuse`). So it may only afterwards,
/// which is soon enough for whoever comes then. Windows takes no such option any
/// more once a socket is bound.
pub(crate) fn bind_alone(addr: SocketAddr, options: &Options) -> Result<UdpSocket, OpenError> {
    if cfg!(windows) {
        return open(addr, options, |socket| share(socket, options));
    }
    let socket = open(addr, options, |_| Ok(()))?;
    share(&SockRef::from(&socket), options)?;
    Ok(socket)
}

fn open(
    addr: SocketAddr,
    options: &Options,
    share: impl FnOnce(&SockRef<'_>) -> io::Result<()>,
) -> Result<UdpSocket, OpenError> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if let (Some(only), SocketAddr::V6(_)) = (options.only_v6, addr) {
        socket.set_only_v6(only)?;
    }
    share(&SockRef::from(&socket))?;
    hear_joined_groups_only(&socket, addr.is_ipv6());
    set_buffers(&socket, options)?;
    options.before_bind.apply(&socket, addr.is_ipv6())?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Sets the options by which sockets share an address.
fn share(socket: &SockRef<'_>, options: &Options) -> io::Result<()> {
    if options.reuse_address {
        socket.set_reuse_address(true)?;
    }
    if options.reuse_port {
        set_reuse_port(socket)?;
    }
    Ok(())
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
        set_receive_buffer(&socket, size)?;
    }
    if let Some(size) = options.send_buffer {
        set_send_buffer(&socket, size)?;
    }
    Ok(())
}

/// Asks for a receive buffer of this size. A privileged process (`CAP_NET_ADMIN`)
/// may have more than the system's limit, if it says so (socket(7),
/// `SO_RCVBUFFORCE`).
pub(super) fn set_receive_buffer(socket: &SockRef<'_>, size: usize) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

        if setsockopt(&**socket, RcvBufForce, &size).is_ok() {
            return Ok(());
        }
    }
    socket.set_recv_buffer_size(size)
}

/// The same of the send buffer (`SO_SNDBUFFORCE`).
fn set_send_buffer(socket: &SockRef<'_>, size: usize) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt::SndBufForce};

        if setsockopt(&**socket, SndBufForce, &size).is_ok() {
            return Ok(());
        }
    }
    socket.set_send_buffer_size(size)
}

/// Whether a new socket for this address would be granted such a receive buffer
/// now: what was granted before may have taken privileges that are dropped since.
pub(super) fn can_have_receive_buffer(addr: SocketAddr, size: usize) -> bool {
    let granted = || {
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
        set_receive_buffer(&SockRef::from(&socket), size)?;
        socket.recv_buffer_size().map(as_asked)
    };
    granted().is_ok_and(|granted| granted >= size)
}

/// Asks for a send buffer of this size; what the kernel granted, in the same
/// unit. Some systems refuse what is too much, and then leave it as it is.
pub(crate) fn ask_for_send_buffer<'s>(
    socket: impl Into<SockRef<'s>>,
    size: usize,
) -> io::Result<usize> {
    let socket = socket.into();
    let _ = set_send_buffer(&socket, size);
    socket.send_buffer_size().map(as_asked)
}

/// Whether what is sent from this address may wait in the send buffer for hosts
/// that are not there: on Linux, until the kernel gives up asking for them.
pub(crate) fn absent_hosts_fill_send_buffer(from: IpAddr) -> bool {
    cfg!(target_os = "linux") && !from.to_canonical().is_loopback()
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
