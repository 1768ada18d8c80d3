//! `chat_server` as a program: how it begins and how it ends.

use std::net::{SocketAddr, UdpSocket};

use crate::people::{Person, Room};
use crate::program::{End, Program};

/// The number that the final stats show for `name`.
#[track_caller]
fn stat(end: &End, name: &str) -> u64 {
    let row = end.stdout.iter().find(|line| line.trim().starts_with(name));
    let row = row.unwrap_or_else(|| panic!("a row for {name}: {end:?}"));
    let value = row.trim().trim_start_matches(name).split_whitespace();
    let value = value.take(1).collect::<String>().replace([',', '_'], "");
    value.parse().unwrap_or_else(|_| panic!("a number: {row}"))
}

#[test]
fn ctrl_c_tells_the_members_and_ends_the_server_with_its_stats() {
    let mut room = Room::open(&[]);
    let alice = Person::join(&mut room, "alice", &[]);
    let bob = Person::join(&mut room, "bob", &[&alice]);
    alice.says("bye all");
    bob.hears("alice: bye all");
    room.shows("alice: bye all");
    room.server.interrupt();
    alice.hears("* the server closes");
    bob.hears("* the server closes");
    let end = room.server.end();
    assert!(end.status.success(), "exit code 0: {end:?}");
    assert!(end.stderr.is_empty(), "no complaint: {end:?}");
    assert_eq!(stat(&end, "received"), 5, "four joins and a text");
    assert_eq!(stat(&end, "handled"), 5);
    let next = UdpSocket::bind(room.addr);
    assert!(next.is_ok(), "the port is free again: {next:?}");
}

#[test]
fn quit_typed_by_the_operator_ends_the_server_like_ctrl_c() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    room.type_in("/quit");
    bob.hears("* the server closes");
    let end = room.server.end();
    assert!(end.status.success(), "exit code 0: {end:?}");
    assert_eq!(stat(&end, "received"), 2, "two joins");
}

#[test]
fn without_a_keyboard_the_room_stays_open() {
    let mut room = Room::open(&[]);
    room.server.close_stdin();
    let alice = Person::join(&mut room, "alice", &[]);
    let bob = Person::join(&mut room, "bob", &[&alice]);
    bob.says("nobody at the keyboard?");
    alice.hears("bob: nobody at the keyboard?");
    room.shows("bob: nobody at the keyboard?");
    room.close();
}

#[test]
fn a_taken_port_is_told_in_one_line() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let end = Program::example("chat_server", &[&addr]).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    assert_eq!(
        end.stderr,
        [format!("chat_server: cannot bind {addr}: address in use")]
    );
    assert!(end.stdout.is_empty(), "nothing is listened on: {end:?}");
}

#[test]
fn a_nonsense_address_is_a_one_line_error() {
    for (name, args) in [
        ("chat_server", &["nonsense"][..]),
        ("chat_client", &["nonsense", "--name", "bob"]),
    ] {
        let end = Program::example(name, args).end();
        assert_eq!(end.status.code(), Some(1), "{name}: {end:?}");
        assert_eq!(end.stderr.len(), 1, "one line from {name}: {end:?}");
        let line = &end.stderr[0];
        assert!(
            line.starts_with(&format!("{name}: ")) && line.contains("nonsense"),
            "{name} names what is wrong: {line}"
        );
    }
}

#[test]
fn it_names_an_address_that_clients_can_reach() {
    for (bind, host) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("[::]:0", "::1"),
    ] {
        if bind.starts_with('[') && UdpSocket::bind("[::1]:0").is_err() {
            println!("skipped {bind}: no IPv6 here");
            continue;
        }
        let mut server = Program::example("chat_server", &[bind]);
        let bound = server.listening();
        assert_ne!(bound.port(), 0, "the port really bound");
        let near = SocketAddr::new(host.parse().expect("an address"), bound.port());
        server.stdout.line_with(&format!(
            "cargo run --release --example chat_client -- {near} --name alice"
        ));
        let nc = format!("* nc -u {host} {}  and there: /join bob", near.port());
        assert_eq!(server.stdout.line(), nc, "bound to {bind}");
        let mut alice = Program::example("chat_client", &[&near.to_string(), "--name", "alice"]);
        alice.stdout.line_with("* you are alice");
    }
}
