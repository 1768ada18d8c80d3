//! The options for sending to many and hearing what was sent to many.

use std::net::IpAddr;

use super::{Builder, Style};
use crate::server::memberships;
use crate::sys::Interface;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// Joins a multicast group on an interface: the server hears what is sent
    /// to it there (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`). May be called
    /// several times. Defaults to no group.
    ///
    /// The server has to be bound to a wildcard, or to the group itself; bound
    /// to anything else it would hear nothing, which is refused on Unix.
    /// Replies leave from an address of this host, as any. The system limits
    /// the groups of a socket: on Linux to 20 for IPv4
    /// (`net.ipv4.igmp_max_memberships`). While serving,
    /// [`ServerHandle::join_multicast`](crate::ServerHandle::join_multicast) does the same.
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) for an address that
    /// is not multicast, an interface that does not exist, and a group that the
    /// socket cannot hear; [`BindError::Membership`](crate::BindError::Membership) when
    /// the system refuses, as it does for the same group on the same interface twice.
    ///
    /// # Platform notes
    /// On Linux a socket that the server opened hears the groups that it joined
    /// and no others (`IP_MULTICAST_ALL` and its twin for IPv6 are switched
    /// off). A socket that was handed in keeps its setting: Linux's default
    /// lets it hear any group that any program of this host joined. On a
    /// dual-stack socket only Linux joins IPv4 groups.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    /// use std::net::Ipv4Addr;
    ///
    /// let server = ThreadingUdpServer::builder()
    ///     .join_multicast([239, 255, 70, 85].into(), Interface::Address(Ipv4Addr::LOCALHOST))
    ///     .bind_fn("0.0.0.0:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    ///
    /// let nonsense = ThreadingUdpServer::builder()
    ///     .join_multicast([192, 0, 2, 1].into(), Interface::Any)
    ///     .bind_fn("0.0.0.0:0", |_, _, _| Ok(()));
    /// assert_eq!(
    ///     nonsense.unwrap_err().to_string(),
    ///     "join_multicast: 192.0.2.1 is not a multicast address"
    /// );
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("IP_ADD_MEMBERSHIP", "IPV6_JOIN_GROUP", "IPV6_ADD_MEMBERSHIP"))]
    pub fn join_multicast(mut self, group: IpAddr, interface: Interface) -> Self {
        self.settings
            .multicast
            .groups
            .push(memberships::whole(group, interface));
        self
    }

    /// Joins what *one source* sends to a multicast group, and nothing else that is
    /// sent there: source-specific multicast (RFC 4607), for which 232.0.0.0/8 and
    /// ff3x::/32 are set aside (`MCAST_JOIN_SOURCE_GROUP`). May be called several
    /// times, also for several sources of one group. A group is joined either so or
    /// by [`join_multicast`](Self::join_multicast). Defaults to none.
    ///
    /// # Errors
    /// As for `join_multicast`; also [`BindError::Config`](crate::BindError::Config) for a
    /// source that is no host of the group's family.
    ///
    /// # Platform notes
    /// Elsewhere than on Linux for IPv4 alone, on an [`Interface::Address`] or
    /// [`Interface::Any`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    ///
    /// let (group, source) = ([232, 1, 2, 3].into(), [192, 0, 2, 1].into());
    /// let builder = ThreadingUdpServer::builder().join_multicast_from(group, source, Interface::Any);
    /// ```
    #[doc(alias = "IP_ADD_SOURCE_MEMBERSHIP")]
    #[doc(alias = "MCAST_JOIN_SOURCE_GROUP")]
    pub fn join_multicast_from(
        mut self,
        group: IpAddr,
        source: IpAddr,
        interface: Interface,
    ) -> Self {
        let membership = memberships::from(group, source, interface);
        self.settings.multicast.groups.push(membership);
        self
    }

    /// Whether groups follow their interfaces: one whose interface is not there (yet)
    /// is joined when it comes, and one whose interface goes and is made again (by a
    /// VPN, a driver, a container) is joined again. Concerns the groups joined at
    /// `bind` and those joined by the [handle](crate::ServerHandle::join_multicast).
    /// Defaults to false: then a missing interface is an error, and a group ends with
    /// its interface.
    ///
    /// While the server serves, a thread looks once a second. An
    /// [`Interface::Any`] is where the system chose it first,
    /// and is not followed; an [`Interface::Address`] goes
    /// along with its address. A membership that waits or is lost is logged at `warn`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    ///
    /// let builder = ThreadingUdpServer::builder()
    ///     .join_multicast([239, 255, 70, 85].into(), Interface::Name("tun0".to_owned()))
    ///     .follow_interfaces(true);
    /// ```
    pub fn follow_interfaces(mut self, follow: bool) -> Self {
        self.settings.multicast.follow = follow;
        self
    }

    /// How far what the server sends to groups may go: the number of routers it
    /// may pass, and one (`IP_MULTICAST_TTL`; `IPV6_MULTICAST_HOPS`). From 0,
    /// this host, to 255. Defaults to the system's 1, the local network.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().multicast_ttl(4);
    /// ```
    #[doc(alias("IP_MULTICAST_TTL", "IPV6_MULTICAST_HOPS"))]
    pub fn multicast_ttl(mut self, ttl: u32) -> Self {
        self.settings.multicast.ttl = Some(ttl);
        self
    }

    /// Whether programs on this host hear what the server sends to groups, if
    /// they joined them (`IP_MULTICAST_LOOP`, `IPV6_MULTICAST_LOOP`). Defaults
    /// to the system's true. The server itself refuses what comes from its own
    /// address and port, and counts it.
    ///
    /// # Platform notes
    /// On Windows the option is the receiver's: whether it hears this host.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().multicast_loop(false);
    /// ```
    #[doc(alias("IP_MULTICAST_LOOP", "IPV6_MULTICAST_LOOP"))]
    pub fn multicast_loop(mut self, on: bool) -> Self {
        self.settings.multicast.loopback = Some(on);
        self
    }

    /// Where what the server sends to groups goes out (`IP_MULTICAST_IF`,
    /// `IPV6_MULTICAST_IF`). Defaults to what the routes say, which on a host
    /// with several networks is one of them. An
    /// [`Interface::Address`] concerns IPv4 alone; for a server of IPv6 alone
    /// ([`only_v6`](Self::only_v6)) it is a [`BindError::Config`](crate::BindError::Config)
    /// at `bind`.
    ///
    /// # Platform notes
    /// For IPv4, other systems than Linux take the interface by its address.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    ///
    /// let builder = ThreadingUdpServer::builder().multicast_interface(Interface::Name("eth0".to_owned()));
    /// ```
    #[doc(alias("IP_MULTICAST_IF", "IPV6_MULTICAST_IF"))]
    pub fn multicast_interface(mut self, interface: Interface) -> Self {
        self.settings.multicast.interface = Some(interface);
        self
    }

    /// Whether the server may send to broadcast addresses (`SO_BROADCAST`).
    /// Without, such sends fail and are counted as not permitted. Hearing
    /// broadcasts needs no permission, but a server bound to a wildcard.
    /// Defaults to the system's false.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().allow_broadcast(true);
    /// ```
    #[doc(alias = "SO_BROADCAST")]
    pub fn allow_broadcast(mut self, allow: bool) -> Self {
        self.settings.multicast.broadcast = Some(allow);
        self
    }
}
