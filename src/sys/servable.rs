//! Which sockets a server can serve: asked of every socket that was not opened
//! here, wherever it came from.

use std::io;

use socket2::{Domain, SockRef, Type};

/// Refuses what is not a bound, unconnected UDP socket. A `UdpSocket` of `std`
/// proves nothing: it can be made of any descriptor.
pub(crate) fn check_servable<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    let socket = socket.into();
    match socket.r#type()? {
        Type::DGRAM => {}
        Type::STREAM => return Err(unfit("it is a socket for streams, not for datagrams")),
        _ => return Err(unfit("it is not a socket for datagrams")),
    }
    let local = socket.local_addr()?;
    match local.domain() {
        Domain::IPV4 | Domain::IPV6 => {}
        Domain::UNIX => return Err(unfit("it is a Unix domain socket, without IP addresses")),
        _ => return Err(unfit("its addresses are neither IPv4 nor IPv6")),
    }
    check_protocol(&socket)?;
    if local.as_socket().is_none_or(|local| local.port() == 0) {
        return Err(unfit("it is not bound to a port"));
    }
    // It would hear one peer and nobody else, and that peer's errors would be
    // taken for its own.
    match socket.peer_addr() {
        Ok(peer) => {
            let peer = peer.as_socket();
            let peer = peer.map_or_else(|| "somebody".to_owned(), |peer| peer.to_string());
            let problem = format!("it is connected to {peer} and hears nobody else");
            Err(unfit(problem))
        }
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether it is a UDP socket of IPv4 or IPv6, in whatever state.
#[cfg(unix)]
pub(super) fn is_udp<'s>(socket: impl Into<SockRef<'s>>) -> bool {
    let socket = socket.into();
    let is_ip = |local: socket2::SockAddr| matches!(local.domain(), Domain::IPV4 | Domain::IPV6);
    matches!(socket.r#type(), Ok(Type::DGRAM))
        && socket.local_addr().is_ok_and(is_ip)
        && check_protocol(&socket).is_ok()
}

/// UDP-Lite and ICMP have sockets for datagrams, too.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn check_protocol(socket: &SockRef<'_>) -> io::Result<()> {
    match socket.protocol()? {
        Some(socket2::Protocol::UDP) => Ok(()),
        Some(other) => {
            let number = i32::from(other);
            Err(unfit(format!("its protocol is number {number}, not UDP")))
        }
        None => Err(unfit("its protocol is not UDP")),
    }
}

/// Elsewhere a socket cannot be asked for its protocol.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn check_protocol(_socket: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

fn unfit(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem.into())
}
