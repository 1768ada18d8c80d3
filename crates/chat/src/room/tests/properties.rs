//! What holds for the room whatever is written to it.

use proptest::prelude::*;

use super::scene::{Scene, addr};
use crate::name::Name;
use crate::text;
use crate::wire::Notice;

/// Lines as strangers and fools write them.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        "[/@* a-c:0-9\n]{0,40}".prop_map(String::into_bytes),
        "/(join|name|who|help|ping|quit|x)( [a-c:/@ 客]{0,40})?\n?".prop_map(String::into_bytes),
        "/join .{1,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn an_unvalidated_address_is_sent_at_most_three_times_what_came(line in any_line()) {
        let mut scene = Scene::with(&["a", "b"]);
        let out = scene.hear(addr(9), &line);
        prop_assert!(out.sends.len() <= 1);
        for (to, answer) in &out.sends {
            prop_assert_eq!(*to, addr(9));
            prop_assert!(answer.len() <= 3 * line.len(), "{:?} for {:?}", answer, line);
        }
    }

    #[test]
    fn every_valid_join_is_answered(word in "\\S{1,40}", newline in any::<bool>()) {
        let mut scene = Scene::new();
        let line = format!("/join {word}{}", if newline { "\n" } else { "" });
        let out = scene.send(9, &line);
        prop_assert_eq!(out.sends.len(), 1, "{:?}", out);
        let is_ticket = matches!(Notice::parse(out.sends[0].1.trim_end()), Some(Notice::Ticket { .. }));
        let decoded = text::decode(line.as_bytes());
        let name = decoded.strip_prefix("/join ").unwrap_or_default();
        prop_assert!(is_ticket == Name::parse(name).is_ok(), "{:?}: {:?}", line, out);
    }

    #[test]
    fn no_answer_is_ever_answered(lines in prop::collection::vec((1..6u16, any_line()), 1..30)) {
        let mut scene = Scene::with(&["a", "b"]);
        let mut other = Scene::new();
        let mut echoes = 0;
        for (port, line) in lines {
            let out = scene.hear(addr(port), &line);
            for (_, answer) in out.sends {
                prop_assert!(!answer.starts_with('/'));
                prop_assert!(answer.len() <= 1024, "fits the buffer of a small client");
                let echo = other.hear(addr(99), answer.as_bytes());
                let told: Vec<String> = echo.sends.into_iter().map(|(_, line)| line).collect();
                let is_notice = Notice::parse(answer.trim_end()).is_some();
                prop_assert!(!is_notice || told.is_empty(), "an echo of {:?}: {:?}", answer, told);
                // What one says may be answered once, as any guest's line, by a notice.
                echoes += told.len();
                for line in told {
                    prop_assert!(Notice::parse(line.trim_end()).is_some(), "{:?}", line);
                }
            }
        }
        prop_assert!(echoes <= 1, "{} echoes", echoes);
    }

    #[test]
    fn any_lines_leave_the_room_bounded(lines in prop::collection::vec((1..20u16, any_line()), 0..60)) {
        let mut scene = Scene::with(&["a", "b"]);
        for (port, line) in lines {
            scene.hear(addr(port), &line);
            let out = scene.room.on_operator_line(&text::decode(&line));
            prop_assert!(out.sends.len() <= 4 + 3);
        }
        prop_assert!(scene.room.members.count() <= 4);
        prop_assert!(scene.room.guests.iter().count() <= 3);
    }
}
