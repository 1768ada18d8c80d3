//! Forged packets: any source, any checksum, and ICMP about datagrams that
//! nobody sent.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{Icmpv4Type, Icmpv6Type, IpHeaders, PacketBuilder, PacketBuilderStep};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    socket,
};

/// Sends forged packets from the network namespace that it was made in.
#[derive(Debug)]
pub(crate) struct Forger {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl Forger {
    #[track_caller]
    pub(crate) fn new() -> Self {
        // IPPROTO_RAW: the packet comes with its own IP header (raw(7)).
        let open = |family| {
            socket(
                family,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::Raw,
            )
            .expect("root may open raw sockets")
        };
        Self {
            v4: open(AddressFamily::Inet),
            v6: open(AddressFamily::Inet6),
        }
    }

    /// A datagram that says to come from `source`.
    #[track_caller]
    pub(crate) fn datagram(&self, source: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.send(to, &datagram(source, to, payload));
    }

    /// The same with a checksum that is wrong.
    #[track_caller]
    pub(crate) fn damaged(&self, source: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let mut packet = datagram(source, to, payload);
        let checksum = packet.len() - payload.len() - 2;
        packet[checksum] ^= 0x55;
        self.send(to, &packet);
    }

    /// "Nobody listens there", about a datagram from `sender` to `peer`, as
    /// `peer` would say it.
    #[track_caller]
    pub(crate) fn port_unreachable(&self, sender: SocketAddr, peer: SocketAddr) {
        let v4 = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        let v6 = Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port);
        self.send_message(sender, peer, v4, v6);
    }

    /// "Too long for a link on the way to `peer`, which takes `mtu` bytes",
    /// about a datagram from `sender`.
    #[track_caller]
    pub(crate) fn too_big(&self, sender: SocketAddr, peer: SocketAddr, mtu: u16) {
        let reason = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
        let v4 = Icmpv4Type::DestinationUnreachable(reason);
        let v6 = Icmpv6Type::PacketTooBig { mtu: mtu.into() };
        self.send_message(sender, peer, v4, v6);
    }

    /// An ICMP message about a datagram from `sender` to `peer`.
    #[track_caller]
    fn send_message(&self, sender: SocketAddr, peer: SocketAddr, v4: Icmpv4Type, v6: Icmpv6Type) {
        let quoted = datagram(sender, peer, b"quoted");
        let packet = message(peer.ip(), sender.ip(), v4, v6, &quoted);
        self.send(sender, &packet);
    }

    #[track_caller]
    fn send(&self, to: SocketAddr, packet: &[u8]) {
        // A flood may find the queue to the device full for a moment.
        loop {
            match self.try_send(to, packet) {
                Err(Errno::ENOBUFS | Errno::EINTR) => std::thread::yield_now(),
                sent => {
                    assert_eq!(sent, Ok(packet.len()), "a forged packet to {to} leaves");
                    return;
                }
            }
        }
    }

    fn try_send(&self, to: SocketAddr, packet: &[u8]) -> nix::Result<usize> {
        let flags = MsgFlags::empty();
        match to {
            SocketAddr::V4(to) => {
                let to = SockaddrIn::from(SocketAddrV4::new(*to.ip(), 0));
                sendto(self.v4.as_raw_fd(), packet, &to, flags)
            }
            SocketAddr::V6(to) => {
                // A link-local one leaves by the link that its scope names.
                let to = SocketAddrV6::new(*to.ip(), 0, 0, to.scope_id());
                let to = SockaddrIn6::from(to);
                sendto(self.v6.as_raw_fd(), packet, &to, flags)
            }
        }
    }
}

/// A UDP datagram in its IP packet, from any port, 0 included.
fn datagram(source: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let step = ip(source.ip(), to.ip()).udp(source.port(), to.port());
    let mut packet = Vec::with_capacity(step.size(payload.len()));
    step.write(&mut packet, payload).expect("it fits");
    packet
}

/// An ICMP message of the peers' family, made by the function for it.
fn message(from: IpAddr, to: IpAddr, v4: Icmpv4Type, v6: Icmpv6Type, quoted: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let written = match to {
        IpAddr::V4(_) => ip(from, to).icmpv4(v4).write(&mut packet, quoted),
        IpAddr::V6(_) => ip(from, to).icmpv6(v6).write(&mut packet, quoted),
    };
    written.expect("it fits");
    packet
}

fn ip(from: IpAddr, to: IpAddr) -> PacketBuilderStep<IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), HOPS),
        _ => panic!("{from} and {to} are of two families"),
    }
}

const HOPS: u8 = 64;
