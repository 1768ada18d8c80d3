//! `order_per_peer`: one peer's datagrams one after another, different peers at
//! the same time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{Builder, ThreadingUdpServer};

use crate::support::{ANY_PORT, Client, Gate, TestServer, wait_until};

fn ordered(workers: usize) -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder()
        .workers(2.min(workers)..=workers)
        .order_per_peer(true)
}

/// The numbers that each peer's datagrams carried, in the order handled, and
/// how often two of one peer were in a handler at the same time.
#[derive(Debug, Default)]
struct Seen {
    numbers: HashMap<SocketAddr, Vec<u32>>,
    inside: HashMap<SocketAddr, u32>,
    overlaps: u32,
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

#[test]
fn one_peers_datagrams_are_handled_and_answered_in_order_while_workers_come_and_go() {
    const PEERS: usize = 20;
    const EACH: u32 = 300;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let journal = Arc::clone(&seen);
    let server = ordered(16).bind_fn(ANY_PORT, move |bytes, addr, socket| {
        let number = number(bytes);
        {
            let mut seen = journal.lock().expect("no panics");
            seen.numbers.entry(addr).or_default().push(number);
            let inside = seen.inside.entry(addr).or_default();
            *inside += 1;
            let overlaps = *inside > 1;
            seen.overlaps += u32::from(overlaps);
        }
        // Every kind of handler in turn: quick ones, some that take long, a few
        // that block for several looks of the supervisor.
        match number % 50 {
            49 => thread::sleep(Duration::from_millis(5)),
            17 => thread::sleep(Duration::from_micros(300)),
            _ => {}
        }
        socket.reply(bytes)?;
        let mut seen = journal.lock().expect("no panics");
        *seen.inside.entry(addr).or_default() -= 1;
        Ok(())
    });
    let server = TestServer::spawn(server.expect("bound"));
    thread::scope(|scope| {
        for _ in 0..PEERS {
            let client = Client::of(server.local_addr());
            scope.spawn(move || {
                // A window of ten keeps several of one peer in flight.
                for number in 0..EACH + 10 {
                    if number < EACH {
                        client.send(&number.to_be_bytes());
                    }
                    if let Some(answered) = number.checked_sub(10) {
                        client.expect_reply(&answered.to_be_bytes());
                    }
                }
            });
        }
    });
    let stats = server.stop().stats;
    assert_eq!(stats.handled, PEERS as u64 * u64::from(EACH), "{stats}");
    let seen = seen.lock().expect("no panics");
    assert_eq!(seen.overlaps, 0, "never two of one peer at the same time");
    for (peer, numbers) in &seen.numbers {
        assert!(numbers.is_sorted(), "{peer}: {numbers:?}");
    }
}

#[test]
fn a_peer_whose_handler_is_stuck_holds_up_only_itself() {
    let gate = Gate::new();
    let server = ordered(2).bind_fn(ANY_PORT, gate.holding(b"stick"));
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let stuck = Client::of(server.local_addr());
    stuck.send(b"stick");
    gate.wait_for(1);
    stuck.send(b"behind");
    // Of so many peers only those in the same lane of 511 have to wait.
    let others: Vec<_> = (0..20).map(|_| Client::of(server.local_addr())).collect();
    for other in &others {
        other.send(b"hello");
    }
    wait_until("nearly all others are answered", || {
        server.stats().handled >= 18
    });
    assert_eq!(gate.waiting(), 1);
    gate.open();
    stuck.expect_reply(b"stick");
    stuck.expect_reply(b"behind");
    for other in &others {
        other.expect_reply(b"hello");
    }
}

#[test]
fn what_finds_its_lane_full_is_shed_and_counted() {
    let gate = Gate::new();
    let server = ordered(4).bind_fn(ANY_PORT, gate.holding_all());
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"stick");
    gate.wait_for(1);
    let mut sent = 1;
    while server.stats().shed.lane_full < 10 {
        client.send(&[0; 60_000]);
        sent += 1;
        // No more than the kernel's queue holds.
        wait_until("it was received", || server.stats().received == sent);
    }
    assert!(
        sent > 60,
        "a burst of the longest datagrams finds room: {sent}"
    );
    // Others find room all the same. (One may have the same lane of 511, but
    // hardly both.)
    for _ in 0..2 {
        Client::of(server.local_addr()).send(&[1; 60_000]);
        sent += 1;
        wait_until("it was received", || server.stats().received == sent);
    }
    gate.open();
    server.wait_until_settled(sent);
    let stats = server.stop().stats;
    let full = stats.shed.lane_full;
    assert!((10..=11).contains(&full), "{stats}");
    assert_eq!(stats.handled, sent - full, "{stats}");
}

