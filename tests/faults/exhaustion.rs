//! Systems that run out of descriptors, threads or memory.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Uid, setuid};
use socketserver::{ServeError, ThreadingUdpServer};

use crate::cgroup::alone_in_group;
use crate::harness::{Case, Need, alone, cases, scale};
use crate::load::{Flood, wait_until_accounted};
use crate::support::process::{open_descriptors, threads};
use crate::support::{
    Client, Gate, ServerBuilder, UdpServer, assert_port_is_free, echo, keep_log, logged, wait_until,
};
use crate::world::{NoDescriptors, resident_kib};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            without_descriptors_a_running_server_serves_and_grows,
            a_limit_below_the_open_descriptors_ends_no_running_server,
        }
        &[Need::Root] => {
            growth_without_threads_is_counted_and_logged_and_serving_goes_on,
        }
        // Elsewhere a thread that has just ended may count for a moment longer
        // than the look whether there is room for another.
        &[Need::Root, Need::FastPath] => {
            a_start_without_enough_threads_fails_and_leaks_nothing,
        }
        // Elsewhere address space is no measure of memory.
        &[Need::FastPath] => {
            growth_without_memory_is_counted_and_logged_and_serving_goes_on,
            idle_workers_and_handles_of_ended_servers_cost_next_to_nothing,
        }
        &[Need::FastPath, Need::CgroupMemory] => {
            a_flood_on_slow_handlers_stays_within_a_tight_memory_limit,
        }
    }
}

fn without_descriptors_a_running_server_serves_and_grows() {
    if !alone("without_descriptors_a_running_server_serves_and_grows") {
        return;
    }
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1..=8)
        .serving(gate.holding(b"block"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.ask(b"warm up");
    let exhausted = NoDescriptors::left();
    for number in 0..4 {
        client.send(b"block");
        gate.wait_for(number + 1);
        for _ in 0..50 {
            assert_eq!(client.ask(b"served"), b"served", "with {number} blocked");
        }
    }
    gate.open();
    for _ in 0..4 {
        client.expect_reply(b"block");
    }
    drop(exhausted);
    let stats = server.stop().stats;
    assert_eq!(stats.handled, 1 + 4 + 4 * 50, "{stats}");
    assert!(stats.peak_workers > 4, "it grew all the same: {stats}");
    assert_eq!(stats.receive_errors, 0, "{stats}");
}

fn a_limit_below_the_open_descriptors_ends_no_running_server() {
    if !alone("a_limit_below_the_open_descriptors_ends_no_running_server") {
        return;
    }
    for limit in [1, 0] {
        let server = ThreadingUdpServer::serving(echo);
        let client = Client::of(server.local_addr());
        client.ask(b"warm up");
        let exhausted = NoDescriptors::beyond(limit);
        for _ in 0..50 {
            assert_eq!(client.ask(b"served"), b"served", "with {limit}");
        }
        let stats = server.stop().stats;
        drop(exhausted);
        assert_eq!(stats.handled, 51, "{stats}");
        assert_eq!(stats.receive_errors, 0, "{stats}");
    }
}

/// Leaves room for so many more threads of this process and user. Root has no
/// such limit: the process goes on as a user that has no other process.
#[track_caller]
fn allow_threads(more: usize) {
    const NOBODY: u32 = 1_594_323;
    let nobody_else = Uid::from_raw(NOBODY + std::process::id());
    let most = (threads() + more) as u64;
    setrlimit(Resource::RLIMIT_NPROC, most, most).expect("it may be lowered");
    setuid(nobody_else).expect("root may become anyone");
}

/// Counts panics from now on, contained or not.
fn count_panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Relaxed);
        tell(panic);
    }));
    &PANICS
}

fn a_start_without_enough_threads_fails_and_leaks_nothing() {
    if !alone("a_start_without_enough_threads_fails_and_leaks_nothing") {
        return;
    }
    allow_threads(2);
    let panics = count_panics();
    let descriptors = open_descriptors();
    let before = threads();
    for _ in 0..10 {
        let server = ThreadingUdpServer::builder()
            .workers(4)
            .bind_fn("127.26.0.1:0", echo)
            .expect("bound");
        // No other test has a socket on this address that could get the port.
        let addr = server.local_addr();
        let error = server
            .serve_forever()
            .expect_err("four threads are too many");
        let expected = matches!(
            error,
            ServeError::StartWorkers {
                started: 2,
                wanted: 4,
                ref cause,
                ..
            } if cause.raw_os_error() == Some(Errno::EAGAIN as i32)
        );
        assert!(expected, "not {error}");
        assert_port_is_free(addr);
        // A worker has said goodbye before its thread ends.
        wait_until("its threads have ended", || threads() == before);
    }
    wait_until("its descriptors are closed", || {
        open_descriptors() == descriptors
    });
    let server = ThreadingUdpServer::builder().workers(1).bound(echo);
    let client = Client::of(server.local_addr());
    let server = server.spawn();
    assert_eq!(client.ask(b"two are enough"), b"two are enough");
    server.stop().expect("it ends in order");
    assert_eq!(panics.load(Relaxed), 0, "it would end programs that abort");
}

