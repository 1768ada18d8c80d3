//! An address as far as it says who somebody is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The network part of an address: whoever has one address of it may well have
/// them all. An IPv4 address written as IPv6 is an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    network: IpAddr,
    len: u8,
    /// Of a link-local address; 0 for all others.
    link: u32,
}

impl Prefix {
    /// The first bits of an address, so many for each family.
    ///
    /// - A link-local address stays whole, with its link: every link has the
    ///   same network, and each peer on it has one such address (RFC 4291, 2.5.6).
    /// - An address of a translator (NAT64) counts as far as the IPv4 address in
    ///   it does: all IPv4 hosts have addresses in its one /96 (RFC 6052, 2.1).
    ///   In the network for local use (RFC 8215) it is not known where the IPv4
    ///   address stands, so there each address stays whole.
    pub(crate) fn of(peer: SocketAddr, ipv4_bits: u8, ipv6_bits: u8) -> Self {
        match (peer.ip().to_canonical(), peer) {
            (IpAddr::V4(v4), _) => {
                let kept = u32::MAX.checked_shl(32 - u32::from(ipv4_bits)).unwrap_or(0);
                Self {
                    network: Ipv4Addr::from(u32::from(v4) & kept).into(),
                    len: ipv4_bits,
                    link: 0,
                }
            }
            (IpAddr::V6(v6), SocketAddr::V6(peer)) if v6.is_unicast_link_local() => Self {
                network: v6.into(),
                len: 128,
                link: peer.scope_id(),
            },
            (IpAddr::V6(v6), _) => match v6.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, ..] => Self::of_ipv6(v6, 96 + ipv4_bits),
                [0x64, 0xff9b, 1, ..] => Self::of_ipv6(v6, 128),
                _ => Self::of_ipv6(v6, ipv6_bits),
            },
        }
    }

    fn of_ipv6(address: Ipv6Addr, len: u8) -> Self {
        let kept = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        Self {
            network: Ipv6Addr::from(u128::from(address) & kept).into(),
            len,
            link: 0,
        }
    }

    /// Who somebody is by default: an IPv4 address is one host or one line,
    /// while an IPv6 line has a /64 at least (RFC 6177, RFC 7421).
    pub(crate) fn customary(peer: SocketAddr) -> Self {
        Self::of(peer, IPV4_BITS, IPV6_BITS)
    }

    /// The networks that somebody may have at their disposal, the largest first:
    /// a /48, a /56 and a /64 of IPv6 (RFC 6177); a /24, which is the smallest
    /// that is routed, a /28 and an address of IPv4.
    pub(crate) fn nested(peer: SocketAddr) -> [Self; 3] {
        [(24, 48), (28, 56), (IPV4_BITS, IPV6_BITS)]
            .map(|(ipv4_bits, ipv6_bits)| Self::of(peer, ipv4_bits, ipv6_bits))
    }

    /// The network's first address, how many of its bits count, and its link.
    pub(super) fn parts(self) -> (IpAddr, u8, u32) {
        (self.network, self.len, self.link)
    }
}

impl std::fmt::Display for Prefix {
    /// `192.0.2.7`, `2001:db8::/64`, `fe80::7%2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, len, link } = self;
        match (network, len) {
            _ if *link != 0 => write!(f, "{network}%{link}"),
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(f, "{network}"),
            _ => write!(f, "{network}/{len}"),
        }
    }
}

/// What counts as one IPv4 source, in bits, if nothing else is said.
pub(crate) const IPV4_BITS: u8 = 32;
/// What counts as one IPv6 source.
pub(crate) const IPV6_BITS: u8 = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn shown(ip: &str, ipv4_bits: u8, ipv6_bits: u8) -> String {
        let ip = ip.parse().expect("an address");
        of(ip, ipv4_bits, ipv6_bits).to_string()
    }

    fn of(ip: IpAddr, ipv4_bits: u8, ipv6_bits: u8) -> Prefix {
        Prefix::of(SocketAddr::new(ip, 9), ipv4_bits, ipv6_bits)
    }

    #[test]
    fn a_link_local_address_is_one_source_on_each_link() {
        let source = |peer: &str| Prefix::customary(peer.parse().expect("an address"));
        let one = source("[fe80::1%1]:9");
        assert_eq!(one, source("[fe80::1%1]:7"), "any port");
        assert_ne!(one, source("[fe80::2%1]:9"), "another host");
        assert_ne!(one, source("[fe80::1%2]:9"), "another link");
        assert_ne!(one.parts(), source("[fe80::1%2]:9").parts());
        assert_eq!(one.to_string(), "fe80::1%1");
    }

    #[test]
    fn behind_a_translator_the_ipv4_address_says_who_somebody_is() {
        assert_eq!(shown("64:ff9b::192.0.2.255", 32, 64), "64:ff9b::c000:2ff");
        assert_eq!(
            shown("64:ff9b::192.0.2.255", 24, 64),
            "64:ff9b::c000:200/120"
        );
        assert_eq!(
            shown("64:ff9b:1::192.0.2.255", 24, 64),
            "64:ff9b:1::c000:2ff",
            "for local use"
        );
        assert_eq!(shown("64:ff9b:2::1:0:0:1", 24, 64), "64:ff9b:2::/64");
    }

    #[test]
    fn a_prefix_keeps_the_first_bits() {
        assert_eq!(shown("192.0.2.255", 32, 64), "192.0.2.255");
        assert_eq!(shown("192.0.2.255", 25, 64), "192.0.2.128/25");
        assert_eq!(shown("::ffff:192.0.2.255", 24, 64), "192.0.2.0/24");
        assert_eq!(shown("2001:db8::1:2:3:4", 32, 64), "2001:db8::/64");
        assert_eq!(shown("2001:db8::1:2:3:4", 32, 128), "2001:db8::1:2:3:4");
        assert_eq!(shown("2001:db8:0:ff42::1", 32, 56), "2001:db8:0:ff00::/56");
        assert_eq!(shown("192.0.2.1", 0, 0), "0.0.0.0/0", "no overflow");
        assert_eq!(shown("2001:db8::1", 0, 0), "::/0", "no overflow");
    }

    proptest! {
        #[test]
        fn addresses_are_one_source_if_they_share_the_bits(a: u128, b: u128, bits in 0..=128_u8) {
            let source = |address: u128| of(Ipv6Addr::from(address).into(), 32, bits);
            // Mapped addresses are IPv4 and have other bits.
            prop_assume!(a >> 32 != 0xffff && b >> 32 != 0xffff);
            // Link-local addresses stay whole.
            prop_assume!(a >> 118 != 0x3fa && b >> 118 != 0x3fa);
            // Translators have bits of their own.
            prop_assume!(a >> 96 != 0x64_ff9b && b >> 96 != 0x64_ff9b);
            let shared = (a ^ b).leading_zeros() >= u32::from(bits);
            prop_assert_eq!(source(a) == source(b), shared);
        }

        #[test]
        fn ipv4_addresses_as_well(a: u32, b: u32, bits in 0..=32_u8) {
            let plain = |address: u32| of(Ipv4Addr::from(address).into(), bits, 64);
            let mapped = |address: u32| {
                let ip = Ipv4Addr::from(address).to_ipv6_mapped();
                of(ip.into(), bits, 64)
            };
            let shared = (a ^ b).leading_zeros() >= u32::from(bits);
            prop_assert_eq!(plain(a) == plain(b), shared);
            prop_assert_eq!(plain(a), mapped(a));
        }
    }
}
