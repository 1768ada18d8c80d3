//! What is asked of the kernel about each datagram: see
//! [`DatagramMeta`].

use std::net::SocketAddr;

use super::{Builder, Style};
use crate::metadata::DatagramMeta;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// Whether handlers can ask when the kernel received a datagram
    /// ([`DatagramMeta::received_at`]) and how long it has waited
    /// ([`DatagramMeta::age`]). Defaults to false. [`shed_older_than`](Self::shed_older_than)
    /// includes it where the system can.
    ///
    /// # Errors
    /// At `bind`: [`BindError::Config`](crate::BindError::Config) where the system cannot
    /// tell, as on all but Linux.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().receive_time(true);
    /// ```
    #[doc(alias = "SO_TIMESTAMP")]
    #[doc(alias = "SO_TIMESTAMPNS")]
    pub fn receive_time(mut self, tell: bool) -> Self {
        self.settings.details.time = tell;
        self
    }

    /// Whether handlers can ask which interface a datagram came in by
    /// ([`DatagramMeta::interface`]) on any server. One that is bound to a wildcard
    /// knows it on Linux in any case; one that is bound to one address does with
    /// this. Defaults to false.
    ///
    /// # Errors
    /// As for [`receive_time`](Self::receive_time).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().receive_interface(true);
    /// ```
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_RECVPKTINFO")]
    pub fn receive_interface(mut self, tell: bool) -> Self {
        self.settings.details.interface = tell;
        self
    }

    /// Whether handlers can ask for the hop limit, or TTL, that a datagram came with
    /// ([`DatagramMeta::hop_limit`]). Defaults to false.
    ///
    /// # Errors
    /// As for [`receive_time`](Self::receive_time).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().receive_hop_limit(true);
    /// ```
    #[doc(alias = "IP_RECVTTL")]
    #[doc(alias = "IPV6_RECVHOPLIMIT")]
    pub fn receive_hop_limit(mut self, tell: bool) -> Self {
        self.settings.details.hop_limit = tell;
        self
    }

    /// Whether handlers can ask for the traffic class, or TOS, that a datagram came
    /// with: [`DatagramMeta::dscp`] and [`DatagramMeta::ecn`]. Defaults to false.
    ///
    /// # Errors
    /// As for [`receive_time`](Self::receive_time).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().receive_traffic_class(true);
    /// ```
    #[doc(alias = "IP_RECVTOS")]
    #[doc(alias = "IPV6_RECVTCLASS")]
    pub fn receive_traffic_class(mut self, tell: bool) -> Self {
        self.settings.details.traffic_class = tell;
        self
    }

    /// As [`verify_request`](Self::verify_request), for a hook that also looks at what
    /// is known of the datagram beside its bytes. The one that was set last is the
    /// one that is asked.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::Destination;
    ///
    /// // Nobody gets an answer to what was sent to everybody.
    /// let builder = ThreadingUdpServer::builder().verify_with_meta(|_bytes, _addr, meta| {
    ///     !matches!(meta.destination(), Some(Destination::Broadcast(_)))
    /// });
    /// ```
    pub fn verify_with_meta(
        mut self,
        hook: impl Fn(&[u8], SocketAddr, &DatagramMeta) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.hooks.verify_request = Some(Box::new(move |datagram, peer| {
            hook(datagram.bytes, peer, &DatagramMeta::of(&datagram.meta))
        }));
        self
    }
}
