//! How a single datagram leaves, where that is not as all others do.

use std::io;
use std::net::SocketAddr;

use super::{DetachedHandle, SocketHandle};
use crate::engine::SendDefaults;
use crate::error::{ConfigError, SendError};
use crate::metadata::Ecn;
use crate::sys::{Egress, Socket};

/// How a single datagram leaves: for [`SocketHandle::reply_with`] and the like.
/// What is not said is as for all that the server sends, which the
/// [`Builder`](crate::Builder) has options for.
///
/// # Platform notes
/// Linux alone can be told so of a single datagram; elsewhere a send with any of
/// these is a [`SendError::Refused`] of the kind `Unsupported`.
///
/// # Examples
/// ```
/// use socketserver::{SendOptions, ThreadingUdpServer};
///
/// // Voice (RFC 3246), for the next hop alone.
/// let options = SendOptions::new().dscp(46).hop_limit(1);
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |bytes, _, socket| {
///     Ok(socket.reply_with(bytes, &options)?)
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "options do nothing until something is sent with them"]
pub struct SendOptions {
    dscp: Option<u8>,
    ecn: Option<Ecn>,
    hop_limit: Option<u8>,
    interface: Option<u32>,
    dont_fragment: bool,
}

impl SendOptions {
    /// As all else that the server sends.
    ///
    /// # Examples
    /// ```
    /// use socketserver::SendOptions;
    ///
    /// assert_eq!(SendOptions::new(), SendOptions::default());
    /// ```
    pub const fn new() -> Self {
        Self {
            dscp: None,
            ecn: None,
            hop_limit: None,
            interface: None,
            dont_fragment: false,
        }
    }

    /// The class of service, from 0 to 63 (RFC 2474). Defaults to the server's
    /// [`dscp`](crate::Builder::dscp).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::SendOptions;
    /// let options = SendOptions::new().dscp(46);
    /// ```
    #[doc(alias = "tos")]
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub const fn dscp(mut self, dscp: u8) -> Self {
        self.dscp = Some(dscp);
        self
    }

    /// Whether routers may mark it instead of dropping it. Defaults to
    /// [`Ecn::NotEct`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::SendOptions;
    /// let options = SendOptions::new().ecn(socketserver::Ecn::Ect0);
    /// ```
    pub const fn ecn(mut self, ecn: Ecn) -> Self {
        self.ecn = Some(ecn);
        self
    }

