//! Handlers that panic, and loggers.

use std::panic::panic_any;
use std::time::{Duration, Instant};

use socketserver::ThreadingUdpServer;

use crate::harness::{Case, alone, cases};
use crate::support::process::threads;
use crate::support::{ANY_PORT, Client, Gate, ServerBuilder, TestServer, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_handler_that_panics_costs_its_own_datagram_and_no_worker,
            a_logger_that_panics_costs_no_thread,
        }
    }
}

/// Panics once more when its panic is cleaned up.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("and again");
    }
}

fn a_handler_that_panics_costs_its_own_datagram_and_no_worker() {
    // Alone: each panic is announced on standard error.
    if !alone("a_handler_that_panics_costs_its_own_datagram_and_no_worker") {
        return;
    }
    let server = ThreadingUdpServer::builder()
        .workers(2)
        .handle_error(|_| {})
        .bind_fn(ANY_PORT, |bytes, _, socket| match bytes {
            [7, 0] => panic!("text"),
            [7, 1] => panic_any(7),
            [7, 2] => panic_any(Bomb),
            _ => Ok(socket.reply(bytes)?),
        });
    let server = TestServer::spawn(server.expect("a free port"));
    let client = Client::of(server.local_addr());
    for round in 0..3 {
        for number in 0..100 {
            client.send(&[number, round]);
        }
        // In any order: while one worker panics, another goes on.
        let mut replies: Vec<_> = (0..99).map(|_| client.receive()).collect();
        replies.sort();
        let others = (0..100).filter(|number| *number != 7);
        let expected: Vec<_> = others.map(|number| vec![number, round]).collect();
        assert_eq!(replies, expected, "every other one is answered");
    }
    assert_eq!(server.stats().workers, 2, "no worker is lost");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.panicked), (3 * 99, 3), "{stats}");
}

/// Panics on every line.
struct Bad;

impl log::Log for Bad {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        panic!("not logged: {}", record.args());
    }

    fn flush(&self) {}
}

fn a_logger_that_panics_costs_no_thread() {
    if !alone("a_logger_that_panics_costs_no_thread") {
        return;
    }
    log::set_logger(&Bad).expect("no other logger");
    log::set_max_level(log::LevelFilter::Debug);
    let before = threads();
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1..=8)
        .serving(gate.holding(b"block"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    for number in 1..=3 {
        client.send(b"block");
        gate.wait_for(number);
    }
    assert_eq!(
        client.ask(b"served"),
        b"served",
        "it grew and said so in vain"
    );
    gate.open();
    for _ in 0..3 {
        client.expect_reply(b"block");
    }
    // After ten seconds without work, which they say as well.
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.stats().workers > 1 {
        assert!(Instant::now() < deadline, "idle workers leave");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.ask(b"served"), b"served", "it goes on");
    let report = server.stop();
    assert_eq!(report.stats.handled, 5, "{}", report.stats);
    assert_eq!(report.abandoned_threads, 0, "closing went well");
    wait_until("its threads have ended", || threads() == before);
}
