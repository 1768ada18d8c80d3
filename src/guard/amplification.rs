//! How much may be sent to an address that has not proved itself.

use std::collections::TryReserveError;
use std::time::Duration;

use super::hash::Hashed;
use super::moment::Moment;
use super::networks::Networks;
use super::proofs::Terms;
use super::table::{Entry, Table, check_entries};

/// How much may be sent to an address that has not proved itself, for
/// [`Builder::amplification_limit`](crate::Builder::amplification_limit).
///
/// The source of a datagram can be forged: then whatever is answered hits
/// somebody who has asked for nothing, and a server whose answers are longer
/// than the questions is a weapon. With this limit an address (with its port)
/// is sent at most [`factor`](Self::factor) times the bytes that came from
/// there, until it has sent back a [`token`](crate::SocketHandle::token): RFC
/// 9000, section 8, asks the same of QUIC. What exceeds is withheld, and
/// counted in [`Replies::withheld`](crate::Replies::withheld).
///
/// Bytes are payload bytes; an empty datagram counts as one. What is received
/// counts once it reaches the handler.
///
/// Two tables of a fixed size remember addresses, whatever comes: 50 bytes for
/// each entry, 3.1 MiB by default. The addresses that have proved themselves
/// have a table of their own, so that forged ones push none of them out; when
/// it overflows, the source with the most proofs there (an IPv4 address, an IPv6
/// /64) loses its oldest, so that one host with all its ports takes little from
/// others. Of the others the one that has been silent longest is forgotten, and with it what
/// it could still be sent: under a flood from more addresses than there are
/// entries, an answer that takes long may be withheld.
///
/// # Examples
/// ```
/// use socketserver::{AmplificationLimit, ThreadingUdpServer};
///
/// let builder = ThreadingUdpServer::builder()
///     .amplification_limit(AmplificationLimit::new().trust(["10.0.0.0/8", "fd00::/8"]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a limit does nothing until a builder is given it"]
pub struct AmplificationLimit {
    factor: u32,
    terms: Terms,
    trusted: Vec<String>,
}

impl AmplificationLimit {
    /// The limit of RFC 9000: three times what was received.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::AmplificationLimit::new();
    /// ```
    pub fn new() -> Self {
        Self {
            factor: 3,
            terms: Terms::default(),
            trusted: Vec::new(),
        }
    }

    /// How many times the bytes received may be sent, from 1 to 1,000.
    /// Defaults to 3.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::AmplificationLimit::new().factor(1);
    /// ```
    pub fn factor(mut self, times: u32) -> Self {
        self.factor = times;
        self
    }

    /// How long an address counts as proved, above zero. Defaults to an hour.
    /// Another token sent back begins it anew; other datagrams do not.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// let limit = socketserver::AmplificationLimit::new().validity(Duration::from_secs(600));
    /// ```
    pub fn validity(mut self, length: Duration) -> Self {
        self.terms.validity = length;
        self
    }

    /// How many addresses are remembered at the same time, of those that have
    /// proved themselves and of the others each, from 1 to 16,777,216; rounded
    /// up to eight times a power of two. Defaults to 65,536.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::AmplificationLimit::new().table_entries(1 << 20);
    /// ```
    pub fn table_entries(mut self, entries: usize) -> Self {
        self.terms.entries = entries;
        self
    }

    /// Networks and addresses, written as for
    /// [`allow_networks`](crate::Builder::allow_networks), that are sent
    /// whatever handlers like: those in which nobody can forge an address, or
    /// that the server writes to of its own accord. Called again, it adds to
    /// them. Defaults to none.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::AmplificationLimit::new().trust(["127.0.0.0/8", "::1"]);
    /// ```
    pub fn trust<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.trusted.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Says what makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=LARGEST_FACTOR).contains(&self.factor) {
            let factor = self.factor;
            return Err(format!("a factor of {factor}; from 1 to {LARGEST_FACTOR}"));
        }
        if self.terms.validity.is_zero() {
            return Err("proofs that are valid for 0 seconds prove nothing".to_owned());
        }
        check_entries(self.terms.entries)?;
        self.trusted().map(drop)
    }

    /// The trusted networks, or what is wrong with one.
    pub(crate) fn trusted(&self) -> Result<Networks, String> {
        Networks::parse(&self.trusted)
    }

    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }
}

