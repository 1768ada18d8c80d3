//! How much may be sent to an address that is not validated.

use std::collections::TryReserveError;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::hash::Hashed;
use super::networks::Networks;
use super::table::{Entry, Table, check_entries, check_range};
use super::timestamp::Timestamp;
use super::validated::Terms;

/// How much may be sent to an address that is not validated, for
/// [`Builder::amplification_limit`](crate::Builder::amplification_limit).
///
/// The source of a datagram can be forged: then whatever is answered hits
/// somebody who has asked for nothing, and a server whose answers are longer
/// than the questions is a weapon. With this limit an address (with its port)
/// is sent at most [`factor`](Self::factor) times the bytes, and as many times
/// the datagrams, that came from there, until it has sent back a
/// [`token`](crate::SocketHandle::token): RFC 9000, section 8, asks the same of
/// QUIC. What exceeds is withheld, and counted in
/// [`Replies::withheld`](crate::Replies::withheld).
///
/// Bytes are those of IP packets: to the payload come 8 bytes of the UDP header
/// and 20 (IPv4) or 40 (IPv6) of the IP header, so that empty replies count as
/// well. A fragmented datagram counts as one. What is received counts once it
/// reaches the handler.
///
/// Two tables of a fixed size remember addresses, whatever comes: 58 bytes for
/// each entry, 3.6 MiB by default. Validated addresses have a table of their
/// own, so that forged ones push none of them out. When a part of it overflows,
/// the network with the most entries there loses its newest (an IPv6 /48, in
/// that a /56, in that a /64; of IPv4 a /24, a /28, an address): so one customer
/// with all addresses and ports takes little from others, and new entries push
/// out new ones. Of addresses that are not validated the one that has been
/// silent longest is forgotten, and with it what it could still be sent: under a
/// flood from more addresses than there are entries, an answer that takes long
/// may be withheld.
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

    /// How many times the bytes and the datagrams received may be sent, from 1
    /// to 1,000.
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

    /// How long an address counts as validated, above zero. Defaults to an hour.
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

    /// How many addresses are remembered at the same time, of those that are
    /// validated and of the others each, from 1 to 16,777,216; rounded up to
    /// eight times a power of two. Defaults to 65,536.
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
        check_range(self.factor, 1..=LARGEST_FACTOR, "a factor of {}")?;
        if self.terms.validity.is_zero() {
            return Err("a validity of 0 seconds validates nothing".to_owned());
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

/// What addresses that are not validated may still be sent.
#[derive(Debug)]
pub(crate) struct Credits {
    factor: u32,
    table: Table<Credit>,
}

impl Credits {
    /// With a limit that was checked.
    pub(crate) fn new(limit: &AmplificationLimit) -> Result<Self, TryReserveError> {
        Ok(Self {
            factor: limit.factor,
            table: Table::new(limit.terms.entries)?,
        })
    }

    /// A datagram with a payload of so many bytes has come from `addr`, whose
    /// place is `peer`.
    pub(crate) fn received(&self, peer: Hashed, addr: SocketAddr, len: usize, now: Timestamp) {
        self.table.enter(peer, now, |credit| {
            let earned = wire_len(addr, len).saturating_mul(self.factor);
            credit.bytes = credit.bytes.saturating_add(earned);
            credit.datagrams = credit.datagrams.saturating_add(self.factor);
            credit.heard = now;
        });
    }

    /// Whether a datagram with a payload of so many bytes may be sent there; if
    /// so, it is taken off what may be.
    pub(crate) fn spend(&self, peer: Hashed, addr: SocketAddr, len: usize) -> bool {
        let left = |credit: &mut Credit| {
            let bytes = credit.bytes.checked_sub(wire_len(addr, len));
            let datagrams = credit.datagrams.checked_sub(1);
            let Some((bytes, datagrams)) = bytes.zip(datagrams) else {
                return false;
            };
            (credit.bytes, credit.datagrams) = (bytes, datagrams);
            true
        };
        self.table.find(peer, left).unwrap_or(false)
    }
}

/// The length of the IP packet that carries so many bytes of payload (RFC 768,
/// RFC 791, RFC 8200).
fn wire_len(addr: SocketAddr, payload: usize) -> u32 {
    let headers = match addr.ip().to_canonical() {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    };
    u32::try_from(payload + headers).unwrap_or(u32::MAX)
}

/// What may still be sent to an address. Both counts stop at their greatest
/// value, 4 GiB and as many datagrams.
#[derive(Debug, Clone, Copy, Default)]
struct Credit {
    bytes: u32,
    datagrams: u32,
    heard: Timestamp,
}

impl Entry for Credit {
    /// Who was heard last is most likely to be answered.
    fn worth(&self, _now: Timestamp) -> u64 {
        self.heard.nanos()
    }
}

const LARGEST_FACTOR: u32 = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::keys::Keys;

    /// Credits as they are asked for: by address, at one moment.
    struct Book(Credits);

    impl Book {
        fn new() -> Self {
            let credits = Credits::new(&AmplificationLimit::new());
            Self(credits.expect("memory for a table"))
        }

        fn received(&self, from: SocketAddr, len: usize) {
            self.0.received(place(from), from, len, Timestamp::START);
        }

        fn spend(&self, to: SocketAddr, len: usize) -> bool {
            self.0.spend(place(to), to, len)
        }
    }

    fn place(addr: SocketAddr) -> Hashed {
        Keys::new([1; Keys::BYTES]).table.peer(addr)
    }

    fn v4(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn v6(port: u16) -> SocketAddr {
        SocketAddr::new("2001:db8::1".parse().expect("an address"), port)
    }

    #[test]
    fn an_address_is_sent_three_times_what_it_sent() {
        // With its headers, a payload of 2 bytes is a packet of 30 or 50.
        for (addr, headers) in [(v4 as fn(u16) -> SocketAddr, 28), (v6, 48)] {
            let book = Book::new();
            assert!(!book.spend(addr(1), 1), "nothing came from there");
            book.received(addr(1), 2);
            let most = 3 * (2 + headers) - headers;
            assert!(!book.spend(addr(1), most + 1), "too much at once");
            assert!(book.spend(addr(1), most - headers - 5));
            assert!(book.spend(addr(1), 5));
            assert!(!book.spend(addr(1), 0), "used up");
            book.received(addr(1), 0);
            assert!(book.spend(addr(1), 2 * headers), "earned again");
            assert!(!book.spend(addr(2), 0), "not by another port");
        }
    }

    #[test]
    fn empty_datagrams_count() {
        let book = Book::new();
        assert!(!book.spend(v4(1), 0), "not even an empty one");
        book.received(v4(1), 100);
        let sent = (0..300).filter(|_| book.spend(v4(1), 0));
        assert_eq!(sent.count(), 3, "three datagrams for one");
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_one() {
        let mapped = "[::ffff:192.0.2.1]:1".parse().expect("an address");
        assert_eq!(wire_len(mapped, 0), 28);
        assert_eq!(wire_len(v6(1), 0), 48);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let limit = AmplificationLimit::new;
        for (limit, words) in [
            (limit().factor(0), "a factor of 0"),
            (limit().factor(1_001), "a factor of 1001"),
            (limit().validity(Duration::ZERO), "a validity of 0 seconds"),
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
            steps in prop::collection::vec((any::<bool>(), 0..2_000_usize), 0..100),
        ) {
            let book = Book::new();
            let (mut received, mut sent) = ((0, 0), (0, 0));
            for (is_received, len) in steps {
                let total = if is_received {
                    book.received(v6(1), len);
                    &mut received
                } else if book.spend(v6(1), len) {
                    &mut sent
                } else {
                    continue;
                };
                *total = (total.0 + len + 48, total.1 + 1);
                prop_assert!(sent.0 <= 3 * received.0 && sent.1 <= 3 * received.1);
            }
        }
    }
}
