//! What an address proves itself with.

use std::net::SocketAddr;
use std::time::Duration;

use siphasher::sip128::SipHasher24;

use super::hash;
use super::timestamp::{Timestamp, nanos};

/// What proves that whoever sends it back receives at its address, made by
/// [`SocketHandle::token`](crate::SocketHandle::token).
///
/// 16 bytes, as they are with `as_ref()` and as 32 hexadecimal digits with
/// [`Display`](std::fmt::Display). [`SocketHandle::validate`](crate::SocketHandle::validate)
/// takes both, and for protocols that have to count their bytes the
/// [short form](Self::short).
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
///     match bytes.strip_prefix(b"hello ") {
///         Some(token) if socket.validate(token) => Ok(socket.reply(b"welcome")?),
///         _ => Ok(socket.reply(format!("hello {}", socket.token()).as_bytes())?),
///     }
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; Self::LEN]);

impl Token {
    /// The length of a token, in bytes.
    pub const LEN: usize = 16;
    /// The length of its short form, in bytes.
    pub const SHORT_LEN: usize = 8;

    /// The first half: 64 bits, which nobody can guess over a network before
    /// the token is too old. (DNS cookies have as many: RFC 9018.)
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     if !socket.validate(bytes) {
    ///         socket.reply(&socket.token().short())?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn short(&self) -> [u8; Self::SHORT_LEN] {
        let mut short = [0; Self::SHORT_LEN];
        short.copy_from_slice(&self.0[..Self::SHORT_LEN]);
        short
    }
}

impl AsRef<[u8]> for Token {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Issues tokens and recognises them; stores nothing.
///
/// A token is a keyed hash (SipHash-2-4 with 128 bits) over the address, the
/// port, and the number of the period in which it is issued. To hash the period
/// in makes, of the one secret, a key for each period: the present one and the
/// one before are in use, and older tokens are void without anybody taking them
/// back.
///
/// Periods are counted from the beginning of the server. Where several share
/// their tokens they are counted from 1970, by the clock of the system as it
/// stood when the server began; and as these clocks may differ by a little, the
/// period after the present one is accepted as well.
pub(crate) struct Tokens {
    hasher: SipHasher24,
    /// What the count of periods begins with, in nanoseconds.
    offset: u64,
    is_shared: bool,
}

/// What servers share that shall accept each other's tokens.
#[derive(Clone, Copy)]
pub(crate) struct TokenSecret(pub(crate) [u8; 32]);

impl TokenSecret {
    /// Says what makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.0 == [0; 32] {
            true => Err("32 zeros are no secret".to_owned()),
            false => Ok(()),
        }
    }

    /// All of it, as the key of the hash.
    pub(super) fn key(&self) -> [u8; 16] {
        let (key, rest) = self.0.split_at(16);
        let mut first = [0; 16];
        first.copy_from_slice(key);
        SipHasher24::new_with_key(&first).hash(rest).as_bytes()
    }
}

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSecret").finish_non_exhaustive()
    }
}

impl Tokens {
    /// With a secret key; where it is shared, with the time since 1970 at which
    /// this server began.
    pub(crate) fn new(key: &[u8; 16], shared_since: Option<Duration>) -> Self {
        Self {
            hasher: SipHasher24::new_with_key(key),
            offset: shared_since.map_or(0, nanos),
            is_shared: shared_since.is_some(),
        }
    }

    /// A token for `peer`, good for one to two minutes.
    pub(crate) fn issue(&self, peer: SocketAddr, now: Timestamp) -> Token {
        self.token_of(peer, self.period(now))
    }

    /// Whether these bytes are a token that was issued to `peer` not long ago.
    /// What this takes does not depend on how much of them is right.
    pub(crate) fn accepts(&self, peer: SocketAddr, bytes: &[u8], now: Timestamp) -> bool {
        let Some((given, kept)) = read(bytes) else {
            return false;
        };
        let newest = self.period(now);
        let matches = |period| {
            let expected = u128::from_be_bytes(self.token_of(peer, period).0);
            (expected ^ given) & kept == 0
        };
        // Before there was a period before this one, nothing was issued in it.
        let is_recent = matches(newest) | matches(newest.wrapping_sub(1));
        is_recent | (self.is_shared && matches(newest + 1))
    }

    fn period(&self, now: Timestamp) -> u64 {
        now.plus(self.offset).nanos() / PERIOD_NANOS
    }

