//! What the kernel tells of a received datagram.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

#[cfg(any(fuzzing, test))]
use super::HEADER;
use super::{Messages, space};
use crate::sys::LocalEnd;

/// Room for the control messages of one received datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(in crate::sys::platform) struct ControlRoom([u8; Self::CAPACITY]);

impl ControlRoom {
    /// Twice what this crate ever asks for (see below): a socket that was handed
    /// in may have been asked for more.
    pub(in crate::sys::platform) const CAPACITY: usize = 384;

    /// What the kernel wrote here about a datagram, in `len` bytes.
    pub(in crate::sys::platform) fn facts(&self, len: usize) -> Facts {
        Facts::read(&self.0[..len.min(Self::CAPACITY)])
    }
}

/// Packet info of both families, a stamp, the size of segments, the hop limit and
/// the traffic class.
const MOST_ASKED_FOR: usize = space(12) + space(20) + space(16) + 3 * space(4);
const _: () = assert!(2 * MOST_ASKED_FOR <= ControlRoom::CAPACITY);

/// What the kernel tells of a datagram beside its sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::sys::platform) struct Facts {
    /// Where answers leave from.
    ///
    /// For IPv4 that is the local address that the kernel would answer from,
    /// also when the datagram was sent to a group or a broadcast address. For
    /// IPv6 a group has no such address, and there is none.
    pub(in crate::sys::platform) local: Option<LocalEnd>,
    /// The address that it was sent to, as it stood in the IP header.
    pub(in crate::sys::platform) sent_to: Option<IpAddr>,
    /// The number of the interface it came in by; 0 where that is not known.
    pub(in crate::sys::platform) interface: u32,
    /// When it was received, since the epoch of the system's clock.
    pub(in crate::sys::platform) stamp: Option<Duration>,
    /// The length of each datagram but the last, when several came as one.
    pub(in crate::sys::platform) segment: Option<usize>,
    /// TTL or hop limit.
    pub(in crate::sys::platform) hop_limit: Option<u8>,
    /// DSCP and ECN.
    pub(in crate::sys::platform) traffic_class: Option<u8>,
}

impl Facts {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut facts = Self::default();
        for (level, kind, data) in Messages(bytes) {
            match (level, kind) {
                // A dual-stack socket tells both of an IPv4 datagram; the first
                // knows the address to answer from.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => facts.learn(v4_info(data)),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if facts.sent_to.is_none() => {
                    facts.learn(v6_info(data));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => facts.stamp = stamp(data),
                (libc::SOL_UDP, libc::UDP_GRO) => facts.segment = segment(data),
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    facts.hop_limit = octet(data)
                }
                // One byte for IPv4, a C `int` for IPv6.
                (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    facts.traffic_class = octet(data)
                }
                _ => {}
            }
        }
        facts
    }

    fn learn(&mut self, info: Option<PacketInfo>) {
        if let Some(info) = info {
            self.local = info.local;
            self.sent_to = Some(info.sent_to);
            self.interface = info.interface;
        }
    }
}

/// Reads control messages from any bytes, for fuzzers.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_control_messages(bytes: &[u8]) {
    let room = &bytes[..bytes.len().min(ControlRoom::CAPACITY)];
    let messages = Messages(room).count();
    assert!(messages <= room.len() / HEADER, "each takes room");
    let _ = Facts::read(room);
}

/// Packet info of either family.
struct PacketInfo {
    local: Option<LocalEnd>,
    sent_to: IpAddr,
    interface: u32,
}

/// `struct in_pktinfo`: interface, local address, destination.
fn v4_info(data: &[u8]) -> Option<PacketInfo> {
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    let interface = interface(data.get(..4)?)?;
    let ip = address(4)?;
    Some(PacketInfo {
        local: Some(LocalEnd { ip, interface }),
        sent_to: address(8)?,
        interface,
    })
}

/// `struct in6_pktinfo`: destination, interface.
fn v6_info(data: &[u8]) -> Option<PacketInfo> {
    let octets: [u8; 16] = data.get(..16)?.try_into().ok()?;
    let sent_to = Ipv6Addr::from(octets);
    let interface = interface(data.get(16..20)?)?;
    let is_own = !sent_to.is_multicast() && sent_to.to_ipv4_mapped().is_none();
    let ip = IpAddr::V6(sent_to);
    Some(PacketInfo {
        local: is_own.then_some(LocalEnd { ip, interface }),
        sent_to: sent_to.to_canonical(),
        interface,
    })
}

/// A number from 0 to 255, in one byte or in a C `int`.
fn octet(data: &[u8]) -> Option<u8> {
    match data {
        [octet] => Some(*octet),
        _ => {
            let bytes = data.get(..size_of::<libc::c_int>())?;
            let number = libc::c_int::from_ne_bytes(bytes.try_into().ok()?);
            u8::try_from(number).ok()
        }
    }
}

