//! `setup`, `handle`, `finish`; errors and panics.

use std::net::SocketAddr;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use socketserver::{
    DatagramHandler, ForkingStyleUdpServer, HandlerError, SocketHandle, ThreadingUdpServer,
};

use crate::support::{
    Client, Journal, ServerBuilder, TestServer, UdpServer, cause_of, echo, for_both_servers,
};

for_both_servers! {
    failed_setup_calls_neither_handle_nor_finish_and_the_next_instance_is_new,
    a_panic_in_setup_drops_the_instance_without_finish,
    a_panic_in_handle_drops_the_instance_without_finish_and_another_is_made,
    a_panic_in_the_factory_costs_one_datagram,
    a_panic_in_finish_is_counted_and_hides_no_error_of_handle,
    a_panic_in_the_drop_of_an_instance_is_contained,
    an_error_leaves_the_server_alive,
    panics_of_every_payload_are_contained_and_reported,
    an_error_whose_drop_panics_is_contained,
}

/// What an instance shall do instead of working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    SetupFails,
    SetupPanics,
    FinishPanics,
    DropPanics,
}

/// Notes all that is done with it. Told "fail" or "panic" in a datagram, it does.
struct Noting {
    journal: Journal,
    fault: Fault,
}

impl Noting {
    fn new(journal: &Journal, fault: Fault) -> Self {
        journal.note("made");
        Self {
            journal: journal.clone(),
            fault,
        }
    }
}

impl DatagramHandler for Noting {
    fn setup(&mut self) -> Result<(), HandlerError> {
        self.journal.note("setup");
        assert!(self.fault != Fault::SetupPanics, "setup panicked");
        if self.fault == Fault::SetupFails {
            return Err("setup failed".into());
        }
        Ok(())
    }

    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        let text = String::from_utf8_lossy(bytes);
        self.journal.note(format!("handle {text}"));
        match &*text {
            "fail" => Err("handle failed".into()),
            "panic" => panic!("handle panicked"),
            _ => Ok(socket.reply(bytes)?),
        }
    }

    fn finish(&mut self) {
        self.journal.note("finish");
        assert!(self.fault != Fault::FinishPanics, "finish panicked");
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.journal.note("dropped");
        assert!(self.fault != Fault::DropPanics, "drop panicked");
    }
}

/// One worker, whose first instance has this fault and no later one has any.
fn noting<S: UdpServer>(journal: &Journal, fault: Fault) -> TestServer {
    let (noted, made) = (journal.clone(), AtomicUsize::new(0));
    S::builder()
        .at_most(1)
        .serving_handlers(move || match made.fetch_add(1, SeqCst) {
            0 => Noting::new(&noted, fault),
            _ => Noting::new(&noted, Fault::None),
        })
}

#[test]
fn threading_sets_up_once_and_finishes_when_the_worker_leaves() {
    let journal = Journal::new();
    let server = noting::<ThreadingUdpServer>(&journal, Fault::None);
    let client = Client::of(server.local_addr());
    client.ask(b"a");
    client.ask(b"b");
    server.stop();
    let expected = ["made", "setup", "handle a", "handle b", "finish", "dropped"];
    assert_eq!(journal.read(), expected);
}

#[test]
fn forking_style_sets_up_handles_and_finishes_each_datagram() {
    let journal = Journal::new();
    let server = noting::<ForkingStyleUdpServer>(&journal, Fault::None);
    let client = Client::of(server.local_addr());
    client.ask(b"a");
    client.ask(b"b");
    server.stop();
    let expected = [
        "made", "setup", "handle a", "finish", "dropped", //
        "made", "setup", "handle b", "finish", "dropped",
    ];
    assert_eq!(journal.read(), expected);
}

#[test]
fn an_error_keeps_the_instance_in_threading() {
    let journal = Journal::new();
    let server = noting::<ThreadingUdpServer>(&journal, Fault::None);
    let client = Client::of(server.local_addr());
    client.send(b"fail");
    client.ask(b"b");
    assert_eq!(server.stop().stats.failed, 1, "counted");
    let expected = [
        "made",
        "setup",
        "handle fail",
        "handle b",
        "finish",
        "dropped",
    ];
    assert_eq!(journal.read(), expected);
}

#[test]
fn an_error_is_followed_by_finish_in_forking_style() {
    let journal = Journal::new();
    let server = noting::<ForkingStyleUdpServer>(&journal, Fault::None);
    Client::of(server.local_addr()).send(b"fail");
    server.wait_until_settled(1);
    assert_eq!(server.stop().stats.failed, 1, "counted");
    let expected = ["made", "setup", "handle fail", "finish", "dropped"];
    assert_eq!(journal.read(), expected, "in Python's order");
}

fn failed_setup_calls_neither_handle_nor_finish_and_the_next_instance_is_new<S: UdpServer>() {
    let journal = Journal::new();
    let server = noting::<S>(&journal, Fault::SetupFails);
    let client = Client::of(server.local_addr());
    client.send(b"a");
    assert_eq!(client.ask(b"b"), b"b", "the next has an instance");
    let stats = server.stop().stats;
    assert_eq!((stats.failed, stats.handled), (1, 1), "one each");
    let expected = [
        "made", "setup", "dropped", //
        "made", "setup", "handle b", "finish", "dropped",
    ];
    assert_eq!(journal.read(), expected);
}

