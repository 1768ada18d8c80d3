//! The room, driven without sockets.

mod properties;
mod scene;
mod shares;

use super::*;
use scene::{Scene, addr};

/// The lines sent, each with the port it goes to.
fn sent(out: &Outcome) -> Vec<(u16, &str)> {
    out.sends
        .iter()
        .map(|(to, line)| (to.port(), line.as_str()))
        .collect()
}

#[test]
fn nothing_is_broadcast_to_an_address_before_it_is_validated() {
    let mut scene = Scene::with(&["alice"]);
    let out = scene.send(2, "/join bob");
    assert_eq!(out.sends.len(), 1, "the ticket alone");
    assert_eq!(out.shows, [""; 0], "nobody is told of a mere wish");
    assert_eq!(sent(&scene.send(1, "hello")), [], "bob is not in the room");

    let Some(Notice::Ticket { token, .. }) = Notice::parse(&out.sends[0].1) else {
        panic!("a ticket: {out:?}")
    };
    assert_eq!(
        scene.send(3, &format!("/join bob {token}")).sends.len(),
        1,
        "stolen: a new ticket"
    );
    assert_eq!(sent(&scene.send(1, "hello")), [], "nobody has joined by it");

    let out = scene.send(2, &format!("/join bob {token}"));
    assert_eq!(
        sent(&out),
        [
            (2, "* you are bob (/help lists the commands)"),
            (1, "* bob joined")
        ]
    );
    assert_eq!(out.shows, ["* bob joined from 127.0.0.1:2"]);
    assert_eq!(sent(&scene.send(1, "hello")), [(2, "alice: hello")]);
}

#[test]
fn an_old_ticket_brings_a_new_one() {
    let mut scene = Scene::new();
    let ticket = scene.send(1, "/join bob").sends.remove(0).1;
    let line = &ticket[ticket.find('/').expect("a command to send")..];
    scene.pass(60);
    let out = scene.send(1, line);
    assert!(
        matches!(Notice::parse(&out.sends[0].1), Some(Notice::Ticket { .. })),
        "{out:?}"
    );
    assert_ne!(out.sends[0].1, ticket);
}

#[test]
fn a_member_whose_proof_is_too_old_has_to_join_again() {
    let mut scene = Scene::with(&["alice", "bob"]);
    scene.validated.borrow_mut().remove(&addr(2));
    let out = scene.send(2, "still here?");
    assert_eq!(
        sent(&out),
        [(2, "* /join NAME"), (1, "* bob has to join again")]
    );
    assert_eq!(out.shows, ["* bob has to join again"]);
    assert_eq!(sent(&scene.send(1, "hello")), [], "bob is not in the room");
    scene.join(addr(2), "bob");
    assert_eq!(sent(&scene.send(1, "hello")), [(2, "alice: hello")]);
}

#[test]
fn the_operator_validates_guests_by_answering_them() {
    let mut scene = Scene::with(&["alice"]);
    scene.send(7, "hi");
    let out = scene.room.on_operator_line("what can I do for you?");
    assert_eq!(out.validated, [addr(7)], "and not for members");
}

#[test]
fn what_one_says_the_others_and_the_operator_read() {
    let mut scene = Scene::with(&["客户端1", "bob", "carol"]);
    let out = scene.send(1, "你好\r\n");
    assert_eq!(sent(&out), [(2, "客户端1: 你好"), (3, "客户端1: 你好")]);
    assert_eq!(out.shows, ["客户端1: 你好"]);
    assert_eq!(
        scene.send(1, ""),
        Outcome::default(),
        "an empty line is only a sign of life"
    );
    assert_eq!(scene.send(1, " \n"), Outcome::default());
}

#[test]
fn everyone_is_answered_with_the_line_ends_they_write() {
    let mut scene = Scene::with(&["alice", "bob"]);
    scene.send(2, "\n");
    assert_eq!(sent(&scene.send(1, "hi")), [(2, "alice: hi\n")]);
    assert_eq!(sent(&scene.send(2, "hi\n")), [(1, "bob: hi")]);
}

#[test]
fn nobody_can_disturb_another_terminal() {
    let mut scene = Scene::with(&["alice", "bob"]);
    let out = scene.hear(addr(1), b"\x1b]0;owned\x07\noperator: pay me\xff");
    assert_eq!(
        sent(&out),
        [(
            2,
            "alice: \u{fffd}]0;owned\u{fffd} operator: pay me\u{fffd}"
        )]
    );
    let out = scene.hear(addr(9), b"a\r\x1b[2K\nb");
    assert_eq!(out.shows[1], "guest-1: a \u{fffd}[2K b");
}

