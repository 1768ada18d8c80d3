//! How many workers there are under which load, and what they cost at rest.

#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use socketserver::ThreadingUdpServer;
#[cfg(target_os = "linux")]
use socketserver::{
    DatagramHandler, HandlerError, ServeError, ServerHandle, ShutdownReport, SocketHandle,
};

#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::{
    ANY_PORT, Client, Gate, ServerBuilder, TestServer, UdpServer, echo, for_both_servers, keep_log,
    logged, wait_until,
};
#[cfg(target_os = "linux")]
use crate::support::{assert_conserved, process};

for_both_servers! {
    a_flood_never_makes_more_workers_than_allowed,
    requests_one_after_the_other_pile_up_no_threads,
    nobody_free_for_a_second_is_told_and_so_is_the_end_of_it,
    the_stats_say_who_is_busy_and_for_how_long,
}

fn a_flood_never_makes_more_workers_than_allowed<S: UdpServer>() {
    const MOST: usize = 4;
    const SENT: u64 = 300;
    let gate = Gate::new();
    let server = S::builder().at_most(MOST).serving(gate.holding_all());
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    for _ in 0..SENT {
        client.send(b"flood");
    }
    gate.wait_for(MOST);
    assert_eq!(gate.waiting(), MOST, "no more than allowed are at work");
    gate.open();
    server.wait_until_settled(SENT);
    let stats = server.stop().stats;
    assert!(stats.peak_workers <= MOST, "{} workers", stats.peak_workers);
    assert_eq!(stats.received, SENT, "the rest had waited in the kernel");
}

fn requests_one_after_the_other_pile_up_no_threads<S: UdpServer>() {
    let server = S::builder().at_most(256).serving(echo);
    let client = Client::of(server.local_addr());
    for _ in 0..500 {
        client.ask(b"next");
    }
    let peak = server.stop().stats.peak_workers;
    assert!(peak < 10, "{peak} workers for one client");
}

fn nobody_free_for_a_second_is_told_and_so_is_the_end_of_it<S: UdpServer>() {
    keep_log();
    let gate = Gate::new();
    let server = S::builder().at_most(2).serving(gate.holding(b"block"));
    let _open = gate.open_on_drop();
    let (addr, client) = (server.local_addr(), Client::of(server.local_addr()));
    for _ in 0..2 {
        client.send(b"block");
    }
    gate.wait_for(2);
    client.send(b"and me?");
    let lines = |text: &str| logged(&format!("WARN: {addr}: {text}"));
    wait_until("somebody is told", || !lines("all 2 workers").is_empty());
    gate.open();
    wait_until("its end is told", || !lines("a worker is free").is_empty());
    server.stop();
    let told = lines("all 2 workers");
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert!(told[0].contains(&client.addr().to_string()), "{told:?}");
}

/// Of its instances, those after the first are never set up until the gate opens.
#[cfg(target_os = "linux")]
struct SlowToMake {
    is_first: bool,
    making: Gate,
    holding: Gate,
}