fn a_panic_in_setup_drops_the_instance_without_finish<S: UdpServer>() {
    let journal = Journal::new();
    let server = noting::<S>(&journal, Fault::SetupPanics);
    let client = Client::of(server.local_addr());
    client.send(b"a");
    assert_eq!(client.ask(b"b"), b"b", "the next has an instance");
    let stats = server.stop().stats;
    assert_eq!((stats.panicked, stats.handled), (1, 1), "one each");
    let expected = [
        "made", "setup", "dropped", //
        "made", "setup", "handle b", "finish", "dropped",
    ];
    assert_eq!(journal.read(), expected);
}

fn a_panic_in_handle_drops_the_instance_without_finish_and_another_is_made<S: UdpServer>() {
    let journal = Journal::new();
    let server = noting::<S>(&journal, Fault::None);
    let client = Client::of(server.local_addr());
    client.send(b"panic");
    assert_eq!(client.ask(b"b"), b"b", "the worker goes on");
    let stats = server.stop().stats;
    assert_eq!((stats.panicked, stats.handled), (1, 1), "one each");
    let expected = [
        "made",
        "setup",
        "handle panic",
        "dropped",
        "made",
        "setup",
        "handle b",
        "finish",
        "dropped",
    ];
    assert_eq!(journal.read(), expected);
}

fn a_panic_in_the_factory_costs_one_datagram<S: UdpServer>() {
    let made = AtomicUsize::new(0);
    let server = S::builder().at_most(1).serving_handlers(move || {
        assert!(made.fetch_add(1, SeqCst) > 0, "the factory panicked");
        echo
    });
    let client = Client::of(server.local_addr());
    client.send(b"a");
    assert_eq!(client.ask(b"b"), b"b", "the next has an instance");
    let stats = server.stop().stats;
    assert_eq!((stats.panicked, stats.handled), (1, 1), "one each");
}

/// Python's `handle_error` sees only what `finish` raised.
fn a_panic_in_finish_is_counted_and_hides_no_error_of_handle<S: UdpServer>() {
    let journal = Journal::new();
    let (noted, failures) = (journal.clone(), Journal::new());
    let reported = failures.clone();
    let server = S::builder()
        .at_most(1)
        .handle_error(move |failure| reported.note(cause_of(failure)))
        .serving_handlers(move || Noting::new(&noted, Fault::FinishPanics));
    Client::of(server.local_addr()).send(b"fail");
    server.wait_until_settled(1);
    let stats = server.stop().stats;
    assert_eq!(failures.read(), ["error: handle failed"], "the first cause");
    assert_eq!(stats.failed, 1, "the datagram's one fate");
    assert_eq!(stats.hook_panics, 1, "finish is counted beside it");
}

fn a_panic_in_the_drop_of_an_instance_is_contained<S: UdpServer>() {
    let journal = Journal::new();
    let server = noting::<S>(&journal, Fault::DropPanics);
    let client = Client::of(server.local_addr());
    client.send(b"panic");
    assert_eq!(client.ask(b"b"), b"b", "the worker goes on");
    let stats = server.stop().stats;
    assert_eq!(stats.panicked, 1, "the handler's");
    assert_eq!(stats.hook_panics, 1, "the destructor's");
}

fn an_error_leaves_the_server_alive<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| match bytes {
        b"bad" => Err("as asked".into()),
        _ => Ok(socket.reply(bytes)?),
    });
    let client = Client::of(server.local_addr());
    for _ in 0..20 {
        client.send(b"bad");
        assert_eq!(client.ask(b"good"), b"good", "alive");
    }
    let stats = server.stop().stats;
    assert_eq!((stats.failed, stats.handled), (20, 20), "half and half");
}

/// Its destructor panics as well.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload's own destructor");
    }
}

/// Python lets `SystemExit` end a server from inside a handler. The closest
/// there is here, a payload that is no text, is one panic like any other.
fn panics_of_every_payload_are_contained_and_reported<S: UdpServer>() {
    let failures = Journal::new();
    let reported = failures.clone();
    let server = S::builder()
        .at_most(1)
        .handle_error(move |failure| reported.note(cause_of(failure)))
        .serving(|bytes, _, socket| match bytes {
            b"str" => panic!("a literal"),
            b"string" => panic!("formatted: {}", 7),
            b"any" => panic_any(7_u8),
            b"bomb" => panic_any(Bomb),
            _ => Ok(socket.reply(bytes)?),
        });
    let client = Client::of(server.local_addr());
    for payload in [&b"str"[..], b"string", b"any", b"bomb"] {
        client.send(payload);
        assert_eq!(client.ask(b"alive?"), b"alive?");
    }
    assert_eq!(server.stop().stats.panicked, 4, "each is counted");
    let expected = [
        "panic: a literal",
        "panic: formatted: 7",
        "panic: a payload that is not text",
        "panic: a payload that is not text",
    ];
    assert_eq!(failures.read(), expected, "each is reported");
}

/// An error with a destructor that panics.
#[derive(Debug)]
struct Spiteful;

impl std::fmt::Display for Spiteful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("spiteful")
    }
}

impl std::error::Error for Spiteful {}

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("the error's own destructor");
    }
}

fn an_error_whose_drop_panics_is_contained<S: UdpServer>() {
    let server = S::builder()
        .at_most(1)
        .serving(|bytes, _, socket| match bytes {
            b"bad" => Err(Box::new(Spiteful)),
            _ => Ok(socket.reply(bytes)?),
        });
    let client = Client::of(server.local_addr());
    client.send(b"bad");
    assert_eq!(client.ask(b"alive?"), b"alive?");
    let stats = server.stop().stats;
    assert_eq!((stats.failed, stats.hook_panics), (1, 1), "both counted");
}
