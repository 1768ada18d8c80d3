//! `order_by`: datagrams with one key one after another, whoever sends them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use socketserver::{Builder, ServerHandle, ThreadingUdpServer};

use crate::support::{
    ANY_PORT, Client, DEADLINE, Gate, ServerBuilder, TestServer, cause_of, keep_log, logged,
    wait_until,
};

/// Up to so many workers; the first byte is the key.
fn by_first_byte(workers: usize) -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder()
        .workers(2.min(workers)..=workers)
        .order_by(|bytes, _| bytes.first().copied())
}

/// What was handled of one key, in order, and whether two were in a handler at
/// the same time.
#[derive(Debug, Default)]
struct Call {
    numbers: Vec<u8>,
    inside: u32,
    overlaps: u32,
}

/// As a proxy does, one peer sends many calls; and two peers send one call.
#[test]
fn datagrams_with_one_key_are_handled_and_answered_in_order_whoever_sends_them() {
    const CALLS: u8 = 20;
    const EACH: u8 = 100;
    let calls: Arc<Mutex<HashMap<u8, Call>>> = Arc::default();
    let journal = Arc::clone(&calls);
    let server = by_first_byte(16).serving(move |bytes, _, socket| {
        let &[key, number] = bytes else {
            return Err("not a call".into());
        };
        {
            let mut calls = journal.lock().expect("no panics");
            let call = calls.entry(key).or_default();
            call.numbers.push(number);
            call.inside += 1;
            call.overlaps += u32::from(call.inside > 1);
        }
        match number % 50 {
            49 => thread::sleep(Duration::from_millis(5)),
            17 => thread::sleep(Duration::from_micros(300)),
            _ => {}
        }
        socket.reply(bytes)?;
        let mut calls = journal.lock().expect("no panics");
        calls.entry(key).or_default().inside -= 1;
        Ok(())
    });
    let peers = [(); 2].map(|()| Client::of(server.local_addr()));
    let mut answered = HashMap::<u8, u8>::new();
    for number in 0..EACH {
        for key in 0..CALLS {
            peers[usize::from(number % 2)].send(&[key, number]);
        }
        // Two rounds are under way.
        if number % 2 == 1 {
            for peer in &peers {
                for _ in 0..CALLS {
                    let reply = peer.receive();
                    *answered.entry(reply[0]).or_default() += 1;
                }
            }
        }
    }
    assert!(
        answered.values().all(|count| *count == EACH),
        "{answered:?}"
    );
    let stats = server.stop().stats;
    assert_eq!(stats.handled, u64::from(CALLS) * u64::from(EACH), "{stats}");
    let calls = calls.lock().expect("no panics");
    for (key, call) in &*calls {
        assert!(call.numbers.iter().copied().eq(0..EACH), "{key}: {call:?}");
        assert_eq!(call.overlaps, 0, "never two at the same time");
    }
}

#[test]
fn a_stuck_call_holds_up_no_other_call_of_the_same_peer() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = by_first_byte(2).serving(move |bytes, _, socket| {
        if bytes == b"0 stick" {
            held.pass();
        }
        Ok(socket.reply(bytes)?)
    });
    let _open = gate.open_on_drop();
    let proxy = Client::of(server.local_addr());
    proxy.send(b"0 stick");
    gate.wait_for(1);
    proxy.send(b"0 behind");
    // Of so many calls only those in the same lane of 511 have to wait.
    for call in 1..=20 {
        proxy.send(&[call]);
    }
    wait_until("nearly all others are answered", || {
        server.stats().handled >= 18
    });
    assert_eq!(gate.waiting(), 1);
    gate.open();
    server.wait_until_settled(22);
    let replies: Vec<_> = (0..22).map(|_| proxy.receive()).collect();
    let place = |reply: &[u8]| replies.iter().position(|one| one == reply);
    assert!(place(b"0 stick") < place(b"0 behind"), "{replies:?}");
}

#[test]
fn of_the_two_ways_to_set_an_order_the_last_one_holds() {
    let builders = [
        (ThreadingUdpServer::builder().order_per_peer(true), true),
        (by_first_byte(4).order_per_peer(true), true),
        (by_first_byte(4).order_per_peer(false), false),
    ];
    for (builder, ordered) in builders {
        let gate = Gate::new();
        let server = builder.workers(2..=4).serving(gate.holding_all());
        let _open = gate.open_on_drop();
        let client = Client::of(server.local_addr());
        client.send(b"1");
        gate.wait_for(1);
        client.send(b"2");
        if ordered {
            wait_until("it was received", || server.stats().received == 2);
            assert_eq!(gate.waiting(), 1, "the other waits behind it");
        } else {
            gate.wait_for(2);
        }
    }
}

