//! `chat_client` as a program, on a pipe.

use std::net::{SocketAddr, UdpSocket};

use crate::people::{Person, Room};
use crate::program::Program;

/// Starts a client that looks after its server often.
#[track_caller]
fn client(server: SocketAddr, name: &str) -> Program {
    let addr = server.to_string();
    Program::example(
        "chat_client",
        &[&addr, "--name", name, "--keep-alive", "0.2"],
    )
}

/// Starts a client, and waits until it and all others know that it is in.
#[track_caller]
fn member(room: &mut Room, name: &str, others: &mut [&mut Program]) -> Program {
    let mut client = client(room.addr, name);
    client.stdout.line_with("* joining ");
    client.stdout.line_with("* cargo run ");
    shows(&mut client, &welcome(name));
    room.server
        .stdout
        .line_with(&format!("* {name} joined from "));
    for other in others {
        shows(other, &format!("* {name} joined"));
    }
    client
}

fn welcome(name: &str) -> String {
    format!("* you are {name} (/help lists the commands)")
}

/// The next line on the client's screen is this one.
#[track_caller]
fn shows(client: &mut Program, line: &str) {
    assert_eq!(client.stdout.line(), line);
}

/// An address where nobody listens just now.
fn deserted() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound")
}

#[test]
fn three_clients_talk_to_each_other() {
    let mut room = Room::open(&[]);
    let mut one = member(&mut room, "客户端1", &mut []);
    let mut two = member(&mut room, "客户端2", &mut [&mut one]);
    let mut three = member(&mut room, "客户端3", &mut [&mut one, &mut two]);
    one.type_in("大家好\n");
    shows(&mut two, "客户端1: 大家好");
    shows(&mut three, "客户端1: 大家好");
    room.shows("客户端1: 大家好");
    three.type_in("@客户端1 悄悄话\n");
    shows(&mut one, "客户端3 (private): 悄悄话");
    room.shows("客户端3 (private to 客户端1): 悄悄话");
    room.type_in("欢迎");
    for client in [&mut one, &mut two, &mut three] {
        shows(client, "operator: 欢迎");
    }
    two.type_in("/who\n");
    shows(&mut two, "* 3 here: 客户端1 客户端2 客户端3");

    one.type_in("/quit\n");
    let end = one.end();
    assert!(end.status.success(), "{end:?}");
    assert!(end.stdout.is_empty(), "nothing else was shown: {end:?}");
    shows(&mut two, "* 客户端1 left");
    shows(&mut three, "* 客户端1 left");
    room.shows("* 客户端1 left");
    three.interrupt();
    let end = three.end();
    assert!(end.status.success(), "Ctrl-C is a goodbye: {end:?}");
    shows(&mut two, "* 客户端3 left");
    room.shows("* 客户端3 left");
    two.close_stdin();
    room.shows("* 客户端2 left");
    let end = two.end();
    assert!(end.status.success(), "so is the end of the input: {end:?}");
    assert!(end.stdout.is_empty(), "it has shown all before: {end:?}");
}

#[test]
fn a_client_and_a_plain_socket_talk_to_each_other() {
    let mut room = Room::open(&[]);
    let mut client = member(&mut room, "客户端1", &mut []);
    let person = Person::join(&mut room, "nc", &[]);
    shows(&mut client, "* nc joined");
    person.says("from nc");
    shows(&mut client, "nc: from nc");
    client.type_in("from the client\n");
    person.hears("客户端1: from the client");
}

#[test]
fn a_pipe_is_read_to_its_end_and_answered() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let mut client = client(room.addr, "客户端1");
    client.type_in("one\n\ntwo\n/who\nlast, without end");
    client.close_stdin();
    for line in [
        "* 客户端1 joined",
        "客户端1: one",
        "客户端1: two",
        "客户端1: last, without end",
        "* 客户端1 left",
    ] {
        bob.hears(line);
    }
    let end = client.end();
    assert!(end.status.success(), "{end:?}");
    let answer = "* 2 here: bob 客户端1";
    assert_eq!(end.stdout.last().map(String::as_str), Some(answer));
}

