//! What a handler is shown, in which order, and what becomes of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socketserver::unix::UnixAddr;
use socketserver::{
    DatagramHandler, HandlerError, OnTruncated, Refusal, RequestOutcome, SocketHandle,
    ThreadingUnixDatagramServer,
};

use super::{Folder, Serving, TestServer, builder, echo};
use crate::support::{Gate, wait_until};

#[test]
fn datagrams_longer_than_udp_carries_are_received_and_answered() {
    let folder = Folder::new();
    let server = builder().serving(&folder, echo);
    let client = folder.client("client");
    for len in [0, 1, 65_507, 65_536, 150_000] {
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        assert!(client.ask(&bytes) == bytes, "{len} bytes");
    }
    assert_eq!(server.stop().stats.handled, 5);
}

#[test]
fn what_is_longer_than_max_packet_size_is_refused_or_delivered_and_marked() {
    let folder = Folder::new();
    let refusing = builder().max_packet_size(4).serving(&folder, echo);
    let client = folder.client("client");
    client.send(b"too long");
    assert_eq!(client.ask(b"fits"), b"fits");
    assert_eq!(refusing.stop().stats.refused.by(Refusal::Truncated), 1);

    let delivering = builder()
        .max_packet_size(4)
        .on_truncated(OnTruncated::Deliver)
        .serving(&folder, |bytes, _, socket| {
            let words = format!("{}, {}", bytes.len(), socket.is_truncated());
            Ok(socket.reply(words.as_bytes())?)
        });
    assert_eq!(client.ask(b"too long"), b"4, true");
    assert_eq!(client.ask(b"fits"), b"4, false");
    drop(delivering);
}

#[test]
fn nonsense_is_refused_by_the_name_of_the_option() {
    let folder = Folder::new();
    for bytes in [0, (16 << 20) + 1] {
        let refused = builder().max_packet_size(bytes).bind(folder.server(), echo);
        let expected = format!("max_packet_size: {bytes} is not between 1 and 16777216 bytes");
        assert_eq!(refused.expect_err("nonsense").to_string(), expected);
    }
    assert!(!folder.server().exists(), "nothing was made");
    drop(
        builder()
            .max_packet_size(16 << 20)
            .bind(folder.server(), echo)
            .expect("sane"),
    );
}

#[test]
fn hooks_are_given_the_address() {
    let folder = Folder::new();
    let server = builder()
        .verify_request(|bytes, addr| !addr.is_unnamed() || bytes == b"please")
        .order_by(|_, addr| addr)
        .serving(&folder, |_, _, _| Ok(()));
    let unnamed = folder.unnamed();
    unnamed.send(b"no");
    unnamed.send(b"please");
    folder.client("client").send(b"yes");
    server.wait_until_settled(3);
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.refused.by(Refusal::Verify)), (2, 1));
}

#[test]
fn one_peers_datagrams_are_handled_in_order_and_all_without_a_name_are_one_peer() {
    const EACH: u32 = 200;
    type Seen = HashMap<UnixAddr, (Vec<(u8, u32)>, bool)>;
    let seen = Arc::new(Mutex::new(Seen::new()));
    let overlaps = Arc::new(Mutex::new(0));
    let (journal, over) = (Arc::clone(&seen), Arc::clone(&overlaps));
    let folder = Folder::new();
    let server =
        builder()
            .workers(2..=8)
            .order_per_peer(true)
            .serving(&folder, move |bytes, addr, _| {
                let number = u32::from_be_bytes(bytes[1..].try_into()?);
                {
                    let mut seen = journal.lock().expect("no panics");
                    let (numbers, is_inside) = seen.entry(addr).or_default();
                    numbers.push((bytes[0], number));
                    if std::mem::replace(is_inside, true) {
                        *over.lock().expect("no panics") += 1;
                    }
                }
                // Quick ones, and some that block for several looks of the supervisor.
                if number % 50 == 49 {
                    thread::sleep(Duration::from_millis(3));
                }
                let mut seen = journal.lock().expect("no panics");
                seen.entry(addr).or_default().1 = false;
                Ok(())
            });
    thread::scope(|scope| {
        for id in 0..6_u8 {
            let client = match id {
                0..4 => folder.client(&format!("client-{id}")),
                _ => folder.unnamed(),
            };
            scope.spawn(move || {
                for number in 0..EACH {
                    client.send(&[&[id][..], &number.to_be_bytes()].concat());
                }
            });
        }
    });
    server.wait_until_settled(u64::from(6 * EACH));
    let stats = server.stop().stats;
    assert_eq!(stats.handled, u64::from(6 * EACH));
    assert_eq!(
        *overlaps.lock().expect("no panics"),
        0,
        "one at a time for each peer"
    );
    let seen = seen.lock().expect("no panics");
    assert_eq!(seen.len(), 5, "four with names, and those without");
    for (addr, (numbers, _)) in seen.iter() {
        for id in 0..6 {
            let own = numbers.iter().filter(|(of, _)| *of == id);
            let own: Vec<_> = own.map(|(_, number)| *number).collect();
            assert!(own.is_sorted(), "{addr}: {own:?}");
        }
    }
}

