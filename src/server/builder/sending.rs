//! Options for how all that the server sends leaves. For a single datagram there
//! are [`SendOptions`](crate::SendOptions).

use super::{Builder, Style};
use crate::sys::Interface;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// The class of service that what the server sends is marked with, from 0 to 63
    /// (RFC 2474; `IP_TOS`, `IPV6_TCLASS`). Defaults to the system's 0; for a single
    /// datagram there is [`SendOptions::dscp`](crate::SendOptions::dscp).
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) above 63, and where the
    /// system refuses.
    ///
    /// # Platform notes
    /// For IPv6 on Linux, Android, FreeBSD and macOS alone.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// // Expedited forwarding, for voice.
    /// let builder = ThreadingUdpServer::builder().dscp(46);
    /// ```
    #[doc(alias = "tos")]
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub fn dscp(mut self, dscp: u8) -> Self {
        self.settings.sending.dscp = Some(dscp);
        self
    }

    /// How many routers what the server sends may pass, and one (`IP_TTL`,
    /// `IPV6_UNICAST_HOPS`): from 1, the local network, to 255, which neighbours
    /// can check (RFC 5082). Not for groups, which have
    /// [`multicast_ttl`](Self::multicast_ttl). Defaults to the system's 64, as a
    /// rule; for a single datagram there is
    /// [`SendOptions::hop_limit`](crate::SendOptions::hop_limit).
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) for 0, and where the
    /// system refuses.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().hop_limit(255);
    /// ```
    #[doc(alias = "ttl")]
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_UNICAST_HOPS")]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.settings.sending.hop_limit = Some(hops);
        self
    }

    /// Whether what the server sends leaves whole or not at all: a datagram that is
    /// longer than its interface takes fails with `EMSGSIZE`, and routers may not
    /// fragment it. What is batched is counted in
    /// [`SendFailures::too_long`](crate::SendFailures::too_long) then; to be told, send
    /// with [`try_reply`](crate::SocketHandle::try_reply) or a detached handle.
    /// Defaults to false: the server's own sockets fragment, by the length that the
    /// interface takes.
    ///
    /// Either way "fragmentation needed" from the network is not believed, as anyone
    /// can forge it: whoever looks for the path MTU asks the peer what arrives
    /// (RFC 8899).
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) on other systems than Linux.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().dont_fragment(true);
    /// ```
    #[doc(alias = "IP_MTU_DISCOVER")]
    #[doc(alias = "IPV6_MTU_DISCOVER")]
    pub fn dont_fragment(mut self, whole: bool) -> Self {
        self.settings.sending.dont_fragment = whole;
        self
    }

    /// The interface that what the server sends to single hosts leaves by
    /// (`IP_UNICAST_IF`, `IPV6_UNICAST_IF`), by its index or name. What is received
    /// does not depend on it. Defaults to what the routes say; what groups get is
    /// [`multicast_interface`](Self::multicast_interface)'s.
    ///
    /// [`SendOptions::interface`](crate::SendOptions::interface) and
    /// [`reply_by_interface`](Self::reply_by_interface) go before it.
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) for an interface that does
    /// not exist or is told by its address, and on other systems than Linux.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Interface;
    ///
    /// let builder = ThreadingUdpServer::builder().unicast_interface(Interface::Name("eth1".to_owned()));
    /// ```
    #[doc(alias = "IP_UNICAST_IF")]
    #[doc(alias = "IPV6_UNICAST_IF")]
    pub fn unicast_interface(mut self, interface: Interface) -> Self {
        self.settings.sending.unicast_interface = Some(interface);
        self
    }

    /// Whether answers leave by the interface that the datagram at hand came in by,
    /// whatever the routes say: for hosts with two uplinks, and for VRFs. It holds
    /// for all that is sent to the sender of that datagram, detached handles
    /// included. Defaults to false: the routes decide, as for anything else, which
    /// is right where they lead back.
    ///
    /// There has to be a route to the peer by that interface, or a default one;
    /// without, the kernel takes the peer for a neighbour on that link.
    /// For IPv6, Linux takes the interface for a wish: a route by another one that has
    /// a better metric wins.
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) on other systems than Linux.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().reply_by_interface(true);
    /// ```
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "VRF")]
    pub fn reply_by_interface(mut self, same: bool) -> Self {
        self.settings.sending.by_interface = same;
        self
    }
}
