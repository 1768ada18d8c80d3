//! How a datagram leaves.

use std::net::IpAddr;

use super::Meta;

/// What is said of a datagram on its way out beside where it goes. By default
/// the routes and the socket's options decide all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "the portable twin can say nothing of a single datagram"
)]
pub(crate) struct Egress {
    /// The local address that it leaves from.
    pub(crate) from: Option<IpAddr>,
    /// The number of the interface that it leaves by; 0 leaves that to the routes.
    pub(crate) interface: u32,
    /// DSCP and ECN, as the octet of the IP header has them.
    pub(crate) traffic_class: Option<u8>,
    /// How many routers it may pass, and one.
    pub(crate) hop_limit: Option<u8>,
    /// It leaves whole or not at all. Over IPv6 alone: for IPv4 Linux has this
    /// for a socket and not for a datagram (ip(7), `IP_MTU_DISCOVER`).
    pub(crate) dont_fragment: bool,
}

impl Egress {
    /// Towards the sender of a datagram, from the address that this was sent to;
    /// if asked, by the interface that it came in by.
    ///
    /// Otherwise the interface is left to the routes, but for link-local
    /// addresses, which mean nothing without.
    pub(crate) fn answering(meta: &Meta, by_interface: bool) -> Self {
        let from = meta.local.map(|local| local.ip);
        let is_link_local = matches!(from, Some(IpAddr::V6(ip)) if ip.is_unicast_link_local());
        Self {
            from,
            interface: match by_interface || is_link_local {
                true => meta.interface,
                false => 0,
            },
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::LocalEnd;

    #[test]
    fn the_interface_is_the_routes_choice_unless_asked_or_link_local() {
        let egress = |ip: Option<&str>, by_interface| {
            let ip: Option<IpAddr> = ip.map(|ip| ip.parse().expect("an address"));
            let meta = Meta {
                local: ip.map(|ip| LocalEnd { ip, interface: 7 }),
                interface: 7,
                ..Meta::default()
            };
            let egress = Egress::answering(&meta, by_interface);
            assert_eq!(egress.from, ip);
            egress.interface
        };
        assert_eq!(egress(Some("192.0.2.1"), false), 0);
        assert_eq!(egress(Some("192.0.2.1"), true), 7);
        assert_eq!(egress(Some("fe80::1"), false), 7);
        assert_eq!(egress(None, false), 0);
        assert_eq!(
            egress(None, true),
            7,
            "asked at a group, which is no source"
        );
    }
}
