//! What a datagram says beside its bytes.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::sys::Meta;

/// What is known of a datagram beside its bytes and its sender:
/// [`SocketHandle::meta`](crate::SocketHandle::meta) in a handler,
/// [`Builder::verify_with_meta`](crate::Builder::verify_with_meta) before it.
///
/// What costs a control message of the kernel is asked for in the builder, and
/// `None` where it was not; so is what a system cannot tell.
///
/// | | asked for by | where it comes from |
/// |---|---|---|
/// | [`destination`](Self::destination) | nothing: always known on Linux | `IP_PKTINFO`, `IPV6_PKTINFO` |
/// | [`interface`](Self::interface) | nothing on a wildcard; else [`receive_interface`](crate::Builder::receive_interface) | the same |
/// | [`received_at`](Self::received_at), [`age`](Self::age) | [`receive_time`](crate::Builder::receive_time), [`shed_older_than`](crate::Builder::shed_older_than) | `SO_TIMESTAMPNS` |
/// | [`hop_limit`](Self::hop_limit) | [`receive_hop_limit`](crate::Builder::receive_hop_limit) | `IP_TTL`, `IPV6_HOPLIMIT` |
/// | [`dscp`](Self::dscp), [`ecn`](Self::ecn) | [`receive_traffic_class`](crate::Builder::receive_traffic_class) | `IP_TOS`, `IPV6_TCLASS` |
///
/// Of IPv4 peers of a dual-stack server the same is known as on an IPv4 socket.
///
/// # Platform notes
/// On other systems than Linux only the destination is known, and that only on a
/// server bound to one address of the host.
///
/// # Examples
/// ```
/// use socketserver::{Destination, ThreadingUdpServer};
///
/// let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", |bytes, _, socket| {
///     // RFC 7252, 8.2: no errors to those who asked everybody.
///     match socket.meta().destination() {
///         Some(Destination::Multicast(_)) if bytes.is_empty() => Ok(()),
///         _ => Ok(socket.reply(bytes)?),
///     }
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramMeta {
    destination: Option<Destination>,
    interface: u32,
    stamp: Option<Duration>,
    hop_limit: Option<u8>,
    traffic_class: Option<u8>,
}

impl DatagramMeta {
    pub(crate) fn of(meta: &Meta) -> Self {
        let local = meta.local.map(|local| local.ip);
        Self {
            destination: meta.sent_to.map(|ip| Destination::of(ip, local)),
            interface: meta.interface,
            stamp: meta.stamp,
            hop_limit: meta.hop_limit,
            traffic_class: meta.traffic_class,
        }
    }

    /// The address that the datagram was sent to, and of which kind it is. Replies
    /// leave from [`SocketHandle::local_addr`](crate::SocketHandle::local_addr),
    /// which differs for a group and a broadcast address.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{DatagramMeta, Destination};
    ///
    /// fn is_for_all(meta: &DatagramMeta) -> bool {
    ///     !matches!(meta.destination(), Some(Destination::Unicast(_)))
    /// }
    /// ```
    pub fn destination(&self) -> Option<Destination> {
        self.destination
    }

    /// The number of the interface that the datagram came in by, as `ip link`
    /// shows it (if_indextoname(3) has its name).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DatagramMeta;
    /// fn is_inside(meta: &DatagramMeta, inside: u32) -> bool {
    ///     meta.interface() == Some(inside)
    /// }
    /// ```
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_PKTINFO")]
    pub fn interface(&self) -> Option<u32> {
        (self.interface > 0).then_some(self.interface)
    }

    /// When the kernel received the datagram, by the system's clock: before it
    /// waited for a worker. With a resolution of nanoseconds.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use std::time::UNIX_EPOCH;
    ///
    /// let server = ThreadingUdpServer::builder().receive_time(true).bind_fn(
    ///     "127.0.0.1:0",
    ///     |_, _, socket| {
    ///         let Some(at) = socket.meta().received_at() else {
    ///             return Err("no time of receipt".into());
    ///         };
    ///         let nanos = at.duration_since(UNIX_EPOCH)?.as_nanos();
    ///         Ok(socket.reply(&nanos.to_be_bytes())?)
    ///     },
    /// );
    /// ```
    #[doc(alias = "SO_TIMESTAMP")]
    #[doc(alias = "SO_TIMESTAMPNS")]
    pub fn received_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(self.stamp?)
    }

    /// How long ago the kernel received the datagram: asked first in a handler, how
    /// long it has waited. Reads the system's clock; `None` also if that has been set
    /// back since.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DatagramMeta;
    /// fn is_late(meta: &DatagramMeta) -> bool {
    ///     meta.age().is_some_and(|age| age.as_millis() > 100)
    /// }
    /// ```
    pub fn age(&self) -> Option<Duration> {
        SystemTime::now().duration_since(self.received_at()?).ok()
    }

    /// How many routers more the datagram could have passed: the TTL of IPv4, the
    /// hop limit of IPv6. It is 255 only if it came from a neighbour (RFC 5082).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DatagramMeta;
    /// fn is_from_a_neighbour(meta: &DatagramMeta) -> bool {
    ///     meta.hop_limit() == Some(255)
    /// }
    /// ```
    #[doc(alias = "ttl")]
    #[doc(alias = "IP_RECVTTL")]
    #[doc(alias = "IPV6_RECVHOPLIMIT")]
    pub fn hop_limit(&self) -> Option<u8> {
        self.hop_limit
    }

    /// The class of service that the sender, or a router on the way, has marked the
    /// datagram with, from 0 to 63 (RFC 2474): the upper six bits of the traffic
    /// class, or TOS.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{SendOptions, ThreadingUdpServer};
    ///
    /// // Answers are marked as the questions were.
    /// let server = ThreadingUdpServer::builder().receive_traffic_class(true).bind_fn(
    ///     "127.0.0.1:0",
    ///     |bytes, _, socket| {
    ///         let options = SendOptions::new().dscp(socket.meta().dscp().unwrap_or(0));
    ///         Ok(socket.reply_with(bytes, &options)?)
    ///     },
    /// );
    /// ```
    #[doc(alias = "tos")]
    #[doc(alias = "IP_RECVTOS")]
    #[doc(alias = "IPV6_RECVTCLASS")]
    pub fn dscp(&self) -> Option<u8> {
        Some(self.traffic_class? >> 2)
    }

    /// What the datagram says of congestion on its way: the lower two bits of the
    /// traffic class.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{DatagramMeta, Ecn};
    ///
    /// fn is_congested(meta: &DatagramMeta) -> bool {
    ///     meta.ecn() == Some(Ecn::Ce)
    /// }
    /// ```
    pub fn ecn(&self) -> Option<Ecn> {
        self.traffic_class.map(Ecn::of)
    }
}

