//! Handlers that block, and more load than can be handled.

use std::thread;
use std::time::{Duration, Instant};

use socketserver::{ServerHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, alone, cases, scale};
use crate::load::{Clientele, Flood, has_reply, percentile, softnet_drops, wait_until_accounted};
use crate::support::process::waits_of;
use crate::support::{ANY_PORT, Client, Gate, ServerBuilder, TestServer, UdpServer, wait_until};
use crate::world::resident_kib;

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_handler_blocked_for_seconds_delays_no_other_client,
            replies_computed_before_a_blocked_handler_leave_at_once,
        }
        &[Need::FastPath] => {
            datagrams_older_than_the_limit_are_shed_and_fresh_ones_are_not,
            with_every_worker_blocked_a_flood_takes_no_memory_and_is_counted,
            a_flood_beyond_capacity_keeps_the_goodput_and_shutdown_prompt,
            shedding_leaves_most_of_what_can_be_handled_to_be_handled,
            a_handler_that_waits_for_long_costs_nobody_a_wake_up,
        }
    }
}

fn a_handler_blocked_for_seconds_delays_no_other_client() {
    const GOOD: Duration = Duration::from_millis(10);
    let gate = Gate::new();
    let server = ThreadingUdpServer::serving(gate.holding(b"block"));
    let _open = gate.open_on_drop();
    let clientele = Clientele::of(server.local_addr(), 64);
    let blocked = Client::of(server.local_addr());
    blocked.send(b"block");
    gate.wait_for(1);
    let time = Duration::from_secs(scale().min(5));
    // A busy machine may spoil a window; a blocked handler would spoil them all.
    let (mut p99s, mut medians) = (Vec::new(), Vec::new());
    while p99s.len() < 5 && p99s.iter().all(|p99| *p99 > GOOD) {
        let waits = clientele.measure(10_000, time);
        p99s.push(percentile(&waits, 99));
        medians.push(percentile(&waits, 50));
    }
    assert_eq!(gate.waiting(), 1, "it was blocked all the while");
    blocked.expect_silence();
    assert!(
        p99s.iter().any(|p99| *p99 <= GOOD),
        "slow: {p99s:?}, with medians of {medians:?}"
    );
    gate.open();
    blocked.expect_reply(b"block");
}

/// Long polls: what waits for a minute is looked after for some milliseconds, and
/// then left alone. A reply made after that leaves all the same.
fn a_handler_that_waits_for_long_costs_nobody_a_wake_up() {
    const NAME: &str = "poll";
    const SECONDS: u64 = 2;
    let (first, second) = (Gate::new(), Gate::new());
    let (held_first, held_second) = (first.clone(), second.clone());
    let server = ThreadingUdpServer::builder()
        .workers(2..=4)
        .thread_name(NAME)
        .bind_fn(ANY_PORT, move |bytes, _, socket| {
            held_first.pass();
            socket.reply(bytes)?;
            held_second.pass();
            Ok(())
        })
        .expect("bound");
    let handle = server.handle();
    let serving = thread::Builder::new()
        .name(format!("{NAME}-serving"))
        .spawn(|| server.serve_forever())
        .expect("a thread");
    let (_open, _open_second) = (first.open_on_drop(), second.open_on_drop());
    let client = Client::of(handle.local_addr());
    client.send(b"news");
    first.wait_for(1);
    let long = Duration::from_millis(200);
    wait_until("it waits for long", || {
        handle.stats().oldest_in_flight >= long
    });
    let before = waits_of(NAME);
    thread::sleep(Duration::from_secs(SECONDS));
    let wake_ups = waits_of(NAME) - before;
    assert!(wake_ups <= 5 * SECONDS, "{wake_ups} in {SECONDS} s");
    first.open();
    client.expect_reply(b"news");
    second.wait_for(1);
    second.open();
    handle.shutdown();
    serving.join().expect("no panic").expect("in order");
}

