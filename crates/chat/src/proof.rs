//! Proof that an address is its sender's own.
//!
//! The source address of a datagram can be forged. Whoever wants to join is
//! therefore sent a token, and is in the room only when it has come back. The
//! framework makes and recognises the tokens; here is how they are written in a
//! line of text, and how the room sees the framework.

/// What is known of the sender of the datagram at hand.
pub trait Proof {
    /// A token that only this sender can have read.
    fn token(&self) -> Token;

    /// Tells whether a token was issued to this sender not long ago. If so, the
    /// address is validated.
    fn validate(&self, token: Token) -> bool;

    /// Tells whether the address is validated, and not too long ago.
    fn is_validated(&self) -> bool;
}

/// 64 bits that nobody can guess.
pub type Token = [u8; 8];

/// Writes a token with letters and digits alone, so that a double click selects
/// it, and with no more of them than needed: they must fit the answer to a join
/// of seven bytes.
pub fn encode(token: Token) -> String {
    let mut number = u64::from_be_bytes(token);
    let mut digits = [0; CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % BASE) as usize];
        number /= BASE;
    }
    digits.iter().copied().map(char::from).collect()
}

/// Reads what [`encode`] wrote.
pub fn decode(word: &str) -> Option<Token> {
    if word.len() != CHARS {
        return None;
    }
    let number = word.bytes().try_fold(0u64, |number, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        number.checked_mul(BASE)?.checked_add(digit as u64)
    })?;
    Some(number.to_be_bytes())
}

/// The number of characters of a token.
const CHARS: usize = 11;
/// The number of letters and digits.
const BASE: u64 = ALPHABET.len() as u64;
/// The letters and digits.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn more_than_64_bits_are_no_token() {
        assert_eq!(decode(&encode([0xff; 8])), Some([0xff; 8]));
        assert_eq!(decode("zzzzzzzzzzz"), None);
        assert_eq!(decode("0123456789-"), None);
    }

    proptest! {
        #[test]
        fn tokens_survive_being_written(token in any::<Token>()) {
            prop_assert_eq!(decode(&encode(token)), Some(token));
        }

        #[test]
        fn any_word_can_be_looked_at(word in any::<String>()) {
            let _ = decode(&word);
        }
    }
}
