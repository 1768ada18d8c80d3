//! The options for sources that are refused unless they are allowed by name.

use super::{Builder, Style};

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// Whether datagrams from an unspecified address, `0.0.0.0` or `::`, reach
    /// the handler: those of clients that have no address yet, as in DHCP
    /// (RFC 2131, 4.1). Defaults to false: they are counted in
    /// [`Refusal::Unspecified`](crate::Refusal::Unspecified).
    ///
    /// Nobody can be reached there: a reply is
    /// [`SendError::UnspecifiedAddress`](crate::SendError::UnspecifiedAddress). To answer,
    /// send to a broadcast address, with [`allow_broadcast`](Self::allow_broadcast), by the
    /// [interface](crate::SendOptions::interface) that the datagram came in by: the routes
    /// lead 255.255.255.255 to the link of the default route, and nowhere without one. A
    /// server that is tied to one [`device`](Self::device) needs no interface.
    ///
    /// The guards judge these datagrams like any other, and see all such clients
    /// as one source: a [`rate_limit`](Self::rate_limit) is one for all of them
    /// (or [trusts](crate::RateLimit::trust) `0.0.0.0`), `allow_networks` has to name
    /// `0.0.0.0`, and an [`amplification_limit`](Self::amplification_limit) has to
    /// [trust](crate::AmplificationLimit::trust) the broadcast address.
    ///
    /// # Platform notes
    /// Linux lets datagrams from `0.0.0.0` through to broadcast addresses and
    /// groups alone.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{SendOptions, ThreadingUdpServer};
    /// use std::net::{Ipv4Addr, SocketAddr};
    ///
    /// let everyone = SocketAddr::from((Ipv4Addr::BROADCAST, 68));
    /// let server = ThreadingUdpServer::builder()
    ///     .allow_unspecified_sources(true)
    ///     .allow_broadcast(true)
    ///     .bind_fn("0.0.0.0:0", move |bytes, addr, socket| {
    ///         if !addr.ip().is_unspecified() {
    ///             return Ok(socket.reply(bytes)?);
    ///         }
    ///         let link = socket.meta().interface().ok_or("no interface")?;
    ///         let options = SendOptions::new().interface(link);
    ///         Ok(socket.send_to_with(bytes, everyone, &options)?)
    ///     })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn allow_unspecified_sources(mut self, allow: bool) -> Self {
        self.settings.guards.sources.unspecified = allow;
        self
    }

    /// Whether datagrams from port 0 reach the handler: those of senders that
    /// expect no answer (RFC 768: the source port is optional), as some exporters of
    /// logs and flows are. Defaults to false: they are counted in
    /// [`Refusal::PortZero`](crate::Refusal::PortZero).
    ///
    /// A reply is [`SendError::PortZero`](crate::SendError::PortZero).
    ///
    /// # Examples
    /// ```
    /// use socketserver::ThreadingUdpServer;
    ///
    /// let collector = ThreadingUdpServer::builder()
    ///     .allow_port_zero_sources(true)
    ///     .bind_fn("127.0.0.1:0", |bytes, addr, _| {
    ///         println!("{} reports {} bytes", addr.ip(), bytes.len());
    ///         Ok(())
    ///     })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn allow_port_zero_sources(mut self, allow: bool) -> Self {
        self.settings.guards.sources.port_zero = allow;
        self
    }

    /// Whether datagrams from the server's own port at an address of this host
    /// reach the handler. Defaults to false: they are counted in
    /// [`Refusal::OwnAddress`](crate::Refusal::OwnAddress).
    ///
    /// They are what another program on this host sends that shares the port, as
    /// responders of multicast DNS do (RFC 6762, 6 and 15.1), and what the server
    /// itself has sent, to its own address or to a group that it has joined
    /// ([`multicast_loop`](Self::multicast_loop)): addresses do not tell these
    /// apart. So the handler must recognise its own datagrams, and never answer an
    /// answer: what it answers to itself it receives again, for ever.
    /// [`break_reply_loops`](Self::break_reply_loops) ends that only where the
    /// datagrams that go round stay the same.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{Interface, ThreadingUdpServer};
    /// use std::net::Ipv4Addr;
    ///
    /// let responder = ThreadingUdpServer::builder()
    ///     .allow_reuse_address(true)
    ///     .allow_own_address(true)
    ///     .join_multicast([239, 255, 70, 85].into(), Interface::Address(Ipv4Addr::LOCALHOST))
    ///     .bind_fn("0.0.0.0:0", |bytes, _, socket| match bytes.strip_prefix(b"query ") {
    ///         Some(name) => Ok(socket.reply(&[b"answer ", name].concat())?),
    ///         // An answer, perhaps its own.
    ///         None => Ok(()),
    ///     })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn allow_own_address(mut self, allow: bool) -> Self {
        self.settings.guards.sources.own_address = allow;
        self
    }
}