#[test]
fn a_private_message_reaches_one() {
    let mut scene = Scene::with(&["alice", "小明", "carol"]);
    let out = scene.send(1, "@小明 shh");
    assert_eq!(sent(&out), [(2, "alice (private): shh")]);
    assert_eq!(out.shows, ["alice (private to 小明): shh"]);
    let out = scene.send(1, "@CAROL hi");
    assert_eq!(
        sent(&out),
        [(3, "alice (private): hi")],
        "case does not matter"
    );
    let out = scene.send(1, "@operator help!");
    assert_eq!(sent(&out), []);
    assert_eq!(out.shows, ["alice (private): help!"]);
    assert_eq!(
        sent(&scene.send(1, "@dave hi")),
        [(1, "* nobody here is called dave")]
    );
    assert_eq!(
        sent(&scene.send(1, "@carol")),
        [(1, "* nothing to say; @NAME TEXT tells TEXT to NAME")]
    );
}

#[test]
fn names_change_and_stay_unique() {
    let mut scene = Scene::with(&["alice", "bob"]);
    let out = scene.send(1, "/name Alicia");
    assert_eq!(
        sent(&out),
        [
            (1, "* you are Alicia (/help lists the commands)"),
            (2, "* alice is now Alicia")
        ]
    );
    assert_eq!(out.shows, ["* alice is now Alicia"]);
    assert_eq!(sent(&scene.send(1, "/name BOB")), [(1, "* no: name taken")]);
    assert_eq!(
        sent(&scene.send(1, "/name Operator")),
        [(1, "* no: name reserved")]
    );
    assert_eq!(
        sent(&scene.send(1, "hi")),
        [(2, "Alicia: hi")],
        "a refused name changes nothing"
    );
    assert_eq!(sent(&scene.send(3, "/join bob")), [(3, "* no: name taken")]);
    assert!(
        sent(&scene.send(3, "/join alice"))[0]
            .1
            .starts_with("* send /join alice "),
        "free again"
    );
}

#[test]
fn joining_again_changes_nothing() {
    let mut scene = Scene::with(&["alice", "bob"]);
    let out = scene.send(1, "/join alice");
    assert_eq!(
        sent(&out),
        [(1, "* you are alice (/help lists the commands)")]
    );
    assert_eq!(out.shows, [""; 0]);
}

#[test]
fn members_can_ask_and_leave() {
    let mut scene = Scene::with(&["bob", "alice"]);
    assert_eq!(sent(&scene.send(1, "/who")), [(1, "* 2 here: alice bob")]);
    assert_eq!(sent(&scene.send(1, "/ping")), [(1, "* pong")]);
    assert_eq!(
        sent(&scene.send(1, "/wave")),
        [(1, "* /wave is no command; /help lists them")]
    );
    assert_eq!(scene.send(1, "/help").sends.len(), 1);
    let out = scene.send(1, "/quit");
    assert_eq!(sent(&out), [(1, "* bye"), (2, "* bob left")]);
    assert_eq!(out.shows, ["* bob left"]);
    assert_eq!(sent(&scene.send(2, "hi")), []);
}

#[test]
fn the_list_of_members_fits_one_line() {
    let mut scene = Scene::of(Limits {
        members: 500,
        members_per_host: 500,
        host_joins: 500,
        ..Scene::new().room.limits
    });
    for port in 1..=500 {
        scene.join(addr(port), &format!("客户端客户端客户端{port}"));
    }
    let out = scene.send(1, "/who");
    let line = &out.sends[0].1;
    assert!(line.len() <= MAX_TEXT, "{} bytes", line.len());
    let listed = line
        .split(' ')
        .filter(|word| word.starts_with("客户端"))
        .count();
    assert!(
        line.ends_with(&format!(" and {} more", 500 - listed)),
        "{line}"
    );
}

#[test]
fn a_full_room_says_so() {
    let mut scene = Scene::with(&["a", "b", "c", "d"]);
    assert_eq!(sent(&scene.send(5, "/join e")), [(5, "* no: room full")]);
    scene.send(1, "/quit");
    scene.join(addr(5), "e");
    assert_eq!(sent(&scene.send(5, "/who")), [(5, "* 4 here: b c d e")]);
}

#[test]
fn too_long_is_said_and_not_sent() {
    let mut scene = Scene::with(&["alice", "bob"]);
    let fits = "x".repeat(MAX_TEXT);
    assert_eq!(
        sent(&scene.send(1, &format!("{fits}\r\n"))),
        [(2, format!("alice: {fits}").as_str())]
    );
    for text in [
        format!("{fits}x"),
        "\u{1}".repeat(MAX_TEXT),
        "x".repeat(60_000),
    ] {
        let out = scene.send(1, &text);
        assert_eq!(sent(&out), [(1, "* not sent: longer than 900 bytes")]);
        assert_eq!(out.shows, [""; 0]);
    }
    let out = scene.send(9, &"x".repeat(60_000));
    assert_eq!(out.sends, []);
    assert_eq!(out.shows[1], format!("guest-1: {fits} (cut)"));
}

#[test]
fn the_silent_leave_and_may_come_back() {
    let mut scene = Scene::with(&["alice", "bob"]);
    scene.pass(40);
    scene.send(1, "/ping");
    let out = scene.pass(20);
    let expired = Notice::Expired.to_string();
    assert_eq!(
        sent(&out),
        [(2, expired.as_str()), (1, "* bob fell silent")]
    );
    assert_eq!(out.shows, ["* bob fell silent"]);
    assert_eq!(sent(&scene.send(2, "/ping")), [(2, "* /join NAME")]);
    scene.join(addr(2), "bob");
    assert_eq!(sent(&scene.send(1, "hi")), [(2, "alice: hi")]);
}