#[cfg(target_os = "linux")]
impl DatagramHandler for SlowToMake {
    fn setup(&mut self) -> Result<(), HandlerError> {
        if !self.is_first {
            self.making.pass();
        }
        Ok(())
    }

    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        if bytes == b"hold" {
            self.holding.pass();
        }
        Ok(socket.reply(bytes)?)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_waits_behind_an_instance_that_is_never_made_is_handled_by_one_that_is() {
    const COUNT: u8 = 20;
    let (making, holding) = (Gate::new(), Gate::new());
    let made = AtomicUsize::new(0);
    let (slow, held) = (making.clone(), holding.clone());
    let factory = move || SlowToMake {
        is_first: made.fetch_add(1, SeqCst) == 0,
        making: slow.clone(),
        holding: held.clone(),
    };
    let server = ThreadingUdpServer::builder()
        .workers(2)
        .bind(ANY_PORT, factory);
    let server = TestServer::spawn(server.expect("bound"));
    let (_made, _held) = (making.open_on_drop(), holding.open_on_drop());
    let client = Client::of(server.local_addr());
    client.send(b"hold");
    holding.wait_for(1);
    let many = std::net::UdpSocket::bind(ANY_PORT).expect("a client's socket");
    let patience = Some(Duration::from_secs(5));
    many.set_read_timeout(patience).expect("not zero");
    // At once, so that the other worker has more than it makes its instance for.
    setsockopt(&many, sockopt::UdpGsoSegment, &100).expect("a segment size");
    let all = vec![0; 100 * usize::from(COUNT)];
    many.send_to(&all, server.local_addr()).expect("loopback");
    making.wait_for(1);
    holding.open();
    client.expect_reply(b"hold");
    for _ in 1..COUNT {
        many.recv(&mut [0; 200])
            .expect("all but the one it is made for");
    }
    assert_eq!(making.waiting(), 1, "which is not made yet");
}

fn the_stats_say_who_is_busy_and_for_how_long<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::builder().at_most(4).serving(gate.holding_all());
    let _open = gate.open_on_drop();
    wait_until("all rest", || server.stats().busy_workers == 0);
    assert_eq!(server.stats().max_workers, 4);
    assert_eq!(server.stats().oldest_in_flight, Duration::ZERO);
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"x");
    }
    gate.wait_for(3);
    let long = Duration::from_millis(50);
    wait_until("it is old", || server.stats().oldest_in_flight >= long);
    // Whoever was on the way to help finds nothing, and rests again.
    wait_until("three are busy", || server.stats().busy_workers == 3);
    gate.open();
    wait_until("all are done", || {
        let stats = server.stats();
        (stats.busy_workers, stats.oldest_in_flight) == (0, Duration::ZERO)
    });
}

/// Counts the instances that it makes, and takes its time for each.
#[test]
fn a_factory_that_takes_long_is_not_called_for_all_that_waits() {
    const SENT: usize = 100;
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let server = ThreadingUdpServer::builder().bind(ANY_PORT, move || {
        counted.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(300));
        echo
    });
    let server = TestServer::spawn(server.expect("bound"));
    let client = Client::of(server.local_addr());
    for _ in 0..SENT {
        client.send(b"first");
    }
    for _ in 0..SENT {
        client.expect_reply(b"first");
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let made = made.load(SeqCst);
    assert!(
        made <= cores.max(2) + 2,
        "{made} instances for {SENT} requests"
    );
}

/// Only Linux tells computing from waiting.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn handlers_that_never_end_starve_nobody_as_long_as_there_may_be_more() {
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let server = ThreadingUdpServer::builder()
        .workers(2..=8)
        .serving(move |bytes, _, socket| {
            while bytes == b"loop" && !stop.load(SeqCst) {
                std::hint::spin_loop();
            }
            Ok(socket.reply(bytes)?)
        });
    let client = Client::of(server.local_addr());
    for loops in 1..=4 {
        client.send(b"loop");
        assert_eq!(client.ask(b"and me?"), b"and me?", "beside {loops} loops");
    }
    is_over.store(true, SeqCst);
    for _ in 0..4 {
        client.expect_reply(b"loop");
    }
    let peak = server.stop().stats.peak_workers;
    assert!(peak > 4, "each was replaced, by {peak} in all");
}

/// Only Linux shows the threads of a process by name.
#[cfg(target_os = "linux")]
#[test]
fn all_workers_of_a_burst_are_gone_after_shutdown() {
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1..=32)
        .thread_name("burst")
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    for _ in 0..32 {
        client.send(b"x");
    }
    gate.wait_for(32);
    let at_work = process::threads_named("burst");
    assert_eq!(at_work, 32, "one for each that blocks");
    gate.open();
    let report = server.stop();
    assert_eq!(report.abandoned_threads, 0, "all have ended");
    wait_until("the system has taken them away", || {
        process::threads_named("burst") == 0
    });
}

