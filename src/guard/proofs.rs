//! The addresses that have proved to receive what is sent there.

use std::collections::TryReserveError;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::hash::{Hashed, Keys, TableKey};
use super::moment::{Moment, Timeline, nanos};
use super::prefix::Prefix;
use super::table::{Entry, Table};
use super::token::{Token, Tokens};
use crate::logging::log_error;

/// Tokens, and who has sent one back.
///
/// The table is apart from all that forged datagrams fill, so that no flood
/// pushes a proved address out. Unless [`make_room`](Self::make_room) was called
/// it is made for the first proof: a server that never validates anything has none.
#[derive(Debug)]
pub(crate) struct Proofs {
    timeline: Timeline,
    key: TableKey,
    tokens: Tokens,
    terms: Terms,
    /// None if there was no memory for it.
    proved: OnceLock<Option<Table<Proof>>>,
}

/// What a proof is worth, and how many are kept.
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

impl Proofs {
    pub(crate) fn new(keys: &Keys, timeline: Timeline, terms: Terms) -> Self {
        Self {
            timeline,
            key: keys.table,
            tokens: Tokens::new(keys),
            terms,
            proved: OnceLock::new(),
        }
    }

    /// Makes the table now, where it can be said that there is no memory for it.
    pub(crate) fn make_room(&self) -> Result<(), TryReserveError> {
        let table = Table::new(self.terms.entries)?;
        self.proved.get_or_init(|| Some(table));
        Ok(())
    }

    /// A token for this peer.
    pub(crate) fn token(&self, peer: SocketAddr, now: Instant) -> Token {
        self.tokens.issue(peer, self.timeline.at(now))
    }

    /// Whether these bytes are a token of this peer; if so, it is proved. Also
    /// false if there is no memory to keep that in.
    pub(crate) fn validate(&self, peer: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        self.tokens.accepts(peer, bytes, self.timeline.at(now)) && self.vouch_for(peer, now)
    }

    /// Takes an address for proved, if there is memory to keep that in.
    pub(crate) fn vouch_for(&self, peer: SocketAddr, now: Instant) -> bool {
        let Some(table) = self.proved.get_or_init(|| self.late_table()) else {
            return false;
        };
        let now = self.timeline.at(now);
        let proof = Proof {
            until: now.plus(nanos(self.terms.validity)),
            source: self.key.prefix(Prefix::customary(peer)).tag(),
        };
        table.put(self.key.peer(peer), now, proof);
        true
    }

    /// The table for the first proof. What fails is tried, and logged, once.
    #[cold]
    fn late_table(&self) -> Option<Table<Proof>> {
        let entries = self.terms.entries;
        Table::new(entries)
            .inspect_err(|error| {
                log_error!("no address will count as validated: a table of {entries}: {error}");
            })
            .ok()
    }

    pub(crate) fn is_validated(&self, peer: SocketAddr, now: Instant) -> bool {
        self.is_proved(self.key.peer(peer), self.timeline.at(now))
    }

    pub(crate) fn is_proved(&self, peer: Hashed, now: Moment) -> bool {
        let until = self
            .proved
            .get()
            .and_then(Option::as_ref)
            .and_then(|table| table.find(peer, |proof| proof.until));
        until.is_some_and(|until| now < until)
    }
}

/// How long an address counts as proved.
#[derive(Debug, Clone, Copy, Default)]
struct Proof {
    until: Moment,
    /// The place of the prefix that the address is from.
    source: u64,
}

impl Entry for Proof {
    /// The time that is left: the oldest proof makes room for a new one.
    fn worth(&self, now: Moment) -> u64 {
        self.until.since(now)
    }

    /// One host can prove all its ports: they push out each other.
    const HAS_KIN: bool = true;

    fn is_kin(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn proofs(began: Instant) -> Proofs {
        keeping(8, began)
    }

    fn keeping(entries: usize, began: Instant) -> Proofs {
        let terms = Terms {
            validity: Duration::from_secs(10),
            entries,
        };
        Proofs::new(&Keys::new([1; Keys::BYTES]), Timeline::new(began), terms)
    }

    #[test]
    fn who_sends_its_token_back_is_proved_for_a_while() {
        let now = Instant::now();
        let proofs = proofs(now);
        let token = proofs.token(addr(1), now);
        assert!(
            !proofs.is_validated(addr(1), now),
            "a token alone is no proof"
        );
        assert!(
            !proofs.validate(addr(2), token.as_ref(), now),
            "not its own"
        );
        assert!(!proofs.is_validated(addr(2), now));
        assert!(proofs.proved.get().is_none(), "no table without a proof");
        assert!(proofs.validate(addr(1), token.as_ref(), now));
        assert!(proofs.is_validated(addr(1), now + Duration::from_secs(9)));
        assert!(!proofs.is_validated(addr(1), now + Duration::from_secs(10)));
    }

    #[test]
    fn the_oldest_proof_makes_room() {
        let now = Instant::now();
        let proofs = proofs(now);
        for port in 1..=9 {
            proofs.vouch_for(addr(port), now + Duration::from_millis(port.into()));
        }
        let later = now + Duration::from_secs(1);
        let kept = (1..=9).filter(|port| proofs.is_validated(addr(*port), later));
        assert_eq!(kept.collect::<Vec<_>>(), (2..=9).collect::<Vec<_>>());
    }

    #[test]
    fn two_hosts_with_all_their_ports_push_out_nobody_else() {
        let now = Instant::now();
        let proofs = keeping(1_024, now);
        let host = |number: u8, port| SocketAddr::from(([198, 51, 100, number], port));
        for number in 1..=50 {
            assert!(proofs.vouch_for(host(number, 9), now));
        }
        let later = now + Duration::from_secs(1);
        for port in 1..=u16::MAX {
            proofs.vouch_for(host(201, port), later);
            proofs.vouch_for(host(202, port), later);
        }
        let kept = (1..=50).filter(|number| proofs.is_validated(host(*number, 9), later));
        assert_eq!(kept.count(), 50);
        assert!(proofs.is_validated(host(201, u16::MAX), later), "its last");
    }

    #[test]
    fn without_memory_nobody_is_validated() {
        let now = Instant::now();
        let proofs = keeping(1 << 56, now);
        assert!(proofs.make_room().is_err(), "said at bind");
        let token = proofs.token(addr(1), now);
        assert!(!proofs.validate(addr(1), token.as_ref(), now));
        assert!(!proofs.is_validated(addr(1), now));
    }

    #[test]
    fn memory_is_as_documented() {
        assert_eq!(Table::<Proof>::bytes(65_536), 65_536 * 25);
    }
}
