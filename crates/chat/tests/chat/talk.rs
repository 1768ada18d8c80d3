//! What members of the room hear of each other.

use std::net::UdpSocket;
use std::time::Instant;

use crate::people::{Person, Room};
use crate::program::PATIENCE;

/// A room with three in it.
#[track_caller]
fn room_of_three() -> (Room, [Person; 3]) {
    let mut room = Room::open(&[]);
    let one = Person::join(&mut room, "客户端1", &[]);
    let two = Person::join(&mut room, "客户端2", &[&one]);
    let three = Person::join(&mut room, "客户端3", &[&one, &two]);
    (room, [one, two, three])
}

#[track_caller]
fn all_is_heard(room: &mut Room, people: &[Person]) {
    room.settle();
    for person in people {
        person.has_heard_all();
    }
    room.shows_nothing_more();
}

#[test]
fn what_one_says_reaches_all_others_under_the_name() {
    let (mut room, people) = room_of_three();
    let [one, two, three] = &people;
    one.says("大家好");
    two.hears("客户端1: 大家好");
    three.hears("客户端1: 大家好");
    room.shows("客户端1: 大家好");
    three.says("你好, 客户端1");
    one.hears("客户端3: 你好, 客户端1");
    two.hears("客户端3: 你好, 客户端1");
    room.shows("客户端3: 你好, 客户端1");
    all_is_heard(&mut room, &people);
}

#[test]
fn a_private_message_reaches_only_the_one() {
    let (mut room, people) = room_of_three();
    let [one, two, _] = &people;
    one.says("@客户端2 只给你");
    two.hears("客户端1 (private): 只给你");
    room.shows("客户端1 (private to 客户端2): 只给你");
    two.says("@operator who is that?");
    room.shows("客户端2 (private): who is that?");
    one.says("@客户端9 anyone?");
    one.hears("* nobody here is called 客户端9");
    all_is_heard(&mut room, &people);
}

#[test]
fn everyone_is_answered_as_they_end_their_lines() {
    let (_room, [one, two, three]) = room_of_three();
    two.sends(b"/ping");
    assert_eq!(two.receives(), b"* pong");
    one.says("hi");
    assert_eq!(two.receives(), "客户端1: hi".as_bytes());
    assert_eq!(three.receives(), "客户端1: hi\n".as_bytes());
    two.sends(b"windows\r\n");
    one.hears("客户端2: windows");
}

#[test]
fn who_lists_the_room() {
    let (mut room, people) = room_of_three();
    people[1].says("/who");
    people[1].hears("* 3 here: 客户端1 客户端2 客户端3");
    all_is_heard(&mut room, &people);
}

#[test]
fn a_new_name_is_told_to_all_and_a_taken_one_is_refused() {
    let (mut room, people) = room_of_three();
    let [one, two, three] = &people;
    one.says("/name 客户端2");
    one.hears("* no: name taken");
    one.says("/name 小明");
    one.hears("* you are 小明 (/help lists the commands)");
    for other in [two, three] {
        other.hears("* 客户端1 is now 小明");
    }
    room.shows("* 客户端1 is now 小明");
    one.says("是我");
    for other in [two, three] {
        other.hears("小明: 是我");
    }
    room.shows("小明: 是我");
    two.says("@客户端1 still there?");
    two.hears("* nobody here is called 客户端1");
    // The old name is free.
    two.says("/name 客户端1");
    two.hears("* you are 客户端1 (/help lists the commands)");
    for other in [one, three] {
        other.hears("* 客户端2 is now 客户端1");
    }
    room.shows("* 客户端2 is now 客户端1");
    all_is_heard(&mut room, &people);
}

#[test]
fn who_quits_is_told_goodbye_and_hears_no_more() {
    let (mut room, people) = room_of_three();
    let [one, two, three] = &people;
    one.says("/quit");
    one.hears("* bye");
    two.hears("* 客户端1 left");
    three.hears("* 客户端1 left");
    room.shows("* 客户端1 left");
    two.says("谁走了?");
    three.hears("客户端2: 谁走了?");
    room.shows("客户端2: 谁走了?");
    all_is_heard(&mut room, &people);
    let again = Person::join(&mut room, "客户端1", &[two, three]);
    again.says("/who");
    again.hears("* 3 here: 客户端1 客户端2 客户端3");
}

#[test]
fn a_text_too_long_to_relay_is_told_and_not_cut() {
    let (mut room, people) = room_of_three();
    let [one, two, three] = &people;
    let longest = "长".repeat(300);
    one.says(&longest);
    for other in [two, three] {
        other.hears(&format!("客户端1: {longest}"));
    }
    room.shows(&format!("客户端1: {longest}"));
    one.says(&(longest + "!"));
    one.hears("* not sent: longer than 900 bytes");
    all_is_heard(&mut room, &people);
}

#[test]
fn a_silent_member_is_told_and_so_are_the_others() {
    let mut room = Room::open(&["--expire", "1"]);
    let silent = Person::near(room.addr);
    silent.joins("silent");
    let told = lively_until_told(&room, "* silent fell silent");
    assert!(told, "the others are told");
    room.server.stdout.line_with("* silent fell silent");
    let lines = std::iter::from_fn(|| Some(silent.reads()));
    let mut news = lines.skip_while(|line| line == "* lively joined");
    assert_eq!(
        news.next().as_deref(),
        Some("* you were silent for too long; /join NAME brings you back")
    );
    silent.says("/who");
    silent.hears("* /join NAME");
    silent.joins("silent");
}

/// Keeps a member alive in the room until it hears `line`.
#[track_caller]
fn lively_until_told(room: &Room, line: &str) -> bool {
    let lively = Person::near(room.addr);
    lively.joins("lively");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        lively.says("/ping");
        match lively.reads() {
            heard if heard == line => return true,
            heard => assert_eq!(heard, "* pong"),
        }
    }
    false
}

#[test]
fn the_name_of_a_member_who_left_without_a_word_is_free_after_a_while() {
    let mut room = Room::open(&["--expire", "1"]);
    let gone = Person::join(&mut room, "客户端1", &[]);
    let addr = gone.addr();
    drop(gone);
    room.shows("* 客户端1 fell silent");
    // The answers to the closed port have hurt nobody.
    Person::join(&mut room, "客户端1", &[]);
    assert!(UdpSocket::bind(addr).is_ok(), "nobody listened there");
}
