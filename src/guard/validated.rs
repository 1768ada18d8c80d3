//! The addresses that are validated: known to receive what is sent there
//! (RFC 9000, section 8).

use std::collections::TryReserveError;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::hash::{Hashed, TableKey};
use super::keys::Keys;
use super::prefix::Prefix;
use super::table::{Entry, Table};
use super::timestamp::{Timeline, Timestamp, nanos};
use super::token::{Token, Tokens};
use crate::logging::log_warn;

/// Tokens, and who has sent one back.
///
/// The table is apart from all that forged datagrams fill, so that no flood
/// pushes a validated address out. Unless [`make_room`](Self::make_room) was called
/// it is made for the first validation: a server that never validates has none.
#[derive(Debug)]
pub(crate) struct ValidatedPeers {
    timeline: Timeline,
    key: TableKey,
    tokens: Tokens,
    terms: Terms,
    /// None if there was no memory for it.
    table: OnceLock<Option<Table<Validation>>>,
}

/// How long a validation counts, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) validity: Duration,
    pub(crate) entries: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            validity: Duration::from_secs(3_600),
            entries: 65_536,
        }
    }
}

impl ValidatedPeers {
    pub(crate) fn new(keys: &Keys, timeline: Timeline, terms: Terms) -> Self {
        Self {
            timeline,
            key: keys.table,
            tokens: Tokens::new(&keys.token, keys.shared_since),
            terms,
            table: OnceLock::new(),
        }
    }

    /// Makes the table now, where it can be said that there is no memory for it.
    pub(crate) fn make_room(&self) -> Result<(), TryReserveError> {
        let table = Table::new(self.terms.entries)?;
        self.table.get_or_init(|| Some(table));
        Ok(())
    }

    /// A token for this peer.
    pub(crate) fn token(&self, peer: SocketAddr, now: Instant) -> Token {
        self.tokens.issue(peer, self.timeline.at(now))
    }

    /// Whether these bytes are a token of this peer; if so, it is validated. Also
    /// false if there is no memory to keep that in.
    pub(crate) fn validate(&self, peer: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        self.tokens.accepts(peer, bytes, self.timeline.at(now)) && self.mark_validated(peer, now)
    }

    /// Takes an address for validated, if there is memory to keep that in.
    pub(crate) fn mark_validated(&self, peer: SocketAddr, now: Instant) -> bool {
        let made = self.table.get().map(Option::as_ref);
        let Some(table) = made.unwrap_or_else(|| self.late_table()) else {
            return false;
        };
        let now = self.timeline.at(now);
        let tag = |prefix| self.key.prefix(prefix).tag() as u32;
        let fresh = Validation {
            until: now.plus(nanos(self.terms.validity)),
            since: (now.nanos() / SINCE_UNIT) as u32,
            networks: Prefix::nested(peer).map(tag),
        };
        table.put(self.key.peer(peer), now, fresh, |old| old.renew(fresh, now));
        true
    }

    /// The table, made for the first validation. That there is no memory for it is
    /// logged once, when that is settled: the logger may call back.
    #[cold]
    fn late_table(&self) -> Option<&Table<Validation>> {
        let entries = self.terms.entries;
        let (table, failure) = match Table::new(entries) {
            Ok(table) => (Some(table), None),
            Err(error) => (None, Some(error)),
        };
        // Whoever else makes one now may be first.
        let is_first = self.table.set(table).is_ok();
        if let Some(error) = failure.filter(|_| is_first) {
            log_warn!("no address will count as validated: a table of {entries}: {error}");
        }
        self.table.get()?.as_ref()
    }

    pub(crate) fn is_validated(&self, peer: SocketAddr, now: Instant) -> bool {
        self.is_validated_at(self.key.peer(peer), self.timeline.at(now))
    }

    pub(crate) fn is_validated_at(&self, peer: Hashed, now: Timestamp) -> bool {
        let until = self
            .table
            .get()
            .and_then(Option::as_ref)
            .and_then(|table| table.find(peer, |entry| entry.until));
        until.is_some_and(|until| now < until)
    }
}