/// With one worker there is nobody to take over: only that it is seen to be
/// stuck gets its replies out.
fn replies_computed_before_a_blocked_handler_leave_at_once() {
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bound(gate.holding(b"block"));
    let client = Client::of(server.local_addr());
    for bytes in [b"one".as_slice(), b"two", b"three", b"block", b"behind"] {
        client.send(bytes);
    }
    let _server = TestServer::spawn(server);
    let _open = gate.open_on_drop();
    for computed in [b"one".as_slice(), b"two", b"three"] {
        client.expect_reply(computed);
    }
    gate.wait_for(1);
    client.expect_silence();
    gate.open();
    client.expect_reply(b"block");
    client.expect_reply(b"behind");
}

/// What a step of the clock would do to the age is a unit test: no test may
/// set the clock of the machine.
fn datagrams_older_than_the_limit_are_shed_and_fresh_ones_are_not() {
    const LIMIT: Duration = Duration::from_millis(500);
    const STALE: u64 = 20;
    let server = ThreadingUdpServer::builder()
        .shed_older_than(LIMIT)
        .bound(|bytes, _, socket| Ok(socket.reply(bytes)?));
    let client = Client::of(server.local_addr());
    for _ in 0..STALE {
        client.send(b"stale");
        // The kernel begins to stamp a moment after the first socket has asked
        // for it; what came before has no age.
        thread::sleep(Duration::from_millis(10));
    }
    // They have to grow old; nothing tells when they have but the clock.
    thread::sleep(2 * LIMIT);
    let server = TestServer::spawn(server);
    server.wait_until_settled(STALE);
    let fresh = Client::of(server.local_addr());
    assert_eq!(fresh.ask(b"fresh"), b"fresh");
    let stats = server.stop().stats;
    assert_eq!(stats.shed.stale + stats.handled, STALE + 1, "{stats}");
    assert!(stats.shed.stale >= STALE / 2, "{stats}");
}

fn with_every_worker_blocked_a_flood_takes_no_memory_and_is_counted() {
    if !alone("with_every_worker_blocked_a_flood_takes_no_memory_and_is_counted") {
        return;
    }
    const WORKERS: usize = 4;
    const PACKET: usize = 2_048;
    let gate = Gate::new();
    let held = gate.clone();
    let server = ThreadingUdpServer::builder()
        .workers(WORKERS)
        .max_packet_size(PACKET)
        .serving(move |bytes, _, socket| {
            if bytes.len() == PACKET {
                held.pass();
            }
            Ok(socket.reply(bytes)?)
        });
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.ask(b"warm up");
    let before = resident_kib();
    let flood = Flood::start(server.local_addr(), &[b'x'; PACKET]);
    gate.wait_for(WORKERS);
    let full = kernel_drops(&server);
    wait_until("the kernel drops", || kernel_drops(&server) > full + 1_000);
    // The length of the flood.
    thread::sleep(Duration::from_secs(scale().min(10)));
    let after = resident_kib();
    let sent = 1 + flood.end();
    assert_eq!(server.stats().workers, WORKERS, "no more threads");
    // Two batches and 128 KiB of replies for each worker; the rest is room for
    // what the test itself and the allocator need.
    let bound = (WORKERS * (2 * 32 * PACKET + 128 * 1_024) / 1_024) as u64 + 2_048;
    assert!(
        after < before + bound,
        "{sent} sent; resident {before} KiB, then {after} KiB; bound {bound} KiB"
    );
    let unblocked = Instant::now();
    gate.open();
    let mut asked = 0;
    wait_until("it answers again", || {
        // The kernel's queue may still be full: then this one is dropped.
        client.send(b"again");
        asked += 1;
        server.stats().replies.sent > 0 && has_reply(&client)
    });
    let took = unblocked.elapsed();
    // Alone on the machine it takes less than 100 ms.
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    wait_until_accounted(&server, sent + asked);
    let stats = server.stop().stats;
    assert_eq!(
        stats.handled, stats.received,
        "none was lost here:\n{stats}"
    );
}

