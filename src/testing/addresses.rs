//! Who is who on a bench.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address of the server's host that a peer writes to.
pub(super) fn host_of(peer: SocketAddr) -> IpAddr {
    match peer {
        SocketAddr::V4(_) => HOST_V4.into(),
        SocketAddr::V6(_) => HOST_V6.into(),
    }
}

/// What the server says that it is bound to.
pub(super) const BOUND: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 4000);
/// Addresses for documentation (RFC 5737, RFC 3849).
pub(super) const PEER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 50_000);
const HOST_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
