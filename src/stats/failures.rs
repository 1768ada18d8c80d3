//! Why a datagram was not sent: each reason spelled once, with its field, its row
//! in the table and its counter.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! failures {
    ($($(#[$docs:meta])* $reason:ident: $row:literal;)*) => {
        /// Datagrams that could not be sent, by reason.
        ///
        /// # Examples
        /// ```
        /// let failed = socketserver::Stats::default().replies.failed;
        /// assert_eq!(failed.total(), 0);
        /// ```
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct SendFailures {
            $($(#[$docs])* pub $reason: u64,)*
        }

        impl SendFailures {
            /// The sum over all reasons.
            ///
            /// # Examples
            /// ```
            /// assert_eq!(socketserver::Stats::default().replies.failed.total(), 0);
            /// ```
            pub fn total(&self) -> u64 {
                self.rows().map(|(_, count)| count).sum()
            }

            pub(super) fn all(&mut self) -> impl Iterator<Item = &mut u64> {
                [$(&mut self.$reason),*].into_iter()
            }

            /// The counts, each with what it is called in the table.
            pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$(($row, self.$reason)),*].into_iter()
            }
        }

        /// The same, as one worker counts them.
        #[derive(Debug, Default)]
        pub(super) struct FailureTally {
            $(pub(super) $reason: AtomicU64,)*
        }

        impl FailureTally {
            pub(super) fn add_to(&self, failures: &mut SendFailures) {
                $(failures.$reason += self.$reason.load(Relaxed);)*
            }
        }
    };
}

failures! {
    /// Longer than a datagram can be, or than the route lets through (`EMSGSIZE`).
    too_long: "too long";
    /// No route, or nobody there (`ENETUNREACH`, `EHOSTUNREACH`, `ECONNREFUSED`, `ENETDOWN`;
    /// on a Unix socket, `ENOENT`).
    unreachable: "unreachable";
    /// A firewall, or a broadcast address without permission (`EPERM`, `EACCES`).
    not_permitted: "not permitted";
    /// Port 0, an unspecified address, another address family, an address that is not to be had
    /// (`EINVAL`, `EADDRNOTAVAIL`, `EAFNOSUPPORT`); a client without a name on a Unix socket.
    bad_address: "bad address";
    /// No room in the send buffer until the deadline (`EAGAIN`): a network slower
    /// than the replies, or replies that wait for the addresses of absent hosts. On a Unix
    /// socket a peer whose own queue is full.
    no_room: "no room to send";
    /// The system lacked memory (`ENOBUFS`, `ENOMEM`).
    no_memory: "no memory";
    /// The server was closed.
    closed: "server closed";
    /// Any other error.
    other: "other errors";
}
