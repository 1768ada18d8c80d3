//! What becomes of what was received when a server ends.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socketserver::{SendError, ThreadingUdpServer};

#[cfg(target_os = "linux")]
use crate::support::process;
use crate::support::{
    Client, DEADLINE, Gate, ServerBuilder, TestServer, UdpServer, assert_port_is_free,
    for_both_servers, keep_log, logged, wait_until,
};

for_both_servers! {
    what_was_received_is_answered_before_the_server_closes,
    what_was_not_read_is_dropped_with_the_socket_and_reported,
    the_port_is_free_when_serve_forever_returns_though_a_handler_is_stuck,
    handlers_beyond_the_drain_timeout_are_counted_as_abandoned,
    abandoned_threads_are_named_in_the_log,
    a_drain_timeout_of_zero_waits_for_nobody,
    a_drain_timeout_without_end_waits_for_the_handler,
    a_reply_after_the_end_fails_as_closed,
    active_children_counts_handlers_at_work_and_is_zero_after_closing,
}

fn what_was_received_is_answered_before_the_server_closes<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::builder().at_most(8).serving(move |bytes, _, socket| {
        held.pass();
        Ok(socket.reply(bytes)?)
    });
    let _open = gate.open_on_drop();
    let clients: Vec<_> = (0..8).map(|_| Client::of(server.local_addr())).collect();
    for client in &clients {
        client.send(b"before the end");
    }
    gate.wait_for(8);
    server.shutdown();
    gate.open();
    let report = server.stop();
    assert_eq!(report.stats.handled, 8, "all eight were finished");
    assert_eq!(report.abandoned, 0, "none was given up");
    for client in &clients {
        client.expect_reply(b"before the end");
    }
}

/// Not on the portable twin: it receives one datagram at a time, so nothing
/// stands received and unhandled behind the first.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn a_batch_received_before_shutdown_is_answered_in_full() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bind_fn(crate::support::ANY_PORT, move |bytes, _, socket| {
            held.pass();
            Ok(socket.reply(bytes)?)
        })
        .expect("bound");
    let client = Client::of(server.local_addr());
    for number in 0..32_u8 {
        client.send(&[number]);
    }
    let server = TestServer::spawn(server);
    let _open = gate.open_on_drop();
    gate.wait_for(1);
    server.shutdown();
    gate.open();
    assert_eq!(server.stop().stats.handled, 32, "the whole batch");
    for number in 0..32_u8 {
        client.expect_reply(&[number]);
    }
}

fn what_was_not_read_is_dropped_with_the_socket_and_reported<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::builder()
        .at_most(1)
        .batch_size(1)
        .serving(move |bytes, _, socket| {
            held.pass();
            Ok(socket.reply(bytes)?)
        });
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"read");
    gate.wait_for(1);
    for _ in 0..10 {
        client.send(b"never read");
    }
    server.shutdown();
    gate.open();
    let report = server.stop();
    assert_eq!(report.stats.received, 1, "only the first was read");
    // The portable twin cannot ask the kernel.
    #[cfg(not(all(target_os = "linux", not(socketserver_portable))))]
    assert_eq!(report.unread_bytes, None, "nobody knows");
    #[cfg(all(target_os = "linux", not(socketserver_portable)))]
    assert!(
        report.unread_bytes.is_some_and(|bytes| bytes >= 1_000),
        "ten waited: {:?}",
        report.unread_bytes
    );
    client.expect_reply(b"read");
    client.expect_silence();
}

fn the_port_is_free_when_serve_forever_returns_though_a_handler_is_stuck<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::builder()
        .drain_timeout(Duration::from_millis(50))
        .bound(gate.holding_all());
    let handle = server.handle();
    let addr = server.local_addr();
    let serving = thread::spawn(|| server.serve_forever());
    let _open = gate.open_on_drop();
    Client::of(addr).send(b"stick");
    gate.wait_for(1);
    handle.shutdown();
    serving.join().expect("no panic").expect("ends in order");
    assert_eq!(gate.waiting(), 1, "the handler is still stuck");
    assert_port_is_free(addr);
}

