//! Servers found by asking their group, on the loopback interface.

use std::net::UdpSocket;

use crate::program::Program;

/// A group at a port that is nobody's: so no other test answers.
fn group() -> String {
    let free = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    format!("239.255.70.85:{port}")
}

fn serving(name: &str, service: &str, group: &str) -> Program {
    let args = ["serve", name, "--service", service, "--group", group];
    let mut server = Program::example("discovery", &args);
    server.stdout.line_with("answers who asks");
    server
}

#[test]
fn all_servers_of_a_host_are_found_each_once() {
    let group = group();
    let printer = serving("printer", "631", &group);
    let _scanner = serving("der Scanner", "6566", &group);
    let mut end = Program::example("discovery", &["find", "--group", &group]).end();
    assert!(end.status.success(), "{end:?}");
    end.stdout.sort();
    let expected = ["der Scanner at 127.0.0.1:6566", "printer at 127.0.0.1:631"];
    assert_eq!(end.stdout, expected, "{end:?}");

    printer.interrupt();
    let ended = printer.end();
    assert!(ended.status.success(), "{ended:?}");
    let end = Program::example("discovery", &["find", "--group", &group]).end();
    assert_eq!(end.stdout, expected[..1], "the other has left");
}

#[test]
fn with_nobody_there_it_says_so() {
    let args = ["find", "--wait", "0.1", "--group", &group()];
    let end = Program::example("discovery", &args).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    assert_eq!(end.stderr, ["nobody answered within 100ms"]);
    assert!(end.stdout.is_empty(), "{end:?}");
}

#[test]
fn what_makes_no_sense_is_told_in_one_line() {
    for (args, line) in [
        (
            &["find", "--interface", "no-such-one"][..],
            "discovery: multicast_interface: there is no interface \"no-such-one\"",
        ),
        (
            &["serve", "x", "--group", "192.0.2.1:7085"],
            "discovery: join_multicast: 192.0.2.1 is not a multicast address",
        ),
        (
            &["serve", "x", "--group", "[ff12::4655]:7085"],
            "discovery: IPv6 groups need an --interface: loopback may not carry them",
        ),
    ] {
        let end = Program::example("discovery", args).end();
        assert_eq!(end.status.code(), Some(1), "{end:?}");
        assert_eq!(end.stderr, [line]);
    }
}
