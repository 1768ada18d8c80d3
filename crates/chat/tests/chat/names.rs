//! What a member may be called.

use crate::people::{Person, Room};

/// What is answered to someone who asks for this name.
#[track_caller]
fn refusal(room: &Room, name: &str) -> String {
    let person = Person::near(room.addr);
    person.says(&format!("/join {name}"));
    person.reads()
}

#[test]
fn names_are_unique_however_they_are_written() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "Bob", &[]);
    for name in ["Bob", "bob", "BOB", "ｂｏｂ", "B\u{43e}b", "  Bob  "] {
        assert_eq!(refusal(&room, name), "* no: name taken", "{name:?}");
    }
    let zoe = Person::join(&mut room, "Zo\u{eb}", &[&bob]);
    assert_eq!(refusal(&room, "Zoe\u{308}"), "* no: name taken");
    room.settle();
    bob.has_heard_all();
    zoe.has_heard_all();
    room.shows_nothing_more();
}

#[test]
fn names_are_trimmed() {
    let mut room = Room::open(&[]);
    let alice = Person::near(room.addr);
    alice.says("/join \t 爱丽丝 \t ");
    let ticket = alice.reads();
    let (_, ticket) = ticket.split_once("/join ").expect("a ticket");
    alice.says(&format!("/join   {ticket}  "));
    alice.hears("* you are 爱丽丝 (/help lists the commands)");
    room.shows(&format!("* 爱丽丝 joined from {}", alice.addr()));
    alice.says("/name   阿丽  ");
    alice.hears("* you are 阿丽 (/help lists the commands)");
    room.shows("* 爱丽丝 is now 阿丽");
}

#[test]
fn names_are_bounded() {
    let mut room = Room::open(&[]);
    let too_long = "* no: name too long: at most 32 characters and 96 bytes";
    assert_eq!(refusal(&room, &"a".repeat(33)), too_long);
    assert_eq!(refusal(&room, &"客".repeat(33)), too_long);
    assert_eq!(refusal(&room, &"🦀".repeat(25)), too_long);
    assert_eq!(refusal(&room, &"x".repeat(60_000)), too_long);
    let longest = Person::join(&mut room, &"客".repeat(32), &[]);
    Person::join(&mut room, &"a".repeat(32), &[&longest]);
}

#[test]
fn names_show_what_they_are() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let control = "* no: a name cannot contain ':', spaces or invisible characters";
    for name in [
        "escape\x1b[31mred-and-a-few-more",
        "waker\x07-and-a-few-more-letters",
        "nul\0-and-a-few-more-letters",
        "line\nbreak-and-a-few-more",
        "two words and some more",
        "colon:and-a-few-more-letters",
        "operator\u{a789}and-a-few-more",
        "客户端：和更多",
        "zero\u{200b}width-and-more",
        "right\u{202e}to-left-and-more",
    ] {
        assert_eq!(refusal(&room, name), control, "{name:?}");
        // Not by the back door either.
        bob.says(&format!("/name {name}"));
        assert_eq!(bob.reads(), control, "{name:?}");
    }
    for name in ["/slash-and-more", "@at-and-a-few-more", "*star-and-more"] {
        let start = "* no: a name cannot begin with '/', '@' or '*'";
        assert_eq!(refusal(&room, name), start);
    }
    assert_eq!(refusal(&room, ""), "* no: no name");
    for name in ["\u{301}", "\u{301}bob"] {
        let mark = [
            "* no: bad name",
            "* no: a name cannot begin with a combining mark",
        ];
        assert!(mark.contains(&refusal(&room, name).as_str()), "{name:?}");
    }
    for name in [
        "operator",
        "OPERATOR",
        "\u{43e}perator",
        "operat\u{f3}r",
        "guest-1",
        "server",
    ] {
        assert_eq!(refusal(&room, name), "* no: name reserved", "{name:?}");
    }
    room.shows_nothing_more();
}
