//! What the kernel is told of a datagram to send.

use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};

use super::{HEADER, KIND, LEVEL, aligned, space};
use crate::sys::{Egress, unmapped};

/// The control messages of one datagram to send, aligned as the kernel wants
/// them. All zeros are none.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(in crate::sys::platform) struct Control {
    used: usize,
    bytes: [u8; Self::CAPACITY],
}

impl Control {
    /// Room for a source of either family, three numbers and a segment size.
    const CAPACITY: usize = space(20) + 3 * space(4) + space(2);

    pub(in crate::sys::platform) const EMPTY: Self = Self {
        used: 0,
        bytes: [0; Self::CAPACITY],
    };

    /// Asks that a datagram leave as `egress` says, and that the kernel cut the
    /// payload into datagrams of so many bytes. What is left to the socket and
    /// the routes takes no message. Written in place: only the bytes in use are
    /// touched.
    pub(in crate::sys::platform) fn fill(
        &mut self,
        to: SocketAddr,
        egress: &Egress,
        segment: Option<u16>,
    ) {
        self.used = 0;
        // The kernel sends to a mapped address by IPv4 and its messages, whatever
        // the family of the socket (net/ipv6/udp.c, `udpv6_sendmsg`).
        let level = match unmapped(to) {
            SocketAddr::V4(_) => V4,
            SocketAddr::V6(_) => V6,
        };
        if egress.from.is_some() || egress.interface > 0 {
            self.push_source(&level, egress);
        }
        if let Some(class) = egress.traffic_class {
            self.push_number(level.number, level.traffic_class, class.into());
        }
        if let Some(limit) = egress.hop_limit {
            self.push_number(level.number, level.hop_limit, limit.into());
        }
        if egress.dont_fragment && level.number == libc::IPPROTO_IPV6 {
            self.push_number(level.number, libc::IPV6_DONTFRAG, 1);
        }
        if let Some(bytes) = segment {
            self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
        }
    }

    /// The bytes in use: what `msg_controllen` says of it.
    pub(in crate::sys::platform) fn len(&self) -> usize {
        self.used
    }

    /// Where the messages begin: what `msg_control` leads to.
    ///
    /// # Safety
    /// `this` must lead into an allocation with room for a `Control`.
    pub(in crate::sys::platform) unsafe fn messages(this: *mut Self) -> *mut libc::c_void {
        // SAFETY: as the caller promises, the field is within the allocation.
        unsafe { (&raw mut (*this).bytes).cast() }
    }

    /// The addresses of the other family are unspecified here, as is one that is
    /// left to the routes.
    fn push_source(&mut self, level: &Level, egress: &Egress) {
        let interface = egress.interface.to_ne_bytes();
        if level.number == libc::IPPROTO_IP {
            // struct in_pktinfo: interface, local address, destination.
            let mut info = [0; 12];
            info[..4].copy_from_slice(&interface);
            if let Some(IpAddr::V4(v4)) = egress.from {
                info[4..8].copy_from_slice(&v4.octets());
            }
            self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        } else {
            // struct in6_pktinfo: address, interface.
            let mut info = [0; 20];
            if let Some(IpAddr::V6(v6)) = egress.from {
                info[..16].copy_from_slice(&v6.octets());
            }
            info[16..].copy_from_slice(&interface);
            self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
    }

    fn push_number(&mut self, level: libc::c_int, kind: libc::c_int, value: libc::c_int) {
        self.push(level, kind, &value.to_ne_bytes());
    }

    fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let len = HEADER + data.len();
        let message = &mut self.bytes[self.used..self.used + aligned(len)];
        message[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
        message[LEVEL..LEVEL + 4].copy_from_slice(&level.to_ne_bytes());
        message[KIND..KIND + 4].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..len].copy_from_slice(data);
        self.used += aligned(len);
    }
}

/// What the messages of a family are called.
struct Level {
    number: libc::c_int,
    traffic_class: libc::c_int,
    hop_limit: libc::c_int,
}