#[track_caller]
fn kernel_drops(server: &ServerHandle) -> u64 {
    server.stats().kernel_drops.expect("Linux tells")
}

/// The handler waits and does not compute: so what floods the server on the
/// same machine takes nothing from it but its queue.
fn a_flood_beyond_capacity_keeps_the_goodput_and_shutdown_prompt() {
    const DRAIN: Duration = Duration::from_secs(2);
    let server = ThreadingUdpServer::builder()
        .workers(8)
        .drain_timeout(DRAIN)
        .serving(|bytes, _, socket| {
            // The work of this handler: it blocks.
            thread::sleep(Duration::from_millis(2));
            Ok(socket.reply(bytes)?)
        });
    let addr = server.local_addr();
    let softnet = softnet_drops();
    let window = Duration::from_secs(scale().min(30));
    let mut sent = 0;
    let mut capacity = 1_000.0_f64;
    // Eight workers that block for two milliseconds: below 4,000 per second.
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let steady = Flood::at_rate(addr, b"steady", 4_000.0);
        let peak = goodput(&server, window);
        sent += steady.end();
        capacity = capacity.max(peak);
        let flood = Flood::at_rate(addr, b"flood", 3.0 * capacity);
        let under_flood = goodput(&server, window);
        sent += flood.end();
        ratios.push(under_flood / capacity);
        if under_flood >= 0.8 * capacity {
            break;
        }
    }
    let best = ratios.iter().copied().fold(0.0, f64::max);
    let lost = softnet_drops() - softnet;
    assert!(
        best >= 0.8,
        "goodput falls under a flood: {ratios:?} of {capacity:.0}/s, {lost} lost before the socket"
    );
    wait_until_accounted(&server, sent);
    let flood = Flood::start(addr, b"flood");
    let before = server.stats().received;
    wait_until("it is under load", || {
        server.stats().received > before + 500
    });
    let told = Instant::now();
    let report = server.stop();
    let took = told.elapsed();
    flood.end();
    assert!(took < DRAIN + Duration::from_secs(1), "it took {took:?}");
    assert_eq!(report.abandoned, 0, "what was received was handled");
}

/// More comes than can be received, and what was received late is shed: it must
/// not take the time of what could be handled.
fn shedding_leaves_most_of_what_can_be_handled_to_be_handled() {
    const LIMIT: Duration = Duration::from_millis(10);
    const WORK: Duration = Duration::from_micros(20);
    let window = Duration::from_millis(700);
    let handled = |sheds: bool| {
        let mut builder = ThreadingUdpServer::builder().workers(1);
        if sheds {
            builder = builder.shed_older_than(LIMIT);
        }
        let server = builder.serving(|bytes, _, socket| {
            let began = Instant::now();
            while began.elapsed() < WORK {
                std::hint::spin_loop();
            }
            Ok(socket.reply(bytes)?)
        });
        let flood = Flood::start(server.local_addr(), b"flood");
        wait_until("it is under load", || server.stats().received > 10_000);
        // What shedding needs to find its measure.
        goodput(&server, window);
        let handled = goodput(&server, window);
        flood.end();
        handled
    };
    let mut ratios = Vec::new();
    while ratios.len() < 5 && ratios.iter().all(|ratio| *ratio < 0.8) {
        ratios.push(handled(true) / handled(false));
    }
    assert!(ratios.iter().any(|ratio| *ratio >= 0.8), "{ratios:?}");
}

/// Datagrams handled per second, over a while.
fn goodput(server: &ServerHandle, window: Duration) -> f64 {
    let (began, before) = (Instant::now(), server.stats().handled);
    // The time that is measured.
    thread::sleep(window);
    (server.stats().handled - before) as f64 / began.elapsed().as_secs_f64()
}
