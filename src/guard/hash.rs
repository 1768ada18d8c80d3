//! Where an address stands in a table: a keyed hash, so that nobody who does not
//! know the key can aim at the place of another.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

use super::prefix::Prefix;

/// Finds places in tables.
#[derive(Clone, Copy)]
pub(crate) struct TableKey(SipHasher13);

impl TableKey {
    pub(super) fn new(secret: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(secret))
    }

    /// The place of an address with its port.
    pub(crate) fn peer(&self, peer: SocketAddr) -> Hashed {
        let scope = match peer {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        self.place(peer.ip(), peer.port(), scope)
    }

    /// The place of a prefix.
    pub(crate) fn prefix(&self, prefix: Prefix) -> Hashed {
        let (network, len, link) = prefix.parts();
        self.place(network, len.into(), link)
    }

    /// Hashes whole words: an IPv4 address with what is behind it is a single
    /// one, which takes half the time of its IPv6-mapped form. The hash takes the
    /// length in, so that the two families stay apart.
    fn place(&self, ip: IpAddr, behind: u16, scope: u32) -> Hashed {
        let mut hasher = self.0;
        match ip.to_canonical() {
            IpAddr::V4(v4) => hasher.write_u64(u64::from(v4.to_bits()) << 16 | u64::from(behind)),
            IpAddr::V6(v6) => {
                let [high, low] = [v6.to_bits() >> 64, v6.to_bits()].map(|half| half as u64);
                hasher.write_u64(high);
                hasher.write_u64(low);
                hasher.write_u64(u64::from(scope) << 16 | u64::from(behind));
            }
        }
        Hashed::new(hasher.finish())
    }
}

impl std::fmt::Debug for TableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableKey").finish_non_exhaustive()
    }
}

/// A place in a table, and the tag that is compared there. 64 bits: that two of
/// a million entries share one happens once in 37 million tables, and nobody
/// can bring it about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed(u64);

impl Hashed {
    /// 0 marks an empty place.
    fn new(hash: u64) -> Self {
        Self(hash.max(1))
    }

    pub(crate) fn tag(self) -> u64 {
        self.0
    }
}

/// An address with its port, the same for an IPv4 address and its IPv6-mapped
/// form. The scope counts: a link-local address is another host on each link.
pub(super) fn encode(addr: SocketAddr) -> [u8; 22] {
    let mut bytes = [0; 22];
    bytes[..16].copy_from_slice(&octets(addr.ip()));
    bytes[16..18].copy_from_slice(&addr.port().to_be_bytes());
    if let SocketAddr::V6(v6) = addr {
        bytes[18..].copy_from_slice(&v6.scope_id().to_be_bytes());
    }
    bytes
}

/// An address as IPv6 writes it.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::keys::Keys;

    #[track_caller]
    fn place(key: u8, addr: &str) -> Hashed {
        let addr = addr.parse().expect("an address");
        Keys::new([key; Keys::BYTES]).table.peer(addr)
    }

    #[test]
    fn a_place_is_that_of_an_address_a_port_and_a_key() {
        let place_of_one = place(1, "192.0.2.1:99");
        assert_eq!(place_of_one, place(1, "[::ffff:192.0.2.1]:99"), "mapped");
        assert_ne!(place_of_one, place(1, "192.0.2.1:98"), "port");
        assert_ne!(place_of_one, place(1, "192.0.2.2:99"), "address");
        assert_ne!(place_of_one, place(2, "192.0.2.1:99"), "key");
        assert_ne!(place(1, "[fe80::1%1]:9"), place(1, "[fe80::1%2]:9"), "link");
    }
}