#[test]
fn a_key_that_panics_costs_its_datagram_and_is_told() {
    let (tell, told) = mpsc::channel();
    let server = ThreadingUdpServer::builder()
        .order_by(|bytes, _| {
            assert_ne!(bytes, b"bad", "no key in it");
            bytes.len()
        })
        .handle_error(move |failure| {
            let told = format!("{} bytes: {}", failure.datagram_len(), cause_of(failure));
            // Nobody may be left to hear it.
            let _ = tell.send(told);
        })
        .serving(crate::support::echo);
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"bad");
        assert_eq!(client.ask(b"good"), b"good");
    }
    let stats = server.stop().stats;
    assert_eq!((stats.panicked, stats.handled), (3, 3), "{stats}");
    let failures: Vec<_> = told.iter().collect();
    assert_eq!(failures.len(), 3, "each is told");
    assert!(failures[0].starts_with("3 bytes: panic: "), "{failures:?}");
    assert!(failures[0].contains("no key in it"), "{failures:?}");
}

/// A key whose hash is users' code.
struct Key(fn());

impl Hash for Key {
    fn hash<H: Hasher>(&self, _: &mut H) {
        (self.0)();
    }
}

#[test]
fn a_key_whose_hash_panics_costs_its_datagram() {
    let server = ThreadingUdpServer::builder()
        .order_by(|bytes, _| match bytes {
            b"bad" => Key(|| panic!("no hash")),
            _ => Key(|| {}),
        })
        .serving(crate::support::echo);
    let client = Client::of(server.local_addr());
    client.send(b"bad");
    assert_eq!(client.ask(b"good"), b"good");
    assert_eq!(server.stop().stats.panicked, 1);
}

/// It runs under no lock: whatever it asks of the server is answered.
#[test]
fn a_key_may_ask_the_server_for_whatever_it_likes() {
    let handle: Arc<OnceLock<ServerHandle>> = Arc::default();
    let asked = Arc::clone(&handle);
    let server = ThreadingUdpServer::builder()
        .order_by(move |bytes, peer: SocketAddr| {
            let server = asked.get().expect("set before anybody sends");
            assert!(server.stats().received > 0, "this one at least");
            server.set_denied_networks([""; 0]).expect("a list");
            if bytes == b"stop" {
                server.shutdown();
            }
            peer
        })
        .bound(crate::support::echo);
    handle.get_or_init(|| server.handle());
    let server = TestServer::spawn(server);
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"hello"), b"hello");
    assert_eq!(client.ask(b"stop"), b"stop", "received, so it is answered");
    assert_eq!(server.stop().stats.handled, 2);
}

#[test]
fn a_key_that_never_returns_is_seen_and_does_not_hold_up_the_end() {
    let gate = Gate::new();
    let held = gate.clone();
    let handled = Arc::new(Mutex::new(0));
    let count = Arc::clone(&handled);
    let server = ThreadingUdpServer::builder()
        .workers(2)
        .drain_timeout(Duration::from_millis(20))
        .order_by(move |bytes, _| {
            if bytes == b"stick" {
                held.pass();
            }
        })
        .bound(move |_, _, _| {
            *count.lock().expect("no panics") += 1;
            Ok(())
        });
    let server = TestServer::spawn(server);
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"stick");
    gate.wait_for(1);
    wait_until("the stats show it", || {
        server.stats().oldest_in_flight > Duration::from_millis(50)
    });
    let report = server.stop();
    assert_eq!((report.stats.abandoned, report.abandoned_threads), (1, 1));
    gate.open();
    wait_until("it has returned", || gate.waiting() == 0);
    assert_eq!(*handled.lock().expect("no panics"), 0, "and is not handled");
}

#[test]
fn a_key_that_takes_long_is_logged() {
    keep_log();
    let server = ThreadingUdpServer::builder()
        // The stall itself.
        .order_by(|_, _| thread::sleep(Duration::from_secs(1)))
        .serving(crate::support::echo);
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"slowly"), b"slowly");
    let line = format!("{}: order_by took", server.local_addr());
    wait_until("it is logged", || !logged(&line).is_empty());
    let lines = logged(&line);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("for 1 datagrams"), "{lines:?}");
}

/// Without workers nothing is handled at the same time: no key is asked for.
#[test]
fn handle_request_asks_for_no_key() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut server = ThreadingUdpServer::builder()
        .order_by(move |_, _| count.fetch_add(1, SeqCst))
        .bind_fn(ANY_PORT, crate::support::echo)
        .expect("bound");
    let client = Client::of(server.local_addr());
    client.send(b"hello");
    let outcome = server.handle_request(Some(DEADLINE));
    assert!(outcome.expect("received").is_handled());
    client.expect_reply(b"hello");
    assert_eq!(asked.load(SeqCst), 0);
}
