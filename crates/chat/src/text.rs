//! From bytes that anyone may have sent to text that a terminal may show.

/// Decodes one datagram as one line: drops the newline that ends it, puts
/// U+FFFD in place of what is not UTF-8, and [cleans](clean) the rest.
pub fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    clean(&String::from_utf8_lossy(bytes))
}

/// Makes text harmless to show on one line of a terminal: tabs and line breaks
/// become spaces; other control characters, which could move the cursor or
/// recolour the screen, and those that reverse the direction of what follows
/// become U+FFFD.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() || is_bidi_control(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Tells whether a character shows nothing or changes how its neighbours show,
/// so that two names which differ by it alone would look the same: control
/// characters, direction controls, and what Unicode calls
/// `Default_Ignorable_Code_Point` (zero-width joiners, fillers, variation
/// selectors, tags).
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || is_bidi_control(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{2029}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Tells whether a character embeds, overrides or isolates a direction of
/// writing (UAX #9, 2.1 to 2.5), and so can reverse the text after it.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_line_end_is_dropped() {
        assert_eq!(decode(b"hi"), "hi");
        assert_eq!(decode(b"hi\n"), "hi");
        assert_eq!(decode(b"hi\r\n"), "hi");
        assert_eq!(
            decode("客户端1的消息:你好\n".as_bytes()),
            "客户端1的消息:你好"
        );
        assert_eq!(decode(b""), "");
    }

    #[test]
    fn line_breaks_inside_become_spaces() {
        assert_eq!(decode(b"a\nb\tc\n"), "a b c");
    }

    #[test]
    fn escape_sequences_and_reversals_are_disarmed() {
        assert_eq!(decode(b"\x1b[2J\x07"), "\u{fffd}[2J\u{fffd}");
        assert_eq!(clean("abc\u{202e}def"), "abc\u{fffd}def");
        assert_eq!(decode(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn emoji_with_joiners_stay_whole() {
        assert_eq!(clean("👩‍🚀 ok"), "👩‍🚀 ok");
    }

    proptest! {
        #[test]
        fn no_bytes_reach_a_terminal_as_controls(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = decode(&bytes);
            prop_assert!(!text.chars().any(|c| c.is_control() || is_bidi_control(c)));
        }

        #[test]
        fn cleaning_twice_changes_nothing(text in any::<String>()) {
            let once = clean(&text);
            prop_assert_eq!(clean(&once), once);
        }
    }
}
