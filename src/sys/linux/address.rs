//! Socket addresses as the kernel writes them.

use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::sys::{UnixAddr, mapped, unmapped};

/// Room for an IPv4 or IPv6 socket address, in network format.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union RawAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// The room a [`RawAddress`] offers the kernel, in bytes.
pub(super) const CAPACITY: libc::socklen_t = size_of::<RawAddress>() as libc::socklen_t;

/// Room for the address of a Unix socket, as the kernel writes it: a byte more than
/// `sockaddr_un`, for it counts a zero byte behind the longest path.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct RawUnixAddress {
    family: libc::sa_family_t,
    path: [u8; UnixAddr::MOST + 2],
}

impl RawUnixAddress {
    pub(super) const CAPACITY: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    /// The name in an address of `len` bytes that the kernel wrote.
    pub(super) fn name(&self, len: libc::socklen_t) -> &[u8] {
        let len = (len as usize).saturating_sub(size_of::<libc::sa_family_t>());
        let written = &self.path[..len.min(UnixAddr::MOST)];
        let is_abstract = written.first() == Some(&0);
        match written.iter().position(|byte| *byte == 0) {
            Some(end) if !is_abstract => &written[..end],
            _ => written,
        }
    }
}

impl RawAddress {
    /// Writes `addr` for a socket of the IPv6 family if `to_v6`, mapped into it or
    /// back. Returns the length used, too.
    pub(super) fn encode(addr: SocketAddr, to_v6: bool) -> (Self, libc::socklen_t) {
        match mapped(addr, to_v6) {
            SocketAddr::V4(v4) => Self::encode_v4(v4),
            SocketAddr::V6(v6) => Self::encode_v6(v6),
        }
    }

    fn encode_v4(addr: SocketAddrV4) -> (Self, libc::socklen_t) {
        let v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: addr.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(addr.ip().octets()),
            },
            sin_zero: [0; 8],
        };
        let mut raw = Self {
            // SAFETY: all-zero is a valid `sockaddr_in6`, the largest member.
            v6: unsafe { std::mem::zeroed() },
        };
        raw.v4 = v4;
        (raw, size_of::<libc::sockaddr_in>() as libc::socklen_t)
    }

    fn encode_v6(addr: SocketAddrV6) -> (Self, libc::socklen_t) {
        let v6 = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: addr.port().to_be(),
            sin6_flowinfo: addr.flowinfo(),
            sin6_addr: libc::in6_addr {
                s6_addr: addr.ip().octets(),
            },
            sin6_scope_id: addr.scope_id(),
        };
        (
            Self { v6 },
            size_of::<libc::sockaddr_in6>() as libc::socklen_t,
        )
    }

    /// Reads the address of `len` bytes that the kernel wrote; `None` when it
    /// wrote none, or one of another family. Mapped IPv4 is shown as IPv4.
    pub(super) fn decode(&self, len: libc::socklen_t) -> Option<SocketAddr> {
        if (len as usize) < size_of::<libc::sockaddr_in>() {
            return None;
        }
        // SAFETY: every member begins with the family, and at least a
        // `sockaddr_in` was written.
        match libc::c_int::from(unsafe { self.family }) {
            libc::AF_INET => {
                // SAFETY: the family says which member it is; plain data.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: the family says which member it is, and it is whole.
                let v6 = unsafe { self.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                let addr = SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id);
                Some(unmapped(addr.into()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_unix_socket_ends_where_the_kernel_says_or_a_path_ends() {
        let raw = |name: &[u8]| {
            let mut raw = RawUnixAddress {
                family: libc::AF_UNIX as libc::sa_family_t,
                path: [b'?'; UnixAddr::MOST + 2],
            };
            raw.path[..name.len()].copy_from_slice(name);
            raw
        };
        assert_eq!(raw(b"").name(0), b"");
        assert_eq!(raw(b"").name(2), b"", "the family alone");
        assert_eq!(raw(b"/a\0").name(5), b"/a", "a path and its zero byte");
        assert_eq!(raw(b"\0a\0b").name(6), b"\0a\0b", "an abstract name");
        let longest = [b'x'; UnixAddr::MOST];
        assert_eq!(raw(&longest).name(111), longest);
        assert_eq!(raw(&longest).name(u32::MAX), longest, "nothing beyond");
    }

    #[track_caller]
    fn round_trip(text: &str, to_v6: bool) {
        let addr: SocketAddr = text.parse().expect("a valid address");
        let (raw, len) = RawAddress::encode(addr, to_v6);
        assert_eq!(raw.decode(len), Some(addr), "{text}, to_v6: {to_v6}");
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        round_trip("127.0.0.1:8080", false);
        round_trip("255.1.2.3:65535", false);
        round_trip("[::1]:53", true);
        round_trip("[fe80::1%7]:9", true);
    }

    #[test]
    fn ipv4_passes_through_an_ipv6_socket_and_is_shown_as_ipv4() {
        round_trip("192.0.2.7:1234", true);
    }

    #[test]
    fn a_mapped_address_is_unmapped_for_an_ipv4_socket() {
        let mapped = "[::ffff:192.0.2.7]:1234".parse().expect("a valid address");
        let (raw, len) = RawAddress::encode(mapped, false);
        let plain = "192.0.2.7:1234".parse().expect("a valid address");
        assert_eq!(raw.decode(len), Some(plain));
    }

    #[test]
    fn nothing_written_is_no_address() {
        let (raw, _) = RawAddress::encode(SocketAddr::from(([127, 0, 0, 1], 1)), false);
        assert_eq!(raw.decode(0), None);
    }
}