#[test]
fn the_articles_client_gets_one_typed_answer_for_one_message() {
    let mut scene = Scene::with(&["alice"]);
    let out = scene.send(7, "客户端1的消息:hi");
    assert_eq!(
        out.sends,
        [],
        "nothing is sent by itself, and alice sees nothing"
    );
    assert_eq!(
        out.shows,
        [
            "* guest-1 writes from 127.0.0.1:7; @guest-1 TEXT answers",
            "guest-1: 客户端1的消息:hi"
        ]
    );
    let out = scene.room.on_operator_line("你好");
    assert_eq!(sent(&out), [(1, "operator: 你好"), (7, "你好")]);
    let out = scene.room.on_operator_line("anyone?");
    assert_eq!(
        sent(&out),
        [(1, "operator: anyone?")],
        "the guest is answered already"
    );

    assert_eq!(
        scene.send(7, "客户端1的消息:bye").shows,
        ["guest-1: 客户端1的消息:bye"]
    );
    assert_eq!(
        sent(&scene.room.on_operator_line("@guest-1 bye")),
        [(7, "bye")]
    );
}

#[test]
fn whoever_ends_lines_is_told_once_that_only_the_operator_reads_them() {
    let told = "* you are a guest; /join NAME\n";
    let mut scene = Scene::with(&["alice"]);
    assert_eq!(sent(&scene.send(7, "hi\n")), [], "too short to be answered");
    assert_eq!(sent(&scene.send(7, "hello all\n")), [(7, told)]);
    assert_eq!(sent(&scene.send(7, "anybody there?\n")), []);
    let out = scene.send(8, "hello\n");
    assert_eq!(sent(&out), [(8, "* /join NAME\n")], "what fits");
    let out = scene.send(9, "/nonsense of mine\n");
    assert_eq!(sent(&out), [(9, told)], "one line for a line");
}

#[test]
fn a_guest_may_send_an_empty_datagram() {
    let mut scene = Scene::new();
    assert_eq!(scene.send(7, "").shows.len(), 2);
    assert_eq!(sent(&scene.room.on_operator_line("hm?")), [(7, "hm?")]);
}

#[test]
fn a_guest_who_joins_is_no_guest_any_more() {
    let mut scene = Scene::new();
    scene.send(7, "hello?");
    scene.join(addr(7), "bob");
    assert_eq!(
        sent(&scene.room.on_operator_line("hi")),
        [(7, "operator: hi")]
    );
    assert_eq!(
        scene.room.on_operator_line("@guest-1 hi").shows,
        ["* nobody here is called guest-1"]
    );
}

#[test]
fn the_operator_speaks_to_all_or_one() {
    let mut scene = Scene::with(&["alice", "bob"]);
    let out = scene.room.on_operator_line("hello");
    assert_eq!(sent(&out), [(1, "operator: hello"), (2, "operator: hello")]);
    assert_eq!(out.shows, [""; 0]);
    assert_eq!(
        sent(&scene.room.on_operator_line("@Bob psst")),
        [(2, "operator (private): psst")]
    );
    let show = |out: Outcome| {
        assert_eq!(out.sends, []);
        out.shows
    };
    assert_eq!(
        show(scene.room.on_operator_line("@carol hi")),
        ["* nobody here is called carol"]
    );
    assert_eq!(show(scene.room.on_operator_line("")), [""; 0]);
    assert_eq!(
        show(scene.room.on_operator_line("/who")),
        [
            "* 2 members",
            "*   alice from 127.0.0.1:1",
            "*   bob from 127.0.0.1:2"
        ]
    );
    assert_eq!(show(scene.room.on_operator_line("/help")).len(), 1);
    assert_eq!(show(scene.room.on_operator_line(&"x".repeat(901))).len(), 1);
    assert_eq!(
        show(Scene::new().room.on_operator_line("hello?")),
        ["* not sent: nobody is here"]
    );
}

#[test]
fn members_are_told_that_the_server_closes() {
    let mut scene = Scene::with(&["alice"]);
    scene.send(9, "a guest");
    assert_eq!(sent(&scene.room.close()), [(1, "* the server closes")]);
}

#[test]
fn the_shortest_join_is_answered_within_the_bound() {
    let mut scene = Scene::new();
    let out = scene.send(1, "/join a");
    assert_eq!(
        out.sends[0].1.len(),
        3 * "/join a".len(),
        "not one byte is left"
    );
    assert!(out.sends[0].1.starts_with("* /join a "));
}

#[test]
fn a_name_that_grows_when_normalised_is_let_in() {
    let mut scene = Scene::new();
    let out = scene.join(addr(1), "㍿");
    assert_eq!(
        sent(&out),
        [(1, "* you are 株式会社 (/help lists the commands)")]
    );
}