/// `struct timespec`, of two words.
fn stamp(data: &[u8]) -> Option<Duration> {
    let word = |at: usize| -> Option<libc::c_long> {
        let bytes = data.get(at..at + size_of::<libc::c_long>())?;
        Some(libc::c_long::from_ne_bytes(bytes.try_into().ok()?))
    };
    let seconds = u64::try_from(word(0)?).ok()?;
    let nanos = u32::try_from(word(size_of::<libc::c_long>())?).ok()?;
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// A C `int`. Zero would never get through the payload.
fn segment(data: &[u8]) -> Option<usize> {
    let bytes = data.get(..size_of::<libc::c_int>())?;
    let len = libc::c_int::from_ne_bytes(bytes.try_into().ok()?);
    usize::try_from(len).ok().filter(|len| *len > 0)
}

fn interface(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sys::platform::control::{KIND, LEVEL, aligned};

    /// What is read of these messages.
    fn facts(messages: &[(libc::c_int, libc::c_int, &[u8])]) -> Facts {
        let mut bytes = Vec::new();
        for (level, kind, data) in messages {
            let len = HEADER + data.len();
            let start = bytes.len();
            bytes.resize(start + aligned(len), 0);
            let message = &mut bytes[start..];
            message[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
            message[LEVEL..LEVEL + 4].copy_from_slice(&level.to_ne_bytes());
            message[KIND..KIND + 4].copy_from_slice(&kind.to_ne_bytes());
            message[HEADER..len].copy_from_slice(data);
        }
        Facts::read(&bytes)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// `struct in_pktinfo`.
    fn v4(interface: u32, local: [u8; 4], sent_to: [u8; 4]) -> Vec<u8> {
        [interface.to_ne_bytes(), local, sent_to].concat()
    }

    /// `struct in6_pktinfo`.
    fn v6(sent_to: &str, interface: u32) -> Vec<u8> {
        let sent_to: Ipv6Addr = sent_to.parse().expect("an address");
        [&sent_to.octets()[..], &interface.to_ne_bytes()].concat()
    }

    #[test]
    fn an_ipv4_destination_stands_beside_the_address_to_answer_from() {
        let group = v4(7, [192, 0, 2, 1], [239, 1, 2, 3]);
        let facts = facts(&[(libc::IPPROTO_IP, libc::IP_PKTINFO, &group)]);
        assert_eq!(facts.sent_to, Some(ip("239.1.2.3")));
        let local = LocalEnd {
            ip: ip("192.0.2.1"),
            interface: 7,
        };
        assert_eq!((facts.local, facts.interface), (Some(local), 7));
    }

    #[test]
    fn an_ipv6_group_is_where_it_was_sent_and_no_source() {
        let own = v6("2001:db8::1", 7);
        let own = facts(&[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &own)]);
        assert_eq!(own.sent_to, own.local.map(|local| local.ip));
        assert_eq!(own.sent_to, Some(ip("2001:db8::1")));
        let group = v6("ff02::1", 7);
        let group = facts(&[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &group)]);
        assert_eq!((group.local, group.sent_to), (None, Some(ip("ff02::1"))));
        assert_eq!(group.interface, 7);
    }

    #[test]
    fn a_dual_stack_socket_tells_of_ipv4_what_an_ipv4_socket_would() {
        let (v4, v6) = (
            v4(7, [192, 0, 2, 1], [192, 0, 2, 255]),
            v6("::ffff:192.0.2.255", 7),
        );
        let v4: (_, _, &[u8]) = (libc::IPPROTO_IP, libc::IP_PKTINFO, &v4);
        let v6: (_, _, &[u8]) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &v6);
        let alone = facts(&[v4]);
        assert_eq!(facts(&[v4, v6]), alone);
        assert_eq!(facts(&[v6, v4]), alone);
        let mapped = facts(&[v6]);
        assert_eq!((mapped.local, mapped.sent_to), (None, alone.sent_to));
    }

    #[test]
    fn hop_limits_and_classes_are_read_in_one_byte_or_an_int() {
        let number = 0xb8_i32.to_ne_bytes();
        let [byte, four] = [&[0xb8_u8][..], &number[..]];
        for (level, limit, class) in [
            (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_TOS),
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, libc::IPV6_TCLASS),
        ] {
            for data in [byte, four] {
                let facts = facts(&[(level, limit, data), (level, class, data)]);
                assert_eq!(facts.hop_limit, Some(0xb8));
                assert_eq!(facts.traffic_class, Some(0xb8));
            }
        }
        for nonsense in [
            &256_i32.to_ne_bytes()[..],
            &(-1_i32).to_ne_bytes(),
            &[],
            &[1, 2],
        ] {
            assert_eq!(octet(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn the_size_of_segments_is_read_and_nonsense_is_none() {
        let segment_of = |data: &[u8]| facts(&[(libc::SOL_UDP, libc::UDP_GRO, data)]).segment;
        assert_eq!(segment_of(&1_200_i32.to_ne_bytes()), Some(1_200));
        assert_eq!(segment_of(&0_i32.to_ne_bytes()), None);
        assert_eq!(segment_of(&(-1_i32).to_ne_bytes()), None);
        assert_eq!(segment_of(&[1, 2]), None, "cut off");
    }

    #[test]
    fn a_stamp_is_read_and_nonsense_is_none() {
        let stamp_of = |seconds: libc::c_long, nanos: libc::c_long| {
            let data = [seconds.to_ne_bytes(), nanos.to_ne_bytes()].concat();
            facts(&[(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &data)]).stamp
        };
        assert_eq!(stamp_of(5, 7), Some(Duration::new(5, 7)));
        assert_eq!(stamp_of(-1, 0), None);
        assert_eq!(stamp_of(0, 1_000_000_000), None);
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_reading_go_wrong(
            bytes in prop::collection::vec(any::<u8>(), 0..=ControlRoom::CAPACITY),
            len in 0..=40_u64,
        ) {
            read_control_messages(&bytes);
            let mut plausible = bytes;
            if plausible.len() >= 16 {
                plausible[..8].copy_from_slice(&len.to_ne_bytes());
                let (level, kind) = match len % 6 {
                    0 => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    1 => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    2 => (libc::SOL_UDP, libc::UDP_GRO),
                    3 => (libc::IPPROTO_IP, libc::IP_TOS),
                    4 => (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
                    _ => (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS),
                };
                plausible[8..12].copy_from_slice(&level.to_ne_bytes());
                plausible[12..16].copy_from_slice(&kind.to_ne_bytes());
            }
            read_control_messages(&plausible);
        }
    }
}