    /// How many routers it may pass, and one: from 1, the next host, to 255.
    /// Defaults to the server's [`hop_limit`](crate::Builder::hop_limit), or its
    /// [`multicast_ttl`](crate::Builder::multicast_ttl) for groups.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::SendOptions;
    /// let options = SendOptions::new().hop_limit(255);
    /// ```
    #[doc(alias = "ttl")]
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_HOPLIMIT")]
    pub const fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = Some(hops);
        self
    }

    /// The number of the interface that it leaves by, as
    /// [`DatagramMeta::interface`](crate::DatagramMeta::interface) tells it: for
    /// broadcasts and groups on one link, and where the routes would choose
    /// another. 0 leaves it to the routes. Defaults to them, or to what
    /// [`reply_by_interface`](crate::Builder::reply_by_interface) says.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{SendOptions, ThreadingUdpServer};
    /// use std::net::{Ipv4Addr, SocketAddr};
    ///
    /// // As DHCP has it: to all hosts of the link that the question came by.
    /// let clients = SocketAddr::from((Ipv4Addr::BROADCAST, 68));
    /// let server = ThreadingUdpServer::builder().allow_broadcast(true).bind_fn(
    ///     "0.0.0.0:0",
    ///     move |bytes, _, socket| {
    ///         let link = socket.meta().interface().unwrap_or(0);
    ///         let options = SendOptions::new().interface(link);
    ///         Ok(socket.send_to_with(bytes, clients, &options)?)
    ///     },
    /// )?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_PKTINFO")]
    pub const fn interface(mut self, index: u32) -> Self {
        self.interface = Some(index);
        self
    }

    /// Whether it leaves whole or not at all: one that is longer than the interface
    /// takes is a [`SendError::Refused`] whose cause is `EMSGSIZE`. So that this can be
    /// told, it is sent at once and not batched. Defaults to the server's
    /// [`dont_fragment`](crate::Builder::dont_fragment).
    ///
    /// Over IPv4, Linux knows this for a server and not for a datagram: unless the
    /// server has it, it is a [`SendError::Config`] there.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::SendOptions;
    /// let probe = SendOptions::new().dont_fragment(true);
    /// ```
    #[doc(alias = "IPV6_DONTFRAG")]
    pub const fn dont_fragment(mut self, whole: bool) -> Self {
        self.dont_fragment = whole;
        self
    }

    /// Adds what was said to how a datagram leaves otherwise.
    fn apply(
        &self,
        mut egress: Egress,
        to: SocketAddr,
        defaults: SendDefaults,
    ) -> Result<Egress, ConfigError> {
        if let Some(dscp) = self.dscp.filter(|dscp| *dscp > MOST_DSCP) {
            let problem = format!("{dscp} is not between 0 and {MOST_DSCP}");
            return Err(ConfigError::new("dscp", problem));
        }
        if self.hop_limit == Some(0) {
            return Err(ConfigError::new("hop_limit", "0 lets it go nowhere"));
        }
        if self.dscp.is_some() || self.ecn.is_some() {
            let dscp = self.dscp.unwrap_or(defaults.dscp);
            let ecn = self.ecn.unwrap_or_default();
            egress.traffic_class = Some(dscp << 2 | ecn.bits());
        }
        egress.hop_limit = self.hop_limit;
        egress.interface = self.interface.unwrap_or(egress.interface);
        if self.dont_fragment && !defaults.dont_fragment {
            if to.ip().to_canonical().is_ipv4() {
                let problem = "over IPv4 it is an option of the server, not of a datagram";
                return Err(ConfigError::new("dont_fragment", problem));
            }
            egress.dont_fragment = true;
        }
        Ok(egress)
    }
}

impl SocketHandle {
    /// As [`reply`](Self::reply), with options: batched as well, unless it must not
    /// be fragmented.
    ///
    /// # Errors
    /// As `reply`; [`SendError::Config`] for options that make no sense, and
    /// [`SendError::Refused`] for what must not be fragmented and was refused.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{SendOptions, ThreadingUdpServer};
    ///
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     Ok(socket.reply_with(bytes, &SendOptions::new().dscp(46))?)
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn reply_with(&self, bytes: &[u8], options: &SendOptions) -> Result<(), SendError> {
        self.push_with(bytes, self.current.get().peer, self.answering(), options)
    }

    /// As [`send_to`](Self::send_to), with options: batched as well, unless it must
    /// not be fragmented.
    ///
    /// # Errors
    /// As `send_to` and [`reply_with`](Self::reply_with).
    ///
    /// # Examples
    /// As for [`SendOptions::interface`].
    pub fn send_to_with(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        self.push_with(bytes, to, self.egress_to(to), options)
    }

    /// As [`try_reply`](Self::try_reply), with options.
    ///
    /// # Errors
    /// As `try_reply`, and [`SendError::Config`] for options that make no sense.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{SendError, SendOptions, ThreadingUdpServer};
    ///
    /// // Looks for the longest datagram that the way to the peer takes at once.
    /// let server = ThreadingUdpServer::builder().dont_fragment(true).bind_fn(
    ///     "127.0.0.1:0",
    ///     |bytes, _, socket| {
    ///         let probe = SendOptions::new().dont_fragment(true);
    ///         for len in [8_972, 1_472, 1_252] {
    ///             match socket.try_reply_with(&bytes[..len.min(bytes.len())], &probe) {
    ///                 Err(SendError::Refused { cause, .. }) => eprintln!("{len} bytes: {cause}"),
    ///                 sent => return Ok(sent?),
    ///             }
    ///         }
    ///         Ok(())
    ///     },
    /// );
    /// ```
    pub fn try_reply_with(&self, bytes: &[u8], options: &SendOptions) -> Result<(), SendError> {
        let peer = self.current.get().peer;
        let egress = self.told(bytes, peer, self.answering(), options)?;
        self.outbox.try_send_to(bytes, peer, &egress, self.near())
    }

