//! Handlers that panic.

use std::panic::panic_any;

use socketserver::ThreadingUdpServer;

use crate::harness::{Case, alone, cases};
use crate::support::{ANY_PORT, Client, TestServer};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_handler_that_panics_costs_its_own_datagram_and_no_worker,
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
