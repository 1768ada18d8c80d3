//! `echo_client` on a pipe.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use crate::program::{PATIENCE, Program, has, uninterrupted};

/// A server that answers when the test says so.
struct Puppet(UdpSocket);

impl Puppet {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        Self(socket)
    }

    fn addr(&self) -> String {
        self.0.local_addr().expect("it is bound").to_string()
    }

    /// Waits for this question; says who asked.
    #[track_caller]
    fn expect(&self, question: &[u8]) -> SocketAddr {
        let mut buffer = [0; 1024];
        let (len, from) =
            uninterrupted(|| self.0.recv_from(&mut buffer)).expect("a question in time");
        assert_eq!(&buffer[..len], question);
        from
    }

    #[track_caller]
    fn answer(&self, answer: &[u8], to: SocketAddr) {
        self.0.send_to(answer, to).expect("it can be sent");
    }
}

#[test]
fn a_pipe_gets_one_reply_per_line_and_no_prompt() {
    let (_server, addr) = Program::uppercase_echo(&["--quiet"]);
    let mut client = Program::example("echo_client", &[&addr.to_string()]);
    client.type_in("a\n  b \ngrüße\n\nlast");
    client.close_stdin();
    let end = client.end();
    assert!(end.status.success(), "every line got its reply: {end:?}");
    assert_eq!(end.stdout, ["A", "B", "GRÜSSE", "", "LAST"]);
    assert_eq!(end.stderr.len(), 1, "how to start a server: {end:?}");
    let line = format!("cargo run --release --example uppercase_echo -- {addr}");
    assert!(end.stderr[0].ends_with(&line), "{end:?}");
}

#[test]
fn lines_are_stripped_and_empty_ones_are_empty_datagrams() {
    let server = Puppet::new();
    let mut client = Program::example("echo_client", &[&server.addr()]);
    client.type_in("  two words \t\n\n");
    let from = server.expect(b"two words");
    server.answer(b"one", from);
    server.answer(b"", server.expect(b""));
    client.close_stdin();
    let end = client.end();
    assert_eq!(end.stdout, ["one", ""]);
    assert!(end.status.success(), "an empty reply is a reply: {end:?}");
}

#[test]
fn a_timeout_is_told_and_a_late_reply_answers_no_other_line() {
    let server = Puppet::new();
    let mut client = Program::example("echo_client", &[&server.addr(), "--timeout", "0.2"]);
    client.type_in("first\n");
    let first = server.expect(b"first");
    client.stderr.line_with("no reply within 200ms");
    client.type_in("second\n");
    let second = server.expect(b"second");
    server.answer(b"late: FIRST", first);
    server.answer(b"SECOND", second);
    client.close_stdin();
    let end = client.end();
    assert_eq!(end.stdout, ["SECOND"]);
    assert_eq!(end.status.code(), Some(1), "one line got no reply: {end:?}");
}

#[test]
fn a_second_reply_to_one_line_answers_no_other() {
    let server = Puppet::new();
    let mut client = Program::example("echo_client", &[&server.addr()]);
    client.type_in("first\n");
    let from = server.expect(b"first");
    server.answer(b"FIRST", from);
    assert_eq!(client.stdout.line(), "FIRST");
    // Sent over the loopback interface, it is there when the call returns.
    server.answer(b"FIRST again", from);
    client.type_in("second\n");
    client.stderr.line_with("dropped another reply");
    server.answer(b"SECOND", server.expect(b"second"));
    client.close_stdin();
    let end = client.end();
    assert_eq!(end.stdout, ["SECOND"]);
    assert!(end.status.success(), "each line got its own: {end:?}");
}

#[test]
fn nobody_there_is_told_and_a_server_that_starts_later_is_found() {
    let addr = Puppet::new().addr();
    let mut client = Program::example("echo_client", &[&addr]);
    client.type_in("anyone?\n");
    client
        .stderr
        .line_with(&format!("nobody listens on {addr}"));
    let server = Puppet(UdpSocket::bind(&addr).expect("the port is free"));
    client.type_in("and now?\n");
    server.answer(b"yes", server.expect(b"and now?"));
    assert_eq!(client.stdout.line(), "yes");
}

#[test]
fn what_cannot_be_sent_is_told_and_does_not_end_it() {
    let (_server, addr) = Program::uppercase_echo(&["--quiet"]);
    let mut client = Program::example("echo_client", &[&addr.to_string()]);
    client.type_in(&format!("{}\nb\n", "x".repeat(65_508)));
    client.stderr.line_with("no reply from");
    assert_eq!(client.stdout.line(), "B");
    client.close_stdin();
    assert_eq!(client.end().status.code(), Some(1), "one got no reply");
}

#[test]
fn a_reply_cannot_steer_the_terminal() {
    let server = Puppet::new();
    let mut client = Program::example("echo_client", &[&server.addr()]);
    client.type_in("hi\n");
    server.answer(b"\x1b[2Jtwo\nlines", server.expect(b"hi"));
    assert_eq!(client.stdout.line(), "\\u{1b}[2Jtwo\\nlines");
}

#[test]
fn a_timeout_must_make_sense() {
    for timeout in ["0", "-1", "soon", "inf", "NaN"] {
        let option = format!("--timeout={timeout}");
        let end = Program::example("echo_client", &[&option]).end();
        assert_eq!(end.status.code(), Some(2), "{timeout}: {end:?}");
        assert!(end.stderr[0].contains("--timeout"), "{timeout}: {end:?}");
    }
}

#[test]
fn it_understands_the_articles_own_server() {
    let server = r#"
import socket, sys
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(('127.0.0.1', int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
while True:
    msg, addr = server.recvfrom(1024)
    server.sendto(msg.upper(), addr)
"#;
    if !has("python3") {
        return;
    }
    let mut python = Program::start("python3", Command::new("python3").args(["-c", server, "0"]));
    let addr = format!("127.0.0.1:{}", python.stdout.line());
    let mut client = Program::example("echo_client", &[&addr]);
    client.type_in("hello\n\nüber\n");
    client.close_stdin();
    let end = client.end();
    assert!(end.status.success(), "{end:?}");
    // Python's bytes.upper() knows ASCII alone.
    assert_eq!(end.stdout, ["HELLO", "", "üBER"]);
}
