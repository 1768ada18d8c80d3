//! Ending a server at the worst moments.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use socketserver::{ServerHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, alone, cases};
use crate::injection::stats;
use crate::load::{Flood, has_reply};
use crate::program::Program;
use crate::support::{
    Client, Gate, TestServer, assert_conserved, assert_port_is_free, echo, wait_until,
};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            shutdown_under_load_settles_what_was_received_and_frees_the_port,
            shutdown_from_a_handler_under_load_ends_the_server,
            shutdown_before_serving_and_twice_under_load_is_harmless,
            a_stuck_handler_costs_shutdown_its_deadline_and_no_more,
        }
        &[Need::Tool("sh")] => {
            sigterm_under_load_ends_a_program_in_order,
        }
    }
}

/// Nothing but the drain timeout may hold a shutdown up, and only for a handler
/// that is stuck. (On two busy cores it may take its time all the same.)
const PROMPT: Duration = Duration::from_secs(2);

/// Whether a port is free can only be tested alone, since a program that any
/// other test starts has all sockets until it is executed, and on addresses that
/// no other test has a socket on, since a free port may be given to it.
const OWN: [&str; 4] = [
    "127.23.0.1:0",
    "127.23.0.2:0",
    "127.23.0.3:0",
    "127.23.0.4:0",
];

fn shutdown_under_load_settles_what_was_received_and_frees_the_port() {
    if !alone("shutdown_under_load_settles_what_was_received_and_frees_the_port") {
        return;
    }
    for _ in 0..10 {
        let server = ThreadingUdpServer::bind_fn(OWN[0], echo).expect("bound");
        let server = TestServer::spawn(server);
        let addr = server.local_addr();
        let floods = [Flood::start(addr, b"one"), Flood::start(addr, b"two")];
        wait_until("it is under load", || server.stats().handled > 5_000);
        let told = Instant::now();
        let report = server.stop();
        let took = told.elapsed();
        assert_port_is_free(addr);
        drop(floods);
        assert!(took < PROMPT, "it took {took:?}");
        assert_eq!(report.abandoned, 0, "no handler was stuck");
        assert_eq!(report.stats.replies.failed.total(), 0, "{}", report.stats);
    }
}

fn shutdown_from_a_handler_under_load_ends_the_server() {
    if !alone("shutdown_from_a_handler_under_load_ends_the_server") {
        return;
    }
    let own = Arc::new(OnceLock::<ServerHandle>::new());
    let (handle, calls) = (Arc::clone(&own), AtomicUsize::new(0));
    let server = ThreadingUdpServer::bind_fn(OWN[1], move |bytes, _, socket| {
        if calls.fetch_add(1, Relaxed) == 5_000 {
            let handle = handle.get().ok_or("set before serving")?;
            handle.shutdown();
        }
        Ok(socket.reply(bytes)?)
    });
    let server = server.expect("bound");
    own.set(server.handle()).expect("set once");
    let addr = server.local_addr();
    let flood = Flood::start(addr, b"load");
    let report = server.serve_forever().expect("it ends in order");
    assert_port_is_free(addr);
    flood.end();
    assert_conserved(&report.stats);
    assert!(report.stats.handled > 5_000, "{}", report.stats);
    assert_eq!(report.abandoned, 0, "not even its own datagram");
}

fn shutdown_before_serving_and_twice_under_load_is_harmless() {
    if !alone("shutdown_before_serving_and_twice_under_load_is_harmless") {
        return;
    }
    let early = ThreadingUdpServer::bind_fn(OWN[2], echo).expect("bound");
    let flood = Flood::start(early.local_addr(), b"load");
    let handle = early.handle();
    handle.shutdown();
    handle.shutdown();
    let began = Instant::now();
    let report = early.serve_forever().expect("it ends in order");
    assert!(began.elapsed() < PROMPT, "it took {:?}", began.elapsed());
    assert_eq!(report.stats.received, 0, "it was told before it began");
    assert_port_is_free(handle.local_addr());
    drop(flood);

    let server = ThreadingUdpServer::bind_fn(OWN[2], echo).expect("bound");
    let server = TestServer::spawn(server);
    let addr = server.local_addr();
    let flood = Flood::start(addr, b"load");
    wait_until("it is under load", || server.stats().handled > 1_000);
    let handle = ServerHandle::clone(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| handle.shutdown());
        }
    });
    let report = server.stop();
    handle.shutdown();
    assert_port_is_free(addr);
    flood.end();
    assert_eq!(handle.stats(), report.stats, "nothing moves any more");
}

fn a_stuck_handler_costs_shutdown_its_deadline_and_no_more() {
    const DRAIN: Duration = Duration::from_millis(500);
    if !alone("a_stuck_handler_costs_shutdown_its_deadline_and_no_more") {
        return;
    }
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .drain_timeout(DRAIN)
        .bind_fn(OWN[3], gate.holding(b"stick"));
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let addr = server.local_addr();
    Client::of(addr).send(b"stick");
    gate.wait_for(1);
    let flood = Flood::start(addr, b"load");
    wait_until("it is under load", || server.stats().handled > 5_000);
    let told = Instant::now();
    let report = server.stop();
    let took = told.elapsed();
    assert_port_is_free(addr);
    assert_eq!(gate.waiting(), 1, "it is stuck still");
    flood.end();
    assert!((DRAIN..DRAIN + PROMPT).contains(&took), "it took {took:?}");
    assert_eq!(report.abandoned, 1, "the stuck one alone: {}", report.stats);
    assert_eq!(report.abandoned_threads, 1, "and its thread");
    let next = ThreadingUdpServer::bind_fn(addr, echo).expect("the port is free");
    let next = TestServer::spawn(next);
    assert_eq!(Client::of(addr).ask(b"next"), b"next");
    next.stop();
}

fn sigterm_under_load_ends_a_program_in_order() {
    let (program, addr) = Program::uppercase_echo(&["--quiet"]);
    let flood = Flood::start(addr, b"load");
    let client = Client::of(addr);
    wait_until("it is under load", || {
        client.send(b"x");
        has_reply(&client)
    });
    program.signal("TERM");
    let end = program.end();
    flood.end();
    assert!(end.status.success(), "{end:?}");
    let stats = stats(&end.stdout);
    let count = |name: &str| stats.get(name).copied().unwrap_or(0);
    assert!(count("received") > 0, "{end:?}");
    let fates = [
        "handled",
        "failed",
        "panicked",
        "refused",
        "shed",
        "abandoned",
    ];
    let settled: u64 = fates.into_iter().map(count).sum();
    assert_eq!(count("received"), settled, "it adds up: {end:?}");
    assert_eq!(count("replies sent"), count("handled"), "{end:?}");
}
