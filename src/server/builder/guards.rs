//! The options for a hostile network.

use super::{Builder, Style};
use crate::guard::{AmplificationLimit, RateLimit, ReplyLoops, TokenSecret};

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// Refuses datagrams from the ports of services that answer whatever they
    /// are sent, counted in [`Refusal::ResponderPort`](crate::Refusal::ResponderPort).
    /// Defaults to false.
    ///
    /// One datagram forged from such a port, and the two servers answer each
    /// other for ever; and what reflectors are made to send comes from these
    /// ports. They are: echo 7, systat 11, daytime 13, quote of the day 17,
    /// chargen 19, time 37, DNS 53, TFTP 69, portmap 111, NTP 123, NetBIOS 137,
    /// SNMP 161, CLDAP 389, SLP 427, RIP 520, IPMI 623, MS SQL 1434, SSDP 1900,
    /// Apple Remote Desktop 3283, WS-Discovery 3702, mDNS 5353, CoAP 5683,
    /// Ubiquiti 10001, memcached 11211. A client that sends from one of these
    /// ports is refused, too; clients rarely do, with the exception of other
    /// servers: not for a server that talks to DNS or NTP servers.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().refuse_responder_ports(true);
    /// ```
    pub fn refuse_responder_ports(mut self, refuse: bool) -> Self {
        self.settings.guards.refuse_responder_ports = refuse;
        self
    }

    /// Serves these networks only; others are counted in
    /// [`Refusal::NotAllowed`](crate::Refusal::NotAllowed). Defaults to all.
    /// Called again, it adds to them. [`deny_networks`](Self::deny_networks) wins.
    ///
    /// Networks are written `192.0.2.0/24` or `2001:db8::/32`; an address
    /// stands for itself. IPv4 addresses written as IPv6 are IPv4. However many
    /// there are, a look-up is one binary search.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().allow_networks(["10.0.0.0/8", "::1"]);
    ///
    /// let nonsense = builder.allow_networks(["10.0.0.0/33"]).bind_fn("127.0.0.1:0", |_, _, _| Ok(()));
    /// let problem = "`10.0.0.0/33` is no network, such as 192.0.2.0/24 or 2001:db8::/32";
    /// assert_eq!(nonsense.unwrap_err().to_string(), format!("allow_networks: {problem}"));
    /// ```
    pub fn allow_networks<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let allow = self.settings.guards.allow.get_or_insert_default();
        allow.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Refuses these networks, also where
    /// [`allow_networks`](Self::allow_networks) allows them; counted in
    /// [`Refusal::Denied`](crate::Refusal::Denied). Defaults to none. Called
    /// again, it adds to them.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().deny_networks(["192.0.2.0/24", "2001:db8::/32"]);
    /// ```
    pub fn deny_networks<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let deny = &mut self.settings.guards.deny;
        deny.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Limits what each source may send; the rest is counted in
    /// [`Refusal::RateLimited`](crate::Refusal::RateLimited). Defaults to no limit.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::RateLimit;
    ///
    /// let builder = ThreadingUdpServer::builder().rate_limit(RateLimit::per_second(100).burst(500));
    /// ```
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.settings.guards.rate = Some(limit);
        self
    }

    /// Limits what is sent to addresses that are not validated; the
    /// rest is withheld, and counted in
    /// [`Replies::withheld`](crate::Replies::withheld). Defaults to no limit.
    ///
    /// It holds for whatever the server sends: `reply`, `send_to`, `writer`,
    /// `try_reply`, `try_send_to`, and detached handles. Those that send in batches return
    /// `Ok` all the same, as for what fails later; the others return
    /// [`SendError::Withheld`](crate::SendError::Withheld).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::AmplificationLimit;
    ///
    /// let builder = ThreadingUdpServer::builder().amplification_limit(AmplificationLimit::new());
    /// ```
    pub fn amplification_limit(mut self, limit: AmplificationLimit) -> Self {
        self.settings.guards.amplification = Some(limit);
        self
    }

    /// Takes apart two servers that answer each other for ever; what is refused
    /// is counted in [`Refusal::ReplyLoop`](crate::Refusal::ReplyLoop).
    /// Defaults to not looking for them.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::ReplyLoops;
    ///
    /// let builder = ThreadingUdpServer::builder().break_reply_loops(ReplyLoops::new());
    /// ```
    pub fn break_reply_loops(mut self, loops: ReplyLoops) -> Self {
        self.settings.guards.loops = Some(loops);
        self
    }

    /// The secret that [tokens](crate::SocketHandle::token) are made with.
    /// Defaults to one that the server draws from the system, so that no other
    /// server accepts its tokens.
    ///
    /// For servers that stand for each other: a successor that takes the socket
    /// over, those that share a port, several machines at one address. With the
    /// same secret each accepts the tokens of the others, if their clocks do not
    /// differ by more than some seconds. (The system's clock is read when the
    /// server is bound, and never again.) Which addresses are validated
    /// each keeps for itself: let clients show a token again when they are asked.
    ///
    /// Whoever knows the secret can make tokens for any address: 32 random
    /// bytes, kept where only these servers can read them. All zeros are refused.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// # let secret_of_the_group = || [7; 32];
    /// let builder = ThreadingUdpServer::builder().token_secret(secret_of_the_group());
    ///
    /// let nonsense = builder.token_secret([0; 32]).bind_fn("127.0.0.1:0", |_, _, _| Ok(()));
    /// assert_eq!(nonsense.unwrap_err().to_string(), "token_secret: 32 zeros are no secret");
    /// ```
    pub fn token_secret(mut self, secret: [u8; 32]) -> Self {
        self.settings.guards.token_secret = Some(TokenSecret(secret));
        self
    }
}