/// Each may use a part of what is left: together, one after another, nearly all.
#[test]
fn peers_that_fill_their_lanes_one_after_another_take_no_room_from_the_next() {
    const STUCK: usize = 24;
    const TURNS: u64 = 20;
    let gate = Gate::new();
    let held = gate.clone();
    let server = ordered(STUCK + 4).bind_fn(ANY_PORT, move |bytes, _, _| {
        if bytes[0] == 0 {
            held.pass();
        }
        Ok(())
    });
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let mut sent = 0;
    let mut send = |client: &Client, first: u8| {
        let mut bytes = vec![0; 60_000];
        bytes[0] = first;
        client.send(&bytes);
        sent += 1;
        // No more than the kernel's queue holds.
        wait_until("it was received", || server.stats().received == sent);
    };
    for _ in 0..STUCK {
        let client = Client::of(server.local_addr());
        let full = server.stats().shed.lane_full;
        while server.stats().shed.lane_full == full {
            send(&client, 0);
        }
    }
    let mut served = 0;
    for _ in 0..6 {
        let quick = Client::of(server.local_addr());
        let handled = server.stats().handled;
        for _ in 0..TURNS {
            let ends = |stats: socketserver::Stats| stats.handled + stats.shed.lane_full;
            let before = ends(server.stats());
            send(&quick, 1);
            wait_until("it is handled or shed", || ends(server.stats()) > before);
        }
        served += u32::from(server.stats().handled == handled + TURNS);
    }
    // One or another may have the lane of a stuck one, but hardly half of them.
    assert!(served >= 3, "{served} of 6: {}", server.stats());
    gate.open();
    server.stop();
}

#[test]
fn a_burst_of_one_peer_is_not_shed_while_its_handlers_get_on() {
    let bursts = [
        // Datagrams, bytes, microseconds for each.
        (32, 9_000, 0),
        (32, 60_000, 0),
        (3_000, 64, 30),
        (1_000, 64, 200),
    ];
    for (count, len, micros) in bursts {
        let server = ordered(4).batch_size(1_024);
        let server = server.bind_fn(ANY_PORT, move |_, _, _| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_micros(micros) {}
            Ok(())
        });
        let server = TestServer::spawn(server.expect("bound"));
        let client = Client::of(server.local_addr());
        for _ in 0..count {
            client.send(&vec![0; len]);
        }
        let drops = || server.stats().kernel_drops.unwrap_or(0);
        wait_until("all are settled", || {
            server.stats().settled() + drops() == count
        });
        let stats = server.stop().stats;
        assert_eq!(stats.shed.lane_full, 0, "{count} of {len} bytes: {stats}");
    }
}

#[test]
fn a_stop_handles_and_answers_what_waits_in_lanes() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = ordered(2).bind_fn(ANY_PORT, move |bytes, _, socket| {
        held.pass();
        Ok(socket.reply(bytes)?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(&[0]);
    gate.wait_for(1);
    for number in 1..50 {
        client.send(&[number]);
    }
    wait_until("all were received", || server.stats().received == 50);
    server.shutdown();
    gate.open();
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.abandoned), (50, 0), "{stats}");
    for number in 0..50 {
        client.expect_reply(&[number]);
    }
}

#[test]
fn at_the_drain_deadline_what_waits_in_lanes_is_abandoned_and_never_handled() {
    let gate = Gate::new();
    let held = gate.clone();
    let handled = Arc::new(Mutex::new(0));
    let count = Arc::clone(&handled);
    let server = ordered(2).drain_timeout(Duration::from_millis(20));
    let server = server.bind_fn(ANY_PORT, move |_, _, _| {
        *count.lock().expect("no panics") += 1;
        held.pass();
        Ok(())
    });
    let server = TestServer::spawn(server.expect("bound"));
    let client = Client::of(server.local_addr());
    for _ in 0..10 {
        client.send(b"stick");
    }
    wait_until("all were received", || server.stats().received == 10);
    gate.wait_for(1);
    let report = server.stop();
    assert_eq!((report.stats.abandoned, report.abandoned_threads), (10, 1));
    gate.open();
    wait_until("the handler has gone", || gate.waiting() == 0);
    assert_eq!(
        *handled.lock().expect("no panics"),
        1,
        "and nobody followed"
    );
}
