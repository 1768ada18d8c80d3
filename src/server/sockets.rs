//! Opening several sockets for one server.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::error::{BindError, ConfigError};
use crate::sys::{self, OpenError};

/// Binds all of these addresses, each once, with as many sockets for each; those
/// of one address stand together. Where one cannot be bound, none is.
///
/// All ports that are 0 become one that is free at all of their addresses.
pub(super) fn bind_each(
    addresses: &[SocketAddr],
    shards: usize,
    options: &sys::Options,
) -> Result<Vec<UdpSocket>, BindError> {
    let options = for_all(addresses, options);
    let wants_port = addresses.iter().any(|addr| addr.port() == 0);
    let mut attempts_left = if wants_port { MOST_PORTS_TRIED } else { 1 };
    loop {
        attempts_left -= 1;
        match bind_once(addresses, shards, &options) {
            // The port that one of them was given may be somebody's elsewhere.
            Err(Failed { is_drawn: true, .. }) if attempts_left > 0 => {}
            Err(Failed { error, .. }) => return Err(error),
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// Binds as many sockets to the address of the first. That one was bound
/// without sharing its port, which would have failed if anyone else had it, and
/// shares it only from now on.
pub(super) fn bind_shards(
    first: UdpSocket,
    shards: usize,
    options: &sys::Options,
) -> Result<Vec<UdpSocket>, BindError> {
    let mut sockets = vec![first];
    if shards > 1 {
        let failed = |addr| move |cause| BindError::Bind { addr, cause };
        let unbound = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = sockets[0].local_addr().map_err(failed(unbound))?;
        sys::share_port(&sockets[0]).map_err(failed(addr))?;
        let options = sys::Options {
            reuse_port: true,
            ..options.clone()
        };
        for _ in 1..shards {
            let shard = sys::bind(addr, &options);
            sockets.push(shard.map_err(|error| not_bound(addr, error))?);
        }
    }
    Ok(sockets)
}

/// The error that users get.
pub(super) fn not_bound(addr: SocketAddr, error: OpenError) -> BindError {
    let OpenError { option, cause } = error;
    match option {
        Some(option) => ConfigError::new(option, format!("the system refuses: {cause}")).into(),
        None => BindError::Bind { addr, cause },
    }
}

/// Why not all could be bound.
struct Failed {
    error: BindError,
    /// The port was the system's choice for another address: a second try may
    /// draw a better one.
    is_drawn: bool,
}

fn bind_once(
    addresses: &[SocketAddr],
    shards: usize,
    options: &sys::Options,
) -> Result<Vec<UdpSocket>, Failed> {
    let mut sockets = Vec::with_capacity(addresses.len() * shards);
    let mut drawn = None;
    for asked in addresses {
        let mut addr = *asked;
        let is_drawn = addr.port() == 0 && drawn.is_some();
        if let (0, Some(port)) = (addr.port(), drawn) {
            addr.set_port(port);
        }
        let failed = |error| Failed { error, is_drawn };
        let bound = match asked.port() {
            0 => sys::bind_alone(addr, options),
            _ => sys::bind(addr, options),
        };
        let bound = bound
            .and_then(|socket| Ok((socket.local_addr()?.port(), socket)))
            .map_err(|error| failed(not_bound(addr, error)))?;
        let (port, socket) = bound;
        if asked.port() == 0 {
            drawn = Some(port);
        }
        sockets.extend(bind_shards(socket, shards, options).map_err(failed)?);
    }
    Ok(sockets)
}

/// Beside a socket for IPv4, one for IPv6 must not want its port for IPv4 as well.
fn for_all(addresses: &[SocketAddr], options: &sys::Options) -> sys::Options {
    let is_v4 = |addr: &SocketAddr| matches!(addr.ip().to_canonical(), IpAddr::V4(_));
    let is_mixed = addresses.iter().any(is_v4);
    sys::Options {
        only_v6: options.only_v6.or(is_mixed.then_some(true)),
        ..options.clone()
    }
}

/// Ports that are drawn until one is free at all addresses.
const MOST_PORTS_TRIED: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        let parse = |text: &&str| text.parse().expect("a valid address");
        texts.iter().map(parse).collect()
    }

    #[test]
    fn ipv6_is_for_ipv6_alone_only_beside_ipv4_and_unless_told_otherwise() {
        let only_v6 = |texts: &[&str], asked| {
            let options = sys::Options {
                only_v6: asked,
                ..sys::Options::default()
            };
            for_all(&addrs(texts), &options).only_v6
        };
        assert_eq!(only_v6(&["[::]:9", "[::1]:10"], None), None);
        assert_eq!(only_v6(&["[::]:9", "0.0.0.0:9"], None), Some(true));
        assert_eq!(only_v6(&["[::]:9", "0.0.0.0:10"], Some(false)), Some(false));
    }
}