#[test]
fn a_taken_name_is_told_with_exit_code_1() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let end = client(room.addr, "BOB").end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    assert_eq!(end.stderr, ["chat_client: cannot join as BOB: name taken"]);
    room.settle();
    bob.has_heard_all();
    room.shows_nothing_more();
}

#[test]
fn a_name_that_is_none_is_told_with_exit_code_1() {
    let end = client(deserted(), "a:b").end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    assert_eq!(
        end.stderr,
        ["chat_client: a name cannot contain ':', spaces or invisible characters"]
    );
}

#[test]
fn an_absent_server_is_told_with_exit_code_1() {
    let addr = deserted().to_string();
    let args = [&addr, "--name", "bob", "--join-timeout", "0.7"];
    let end = Program::example("chat_client", &args).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    let complaint = format!("chat_client: no answer from {addr}, asked 2 times");
    assert_eq!(end.stderr, [complaint]);
    let hint = format!("* cargo run --release --example chat_server -- {addr}");
    assert!(end.stdout.contains(&hint), "how to start one: {end:?}");
    let told = end
        .stdout
        .iter()
        .any(|line| line.starts_with(&format!("* no server at {addr} (")));
    assert!(told || !cfg!(target_os = "linux"), "at once: {end:?}");
}

#[test]
fn a_server_that_never_answers_is_told_with_exit_code_1() {
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = mute.local_addr().expect("it is bound").to_string();
    let args = [&addr, "--name", "bob", "--join-timeout", "0.3"];
    let end = Program::example("chat_client", &args).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    assert!(
        end.stderr[0].starts_with(&format!("chat_client: no answer from {addr}")),
        "{end:?}"
    );
}

#[test]
fn a_client_that_came_first_joins_once_there_is_a_server() {
    let addr = deserted();
    let mut early = client(addr, "early");
    early.stdout.line_with("* no server at ");
    let _room = Room::open_at(&addr.to_string(), &[]);
    shows(&mut early, &welcome("early"));
}

#[test]
fn a_client_rejoins_after_the_server_was_restarted() {
    let mut room = Room::open(&[]);
    let mut one = member(&mut room, "客户端1", &mut []);
    one.type_in("/name 小明\n");
    shows(&mut one, &welcome("小明"));
    let addr = room.addr;
    room.close();
    shows(&mut one, "* the server closes");
    one.stdout.line_with("* lost ");
    one.type_in("有人吗\n");
    shows(&mut one, "* kept until the server answers: 有人吗");

    let mut room = Room::open_at(&addr.to_string(), &[]);
    one.stdout.line_with("* no longer in the room");
    shows(&mut one, &welcome("小明"));
    room.shows_joined("小明");
    room.shows("小明: 有人吗");
    let mut two = member(&mut room, "客户端2", &mut [&mut one]);
    one.type_in("我回来了\n");
    shows(&mut two, "小明: 我回来了");
}

#[test]
fn a_line_that_a_restarted_server_gives_to_nobody_is_named() {
    let mut room = Room::open(&[]);
    let addr = room.addr.to_string();
    // Without signs of life that would notice the restart.
    let mut alice = Program::example("chat_client", &[&addr, "--name", "alice"]);
    alice.stdout.line_with(&welcome("alice"));
    room.shows_joined("alice");
    room.server.signal("KILL");
    room.server.wait();
    let mut room = Room::open_at(&addr, &[]);
    alice.type_in("hello all\n");
    shows(&mut alice, "* no longer in the room; joining again");
    shows(&mut alice, "* perhaps nobody got this: hello all");
    shows(&mut alice, &welcome("alice"));
    room.server.stdout.line_with("guest-1: hello all");
    room.shows_joined("alice");
}

#[test]
fn a_member_without_a_client_is_told_after_a_restart_that_it_is_a_guest() {
    let mut room = Room::open(&[]);
    let addr = room.addr.to_string();
    let bob = Person::join(&mut room, "bob", &[]);
    room.server.signal("KILL");
    room.server.wait();
    let mut room = Room::open_at(&addr, &[]);
    bob.says("still with me?");
    bob.hears("* you are a guest; /join NAME");
    room.server.stdout.line_with("guest-1: still with me?");
    bob.says("where is everybody?");
    room.shows("guest-1: where is everybody?");
    bob.joins("bob");
    room.shows_joined("bob");
}