fn handlers_beyond_the_drain_timeout_are_counted_as_abandoned<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::builder()
        .drain_timeout(Duration::from_millis(50))
        .serving(gate.holding(b"stick"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.ask(b"quick");
    client.send(b"stick");
    client.send(b"stick");
    gate.wait_for(2);
    let handle = socketserver::ServerHandle::clone(&server);
    let report = server.stop();
    assert_eq!(report.abandoned, 2, "both are still at it");
    assert_eq!(report.stats.abandoned, 2, "the stats say the same");
    assert_eq!(report.abandoned_threads, 2, "each on its thread");
    assert_eq!(report.stats.handled, 1, "the quick one was done");
    gate.open();
    wait_until("the abandoned handlers have returned", || {
        gate.waiting() == 0
    });
    assert_eq!(handle.stats().abandoned, 2, "the last word was spoken");
    client.expect_silence();
}

/// Only Linux shows the threads of a process by name.
#[cfg(target_os = "linux")]
#[test]
fn an_abandoned_thread_ends_when_its_handler_returns() {
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(2)
        .thread_name("left")
        .drain_timeout(Duration::ZERO)
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"stick");
    gate.wait_for(1);
    let report = server.stop();
    assert_eq!(report.abandoned_threads, 1, "one was left behind");
    assert_eq!(process::threads_named("left"), 1, "and the system shows it");
    gate.open();
    wait_until("it is gone", || process::threads_named("left") == 0);
}

fn abandoned_threads_are_named_in_the_log<S: UdpServer>() {
    keep_log();
    let gate = Gate::new();
    let server = S::builder()
        .at_most(1)
        .thread_name("culprit")
        .drain_timeout(Duration::ZERO)
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    let addr = server.local_addr();
    Client::of(addr).send(b"stick");
    gate.wait_for(1);
    server.stop();
    let lines = logged(&format!("{addr}: abandoned"));
    assert_eq!(lines.len(), 1, "one line about all threads: {lines:?}");
    assert!(lines[0].ends_with("threads culprit-0"), "{lines:?}");
    assert!(lines[0].starts_with("WARN"), "at warn: {lines:?}");
}

fn a_drain_timeout_of_zero_waits_for_nobody<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::builder()
        .drain_timeout(Duration::ZERO)
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"stick");
    gate.wait_for(1);
    let report = server.stop();
    assert_eq!(gate.waiting(), 1, "the handler was not waited for");
    assert_eq!(report.abandoned, 1, "but counted");
}

fn a_drain_timeout_without_end_waits_for_the_handler<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::builder()
        .drain_timeout(Duration::MAX)
        .serving(move |bytes, _, socket| {
            held.pass();
            Ok(socket.reply(bytes)?)
        });
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"patience");
    gate.wait_for(1);
    server.shutdown();
    gate.open();
    assert_eq!(server.stop().abandoned, 0, "it was waited for");
    client.expect_reply(b"patience");
}

fn a_reply_after_the_end_fails_as_closed<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let (tell, told) = mpsc::channel();
    let server = S::builder()
        .drain_timeout(Duration::ZERO)
        .serving(move |bytes, addr, socket| {
            held.pass();
            let _ = tell.send((socket.reply(bytes), socket.try_send_to(bytes, addr)));
            Ok(())
        });
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"too late");
    gate.wait_for(1);
    server.stop();
    gate.open();
    let (reply, tried) = told.recv_timeout(DEADLINE).expect("told");
    assert!(matches!(reply, Err(SendError::Closed)), "not {reply:?}");
    let kind = tried.map_err(|error| error.kind());
    assert_eq!(kind, Err(std::io::ErrorKind::NotConnected), "the raw form");
    client.expect_silence();
}

fn active_children_counts_handlers_at_work_and_is_zero_after_closing<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::bound(gate.holding_all());
    let handle = server.handle();
    assert_eq!(handle.active_children(), 0, "none before serving");
    let server = TestServer::spawn(server);
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"work");
    }
    gate.wait_for(3);
    assert!(handle.active_children() >= 3, "three are at work");
    gate.open();
    server.stop();
    assert_eq!(handle.active_children(), 0, "closing waited for each");
}
