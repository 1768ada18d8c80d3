//! Many clients, stuck handlers, floods.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{Refusal, ThreadingUdpServer};

use crate::support::{
    Client, Gate, ServerBuilder, TestServer, UdpServer, assert_conserved, echo, for_both_servers,
    wait_until,
};

for_both_servers! {
    two_hundred_clients_of_a_blocking_handler_all_get_their_own_replies,
    errors_and_panics_under_load_cost_nobody_else_anything,
    a_stuck_handler_does_not_delay_the_rest_of_its_batch,
    three_stuck_handlers_of_four_do_not_delay_the_rest_of_their_batch,
    twenty_stuck_handlers_do_not_stop_a_server_with_default_options,
    service_actions_goes_on_while_every_worker_is_stuck,
    one_stuck_handler_of_two_does_not_stop_the_server,
    a_snapshot_under_load_never_shows_more_settled_than_received,
}

fn two_hundred_clients_of_a_blocking_handler_all_get_their_own_replies<S: UdpServer>() {
    const CLIENTS: usize = 200;
    const MESSAGES: usize = 10;
    let server = S::builder().at_most(CLIENTS).serving(|bytes, _, socket| {
        // The work of this handler: it blocks.
        thread::sleep(Duration::from_millis(5));
        Ok(socket.reply(&bytes.to_ascii_uppercase())?)
    });
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = Client::of(server.local_addr());
            scope.spawn(move || {
                for message in 0..MESSAGES {
                    let question = format!("client {number}, message {message}");
                    let reply = client.ask(question.as_bytes());
                    assert_eq!(reply, question.to_ascii_uppercase().as_bytes());
                }
            });
        }
    });
    let took = began.elapsed();
    let stats = server.stop().stats;
    println!(
        "{CLIENTS} clients took {took:?}, {} workers",
        stats.peak_workers
    );
    assert_eq!(stats.handled, (CLIENTS * MESSAGES) as u64, "each handled");
    assert_eq!(stats.replies.sent, stats.handled, "each answered");
    assert!(stats.peak_workers <= CLIENTS, "within bounds");
    // One after the other they would take 10 s.
    assert!(took < Duration::from_secs(5), "side by side, not {took:?}");
}

fn errors_and_panics_under_load_cost_nobody_else_anything<S: UdpServer>() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 50;
    let server = S::builder()
        .at_most(8)
        .handle_error(|_| ())
        .verify_request(|bytes, _| bytes != b"refused")
        .serving(|bytes, _, socket| match bytes {
            b"fail" => Err("as asked".into()),
            // Without the noise of a panic's message.
            b"panic" => std::panic::resume_unwind(Box::new("as asked")),
            _ => Ok(socket.reply(bytes)?),
        });
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = Client::of(server.local_addr());
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    client.send(b"fail");
                    client.send(b"panic");
                    client.send(b"refused");
                    let question = format!("client {number}, round {round}");
                    assert_eq!(client.ask(question.as_bytes()), question.as_bytes());
                }
            });
        }
    });
    let each = (CLIENTS * ROUNDS) as u64;
    server.wait_until_settled(4 * each);
    let stats = server.stop().stats;
    assert_eq!(stats.received, 4 * each, "all came:\n{stats}");
    assert_eq!(stats.handled, each, "a quarter is handled");
    assert_eq!(stats.failed, each, "a quarter fails");
    assert_eq!(stats.panicked, each, "a quarter panics");
    assert_eq!(
        stats.refused.by(Refusal::Verify),
        each,
        "a quarter is refused"
    );
}

/// Sends 32 numbered datagrams of which `stuck` block, before the server is
/// spawned: so they come in one batch. Returns how long the others took.
fn time_around_stuck<S: UdpServer>(stuck: &'static [u8]) -> Duration {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::builder().at_most(4).bound(move |bytes, _, socket| {
        if stuck.contains(&bytes[0]) {
            held.pass();
        }
        Ok(socket.reply(bytes)?)
    });
    let client = Client::of(server.local_addr());
    for number in 0..32_u8 {
        client.send(&[number]);
    }
    let began = Instant::now();
    let server = TestServer::spawn(server);
    let _open = gate.open_on_drop();
    let mut prompt: Vec<u8> = (stuck.len()..32).map(|_| client.receive()[0]).collect();
    let took = began.elapsed();
    gate.wait_for(stuck.len());
    prompt.sort_unstable();
    let others: Vec<u8> = (0..32).filter(|number| !stuck.contains(number)).collect();
    assert_eq!(prompt, others, "all but the stuck ones, once each");
    gate.open();
    let mut late: Vec<u8> = stuck.iter().map(|_| client.receive()[0]).collect();
    late.sort_unstable();
    assert_eq!(late, stuck, "the stuck ones are answered when they can be");
    assert!(server.stop().stats.peak_workers <= 4, "within bounds");
    took
}