/// Where a datagram was sent to.
///
/// # Examples
/// ```
/// use socketserver::Destination;
///
/// let group = Destination::Multicast([239, 1, 2, 3].into());
/// assert_eq!(group.ip().to_string(), "239.1.2.3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To this host, at this address.
    Unicast(IpAddr),
    /// To all hosts of a network, at this address: 255.255.255.255, or the
    /// network's own. IPv6 has none.
    Broadcast(IpAddr),
    /// To this group.
    Multicast(IpAddr),
}

impl Destination {
    /// Linux answers from the address that it was asked at, unless that is for
    /// many (net/ipv4/fib_frontend.c, `fib_compute_spec_dst`).
    fn of(ip: IpAddr, answers_from: Option<IpAddr>) -> Self {
        let is_broadcast = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.is_broadcast() || answers_from.is_some_and(|from| from != ip),
            IpAddr::V6(_) => false,
        };
        match ip {
            _ if ip.is_multicast() => Self::Multicast(ip),
            _ if is_broadcast(ip) => Self::Broadcast(ip),
            _ => Self::Unicast(ip),
        }
    }

    /// The address, of whichever kind.
    ///
    /// # Examples
    /// ```
    /// use socketserver::Destination;
    /// use std::net::Ipv4Addr;
    ///
    /// let here = Destination::Unicast(Ipv4Addr::LOCALHOST.into());
    /// assert_eq!(here.ip(), Ipv4Addr::LOCALHOST);
    /// ```
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Unicast(ip) | Self::Broadcast(ip) | Self::Multicast(ip) => ip,
        }
    }
}

/// Explicit congestion notification (RFC 3168): whether routers may mark a
/// datagram instead of dropping it, and whether one has.
///
/// # Examples
/// ```
/// use socketserver::{Ecn, SendOptions};
///
/// let options = SendOptions::new().ecn(Ecn::Ect0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ecn {
    /// Its sender does not react to marks. The default.
    #[default]
    NotEct,
    /// Its sender reacts to marks, and says so by ECT(1): low latency, since
    /// RFC 9331.
    Ect1,
    /// Its sender reacts to marks, and says so by ECT(0).
    Ect0,
    /// A router has marked it: congestion experienced.
    Ce,
}

impl Ecn {
    /// The lower two bits of a traffic class.
    fn of(traffic_class: u8) -> Self {
        match traffic_class & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_destination_follows_from_where_answers_leave() {
        let of = |to: &str, from: Option<&str>| {
            let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
            Destination::of(ip(to), from.map(ip))
        };
        let is_unicast = |to, from| matches!(of(to, from), Destination::Unicast(_));
        let is_broadcast = |to, from| matches!(of(to, from), Destination::Broadcast(_));
        let is_multicast = |to, from| matches!(of(to, from), Destination::Multicast(_));
        assert!(is_unicast("192.0.2.1", Some("192.0.2.1")));
        assert!(is_unicast("192.0.2.1", None), "bound to that address");
        assert!(is_unicast("2001:db8::1", Some("2001:db8::1")));
        assert!(is_broadcast("192.0.2.255", Some("192.0.2.1")));
        assert!(is_broadcast("255.255.255.255", None));
        assert!(is_multicast("239.1.2.3", Some("192.0.2.1")));
        assert!(is_multicast("ff02::1", None));
    }

    #[test]
    fn a_traffic_class_is_a_dscp_and_a_word_on_congestion() {
        for class in 0..=255_u8 {
            let meta = DatagramMeta::of(&Meta {
                traffic_class: Some(class),
                ..Meta::default()
            });
            let (dscp, ecn) = (meta.dscp().expect("asked"), meta.ecn().expect("asked"));
            assert_eq!(dscp << 2 | ecn.bits(), class);
        }
        let unasked = DatagramMeta::of(&Meta::default());
        assert_eq!((unasked.dscp(), unasked.ecn()), (None, None));
    }

    #[test]
    fn a_time_ahead_of_the_clock_has_no_age() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.expect("after 1970");
        let hour = Duration::from_secs(3_600);
        let age = |stamp| {
            let stamp = Some(stamp);
            let meta = Meta {
                stamp,
                ..Meta::default()
            };
            DatagramMeta::of(&meta).age()
        };
        assert!(age(now - hour).is_some_and(|age| age >= hour));
        assert_eq!(age(now + hour), None);
        assert_eq!(age(Duration::MAX), None, "beyond what the clock counts");
    }
}