    fn token_of(&self, peer: SocketAddr, period: u64) -> Token {
        let mut bytes = [0; 30];
        bytes[..22].copy_from_slice(&hash::encode(peer));
        bytes[22..].copy_from_slice(&period.to_be_bytes());
        Token(self.hasher.hash(&bytes).as_bytes())
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The bits of a token in one of its forms, and which of them count.
fn read(bytes: &[u8]) -> Option<(u128, u128)> {
    match bytes.len() {
        Token::LEN => Some((u128::from_be_bytes(bytes.try_into().ok()?), u128::MAX)),
        Token::SHORT_LEN => {
            let first = u64::from_be_bytes(bytes.try_into().ok()?);
            Some((u128::from(first) << 64, u128::from(u64::MAX) << 64))
        }
        HEX_DIGITS => {
            let bits = bytes.iter().try_fold(0_u128, |bits, digit| {
                let value = char::from(*digit).to_digit(16)?;
                Some(bits << 4 | u128::from(value))
            })?;
            Some((bits, u128::MAX))
        }
        _ => None,
    }
}

const HEX_DIGITS: usize = 2 * Token::LEN;
/// A minute: time enough for a person to send back what was shown.
const PERIOD_NANOS: u64 = 60 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(key: u8) -> Tokens {
        Tokens::new(&[key; 16], None)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn second(at: u64) -> Timestamp {
        Timestamp::after(Duration::from_secs(at))
    }

    #[test]
    fn a_token_is_good_in_its_period_and_the_next() {
        let tokens = tokens(1);
        let token = tokens.issue(addr(1), second(119));
        for (at, good) in [
            (59, false),
            (60, true),
            (119, true),
            (179, true),
            (180, false),
        ] {
            let accepted = tokens.accepts(addr(1), token.as_ref(), second(at));
            assert_eq!(accepted, good, "issued at 119 s, shown at {at} s");
        }
    }

    #[test]
    fn a_token_is_good_for_its_address_its_port_and_its_server_only() {
        let now = second(7);
        let token = tokens(1).issue(addr(1), now);
        let mapped = "[::ffff:192.0.2.1]:1".parse().expect("an address");
        let other_host = "192.0.2.2:1".parse().expect("an address");
        let accepts = |key, peer| tokens(key).accepts(peer, token.as_ref(), now);
        assert!(accepts(1, addr(1)) && accepts(1, mapped));
        assert!(!accepts(1, addr(2)), "another port");
        assert!(!accepts(1, other_host), "another host");
        assert!(!accepts(2, addr(1)), "another server");
    }

    /// The tokens of a server that shares them and began so long after 1970.
    fn shared(secret: u8, since_1970: u64) -> Tokens {
        let key = TokenSecret([secret; 32]).key();
        Tokens::new(&key, Some(Duration::from_secs(since_1970)))
    }

    #[test]
    fn servers_with_one_secret_accept_each_others_tokens() {
        // The successor began 90 s later, so its clock shows 90 s less.
        let (old, new) = (shared(1, 6_000), shared(1, 6_090));
        let token = old.issue(addr(1), second(100));
        assert!(new.accepts(addr(1), token.as_ref(), second(10)), "at once");
        assert!(!new.accepts(addr(1), token.as_ref(), second(100)), "later");
        assert!(!new.accepts(addr(2), token.as_ref(), second(10)), "other");
        let other = shared(2, 6_000);
        assert!(!other.accepts(addr(1), token.as_ref(), second(100)));
        let behind = shared(1, 5_998);
        let token = old.issue(addr(1), second(60));
        assert!(
            behind.accepts(addr(1), token.as_ref(), second(60)),
            "a clock that is two seconds slow"
        );
    }

    #[test]
    fn all_of_the_secret_counts_and_none_of_it_is_shown() {
        let mut bytes = [7; 32];
        let key = TokenSecret(bytes).key();
        for at in [0, 15, 16, 31] {
            bytes[at] = 8;
            assert_ne!(TokenSecret(bytes).key(), key, "byte {at}");
            bytes[at] = 7;
        }
        assert_eq!(format!("{:?}", TokenSecret(bytes)), "TokenSecret { .. }");
        assert!(TokenSecret([0; 32]).check().is_err());
    }

    #[test]
    fn all_forms_are_accepted_whole_and_nothing_else_is() {
        let (tokens, now) = (tokens(1), second(7));
        let token = tokens.issue(addr(1), now);
        let hex = token.to_string();
        assert_eq!(hex.len(), 32, "{hex}");
        let upper = hex.to_uppercase();
        for form in [
            token.as_ref(),
            &token.short(),
            hex.as_bytes(),
            upper.as_bytes(),
        ] {
            assert!(tokens.accepts(addr(1), form, now), "{form:?}");
            assert!(!tokens.accepts(addr(1), &form[1..], now), "cut");
            assert!(
                !tokens.accepts(addr(1), &[form, b"0"].concat(), now),
                "more"
            );
            for at in 0..form.len() {
                let mut wrong = form.to_vec();
                wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
                assert!(!tokens.accepts(addr(1), &wrong, now), "{wrong:?}");
            }
        }
        assert!(!tokens.accepts(addr(1), b"", now), "none");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_pass(
            bytes in prop::collection::vec(any::<u8>(), 0..70),
            at in any::<u32>(),
        ) {
            prop_assert!(!tokens(1).accepts(addr(1), &bytes, second(at.into())));
        }

        #[test]
        fn what_is_issued_is_accepted(ip: u128, port: u16, at in any::<u32>(), later in 0..60_u64) {
            let peer = SocketAddr::new(std::net::Ipv6Addr::from(ip).into(), port);
            let token = tokens(9).issue(peer, second(at.into()));
            let shown = second(u64::from(at) + later);
            prop_assert!(tokens(9).accepts(peer, token.as_ref(), shown));
        }
    }
}
