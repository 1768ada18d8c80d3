//! Which names people would take for each other.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// What a name looks like: names that share a form are taken for each other.
///
/// Width, composition and case make no difference, nor do letters of other
/// scripts that look the same (the skeleton of UTS 39, 4). Case is folded before
/// that for one form, and after it for the other: `Τ`, a capital tau, looks like
/// `T`, while a small one does not look like `t`.
pub fn forms(name: &str) -> [String; 2] {
    let normal: String = name.nfkc().collect();
    let folded = fold(normal.chars());
    [&folded, &normal].map(|text| fold(skeleton(text)))
}

/// Whether a name could be taken for one of the house: the operator's, the
/// server's or a guest's. Accents make no difference here.
pub fn is_reserved(name: &str) -> bool {
    let plain = |name: &str| forms(name).map(without_marks);
    let names = plain(name);
    let is_like = |word: &&str| plain(word).iter().any(|form| names.contains(form));
    let guest = plain("guest-");
    ["operator", "server", "guest"].iter().any(is_like)
        || names
            .iter()
            .any(|name| guest.iter().any(|guest| name.starts_with(guest)))
}

/// Whether a character, at the size of a line of text, is `other`.
pub fn looks_like(c: char, other: char) -> bool {
    skeleton(c.encode_utf8(&mut [0; 4])).any(|part| part == other)
}

/// Makes case disappear. Upper case first, so that `ß` and `SS` meet as well.
fn fold(text: impl Iterator<Item = char>) -> String {
    text.flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Drops what a skeleton, which is decomposed, has in accents.
fn without_marks(form: String) -> String {
    form.chars().filter(|&c| !is_combining_mark(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether two names share a form.
    fn are_alike(one: &str, other: &str) -> bool {
        let other = forms(other);
        forms(one).iter().any(|form| other.contains(form))
    }

    #[test]
    fn names_that_look_the_same_are_alike() {
        for (one, other) in [
            ("Zo\u{eb}", "Zoe\u{308}"),
            ("bob", "BOB"),
            ("bob", "ｂｏｂ"),
            ("bob", "b\u{43e}b"),
            ("ADA", "\u{410}D\u{410}"),
            ("Ian", "lan"),
            ("bob0", "bobO"),
            ("Straße", "STRASSE"),
            ("ΣΑΣ", "σας"),
            ("한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"),
        ] {
            assert!(are_alike(one, other), "{one} and {other}");
        }
        for (one, other) in [
            ("Zoë", "Zoe"),
            ("客户端1", "客户端2"),
            ("bob", "rob"),
            ("guest", "ghost"),
        ] {
            assert!(!are_alike(one, other), "{one} and {other}");
        }
    }

    #[test]
    fn nobody_can_look_like_the_house() {
        for name in [
            "operator",
            "Operator",
            "ｏｐｅｒａｔｏｒ",
            "\u{43e}perator",
            "\u{39f}\u{3a1}\u{395}R\u{391}\u{3a4}\u{39f}R",
            "0perator",
            "operat\u{f3}r",
            "operator\u{301}",
            "guest",
            "GUEST-7",
            "gu\u{435}st-7",
            "guest\u{2010}7",
            "server",
            "\u{455}erver",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["operetta", "Guestav", "observer", "客户端1", "bob"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn spelling_makes_no_difference(name in "\\PC{1,20}") {
            for other in [
                name.nfc().collect::<String>(),
                name.nfd().collect(),
                name.nfkc().collect(),
                name.nfkd().collect(),
            ] {
                prop_assert!(are_alike(&name, &other), "{:?} and {:?}", name, other);
            }
        }
    }
}
