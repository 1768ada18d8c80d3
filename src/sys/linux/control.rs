//! Control messages (cmsg(3)): built for the kernel and read from it, as bytes.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::sys::LocalEnd;

/// The control messages of one datagram to send, aligned as the kernel wants them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control {
    bytes: [u8; Self::CAPACITY],
    used: usize,
}

impl Control {
    /// Room for a source of either family and a segment size.
    const CAPACITY: usize = space(20) + space(2);

    /// Asks that a datagram leave from an address, or that the kernel cut the
    /// payload into datagrams of so many bytes, or both, or nothing.
    pub(super) fn new(from: Option<LocalEnd>, segment: Option<u16>) -> Self {
        let mut control = Self {
            bytes: [0; Self::CAPACITY],
            used: 0,
        };
        if let Some(from) = from {
            control.push_source(from);
        }
        if let Some(bytes) = segment {
            control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
        }
        control
    }

    /// The bytes in use: what `msg_controllen` says of it.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The interface is left to the route, but for link-local addresses, which
    /// mean nothing without.
    fn push_source(&mut self, from: LocalEnd) {
        match from.ip {
            // struct in_pktinfo: interface, local address, destination.
            IpAddr::V4(v4) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&v4.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            // struct in6_pktinfo: address, interface.
            IpAddr::V6(v6) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&v6.octets());
                if v6.is_unicast_link_local() {
                    info[16..].copy_from_slice(&from.interface.to_ne_bytes());
                }
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
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

/// Room for the control messages of one received datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct ControlRoom([u8; Self::CAPACITY]);

impl ControlRoom {
    /// Twice what this crate ever asks for (see below): a socket that was handed
    /// in may have been asked for more.
    pub(super) const CAPACITY: usize = 256;

    /// What the kernel wrote here about a datagram, in `len` bytes.
    pub(super) fn facts(&self, len: usize) -> Facts {
        Facts::read(&self.0[..len.min(Self::CAPACITY)])
    }
}

/// Packet info of both families, a stamp, and the size of segments.
const _: () = assert!(2 * (space(12) + space(20) + space(16) + space(4)) <= ControlRoom::CAPACITY);

/// What the kernel tells of a datagram beside its sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Where it was sent to.
    ///
    /// For IPv4 that is the local address that the kernel would answer from,
    /// also when the datagram was sent to a group or a broadcast address. For
    /// IPv6 a group has no such address, and there is none.
    pub(super) local: Option<LocalEnd>,
    /// When it was received, since the epoch of the system's clock.
    pub(super) stamp: Option<Duration>,
    /// The length of each datagram but the last, when several came as one.
    pub(super) segment: Option<usize>,
}

impl Facts {
    fn read(bytes: &[u8]) -> Self {
        let mut facts = Self::default();
        for (level, kind, data) in Messages(bytes) {
            match (level, kind) {
                // A dual-stack socket tells both; this one knows the address to
                // answer from.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => facts.local = v4_end(data),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    facts.local = facts.local.or_else(|| v6_end(data));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => facts.stamp = stamp(data),
                (libc::SOL_UDP, libc::UDP_GRO) => facts.segment = segment(data),
                _ => {}
            }
        }
        facts
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

/// `struct in_pktinfo`: interface, local address, destination.
fn v4_end(data: &[u8]) -> Option<LocalEnd> {
    let octets: [u8; 4] = data.get(4..8)?.try_into().ok()?;
    let ip = IpAddr::V4(Ipv4Addr::from(octets));
    let interface = interface(data.get(..4)?)?;
    Some(LocalEnd { ip, interface })
}

/// `struct in6_pktinfo`: address, interface.
fn v6_end(data: &[u8]) -> Option<LocalEnd> {
    let octets: [u8; 16] = data.get(..16)?.try_into().ok()?;
    let ip = Ipv6Addr::from(octets);
    let interface = interface(data.get(16..20)?)?;
    let is_own = !ip.is_multicast() && ip.to_ipv4_mapped().is_none();
    let ip = IpAddr::V6(ip);
    is_own.then_some(LocalEnd { ip, interface })
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

/// Walks through control messages: level, type and data of each. Ends at the
/// first that is not whole.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (libc::c_int, libc::c_int, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let word = |at: usize| -> Option<[u8; 4]> { self.0.get(at..at + 4)?.try_into().ok() };
        let len = self.0.get(..size_of::<usize>())?.try_into().ok()?;
        let len = usize::from_ne_bytes(len);
        let level = libc::c_int::from_ne_bytes(word(LEVEL)?);
        let kind = libc::c_int::from_ne_bytes(word(KIND)?);
        let data = self.0.get(HEADER..len)?;
        let next = aligned(len).min(self.0.len());
        self.0 = &self.0[next..];
        Some((level, kind, data))
    }
}

/// A message's length, up to where the next begins.
const fn aligned(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// What a message with so many bytes of data takes: `CMSG_SPACE`.
const fn space(data: usize) -> usize {
    HEADER + aligned(data)
}

/// `struct cmsghdr` on Linux: the length, as wide as a pointer, then level and type.
const LEVEL: usize = size_of::<usize>();
const KIND: usize = LEVEL + 4;
const HEADER: usize = aligned(KIND + 4);

const _: () = assert!(HEADER == size_of::<libc::cmsghdr>());

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(control: &Control) -> Facts {
        Facts::read(&control.bytes[..control.len()])
    }

    #[test]
    fn the_size_of_segments_is_read_and_nonsense_is_none() {
        let segment_of = |data: &[u8]| {
            let mut control = Control::new(None, None);
            control.push(libc::SOL_UDP, libc::UDP_GRO, data);
            facts(&control).segment
        };
        assert_eq!(segment_of(&1_200_i32.to_ne_bytes()), Some(1_200));
        assert_eq!(segment_of(&0_i32.to_ne_bytes()), None);
        assert_eq!(segment_of(&(-1_i32).to_ne_bytes()), None);
        assert_eq!(segment_of(&[1, 2]), None, "cut off");
    }

    #[test]
    fn lengths_are_those_of_the_system_macros() {
        let control = Control::new(None, Some(64));
        // SAFETY: these macros only compute.
        let (len, space) = unsafe { (libc::CMSG_LEN(2), libc::CMSG_SPACE(2)) };
        assert_eq!(control.len(), space as usize);
        assert_eq!(control.bytes[..8], u64::from(len).to_ne_bytes());
    }

    #[test]
    fn a_source_reads_back_as_the_local_end() {
        let ends = [("192.0.2.1", 0), ("2001:db8::1", 0), ("fe80::1", 7)];
        for (ip, interface) in ends {
            let ip = ip.parse().expect("a valid address");
            let end = LocalEnd { ip, interface };
            let control = Control::new(Some(end), Some(64));
            assert_eq!(facts(&control).local, Some(end));
        }
    }

    #[test]
    fn a_group_and_a_mapped_address_are_no_source() {
        for ip in ["ff02::1", "::ffff:192.0.2.1"] {
            let ip = ip.parse().expect("a valid address");
            let control = Control::new(Some(LocalEnd { ip, interface: 0 }), None);
            assert_eq!(facts(&control).local, None, "{ip}");
        }
    }

    #[test]
    fn a_stamp_is_read_and_nonsense_is_none() {
        let stamp_of = |seconds: libc::c_long, nanos: libc::c_long| {
            let data = [seconds.to_ne_bytes(), nanos.to_ne_bytes()].concat();
            let mut control = Control::new(None, None);
            control.push(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &data);
            facts(&control).stamp
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
                let (level, kind) = match len % 4 {
                    0 => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    1 => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    2 => (libc::SOL_UDP, libc::UDP_GRO),
                    _ => (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS),
                };
                plausible[8..12].copy_from_slice(&level.to_ne_bytes());
                plausible[12..16].copy_from_slice(&kind.to_ne_bytes());
            }
            read_control_messages(&plausible);
        }
    }
}
