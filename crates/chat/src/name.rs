//! What a member of the room may be called.

use std::fmt;

use crate::text::is_invisible;

/// A name that may stand at the head of a line: visible, one word, bounded, and
/// never to be mistaken for a command or a notice.
///
/// Latin letters typed with a Chinese keyboard may be full-width forms
/// (`ａｄａ：`); they are looked at as the narrow ones. Letters of different
/// scripts that look alike are not recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The most characters that a name may have.
    pub const MAX_CHARS: usize = 32;

    /// The most bytes of UTF-8 that a name may have: 32 Chinese characters.
    pub const MAX_BYTES: usize = 96;

    /// Trims and checks a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        // Bytes first, so that counting characters is bounded too.
        if text.len() > Self::MAX_BYTES || text.chars().count() > Self::MAX_CHARS {
            return Err(NameError::TooLong);
        }
        if text
            .chars()
            .take(1)
            .any(|c| matches!(narrow(c), '/' | '@' | '*'))
        {
            return Err(NameError::Start);
        }
        if text.chars().any(is_forbidden) {
            return Err(NameError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing, or nothing but spaces.
    Empty,
    /// Longer than [`Name::MAX_CHARS`] or [`Name::MAX_BYTES`].
    TooLong,
    /// Begins like a command, a private message or a notice.
    Start,
    /// Contains a colon, a space, or something that cannot be seen.
    Character,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no name"),
            Self::TooLong => write!(
                f,
                "name too long: at most {} characters and {} bytes",
                Name::MAX_CHARS,
                Name::MAX_BYTES
            ),
            Self::Start => f.write_str("a name cannot begin with '/', '@' or '*'"),
            Self::Character => {
                f.write_str("a name cannot contain ':', spaces or invisible characters")
            }
        }
    }
}

impl std::error::Error for NameError {}

/// Gives the narrow form of a full-width character (U+FF01 to U+FF5E), and any
/// other character as it is.
pub fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// Tells whether a character may stand nowhere in a name. U+FFFD stands for
/// bytes that could not be decoded, so it names nobody.
fn is_forbidden(c: char) -> bool {
    narrow(c) == ':' || c.is_whitespace() || is_invisible(c) || c == char::REPLACEMENT_CHARACTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_many_scripts_are_accepted_and_trimmed() {
        for text in ["a", "客户端1", "  Zoë ", "O'Neil", "guest", "🦀", "a*b@c/d"] {
            let name = Name::parse(text).expect("a valid name");
            assert_eq!(name.as_str(), text.trim());
        }
    }

    #[test]
    fn limits_count_characters_and_bytes() {
        assert!(
            Name::parse(&"客".repeat(32)).is_ok(),
            "32 characters, 96 bytes"
        );
        assert_eq!(Name::parse(&"客".repeat(33)), Err(NameError::TooLong));
        assert_eq!(Name::parse(&"a".repeat(33)), Err(NameError::TooLong));
        assert_eq!(
            Name::parse(&"🦀".repeat(25)),
            Err(NameError::TooLong),
            "100 bytes"
        );
    }

    #[test]
    fn misleading_names_are_refused() {
        for text in ["/quit", "@bob", "*", "／who", "＠bob", "＊x"] {
            assert_eq!(Name::parse(text), Err(NameError::Start), "{text:?}");
        }
        for text in [
            "a:b",
            "a：b",
            "a b",
            "a\u{3000}b",
            "a\u{7}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{fffd}",
        ] {
            assert_eq!(Name::parse(text), Err(NameError::Character), "{text:?}");
        }
        assert_eq!(Name::parse(" \t "), Err(NameError::Empty));
    }

    proptest! {
        #[test]
        fn accepted_names_keep_every_promise(text in any::<String>()) {
            if let Ok(name) = Name::parse(&text) {
                let name = name.as_str();
                prop_assert!((1..=Name::MAX_CHARS).contains(&name.chars().count()));
                prop_assert!(name.len() <= Name::MAX_BYTES);
                prop_assert!(!name.starts_with(['/', '@', '*']));
                prop_assert!(!name.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()));
                prop_assert_eq!(Name::parse(name).map(|n| n.0), Ok(name.to_owned()));
            }
        }

        #[test]
        fn plain_words_are_names(word in "[a-z0-9_.一-龥-]{1,32}") {
            prop_assert!(Name::parse(&word).is_ok());
        }
    }
}