fn a_stuck_handler_does_not_delay_the_rest_of_its_batch<S: UdpServer>() {
    let took = time_around_stuck::<S>(&[16]);
    println!("31 replies around a stuck handler took {took:?}");
    assert!(took < Duration::from_secs(1), "31 replies took {took:?}");
}

fn three_stuck_handlers_of_four_do_not_delay_the_rest_of_their_batch<S: UdpServer>() {
    let took = time_around_stuck::<S>(&[5, 13, 21]);
    println!("29 replies around three stuck handlers took {took:?}");
    assert!(took < Duration::from_secs(1), "29 replies took {took:?}");
}

fn one_stuck_handler_of_two_does_not_stop_the_server<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::builder().at_most(2).serving(gate.holding(b"stick"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"stick");
    gate.wait_for(1);
    for _ in 0..200 {
        assert_eq!(client.ask(b"served"), b"served", "by the other");
    }
    gate.open();
    client.expect_reply(b"stick");
}

fn twenty_stuck_handlers_do_not_stop_a_server_with_default_options<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::serving(gate.holding(b"stick"));
    let _open = gate.open_on_drop();
    let (stuck, client) = (
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    );
    for _ in 0..20 {
        stuck.send(b"stick");
        assert_eq!(client.ask(b"served"), b"served", "by another");
    }
    gate.wait_for(20);
    stuck.expect_silence();
    gate.open();
    for _ in 0..20 {
        stuck.expect_reply(b"stick");
    }
}

/// Python's forking server waits on its serving thread once there are
/// `max_children`.
fn service_actions_goes_on_while_every_worker_is_stuck<S: UdpServer>() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let gate = Gate::new();
    let server = S::builder()
        .at_most(2)
        .poll_interval(Duration::from_millis(2))
        .service_actions(move |_| {
            counted.fetch_add(1, SeqCst);
        })
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    for _ in 0..10 {
        client.send(b"stick");
    }
    gate.wait_for(2);
    let before = calls.load(SeqCst);
    wait_until("it was called ten times more", || {
        calls.load(SeqCst) >= before + 10
    });
    assert_eq!(gate.waiting(), 2, "all the while everyone was stuck");
}

/// The portable twin cannot ask the kernel what it dropped.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn a_flood_that_overflows_the_buffer_is_accounted_for_to_the_last_datagram() {
    const SENT: u64 = 20_000;
    let server = ThreadingUdpServer::builder()
        .receive_buffer(10_000)
        .serving(echo);
    let client = Client::of(server.local_addr());
    for _ in 0..SENT {
        client.send(b"flood");
    }
    wait_until("each was received or dropped", || {
        let stats = server.stats();
        stats.settled() + stats.kernel_drops.expect("Linux tells") == SENT
    });
    let stats = server.stop().stats;
    let drops = stats.kernel_drops.expect("Linux tells");
    assert_eq!(stats.received + drops, SENT, "{stats}");
    assert_eq!(stats.replies.sent, stats.handled, "each reply went out");
}

#[test]
fn the_first_reply_of_a_batch_does_not_wait_for_its_last_handler() {
    // Each handler is too quick to count as stuck; together they are slow.
    let mut rounds: Vec<u64> = (0..5)
        .map(|_| settled_at_the_first_of_32_replies())
        .collect();
    println!("the first reply came after {rounds:?} of 32 handlers");
    // The scheduler may spoil a round or two.
    rounds.sort_unstable();
    assert!(rounds[2] < 32, "first replies came last: {rounds:?}");
}

fn settled_at_the_first_of_32_replies() -> u64 {
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bound(|bytes, _, socket| {
            // The work of this handler.
            thread::sleep(Duration::from_micros(300));
            Ok(socket.reply(bytes)?)
        });
    let client = Client::of(server.local_addr());
    for number in 0..32_u8 {
        client.send(&[number]);
    }
    let server = TestServer::spawn(server);
    client.expect_reply(&[0]);
    let settled = server.stats().settled();
    for number in 1..32_u8 {
        client.expect_reply(&[number]);
    }
    settled
}

fn a_snapshot_under_load_never_shows_more_settled_than_received<S: UdpServer>() {
    let server = S::serving(echo);
    thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let client = Client::of(server.local_addr());
            for _ in 0..5_000 {
                client.send(b"x");
            }
        });
        while !flooding.is_finished() {
            let stats = server.stats();
            assert_eq!(
                stats.received,
                stats.settled() + stats.in_flight,
                "conserved at any moment:\n{stats}"
            );
        }
    });
    assert_conserved(&server.stop().stats);
}