    /// As [`try_send_to`](Self::try_send_to), with options.
    ///
    /// # Errors
    /// As `try_send_to`, and [`SendError::Config`] for options that make no sense.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{SendOptions, SocketHandle};
    ///
    /// fn is_taken(socket: &SocketHandle, to: std::net::SocketAddr, link: u32) -> bool {
    ///     let options = SendOptions::new().interface(link);
    ///     socket.try_send_to_with(b"hello", to, &options).is_ok()
    /// }
    /// ```
    pub fn try_send_to_with(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let egress = self.told(bytes, to, self.egress_to(to), options)?;
        self.outbox.try_send_to(bytes, to, &egress, self.near())
    }

    fn push_with(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: Egress,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let egress = self.told(bytes, to, egress, options)?;
        match options.dont_fragment {
            true => self.outbox.send_to(bytes, to, &egress, self.near()),
            false => self.outbox.push(bytes, to, &egress, self.near()),
        }
    }

    fn told(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: Egress,
        options: &SendOptions,
    ) -> Result<Egress, SendError> {
        let told = told(
            options,
            egress,
            bytes.len(),
            to,
            self.outbox.socket().defaults(),
        );
        told.inspect_err(|error| self.outbox.refused(error))
    }
}

impl DetachedHandle {
    /// As [`reply`](Self::reply), with options.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and [`SendError::Config`] for options that make
    /// no sense.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, SendError};
    /// use socketserver::SendOptions;
    ///
    /// fn urgent(handle: &DetachedHandle) -> Result<(), SendError> {
    ///     handle.reply_with(b"done", &SendOptions::new().dscp(46))
    /// }
    /// ```
    pub fn reply_with(&self, bytes: &[u8], options: &SendOptions) -> Result<(), SendError> {
        self.send_with(bytes, self.current.peer, options)
    }

    /// As [`send_to`](Self::send_to), with options.
    ///
    /// # Errors
    /// As `send_to`, and [`SendError::Config`] for options that make no sense.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, SendError};
    /// # use std::net::SocketAddr;
    /// use socketserver::SendOptions;
    ///
    /// fn shout(handle: &DetachedHandle, all: SocketAddr, link: u32) -> Result<(), SendError> {
    ///     handle.send_to_with(b"news", all, &SendOptions::new().interface(link))
    /// }
    /// ```
    pub fn send_to_with(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        self.send_with(bytes, to, options)
    }

    fn send_with(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let defaults = self.outbox.socket().defaults();
        let egress = self.current.egress_to(to, defaults);
        let egress = told(options, egress, bytes.len(), to, defaults)
            .inspect_err(|error| self.outbox.refused(error))?;
        self.outbox.send_to(bytes, to, &egress, self.near())
    }
}

/// How a datagram leaves with these options, where the system can be told.
fn told(
    options: &SendOptions,
    egress: Egress,
    len: usize,
    to: SocketAddr,
    defaults: SendDefaults,
) -> Result<Egress, SendError> {
    if !Socket::SENDS_AS_TOLD && *options != SendOptions::new() {
        let cause = io::ErrorKind::Unsupported.into();
        return Err(SendError::Refused { len, to, cause });
    }
    Ok(options.apply(egress, to, defaults)?)
}

/// The field has six bits.
pub(crate) const MOST_DSCP: u8 = 63;

#[cfg(test)]
mod tests;