/// How long an address counts as validated.
#[derive(Debug, Clone, Copy, Default)]
struct Validation {
    until: Timestamp,
    /// Since when without a break, in units of [`SINCE_UNIT`] (for 34 years).
    since: u32,
    /// Tags of the networks that the address is from, the largest first.
    networks: [u32; 3],
}

impl Validation {
    /// Validated again.
    fn renew(&mut self, fresh: Self, now: Timestamp) {
        let is_valid = now < self.until;
        let since = if is_valid { self.since } else { fresh.since };
        *self = Self { since, ..fresh };
    }
}

impl Entry for Validation {
    /// A new one makes room for the next: whoever floods the table, from however
    /// many networks, pushes out his own and not those of before.
    fn worth(&self, now: Timestamp) -> u64 {
        match now < self.until {
            true => u64::from(u32::MAX - self.since) + 1,
            false => 0,
        }
    }

    /// One host can validate all its ports, and one customer all addresses of a
    /// /48: they push out each other.
    const HAS_KIN: bool = true;

    /// The sum over a set counts relatives in the largest network above all,
    /// then in the next. A set has fewer entries than a byte counts.
    fn kinship(&self, other: &Self) -> u64 {
        let both = self.networks.iter().zip(other.networks);
        both.fold(0, |sum, (own, other)| sum << 8 | u64::from(*own == other))
    }
}

