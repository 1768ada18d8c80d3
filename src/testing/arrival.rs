//! Datagrams that never were on a wire: whose, and sent to where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sys::{LocalEnd, Meta};

/// What is said of the datagrams to come.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    /// The address of the server's host; the peer's family has one by default.
    pub(super) to: Option<IpAddr>,
    pub(super) is_truncated: bool,
}

impl Arrival {
    pub(super) fn new() -> Self {
        Self {
            peer: PEER,
            to: None,
            is_truncated: false,
        }
    }

    /// As the system would tell it.
    pub(super) fn meta(&self) -> Meta {
        Meta {
            peer: Some(self.peer),
            local: Some(LocalEnd {
                ip: self.to.unwrap_or_else(|| host_of(self.peer)),
                interface: 0,
            }),
            truncated: self.is_truncated,
            ..Meta::default()
        }
    }
}

/// The address of the server's host that a peer writes to.
fn host_of(peer: SocketAddr) -> IpAddr {
    match peer {
        SocketAddr::V4(_) => HOST_V4.into(),
        SocketAddr::V6(_) => HOST_V6.into(),
    }
}

/// Addresses for documentation (RFC 5737, RFC 3849).
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 50_000);
const HOST_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
