//! Proof that an address is its sender's own.
//!
//! The source address of a datagram can be forged. Whoever wants to join is
//! therefore sent a token, and is in the room only when it has come back: the
//! stateless cookie of DTLS (RFC 6347, 4.2.1). Nothing is stored for it, so
//! forged joins take no memory and push nobody's join out.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Issues tokens and recognises them.
///
/// A token is a keyed hash (the standard library's SipHash, with 128 bits of
/// key from the operating system) over the address, the name and the time: 64
/// bits that nobody can compute and only the address they are sent to can read.
pub struct Tickets {
    /// The key, made anew with each server.
    key: RandomState,
    /// When time began.
    start: Instant,
}

impl Tickets {
    /// The number of characters of a token.
    pub const TOKEN_CHARS: usize = 11;

    /// Makes a new key.
    pub fn new(now: Instant) -> Self {
        Self {
            key: RandomState::new(),
            start: now,
        }
    }

    /// Issues a token to `addr`, good for `name` and for at least
    /// [`LIFETIME`].
    pub fn issue(&self, now: Instant, addr: SocketAddr, name: &str) -> String {
        encode(self.hash(self.window(now), addr, name))
    }

    /// Tells whether a token was issued to `addr` for `name` not long ago. The
    /// work does not depend on how much of it is right.
    pub fn accepts(&self, now: Instant, addr: SocketAddr, name: &str, token: &str) -> bool {
        let Some(token) = decode(token) else {
            return false;
        };
        let newest = self.window(now);
        let oldest = newest.saturating_sub(LIFETIME.as_secs() / WINDOW.as_secs());
        (oldest..=newest)
            .map(|window| self.hash(window, addr, name) == token)
            .fold(false, |any, equal| any | equal)
    }

    /// The number of the time window that `now` is in.
    fn window(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / WINDOW.as_secs()
    }

    /// The secret function.
    fn hash(&self, window: u64, addr: SocketAddr, name: &str) -> u64 {
        self.key.hash_one((window, addr.ip(), addr.port(), name))
    }
}

/// Tells whether a word has the form of a token.
pub fn looks_like_token(word: &str) -> bool {
    decode(word).is_some()
}

/// Writes 64 bits with letters and digits alone, so that a double click selects
/// them, and with no more of them than needed: they must fit the answer to a
/// join of seven bytes.
fn encode(mut number: u64) -> String {
    let mut digits = [0; Tickets::TOKEN_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % BASE) as usize];
        number /= BASE;
    }
    digits.iter().copied().map(char::from).collect()
}

/// Reads what [`encode`] wrote.
fn decode(word: &str) -> Option<u64> {
    if word.len() != Tickets::TOKEN_CHARS {
        return None;
    }
    word.bytes().try_fold(0u64, |number, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        number.checked_mul(BASE)?.checked_add(digit as u64)
    })
}

/// For how long a token is good, at least; at most a [`WINDOW`] longer.
const LIFETIME: Duration = Duration::from_secs(30);
/// Time is hashed in steps of this length.
const WINDOW: Duration = Duration::from_secs(5);
/// The number of letters and digits.
const BASE: u64 = ALPHABET.len() as u64;
/// The letters and digits.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_token_is_good_for_its_address_name_and_lifetime() {
        let start = Instant::now();
        let tickets = Tickets::new(start);
        let issued = start + Duration::from_millis(12_345);
        let token = tickets.issue(issued, addr(1), "bob");

        assert!(tickets.accepts(issued, addr(1), "bob", &token));
        assert!(tickets.accepts(issued + LIFETIME, addr(1), "bob", &token));
        assert!(
            !tickets.accepts(issued + LIFETIME + WINDOW, addr(1), "bob", &token),
            "too old"
        );
        assert!(
            !tickets.accepts(issued, addr(2), "bob", &token),
            "someone else's"
        );
        assert!(
            !tickets.accepts(issued, addr(1), "Bob", &token),
            "for another name"
        );
        assert!(!tickets.accepts(issued, addr(1), "bob", ""), "none");
        assert!(
            !Tickets::new(start).accepts(issued, addr(1), "bob", &token),
            "another server's"
        );
    }

    #[test]
    fn a_changed_token_is_refused() {
        let now = Instant::now();
        let tickets = Tickets::new(now);
        let token = tickets.issue(now, addr(1), "bob");
        for index in 0..token.len() {
            let mut wrong = token.clone().into_bytes();
            wrong[index] = if wrong[index] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(
                !tickets.accepts(now, addr(1), "bob", &wrong),
                "{wrong} for {token}"
            );
        }
    }

    #[test]
    fn more_than_64_bits_are_no_token() {
        assert_eq!(decode(&encode(u64::MAX)), Some(u64::MAX));
        assert_eq!(decode("zzzzzzzzzzz"), None);
        assert_eq!(decode("0123456789-"), None);
    }

    proptest! {
        #[test]
        fn numbers_survive_being_written(number in any::<u64>()) {
            let word = encode(number);
            prop_assert!(looks_like_token(&word));
            prop_assert_eq!(decode(&word), Some(number));
        }

        #[test]
        fn any_word_can_be_looked_at(word in any::<String>()) {
            let _ = looks_like_token(&word);
        }
    }
}