/// A quarter of a second, in nanoseconds.
const SINCE_UNIT: u64 = 250_000_000;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::rc::Rc;
    use std::sync::mpsc;

    use super::*;
    use crate::logging::call_at_each_line;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn peers(began: Instant) -> ValidatedPeers {
        keeping(8, began)
    }

    fn keeping(entries: usize, began: Instant) -> ValidatedPeers {
        let terms = Terms {
            validity: Duration::from_secs(10),
            entries,
        };
        ValidatedPeers::new(&Keys::new([1; Keys::BYTES]), Timeline::new(began), terms)
    }

    #[test]
    fn who_sends_its_token_back_is_validated_at_for_a_while() {
        let now = Instant::now();
        let peers = peers(now);
        let token = peers.token(addr(1), now);
        assert!(
            !peers.is_validated(addr(1), now),
            "a token alone is not enough"
        );
        assert!(!peers.validate(addr(2), token.as_ref(), now), "not its own");
        assert!(!peers.is_validated(addr(2), now));
        assert!(peers.table.get().is_none(), "no table before the first");
        assert!(peers.validate(addr(1), token.as_ref(), now));
        assert!(peers.is_validated(addr(1), now + Duration::from_secs(9)));
        assert!(!peers.is_validated(addr(1), now + Duration::from_secs(10)));
    }

    #[test]
    fn a_new_one_makes_room_for_the_next_and_a_renewed_one_is_not_new() {
        let began = Instant::now();
        let peers = peers(began);
        let second = |at| began + Duration::from_secs(at);
        for port in 1..=8 {
            peers.mark_validated(addr(port), second(port.into()));
        }
        peers.mark_validated(addr(2), second(9));
        for port in 9..=20 {
            peers.mark_validated(addr(port), second(9));
        }
        let kept = (1..=20).filter(|port| peers.is_validated(addr(*port), second(9)));
        assert_eq!(kept.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 20]);
        for port in 21..=27 {
            peers.mark_validated(addr(port), second(20));
        }
        let kept = (1..=27).filter(|port| peers.is_validated(addr(*port), second(20)));
        let kept = kept.collect::<Vec<_>>();
        assert_eq!(
            kept,
            (21..=27).collect::<Vec<_>>(),
            "what was over went first"
        );
    }

    /// As many sources as like, in one customer's network: these once took every
    /// place of a table of 65,536 in seven seconds.
    #[test]
    fn one_network_of_many_sources_pushes_out_nobody_else() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let honest = |number: u16| -> SocketAddr {
            let ip = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 1);
            SocketAddr::new(ip.into(), 9)
        };
        // The bits that differ within the attacker's network: of a /48, of a /56.
        for (bits, network) in [(16, 0xffff_0000_u64), (8, 0xffff_ff00)] {
            let peers = keeping(1_024, now);
            for number in 1..=200 {
                assert!(peers.mark_validated(honest(number), now));
            }
            let held = (1..=200).filter(|number| peers.is_validated(honest(*number), now));
            let held = held.collect::<Vec<_>>();
            for number in 0..65_536_u64 {
                let subnet = network | number & ((1 << bits) - 1);
                let high = 0x2001_0db8_0000_0000 | subnet;
                let ip = Ipv6Addr::from(u128::from(high) << 64 | u128::from(number));
                peers.mark_validated(SocketAddr::new(ip.into(), 9), later);
            }
            let lost = held
                .iter()
                .filter(|number| !peers.is_validated(honest(**number), later));
            assert_eq!(lost.count(), 0, "to a network of {bits} bits");
        }
    }

    /// From everywhere: then only one place of each set changes hands.
    #[test]
    fn a_flood_of_unrelated_networks_pushes_out_only_new_ones() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let peers = keeping(64, now);
        let host = |number: u32| SocketAddr::from((Ipv4Addr::from(number << 8), 9));
        // Of one to eight that stand in a set, one may have to go.
        for number in 0..64 {
            peers.mark_validated(host(number), now);
        }
        let held = (0..64).filter(|number| peers.is_validated(host(*number), now));
        let held = held.collect::<Vec<_>>();
        for number in 64..20_000 {
            peers.mark_validated(host(number), later);
        }
        let kept = held
            .iter()
            .filter(|number| peers.is_validated(host(**number), later));
        let kept = kept.count();
        assert!(kept + 8 >= held.len(), "{kept} of {}", held.len());
        assert!(peers.is_validated(host(19_999), later), "the last is in");
    }

    #[test]
    fn two_hosts_with_all_their_ports_push_out_nobody_else() {
        let now = Instant::now();
        let peers = keeping(1_024, now);
        let host = |number: u8, port| SocketAddr::from(([198, 51, 100, number], port));
        for number in 1..=50 {
            assert!(peers.mark_validated(host(number, 9), now));
        }
        let later = now + Duration::from_secs(1);
        for port in 1..=u16::MAX {
            peers.mark_validated(host(201, port), later);
            peers.mark_validated(host(202, port), later);
        }
        let kept = (1..=50).filter(|number| peers.is_validated(host(*number, 9), later));
        assert_eq!(kept.count(), 50);
        assert!(peers.is_validated(host(201, u16::MAX), later), "its last");
    }

    #[test]
    fn without_memory_nobody_is_validated() {
        let now = Instant::now();
        let peers = keeping(1 << 56, now);
        assert!(peers.make_room().is_err(), "said at bind");
        let token = peers.token(addr(1), now);
        assert!(!peers.validate(addr(1), token.as_ref(), now));
        assert!(!peers.is_validated(addr(1), now));
    }

    #[test]
    fn a_logger_that_calls_back_is_answered_that_nobody_is_validated() {
        let (tell, told) = mpsc::channel();
        // Nobody waits for it: it may be stuck.
        std::thread::spawn(move || {
            let now = Instant::now();
            let peers = Rc::new(keeping(1 << 56, now));
            let asked = Rc::clone(&peers);
            call_at_each_line(move || {
                let _ = tell.send(asked.mark_validated(addr(2), now));
            });
            assert!(!peers.mark_validated(addr(1), now));
            assert!(!peers.mark_validated(addr(1), now));
        });
        let patience = Duration::from_secs(10);
        assert_eq!(told.recv_timeout(patience), Ok(false), "no memory for it");
        let gone = Err(mpsc::RecvTimeoutError::Disconnected);
        assert_eq!(told.recv_timeout(patience), gone, "one line, once");
    }

    #[test]
    fn memory_is_as_documented() {
        assert_eq!(Table::<Validation>::bytes(65_536), 65_536 * 33);
    }
}
