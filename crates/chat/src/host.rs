//! Who is behind an address, as far as one can tell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What one host can have as many addresses of as it likes: the ports of an IPv4
/// address, or all of an IPv6 /64, which is what a host is given at least
/// (RFC 6177). An IPv4 address written as IPv6 is the IPv4 address, mapped
/// (RFC 4291, 2.5.5.2) or translated (NAT64, RFC 6052).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host(IpAddr);

impl Host {
    /// The host of an address.
    pub fn of(addr: SocketAddr) -> Self {
        Self(match addr.ip().to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => match ip.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
                    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
                }
                [a, b, c, d, ..] => IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_host_are_one() {
        let host = |text: &str| Host::of(text.parse().expect("an address"));
        for (one, other) in [
            ("192.0.2.1:1", "192.0.2.1:2"),
            ("192.0.2.1:1", "[::ffff:192.0.2.1]:1"),
            ("192.0.2.1:1", "[64:ff9b::192.0.2.1]:1"),
            ("[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:2"),
        ] {
            assert_eq!(host(one), host(other), "{one} and {other}");
        }
        for (one, other) in [
            ("192.0.2.1:1", "192.0.2.2:1"),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"),
            ("[64:ff9b::192.0.2.1]:1", "[64:ff9b::192.0.2.2]:1"),
        ] {
            assert_ne!(host(one), host(other), "{one} and {other}");
        }
    }
}
