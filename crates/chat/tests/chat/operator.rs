//! Whoever just writes, as the article's client does, and the operator who
//! answers.

use crate::people::{Person, Room};

#[test]
fn a_guest_gets_what_the_operator_types_and_nothing_else() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let guest = Person::near(room.addr);
    guest.sends("客户端1的消息:在吗".as_bytes());
    room.shows(&format!(
        "* guest-1 writes from {}; @guest-1 TEXT answers",
        guest.addr()
    ));
    room.shows("guest-1: 客户端1的消息:在吗");
    room.settle();
    guest.has_heard_all();
    bob.has_heard_all();

    room.type_in("在的");
    assert_eq!(guest.receives(), "在的".as_bytes());
    bob.hears("operator: 在的");
    bob.says("between us");
    room.shows("bob: between us");
    // One message, one answer: the article's client receives once for each.
    room.type_in("for those who stay");
    bob.hears("operator: for those who stay");
    guest.sends("客户端1的消息:再见".as_bytes());
    room.shows("guest-1: 客户端1的消息:再见");
    room.type_in("再见");
    assert_eq!(guest.receives(), "再见".as_bytes());
    bob.hears("operator: 再见");
    room.settle();
    room.shows_nothing_more();
    guest.has_heard_all();
    bob.has_heard_all();
}

#[test]
fn the_operator_answers_one_by_name_and_all_with_a_plain_line() {
    let mut room = Room::open(&[]);
    let alice = Person::join(&mut room, "爱丽丝", &[]);
    let bob = Person::join(&mut room, "bob", &[&alice]);
    let (first, second) = (Person::near(room.addr), Person::near(room.addr));
    for (guest, label) in [(&first, "guest-1"), (&second, "guest-2")] {
        guest.says("hi");
        room.server.stdout.line_with(&format!("* {label} writes"));
        room.shows(&format!("{label}: hi"));
    }

    room.type_in("@爱丽丝 只给你");
    alice.hears("operator (private): 只给你");
    room.type_in("@guest-2 second first");
    second.hears("second first");
    room.type_in("hello all");
    alice.hears("operator: hello all");
    bob.hears("operator: hello all");
    first.hears("hello all");
    room.type_in("/who");
    room.shows("* 2 members");
    let mut lines: Vec<_> = (0..4).map(|_| room.server.stdout.line()).collect();
    lines.sort();
    let mut expected = [
        format!("*   bob from {}", bob.addr()),
        format!("*   爱丽丝 from {}", alice.addr()),
        format!("*   guest-1 from {}, not joined", first.addr()),
        format!("*   guest-2 from {}, not joined", second.addr()),
    ];
    expected.sort();
    assert_eq!(lines, expected);
    room.settle();
    for person in [&alice, &bob, &first, &second] {
        person.has_heard_all();
    }
}

#[test]
fn an_empty_datagram_is_a_message_like_any_other() {
    let mut room = Room::open(&[]);
    let guest = Person::near(room.addr);
    guest.sends(b"");
    room.server.stdout.line_with("* guest-1 writes");
    room.shows("guest-1: ");
    room.type_in("nothing to say?");
    assert_eq!(guest.receives(), b"nothing to say?");
}

#[test]
fn no_bytes_of_a_stranger_move_the_operators_cursor() {
    let mut room = Room::open(&[]);
    let guest = Person::near(room.addr);
    guest.sends(b"\x1b[2J\x07 \xff one\nlistening on nothing\n");
    room.server.stdout.line_with("* guest-1 writes");
    room.shows("guest-1: \u{fffd}[2J\u{fffd} \u{fffd} one listening on nothing");
    room.shows_nothing_more();
}

#[test]
fn a_guest_who_joins_is_a_guest_no_more() {
    let mut room = Room::open(&[]);
    let guest = Person::near(room.addr);
    guest.says("how do I get in?");
    room.server.stdout.line_with("* guest-1 writes");
    room.shows("guest-1: how do I get in?");
    guest.hears("* you are a guest; /join NAME");
    guest.joins("客户端1");
    room.shows(&format!("* 客户端1 joined from {}", guest.addr()));
    room.type_in("like that");
    guest.hears("operator: like that");
    room.type_in("@guest-1 still a guest?");
    room.shows("* nobody here is called guest-1");
    room.settle();
    guest.has_heard_all();
}

#[test]
fn a_line_for_nobody_is_told_the_operator() {
    let mut room = Room::open(&[]);
    room.type_in("anyone?");
    room.shows("* not sent: nobody is here");
    let guest = Person::near(room.addr);
    guest.says("me");
    room.server.stdout.line_with("guest-1: me");
    room.type_in("there you are");
    guest.hears("there you are");
    room.type_in("and now?");
    room.shows("* not sent: nobody is here");
}
