//! A logger that panics: `println!` into a closed pipe is enough.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use socketserver::{RateLimit, ThreadingUdpServer};

use crate::harness::{Case, alone, cases};
use crate::support::process::threads;
use crate::support::{ANY_PORT, Client, TestServer, assert_conserved};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_logger_that_panics_costs_nobody_anything,
        }
    }
}

struct Bomb;

static LINES: AtomicU64 = AtomicU64::new(0);

impl log::Log for Bomb {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        LINES.fetch_add(1, Relaxed);
        panic!("the pipe is closed");
    }

    fn flush(&self) {}
}

/// Whatever is logged while serving: failing handlers, replies that cannot be sent,
/// datagrams that are refused, a pool that grows and shrinks, an end with handlers
/// left behind.
fn a_logger_that_panics_costs_nobody_anything() {
    const ROUNDS: u64 = 200;
    if !alone("a_logger_that_panics_costs_nobody_anything") {
        return;
    }
    log::set_logger(&Bomb).expect("no other logger");
    log::set_max_level(log::LevelFilter::Trace);
    std::panic::set_hook(Box::new(|_| {}));
    let server = ThreadingUdpServer::builder()
        .workers(2..=4)
        .max_packet_size(100)
        .deny_networks(["127.0.0.66"])
        .rate_limit(RateLimit::per_second(1_000_000))
        .drain_timeout(Duration::from_millis(100))
        .bind_fn(ANY_PORT, |bytes, _, socket| match bytes {
            b"fail" => Err("no such number".into()),
            b"panic" => panic!("no such case"),
            // No route leads there from loopback.
            b"lost" => Ok(socket.send_to(b"lost", ([192, 0, 2, 1], 9).into())?),
            b"stay" => {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            }
            bytes => Ok(socket.reply(bytes)?),
        })
        .expect("bound");
    let server = TestServer::spawn(server);
    let addr = server.local_addr();
    let client = Client::of(addr);
    let denied = Client::at("127.0.0.66:0", addr);
    for round in 0..ROUNDS {
        for bytes in [&b"fail"[..], b"panic", b"lost", &[0; 101]] {
            client.send(bytes);
        }
        denied.send(b"me too");
        assert_eq!(client.ask(b"and me?"), b"and me?", "round {round}");
    }
    assert!(LINES.load(Relaxed) > 0, "something was logged");
    assert!(threads() <= 4 + 4, "{} threads", threads());
    let stats = server.stats();
    assert_eq!(stats.handled, 2 * ROUNDS, "{stats}");
    assert_eq!(stats.failed_worker_starts, 0, "{stats}");
    client.send(b"stay");
    server.wait_until_settled(6 * ROUNDS);
    let report = server.stop();
    assert_conserved(&report.stats);
}
