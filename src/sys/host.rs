//! The addresses of this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::LocalEnd;

/// The addresses that the interfaces of this host had at one moment, secondary
/// ones included, and all of loopback.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostAddresses {
    /// In order, to be searched.
    listed: Vec<Scoped>,
}

/// An address, and for a link-local one the number of its interface: on another
/// link it is somebody else's. Otherwise 0.
type Scoped = (IpAddr, u32);

impl HostAddresses {
    /// Asks the system. It opens a descriptor for a moment on Linux, and is no
    /// call for each datagram.
    pub(crate) fn list() -> io::Result<Self> {
        let mut listed: Vec<_> = list()?.into_iter().map(scoped).collect();
        listed.sort_unstable();
        Ok(Self { listed })
    }

    /// Whether it is one of these, whatever its port.
    pub(crate) fn contains(&self, addr: SocketAddr) -> bool {
        is_loopback(addr.ip().to_canonical()) || self.listed.binary_search(&scoped(addr)).is_ok()
    }
}

/// Whether a socket bound to `local` sends from that address and no other: it is
/// neither a wildcard nor a group nor a broadcast address. Also `false` when that
/// cannot be found out.
pub(crate) fn is_bound_to_one_host(local: SocketAddr) -> bool {
    let ip = local.ip().to_canonical();
    if ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    is_loopback(ip) || HostAddresses::list().is_ok_and(|own| own.contains(local))
}

impl LocalEnd {
    /// Whether the datagram came by the loopback interface, so that this host
    /// has sent it, from whatever address. On Linux that interface has this
    /// number in every network namespace (`LOOPBACK_IFINDEX`); elsewhere no
    /// local end is known.
    pub(crate) fn is_on_loopback(self) -> bool {
        self.interface == 1
    }

    /// As a socket address, with the scope that a link-local one has.
    pub(crate) fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                std::net::SocketAddrV6::new(ip, port, 0, self.interface).into()
            }
            ip => SocketAddr::new(ip, port),
        }
    }
}

fn scoped(addr: SocketAddr) -> Scoped {
    match addr {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => (addr.ip(), v6.scope_id()),
        _ => (addr.ip().to_canonical(), 0),
    }
}

/// All of 127.0.0.0/8 is this host, whether an interface has it or not, but for
/// the two ends: these are broadcast addresses there.
fn is_loopback(ip: IpAddr) -> bool {
    const ENDS: [Ipv4Addr; 2] = [
        Ipv4Addr::new(127, 0, 0, 0),
        Ipv4Addr::new(127, 255, 255, 255),
    ];
    ip.is_loopback() && !ENDS.iter().any(|end| ip == *end)
}

/// getifaddrs(3).
#[cfg(unix)]
fn list() -> io::Result<Vec<SocketAddr>> {
    let entries = nix::ifaddrs::getifaddrs()?;
    Ok(entries
        .filter_map(|entry| ip_address(&entry.address?))
        .collect())
}

/// The address, if it is an IP address; interfaces have others as well.
#[cfg(unix)]
fn ip_address(address: &nix::sys::socket::SockaddrStorage) -> Option<SocketAddr> {
    use std::net::{SocketAddrV4, SocketAddrV6};

    let (v4, v6) = (address.as_sockaddr_in(), address.as_sockaddr_in6());
    v4.map(|v4| SocketAddrV4::from(*v4).into())
        .or_else(|| v6.map(|v6| SocketAddrV6::from(*v6).into()))
}

/// Windows lists this host's addresses under the empty name (`getaddrinfo`).
#[cfg(not(unix))]
fn list() -> io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs;

    Ok(("", 0).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listed: &[&str]) -> HostAddresses {
        let mut listed: Vec<_> = listed.iter().map(|text| scoped(addr(text))).collect();
        listed.sort_unstable();
        HostAddresses { listed }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("a valid address")
    }

    #[test]
    fn a_link_local_address_is_its_interfaces_alone() {
        let own = of(&["[fe80::1%3]:0", "192.0.2.1:0", "[2001:db8::1]:0"]);
        for (text, is_own) in [
            ("[fe80::1%3]:9", true),
            ("[fe80::1%4]:9", false),
            ("[fe80::2%3]:9", false),
            ("192.0.2.1:9", true),
            ("[::ffff:192.0.2.1]:9", true),
            ("192.0.2.2:9", false),
            ("[2001:db8::1]:9", true),
            ("127.0.0.77:9", true),
            ("[::1]:9", true),
            ("127.255.255.255:9", false),
        ] {
            assert_eq!(own.contains(addr(text)), is_own, "{text}");
        }
    }

    #[test]
    fn this_host_has_loopback_and_no_documentation_address() {
        let own = HostAddresses::list().expect("the system tells");
        assert!(own.contains(addr("127.0.0.1:0")));
        assert!(!own.contains(addr("192.0.2.1:0")));
    }

    #[test]
    fn wildcards_groups_and_broadcasts_are_not_one_host() {
        for text in [
            "0.0.0.0:9",
            "[::]:9",
            "[::ffff:0.0.0.0]:9",
            "239.1.2.3:9",
            "[ff02::1]:9",
            "127.255.255.255:9",
            "255.255.255.255:9",
        ] {
            assert!(!is_bound_to_one_host(addr(text)), "{text}");
        }
        for text in ["127.0.0.1:9", "[::ffff:127.0.0.1]:9", "[::1]:9"] {
            assert!(is_bound_to_one_host(addr(text)), "{text}");
        }
    }
}
