//! Why datagrams are refused, each reason spelled once: what counts, adds up,
//! prints and logs refusals goes through [`Refusal::ALL`].

/// Defines the reasons: what each is, its row in the table of
/// [`Stats`](super::Stats), and how the log puts it.
macro_rules! refusals {
    ($($(#[$docs:meta])* $reason:ident: $row:literal, $words:literal;)*) => {
        /// Why a datagram was refused: never shown to a handler.
        ///
        /// [`Display`](std::fmt::Display) says it in words.
        ///
        /// # Examples
        /// ```
        /// use socketserver::Refusal;
        ///
        /// let refused = socketserver::Stats::default().refused;
        /// assert_eq!(refused.by(Refusal::Verify), 0);
        /// for reason in Refusal::ALL {
        ///     println!("{reason}: {}", refused.by(*reason));
        /// }
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$docs])* $reason,)*
        }

        impl Refusal {
            /// All reasons, in the order in which datagrams are judged.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The name of its row in the table.
            pub(super) fn row(self) -> &'static str {
                match self {
                    $(Self::$reason => $row,)*
                }
            }

            fn words(self) -> &'static str {
                match self {
                    $(Self::$reason => $words,)*
                }
            }
        }
    };
}

refusals! {
    /// The kernel named no peer.
    Unnamed: "from nobody", "the kernel named no peer";
    /// Port 0, which is nobody's (RFC 768), without
    /// [`allow_port_zero_sources`](crate::Builder::allow_port_zero_sources).
    PortZero: "from port 0", "port 0 is reserved";
    /// The unspecified address, where nobody can be reached, without
    /// [`allow_unspecified_sources`](crate::Builder::allow_unspecified_sources).
    Unspecified: "from unspecified", "the unspecified address is no source";
    /// A multicast address, which is never a source (RFC 1122, 3.2.1.3).
    Multicast: "from multicast", "a multicast address is no source";
    /// The broadcast address, which is none either.
    Broadcast: "from broadcast", "the broadcast address is no source";
    /// The server's own address and port: a reply would be received again, for ever.
    /// Not with [`allow_own_address`](crate::Builder::allow_own_address).
    OwnAddress: "from the server", "the server's own address";
    /// From the port of a service that answers anything, with
    /// [`refuse_responder_ports`](crate::Builder::refuse_responder_ports).
    ResponderPort: "from responders", "the port of a service that answers anything";
    /// From a network that is denied: [`deny_networks`](crate::Builder::deny_networks).
    Denied: "denied", "denied by deny_networks";
    /// From none of the networks that are allowed:
    /// [`allow_networks`](crate::Builder::allow_networks).
    NotAllowed: "not allowed", "not among allow_networks";
    /// One half of a loop between two servers:
    /// [`break_reply_loops`](crate::Builder::break_reply_loops).
    ReplyLoop: "in reply loops", "a loop of replies";
    /// More than its source may send: [`rate_limit`](crate::Builder::rate_limit).
    RateLimited: "over the rate", "more than rate_limit allows";
    /// Perhaps several datagrams that the kernel delivered as one without
    /// saying where they meet, as its message about them was cut off
    /// (`MSG_CTRUNC`). Happens only on a socket that was handed in with
    /// `UDP_GRO` and many other options switched on.
    Unsplit: "unsplit together", "several datagrams that cannot be told apart";
    /// Longer than `max_packet_size`, with [`OnTruncated::Refuse`](crate::OnTruncated::Refuse).
    Truncated: "truncated", "longer than max_packet_size";
    /// The [`verify_request`](crate::Builder::verify_request) hook said no.
    Verify: "by verify_request", "verify_request said no";
    /// From a peer without a session, and the [`admit`](crate::PerPeer::admit) hook said no.
    NotAdmitted: "not admitted", "admit said no";
    /// From a peer without a session, while there are as many as
    /// [`max_peers`](crate::PerPeer::max_peers) allows.
    PeersFull: "no room for the peer", "as many peers as max_peers allows";
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

/// Datagrams that were never shown to a handler, by reason.
///
/// # Examples
/// ```
/// use socketserver::Refusal;
///
/// let refused = socketserver::Stats::default().refused;
/// assert_eq!(refused.total(), 0);
/// assert_eq!(refused.by(Refusal::RateLimited), 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused([u64; Refusal::ALL.len()]);

impl Refused {
    /// Those refused for one reason.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::Refusal;
    /// let refused = socketserver::Stats::default().refused;
    /// assert_eq!(refused.by(Refusal::OwnAddress), 0);
    /// ```
    pub fn by(&self, reason: Refusal) -> u64 {
        self.0[reason as usize]
    }

    /// The sum over all reasons.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::Stats::default().refused.total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut u64> {
        self.0.iter_mut()
    }

    pub(super) fn add(&mut self, reason: Refusal, count: u64) {
        self.0[reason as usize] += count;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reasons_index_what_is_counted_by_them() {
        for (index, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{reason}");
        }
        let rows: HashSet<_> = Refusal::ALL.iter().map(|reason| reason.row()).collect();
        let words: HashSet<_> = Refusal::ALL.iter().map(|reason| reason.words()).collect();
        assert_eq!(rows.len(), Refusal::ALL.len(), "no two share a row");
        assert_eq!(words.len(), Refusal::ALL.len(), "no two read the same");
    }

    #[test]
    fn every_reason_has_its_count_and_is_in_the_sum() {
        let mut refused = Refused::default();
        for (power, reason) in Refusal::ALL.iter().enumerate() {
            refused.add(*reason, 1 << power);
        }
        assert_eq!(refused.total(), (1 << Refusal::ALL.len()) - 1);
        assert_eq!(refused.by(Refusal::ALL[3]), 1 << 3);
    }
}