#[test]
fn what_was_received_is_answered_before_the_server_closes() {
    let folder = Folder::new();
    let gate = Gate::new();
    let held = gate.clone();
    let server = builder()
        .workers(8)
        .serving(&folder, move |bytes, _, socket| {
            held.pass();
            Ok(socket.reply(bytes)?)
        });
    let _open = gate.open_on_drop();
    let clients: Vec<_> = (0..8)
        .map(|id| folder.client(&format!("client-{id}")))
        .collect();
    for client in &clients {
        client.send(b"before the end");
    }
    gate.wait_for(8);
    server.shutdown();
    gate.open();
    let report = server.stop();
    assert_eq!((report.stats.handled, report.abandoned), (8, 0));
    assert_eq!(report.unread_bytes, None, "nobody knows");
    for client in &clients {
        assert_eq!(client.receive(), b"before the end");
    }
}

#[test]
fn handlers_beyond_the_drain_timeout_are_abandoned_and_the_file_is_gone() {
    let folder = Folder::new();
    let gate = Gate::new();
    let held = gate.clone();
    let server =
        builder()
            .drain_timeout(Duration::from_millis(50))
            .serving(&folder, move |_, _, _| {
                held.pass();
                Ok(())
            });
    let _open = gate.open_on_drop();
    folder.client("client").send(b"stay");
    gate.wait_for(1);
    let report = server.stop();
    assert_eq!((report.abandoned, report.stats.handled), (1, 0));
    assert!(!folder.server().exists(), "though a handler is stuck");
}

#[test]
fn an_idle_server_stops_at_once_and_again_with_single_requests() {
    let folder = Folder::new();
    let server = builder().serving(&folder, echo);
    wait_until("it serves", || server.stats().workers > 0);
    server.stop();
    let mut server = builder().bind(folder.server(), echo).expect("bound");
    let client = folder.client("client");
    client.send(b"one");
    let handled = server.handle_request(None).expect("one is there");
    assert_eq!(handled, RequestOutcome::Handled);
    assert_eq!(client.receive(), b"one");
    let none = server.handle_request(Some(Duration::from_millis(1)));
    assert_eq!(none.expect("it is open"), RequestOutcome::TimedOut);
    let handle = server.handle();
    let stopper = thread::spawn(move || handle.shutdown());
    let ended = server.handle_request(None).expect("it is open");
    assert_eq!(ended, RequestOutcome::ShutDown);
    stopper.join().expect("no panics");
}

/// Counts what it has seen.
#[derive(Default)]
struct Counter(u64);

impl DatagramHandler<UnixAddr> for Counter {
    fn handle(
        &mut self,
        _: &[u8],
        _: UnixAddr,
        socket: &SocketHandle<UnixAddr>,
    ) -> Result<(), HandlerError> {
        self.0 += 1;
        Ok(socket.reply(self.0.to_string().as_bytes())?)
    }
}

#[test]
fn an_instance_lives_for_its_worker_or_for_one_datagram() {
    let folder = Folder::new();
    let client = folder.client("client");
    for (fresh, expected) in [(false, b"3"), (true, b"1")] {
        let server = builder().workers(1).fresh_instance(fresh);
        let server = server
            .bind(folder.server(), Counter::default)
            .expect("bound");
        let server = TestServer::spawn(server);
        let replies = [
            client.ask(b"count"),
            client.ask(b"count"),
            client.ask(b"count"),
        ];
        assert_eq!(replies[2], expected, "fresh: {fresh}");
        server.stop();
        let mut server: ThreadingUnixDatagramServer = builder()
            .fresh_instance(fresh)
            .bind(folder.server(), Counter::default)
            .expect("bound");
        for _ in 0..3 {
            client.send(b"count");
            server.handle_request(None).expect("one is there");
        }
        let replies = [client.receive(), client.receive(), client.receive()];
        assert_eq!(replies[2], expected, "one by one, fresh: {fresh}");
    }
}

#[test]
fn many_clients_are_served_and_nothing_is_lost() {
    const EACH: usize = 500;
    let folder = Folder::new();
    let server = builder().serving(&folder, echo);
    thread::scope(|scope| {
        for id in 0..8 {
            let client = folder.client(&format!("client-{id}"));
            scope.spawn(move || {
                for number in 0..EACH {
                    let bytes = number.to_be_bytes();
                    assert_eq!(client.ask(&bytes), bytes);
                }
            });
        }
    });
    let stats = server.stop().stats;
    let all = 8 * EACH as u64;
    assert_eq!(
        (stats.received, stats.handled, stats.replies.sent),
        (all, all, all)
    );
    assert_eq!(stats.kernel_drops.unwrap_or(0), 0);
}

#[test]
fn a_panic_costs_its_datagram_and_is_reported_with_the_address() {
    let folder = Folder::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let journal = Arc::clone(&told);
    let server = builder()
        .handle_error(move |failure| journal.lock().expect("no panics").push(failure.addr()))
        .serving(&folder, |bytes, _, socket| {
            assert!(bytes != b"bad");
            Ok(socket.reply(bytes)?)
        });
    let client = folder.client("client");
    client.send(b"bad");
    assert_eq!(client.ask(b"good"), b"good");
    assert_eq!(server.stop().stats.panicked, 1);
    assert_eq!(*told.lock().expect("no panics"), [client.addr()]);
}