/// Only Linux shows what each thread used.
#[cfg(target_os = "linux")]
#[test]
fn an_idle_server_uses_no_cpu_time() {
    uses_no_cpu_time("idle", Duration::from_secs(2));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes ten seconds"]
fn an_idle_server_uses_no_cpu_time_in_ten_seconds() {
    uses_no_cpu_time("lasting", Duration::from_secs(10));
}

#[cfg(target_os = "linux")]
#[track_caller]
fn uses_no_cpu_time(name: &str, length: Duration) {
    // The portable twin looks up every half a second, by design.
    const TICKS: u64 = if cfg!(socketserver_portable) { 1 } else { 0 };
    let server = Resting::after_some_work(name);
    let used = || process::cpu_ticks_of(name);
    wait_until("it has come to rest", || {
        let before = used();
        thread::park_timeout(Duration::from_millis(100));
        used() == before
    });
    let before = used();
    // Nothing is waited for here: this is the time that is measured.
    thread::park_timeout(length);
    let after = used();
    assert!(
        after <= before + TICKS,
        "{} ticks in {length:?}",
        after - before
    );
    server.stop();
}

/// The portable twin looks up every half a second, by design.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn an_idle_server_never_wakes_up() {
    let server = Resting::after_some_work("calm");
    let window = Duration::from_millis(200);
    // In a window of this length a thread that looks every millisecond would
    // wake up 200 times. The first windows may still see it go to rest.
    wait_until("no thread wakes up for a while", || {
        let before = process::waits_of("calm");
        thread::park_timeout(window);
        process::waits_of("calm") == before
    });
    let client = Client::of(server.handle.local_addr());
    assert_eq!(client.ask(b"still there?"), b"still there?");
    server.stop();
}

/// A server that has nothing to do any more.
#[cfg(target_os = "linux")]
struct Resting {
    handle: ServerHandle,
    serving: thread::JoinHandle<Result<ShutdownReport, ServeError>>,
}

#[cfg(target_os = "linux")]
impl Resting {
    /// The names of all its threads begin with `name`.
    fn after_some_work(name: &str) -> Self {
        let server = ThreadingUdpServer::builder()
            .workers(4)
            .thread_name(name)
            .bound(echo);
        let handle = server.handle();
        let serving = thread::Builder::new()
            .name(format!("{name}-serving"))
            .spawn(|| server.serve_forever())
            .expect("a thread");
        let client = Client::of(handle.local_addr());
        for _ in 0..50 {
            client.ask(b"work, then rest");
        }
        Self { handle, serving }
    }

    fn stop(self) {
        self.handle.shutdown();
        let report = self.serving.join().expect("no panic");
        assert_conserved(&report.expect("it ends in order").stats);
    }
}

/// Only Linux tells who waits for a processor.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn handlers_that_compute_do_not_make_the_pool_grow_past_the_processors_and_two() {
    for (time, datagrams) in [(200, 2_500), (5_000, 100)] {
        const CLIENTS: usize = 4;
        const WINDOW: usize = 32;
        let server = ThreadingUdpServer::builder().serving(move |bytes, _, socket| {
            compute(Duration::from_micros(time));
            Ok(socket.reply(bytes)?)
        });
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let client = Client::of(server.local_addr());
                scope.spawn(move || {
                    (0..WINDOW).for_each(|_| client.send(b"compute"));
                    for number in WINDOW..datagrams + WINDOW {
                        client.expect_reply(b"compute");
                        if number < datagrams {
                            client.send(b"compute");
                        }
                    }
                });
            }
        });
        let stats = server.stop().stats;
        assert_eq!(stats.handled, (CLIENTS * datagrams) as u64, "each handled");
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let peak = stats.peak_workers;
        assert!(
            peak <= cores + 2,
            "{peak} workers share {cores} processors for {time} µs each"
        );
    }
}

/// Takes so much of a processor, not of the clock on the wall.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
fn compute(time: Duration) {
    use nix::time::{ClockId, clock_gettime};

    let used = || {
        let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        Duration::from(used.expect("every thread has this clock"))
    };
    let end = used() + time;
    while used() < end {
        std::hint::spin_loop();
    }
}
