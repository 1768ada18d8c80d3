//! What is sent to an address that nobody has proved to be theirs.

use crate::people::{Person, Room};

#[test]
fn a_token_lets_in_nobody_but_the_address_it_was_sent_to() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let (alice, forger) = (Person::near(room.addr), Person::near(room.addr));
    let ticket = alice.asks_to_join("alice");
    forger.says(&ticket);
    let answer = forger.reads();
    assert!(
        answer.contains("/join alice ") && !answer.contains(&ticket),
        "a ticket of its own, or nothing: {answer}"
    );
    forger.says("let me in");
    forger.hears("* you are a guest; /join NAME");
    room.shows(&format!(
        "* guest-1 writes from {}; @guest-1 TEXT answers",
        forger.addr()
    ));
    room.shows("guest-1: let me in");
    alice.says("/join alice 00000000000");
    let again = alice.reads();
    assert!(again.contains("/join alice "), "a ticket again: {again}");
    room.settle();
    for person in [&bob, &alice, &forger] {
        person.has_heard_all();
    }
    room.shows_nothing_more();

    alice.says(&ticket);
    alice.hears("* you are alice (/help lists the commands)");
    bob.hears("* alice joined");
    // The forger's own token is good now, but the name is gone.
    let (_, ticket) = answer.split_once("/join").expect("a ticket");
    forger.says(&format!("/join{ticket}"));
    forger.hears("* no: name taken");
}

#[test]
fn nothing_that_is_said_reaches_an_unconfirmed_address() {
    let mut room = Room::open(&[]);
    let alice = Person::join(&mut room, "alice", &[]);
    let bob = Person::join(&mut room, "bob", &[&alice]);
    let (asked, wrong) = (Person::near(room.addr), Person::near(room.addr));
    asked.asks_to_join("eve");
    wrong.asks_to_join("mallory");
    wrong.says("/join mallory 0123456789a");
    assert!(wrong.reads().contains("/join mallory "), "another ticket");

    alice.says("hello all");
    alice.says("@eve hello eve");
    alice.hears("* nobody here is called eve");
    alice.says("/name carol");
    alice.hears("* you are carol (/help lists the commands)");
    bob.hears("alice: hello all");
    bob.hears("* alice is now carol");
    room.type_in("from the operator");
    room.type_in("@mallory from the operator");
    bob.hears("operator: from the operator");
    alice.hears("operator: from the operator");
    room.shows("alice: hello all");
    room.shows("* alice is now carol");
    room.shows("* nobody here is called mallory");
    bob.says("/quit");
    bob.hears("* bye");
    room.settle();
    room.shows("* bob left");
    room.shows_nothing_more();
    asked.has_heard_all();
    wrong.has_heard_all();
}

#[test]
fn an_unconfirmed_address_is_sent_at_most_three_times_its_bytes() {
    let mut room = Room::open(&[]);
    Person::join(&mut room, "bob", &[]);
    let long = "x".repeat(60_000);
    let probes = [
        "",
        "\n",
        "/",
        "/\n",
        "/j",
        "/join",
        "/join\n",
        "/join a",
        "/join a\n",
        "/join 客户端1\n",
        "/join bob",
        "/join operator",
        "/join a:b",
        "/join a 0123456789a",
        "/join a zzzzzzzzzzz",
        &format!("/join {long}"),
        "/name",
        "/name bob",
        "/who",
        "/who\n",
        "/help",
        "/help\n",
        "/ping",
        "/quit",
        "/no-such-command",
        "@",
        "@bob hi",
        "@operator hi",
        "hi",
        "* pong",
        "* send /join a 0123456789a",
        &long,
    ];
    let mut answered = 0;
    for probe in probes {
        let stranger = Person::near(room.addr);
        stranger.sends(probe.as_bytes());
        room.settle();
        let answers = stranger.unread();
        let start: String = probe.chars().take(30).collect();
        assert!(answers.len() <= 1, "one line each: {start:?}");
        let bytes: usize = answers.iter().map(Vec::len).sum();
        let limit = 3 * probe.len();
        assert!(bytes <= limit, "{bytes} bytes for {start:?}: {answers:?}");
        answered += answers.len();
        let is_text = !probe.starts_with('/');
        assert!(!(is_text && bytes > 0), "{start:?} is no question");
    }
    assert!(answered >= 10, "those who ask are answered: {answered}");
}
