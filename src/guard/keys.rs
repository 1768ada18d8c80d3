//! The secrets of one server.

use std::time::Duration;

use super::hash::TableKey;
use super::token::TokenSecret;

/// What nobody outside the server may know.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) table: TableKey,
    /// What tokens are made with. Apart from the other, though neither leaks.
    pub(crate) token: [u8; 16],
    /// If other servers make tokens with the same: the time since 1970 at which
    /// this one began, on the clock that all of them have.
    pub(crate) shared_since: Option<Duration>,
}

impl Keys {
    /// The bytes that have to be random and secret.
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn new(secret: [u8; Self::BYTES]) -> Self {
        let mut table = [0; 16];
        let mut token = [0; 16];
        table.copy_from_slice(&secret[..16]);
        token.copy_from_slice(&secret[16..]);
        Self {
            table: TableKey::new(&table),
            token,
            shared_since: None,
        }
    }

    /// With tokens that other servers with this secret recognise, and theirs.
    pub(crate) fn with_shared_tokens(self, secret: &TokenSecret, since_1970: Duration) -> Self {
        Self {
            token: secret.key(),
            shared_since: Some(since_1970),
            ..self
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown() {
        let keys = Keys::new([7; Keys::BYTES]);
        let shown = format!("{keys:?} {:?}", keys.table);
        assert!(!shown.contains('7') && !shown.contains("hash"), "{shown}");
    }
}