/// Address space is reserved for each worker's batch; memory is used by datagrams.
fn idle_workers_and_handles_of_ended_servers_cost_next_to_nothing() {
    const WORKERS: usize = 64;
    const MOST_KIB_EACH: u64 = 200;
    const ROUNDS: usize = 10;
    if !alone("idle_workers_and_handles_of_ended_servers_cost_next_to_nothing") {
        return;
    }
    let mut handles = Vec::new();
    let mut descriptors = None;
    for _ in 0..ROUNDS {
        let before = resident_kib();
        let server = ThreadingUdpServer::builder().workers(WORKERS).serving(echo);
        wait_until("all are there", || server.stats().workers == WORKERS);
        wait_until("all rest", || server.stats().busy_workers == 0);
        let each = resident_kib().saturating_sub(before) / WORKERS as u64;
        assert!(each < MOST_KIB_EACH, "{each} KiB for an idle worker");
        handles.push((*server).clone());
        server.stop();
        let expected = *descriptors.get_or_insert_with(open_descriptors);
        wait_until("its descriptors are closed", || {
            open_descriptors() <= expected
        });
    }
    assert_eq!(handles.len(), ROUNDS, "they live on");
}

/// Workers are started until there is no memory for one more, with some left for
/// those that there are.
fn growth_without_memory_is_counted_and_logged_and_serving_goes_on() {
    const SENT: usize = 200;
    const MORE: u64 = 128 << 20;
    if !alone("growth_without_memory_is_counted_and_logged_and_serving_goes_on") {
        return;
    }
    keep_log();
    let gate = Gate::new();
    let held = gate.clone();
    let server = ThreadingUdpServer::builder()
        .workers(2..=256)
        .serving(move |bytes, _, socket| {
            held.pass();
            Ok(socket.reply(bytes)?)
        });
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    let most = address_space() + MORE;
    setrlimit(Resource::RLIMIT_AS, most, most).expect("it may be lowered");
    for _ in 0..SENT {
        client.send(b"block");
    }
    wait_until("growing has failed", || {
        server.stats().failed_worker_starts > 0
    });
    wait_until("the log says so", || {
        !logged("did not start another worker thread").is_empty()
    });
    gate.open();
    for _ in 0..SENT {
        client.expect_reply(b"block");
    }
    let stats = server.stop().stats;
    assert!(stats.peak_workers > 8, "it grew before: {stats}");
    assert_eq!(stats.handled, SENT as u64, "{stats}");
}

/// What this process has mapped, in bytes (proc(5), `statm`).
fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("proc is mounted");
    let pages = statm.split_whitespace().next();
    let pages: u64 = pages.and_then(|text| text.parse().ok()).expect("a number");
    pages * 4_096
}

fn growth_without_threads_is_counted_and_logged_and_serving_goes_on() {
    if !alone("growth_without_threads_is_counted_and_logged_and_serving_goes_on") {
        return;
    }
    keep_log();
    // The serving thread and two workers.
    allow_threads(3);
    let panics = count_panics();
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(2..=8)
        .serving(gate.holding(b"block"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"block");
    gate.wait_for(1);
    assert_eq!(client.ask(b"the other"), b"the other");
    client.send(b"block");
    gate.wait_for(2);
    client.send(b"behind them");
    wait_until("growing has failed", || {
        server.stats().failed_worker_starts > 0
    });
    // There is no thread for the line either: it is written when somebody is free.
    gate.open();
    wait_until("the log says so", || {
        !logged("did not start another worker thread").is_empty()
    });
    let mut replies = [client.receive(), client.receive(), client.receive()];
    replies.sort_unstable();
    let expected: [&[u8]; 3] = [b"behind them", b"block", b"block"];
    assert_eq!(replies, expected, "each is answered, in whatever order");
    let report = server.stop();
    assert_eq!(report.stats.handled, 4, "{}", report.stats);
    assert_eq!(report.stats.peak_workers, 2, "{}", report.stats);
    assert_eq!(report.abandoned_threads, 0, "closing went well");
    assert_eq!(panics.load(Relaxed), 0, "it would end programs that abort");
}

fn a_flood_on_slow_handlers_stays_within_a_tight_memory_limit() {
    let test = "a_flood_on_slow_handlers_stays_within_a_tight_memory_limit";
    let Some(group) = alone_in_group(test) else {
        return;
    };
    let server = ThreadingUdpServer::builder()
        .max_packet_size(2_048)
        .workers(2..=8)
        .serving(|bytes, _, socket| {
            // The work of this handler: it blocks.
            thread::sleep(Duration::from_millis(1));
            Ok(socket.reply(bytes)?)
        });
    Client::of(server.local_addr()).ask(b"warm up");
    group.limit_growth(8 << 20);
    let before = group.used();
    let flood = Flood::start(server.local_addr(), &[b'x'; 2_048]);
    // The length of the flood.
    thread::sleep(Duration::from_secs(scale().min(10)));
    let after = group.used();
    let sent = 1 + flood.end();
    wait_until_accounted(&server, sent);
    assert_eq!(
        group.kills(),
        0,
        "{sent} sent; {before} bytes in use, then {after}"
    );
    let stats = server.stop().stats;
    assert!(stats.kernel_drops > Some(0), "it was a flood: {stats}");
}
