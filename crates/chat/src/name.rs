//! What a member of the room may be called.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::alike;
use crate::text::is_invisible;

/// A name that may stand at the head of a line: visible, one word, bounded, and
/// never to be mistaken for a command or a notice.
///
/// It is kept in the normal form NFKC (UAX #15): composed, and with narrow letters
/// where a Chinese keyboard has typed full-width ones (`ａｄａ：`). Which names
/// could be taken for each other is the business of [`alike`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The most characters that a name may have.
    pub const MAX_CHARS: usize = 32;

    /// The most bytes of UTF-8 that a name may have: 32 Chinese characters.
    pub const MAX_BYTES: usize = 96;

    /// Trims, normalises and checks a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        // The text as it was typed first, so that normalising it is bounded.
        if text.len() > MAX_TYPED_BYTES {
            return Err(NameError::TooLong);
        }
        let name: String = text.nfkc().collect();
        let Some(first) = name.chars().next() else {
            return Err(NameError::Empty);
        };
        if name.len() > Self::MAX_BYTES || name.chars().count() > Self::MAX_CHARS {
            return Err(NameError::TooLong);
        }
        if matches!(first, '/' | '@') || alike::looks_like(first, '*') {
            return Err(NameError::Start);
        }
        if is_combining_mark(first) {
            return Err(NameError::Mark);
        }
        if name.chars().any(is_forbidden) {
            return Err(NameError::Character);
        }
        Ok(Self(name))
    }

    /// The name, normalised.
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
    /// Begins with an accent that has no letter.
    Mark,
    /// Contains a colon or what looks like one, a space, or something that cannot be seen.
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
            Self::Mark => f.write_str("a name cannot begin with a combining mark"),
            Self::Character => {
                f.write_str("a name cannot contain ':', spaces or invisible characters")
            }
        }
    }
}

impl std::error::Error for NameError {}

/// Tells whether a character may stand nowhere in a name. U+FFFD stands for
/// bytes that could not be decoded, so it names nobody.
fn is_forbidden(c: char) -> bool {
    c.is_whitespace()
        || is_invisible(c)
        || c == char::REPLACEMENT_CHARACTER
        || alike::looks_like(c, ':')
}

/// The most bytes of a name before it is normalised. Composed, three letters of
/// Korean are one: the longest name may come in three times as many bytes.
const MAX_TYPED_BYTES: usize = 3 * Name::MAX_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_many_scripts_are_accepted_and_trimmed() {
        for text in ["a", "客户端1", "  Zoë ", "O'Neil", "ノア", "🦀", "a*b@c/d"] {
            let name = Name::parse(text).expect("a valid name");
            assert_eq!(name.as_str(), text.trim());
        }
    }

    #[test]
    fn one_name_is_written_one_way() {
        for (typed, name) in [
            ("Zoe\u{308}", "Zo\u{eb}"),
            ("ｂｏｂ１", "bob1"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
        ] {
            assert_eq!(Name::parse(typed).expect("a valid name").as_str(), name);
        }
        let longest = "한".repeat(32);
        let typed: String = longest.nfd().collect();
        assert_eq!(Name::parse(&typed), Name::parse(&longest));
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
        for text in ["/quit", "@bob", "*", "／who", "＠bob", "＊x", "\u{2217}x"] {
            assert_eq!(Name::parse(text), Err(NameError::Start), "{text:?}");
        }
        for text in [
            "a:b",
            "a：b",
            "operator\u{a789}",
            "operator\u{2236}",
            "a b",
            "a\u{3000}b",
            "a\u{7}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{fffd}",
        ] {
            assert_eq!(Name::parse(text), Err(NameError::Character), "{text:?}");
        }
        for text in ["\u{301}", "\u{301}bob", "\u{20dd}"] {
            assert_eq!(Name::parse(text), Err(NameError::Mark), "{text:?}");
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
                prop_assert!(!name.starts_with(is_combining_mark));
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