/// ip(7).
const V4: Level = Level {
    number: libc::IPPROTO_IP,
    traffic_class: libc::IP_TOS,
    hop_limit: libc::IP_TTL,
};
/// ipv6(7), RFC 3542.
const V6: Level = Level {
    number: libc::IPPROTO_IPV6,
    traffic_class: libc::IPV6_TCLASS,
    hop_limit: libc::IPV6_HOPLIMIT,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::LocalEnd;
    use crate::sys::platform::control::incoming::Facts;

    /// What the kernel would read of them.
    fn filled(to: &str, egress: Egress, segment: Option<u16>) -> (Control, Facts) {
        let mut control = Control::EMPTY;
        // What an earlier datagram had said.
        let all = Egress {
            interface: 99,
            traffic_class: Some(0xff),
            hop_limit: Some(99),
            dont_fragment: true,
            ..Egress::default()
        };
        control.fill("[::1]:9".parse().expect("an address"), &all, Some(99));
        let to = SocketAddr::new(to.parse().expect("an address"), 9);
        control.fill(to, &egress, segment);
        (control, Facts::read(&control.bytes[..control.len()]))
    }

    #[test]
    fn lengths_are_those_of_the_system_macros() {
        let (control, _) = filled("192.0.2.9", Egress::default(), Some(64));
        // SAFETY: these macros only compute.
        let (len, space) = unsafe { (libc::CMSG_LEN(2), libc::CMSG_SPACE(2)) };
        assert_eq!(control.len(), space as usize);
        assert_eq!(control.bytes[..8], u64::from(len).to_ne_bytes());
    }

    #[test]
    fn what_is_left_to_the_system_takes_no_message() {
        let (control, facts) = filled("192.0.2.9", Egress::default(), None);
        assert_eq!((control.len(), facts), (0, Facts::default()));
    }

    #[test]
    fn a_source_reads_back_as_the_local_end() {
        for (ip, to) in [
            ("192.0.2.1", "192.0.2.9"),
            ("192.0.2.1", "::ffff:192.0.2.9"),
            ("2001:db8::1", "2001:db8::9"),
            ("fe80::1", "fe80::9"),
        ] {
            let ip = ip.parse().expect("a valid address");
            let egress = Egress {
                from: Some(ip),
                interface: 7,
                ..Egress::default()
            };
            let (_, facts) = filled(to, egress, Some(64));
            assert_eq!(facts.local, Some(LocalEnd { ip, interface: 7 }));
        }
    }

    #[test]
    fn an_interface_needs_no_source() {
        for (to, unspecified) in [("192.0.2.9", "0.0.0.0"), ("2001:db8::9", "::")] {
            let egress = Egress {
                interface: 7,
                ..Egress::default()
            };
            let (_, facts) = filled(to, egress, None);
            let local = facts.local.expect("as the kernel reads it");
            assert_eq!(local.ip, unspecified.parse::<IpAddr>().expect("an address"));
            assert_eq!(local.interface, 7);
        }
    }

    #[test]
    fn class_and_hop_limit_read_back_in_both_families() {
        for to in ["192.0.2.9", "::ffff:192.0.2.9", "2001:db8::9"] {
            let egress = Egress {
                traffic_class: Some(0xb8),
                hop_limit: Some(255),
                ..Egress::default()
            };
            let (_, facts) = filled(to, egress, None);
            assert_eq!(facts.traffic_class, Some(0xb8), "{to}");
            assert_eq!(facts.hop_limit, Some(255), "{to}");
            assert_eq!(facts.local, None, "{to}");
        }
    }

    #[test]
    fn only_ipv6_can_be_told_not_to_fragment_one_datagram() {
        let egress = Egress {
            dont_fragment: true,
            ..Egress::default()
        };
        let (v4, _) = filled("192.0.2.9", egress, None);
        let (v6, _) = filled("2001:db8::9", egress, None);
        assert_eq!((v4.len(), v6.len()), (0, space(4)));
    }

    #[test]
    fn everything_at_once_finds_room() {
        let egress = Egress {
            from: Some("2001:db8::1".parse().expect("an address")),
            interface: 7,
            traffic_class: Some(1),
            hop_limit: Some(1),
            dont_fragment: true,
        };
        let (control, _) = filled("2001:db8::9", egress, Some(1_200));
        assert_eq!(control.len(), Control::CAPACITY);
    }
}