impl Default for AmplificationLimit {
    fn default() -> Self {
        Self::new()
    }
}

/// What addresses that have not proved themselves may still be sent.
#[derive(Debug)]
pub(crate) struct Credits {
    factor: u64,
    table: Table<Credit>,
}

impl Credits {
    /// With a limit that was checked.
    pub(crate) fn new(limit: &AmplificationLimit) -> Result<Self, TryReserveError> {
        Ok(Self {
            factor: limit.factor.into(),
            table: Table::new(limit.terms.entries)?,
        })
    }

    /// So many bytes have come from there.
    pub(crate) fn received(&self, peer: Hashed, len: usize, now: Moment) {
        self.table.enter(peer, now, |credit| {
            let earned = weight(len) * self.factor;
            credit.bytes = credit.bytes.saturating_add(earned);
            credit.heard = now;
        });
    }

    /// Whether so many bytes may be sent there; if so, they are used up.
    pub(crate) fn spend(&self, peer: Hashed, len: usize) -> bool {
        let left = |credit: &mut Credit| match credit.bytes.checked_sub(weight(len)) {
            Some(left) => {
                credit.bytes = left;
                true
            }
            None => false,
        };
        self.table.find(peer, left).unwrap_or(false)
    }
}

/// An empty datagram counts as one byte: it can be answered by as many empty
/// ones as other lengths can by their like, and not by any number of them.
fn weight(len: usize) -> u64 {
    len.max(1) as u64
}

#[derive(Debug, Clone, Copy, Default)]
struct Credit {
    bytes: u64,
    heard: Moment,
}

impl Entry for Credit {
    /// Who was heard last is most likely to be answered.
    fn worth(&self, _now: Moment) -> u64 {
        self.heard.nanos()
    }
}

const LARGEST_FACTOR: u32 = 1_000;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::guard::hash::Keys;

    fn peer(port: u16) -> Hashed {
        let key = Keys::new([1; Keys::BYTES]).table;
        key.peer(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn credits() -> Credits {
        Credits::new(&AmplificationLimit::new()).expect("memory for a table")
    }

    const NOW: Moment = Moment::BEGINNING;

    #[test]
    fn an_address_is_sent_three_times_what_it_sent() {
        let credits = credits();
        assert!(!credits.spend(peer(1), 1), "nothing came from there");
        credits.received(peer(1), 10, NOW);
        assert!(!credits.spend(peer(1), 31), "too much at once");
        assert!(credits.spend(peer(1), 20) && credits.spend(peer(1), 10));
        assert!(!credits.spend(peer(1), 1), "used up");
        credits.received(peer(1), 1, NOW);
        assert!(credits.spend(peer(1), 3), "earned again");
        assert!(!credits.spend(peer(2), 1), "not by another port");
    }

    #[test]
    fn an_empty_datagram_counts_as_one_byte() {
        let credits = credits();
        assert!(!credits.spend(peer(1), 0), "not even an empty one");
        credits.received(peer(1), 0, NOW);
        let sent = (0..10).filter(|_| credits.spend(peer(1), 0));
        assert_eq!(sent.count(), 3);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let limit = AmplificationLimit::new;
        for (limit, words) in [
            (limit().factor(0), "a factor of 0"),
            (limit().factor(1_001), "a factor of 1001"),
            (
                limit().validity(Duration::ZERO),
                "proofs that are valid for 0",
            ),
            (limit().table_entries(0), "a table of 0 entries"),
            (limit().trust(["home"]), "`home` is neither"),
        ] {
            let problem = limit.check().expect_err(words);
            assert!(problem.starts_with(words), "{problem}");
        }
        assert_eq!(limit().check(), Ok(()));
    }

    #[test]
    fn memory_is_as_documented() {
        assert_eq!(Table::<Credit>::bytes(65_536), 65_536 * 25);
    }

    proptest! {
        #[test]
        fn never_more_than_the_factor_is_sent(
            steps in prop::collection::vec((any::<bool>(), 1..2_000_usize), 0..100),
        ) {
            let credits = credits();
            let (mut received, mut sent) = (0, 0);
            for (is_received, len) in steps {
                if is_received {
                    credits.received(peer(1), len, NOW);
                    received += len;
                } else if credits.spend(peer(1), len) {
                    sent += len;
                }
                prop_assert!(sent <= 3 * received);
            }
        }
    }
}
