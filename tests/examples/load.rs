//! The load generator, where it cannot do what was asked.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{End, PATIENCE, Program, example_path};

/// The line of its counts that begins so.
#[track_caller]
fn line<'a>(end: &'a End, name: &str) -> &'a str {
    let mut lines = end.stdout.iter();
    lines
        .find(|line| line.starts_with(name))
        .unwrap_or_else(|| panic!("no line {name} in {end:?}"))
}

#[test]
fn an_interrupt_does_not_wait_for_replies_that_may_never_come() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    silent
        .set_read_timeout(Some(PATIENCE))
        .expect("it is not zero");
    let addr = silent.local_addr().expect("bound").to_string();
    for signals in [1, 2] {
        let args = [&addr, "--quiet", "--timeout", "10m", "--peers", "3"];
        let load = Program::example("udp_load", &args);
        for _ in 0..3 {
            silent.recv(&mut [0; 64]).expect("it sends");
        }
        let began = Instant::now();
        for _ in 0..signals {
            load.interrupt();
        }
        let end = load.end();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "it took {took:?}");
        assert!(line(&end, "pending").contains(" 3,"), "{end:?}");
        assert!(line(&end, "lost").contains(" 0 "), "{end:?}");
    }
}

#[test]
fn a_port_where_nobody_listens_ends_the_load_early() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    let addr = socket.local_addr().expect("bound").to_string();
    drop(socket);
    for rate in [&[][..], &["--rate", "100"]] {
        let args = [&[addr.as_str(), "--quiet", "--duration", "10m"], rate].concat();
        let began = Instant::now();
        let end = Program::example("udp_load", &args).end();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "it took {took:?}");
        assert_eq!(end.status.code(), Some(1), "{end:?}");
        let told = format!("udp_load: nobody listens on {addr}");
        assert!(end.stderr.contains(&told), "{end:?}");
    }
}

#[test]
fn wrong_replies_are_not_taken_for_none() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    let addr = socket.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        let mut bytes = [0; 128];
        while let Ok((len, peer)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..len], peer);
        }
    });
    let args = [&addr, "--quiet", "--duration", "50ms", "--timeout", "50ms"];
    let end = Program::example("udp_load", &args).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    let told = end.stderr.concat();
    assert!(told.contains("--expect echo"), "{end:?}");
    assert!(!told.contains("is it serving?"), "{end:?}");
}

#[test]
fn too_many_peers_for_the_limit_of_open_files_are_named() {
    let program = example_path("udp_load");
    let run = "ulimit -Sn 64 && ulimit -Hn 64 && exec \"$0\" 127.0.0.1:9 --peers 200";
    let mut shell = Command::new("sh");
    let end = Program::start("udp_load", shell.args(["-c", run]).arg(program)).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    let told = end.stderr.concat();
    for part in ["--peers 200", "ulimit -n"] {
        assert!(told.contains(part), "{part} in {end:?}");
    }
}
