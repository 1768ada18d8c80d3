//! A long life under a mixed load.
//!
//! By default some hundred thousand datagrams; the full length of more than ten
//! million takes minutes:
//!
//! ```text
//! SOCKETSERVER_FAULTS_SCALE=100 SOCKETSERVER_FAULTS_ALONE=1 \
//!     cargo test --release --test faults -- --exact \
//!     a_long_life_under_a_mixed_load_leaks_nothing_and_counts_exactly
//! ```

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{HandlerError, Refusal, SocketHandle, Stats, ThreadingUdpServer};

use crate::harness::{Case, Need, alone, cases, scale};
use crate::load::{MOST, Sender, wait_until_accounted};
use crate::support::process::{open_descriptors, threads};
use crate::support::{ANY_PORT, TestServer, wait_until};
use crate::world::resident_kib;

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::FastPath] => {
            a_long_life_under_a_mixed_load_leaks_nothing_and_counts_exactly,
        }
    }
}

/// What is sent: the first byte says what shall become of it.
const ECHO: &[u8] = b"e: sent back, as most are";
const FAIL: &[u8] = b"f";
const PANIC: &[u8] = b"p";
const REFUSE: &[u8] = b"r";
const SLOW: &[u8] = b"s: sent back after a while";

fn handle(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    match bytes {
        FAIL => return Err("as asked".into()),
        // Without the noise of a panic's message.
        PANIC => std::panic::resume_unwind(Box::new("as asked")),
        // The work of this handler: it blocks.
        SLOW => thread::sleep(Duration::from_millis(2)),
        _ => {}
    }
    Ok(socket.reply(bytes)?)
}

/// One call's worth: mostly echoes.
fn mix(number: u64) -> [&'static [u8]; MOST] {
    let mut datagrams = [ECHO; MOST];
    (datagrams[3], datagrams[11], datagrams[12]) = (FAIL, PANIC, REFUSE);
    if number % SLOW_EVERY == 0 {
        datagrams[20] = SLOW;
    }
    datagrams
}

const SLOW_EVERY: u64 = 64;
const REFUSED_OF_A_MIX: u64 = 1;
const FAILED_OF_A_MIX: u64 = 1;
const PANICKED_OF_A_MIX: u64 = 1;
const REPLIES_TO_A_MIX: usize = MOST - 3;

/// Polite load: each client waits for all replies to a mix before it sends the
/// next; a new client takes its place after a while.
fn polite(server: SocketAddr, mixes: u64) {
    let mut sender = Sender::to(server);
    for number in 0..mixes {
        if number % MIXES_OF_A_CLIENT == 0 {
            sender = Sender::to(server);
            let patience = Some(Duration::from_secs(10));
            sender.socket.set_read_timeout(patience).expect("a timeout");
        }
        assert_eq!(sender.send(&mix(number)), MOST, "sent");
        let mut reply = [0; 64];
        for _ in 0..REPLIES_TO_A_MIX {
            let len = sender.socket.recv(&mut reply).expect("each is answered");
            let expected = [ECHO, SLOW].contains(&&reply[..len]);
            assert!(expected, "a reply is what was sent");
        }
    }
}

/// Floods: sends as fast as it can, reads nothing, and leaves before its
/// replies come.
fn flood(server: SocketAddr, mixes: u64) {
    let mut sender = Sender::to(server);
    for number in 0..mixes {
        if number % MIXES_OF_A_CLIENT == 0 {
            sender = Sender::to(server);
        }
        assert_eq!(sender.send(&mix(number)), MOST, "sent");
    }
}

const MIXES_OF_A_CLIENT: u64 = 100;

/// Runs one kind of load from several threads.
fn load(kind: fn(SocketAddr, u64), server: SocketAddr, mixes: u64) {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(move || kind(server, mixes)))
            .collect();
        for client in clients {
            client.join().expect("a client does not fail");
        }
    });
}

const CLIENTS: u64 = 2;

/// What must not grow.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    resident_kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Holdings {
    fn now() -> Self {
        Self {
            resident_kib: resident_kib(),
            descriptors: open_descriptors(),
            threads: threads(),
        }
    }
}

fn a_long_life_under_a_mixed_load_leaks_nothing_and_counts_exactly() {
    if !alone("a_long_life_under_a_mixed_load_leaks_nothing_and_counts_exactly") {
        return;
    }
    // Of each client and kind of load in a round: a round is 128,000 datagrams.
    const MIXES: u64 = 1_000;
    const WORKERS: usize = 16;
    let rounds = 3 * scale();
    let server = ThreadingUdpServer::builder()
        .workers(WORKERS)
        .max_packet_size(2_048)
        .handle_error(|_| ())
        .verify_request(|bytes, _| bytes != REFUSE)
        .bind_fn(ANY_PORT, handle)
        .expect("bound");
    let server = TestServer::spawn(server);
    let addr = server.local_addr();
    let began = Instant::now();
    let mut sent = 0;
    let mut round = || {
        let mixes = CLIENTS * MIXES;
        let before = server.stats();
        load(polite, addr, MIXES);
        sent += mixes * MOST as u64;
        wait_until_accounted(&server, sent);
        assert_exact(&before, &server.stats(), mixes);
        load(flood, addr, MIXES);
        sent += mixes * MOST as u64;
        wait_until_accounted(&server, sent);
    };
    round();
    let warm = Holdings::now();
    for _ in 1..rounds {
        round();
    }
    wait_until("the clients' threads are gone", || {
        threads() <= warm.threads
    });
    let end = Holdings::now();
    let stats = server.stop().stats;
    let took = began.elapsed();
    println!("{sent} datagrams in {took:?}: {warm:?} became {end:?}\n{stats}");
    assert_eq!(
        end.descriptors, warm.descriptors,
        "descriptors stay flat for {took:?}"
    );
    // The allocator's own ups and downs.
    let bound = warm.resident_kib + 2_048;
    assert!(
        end.resident_kib < bound,
        "memory grows: {warm:?}, {end:?} after {took:?}"
    );
    let drops = stats.kernel_drops.expect("Linux tells");
    assert_eq!(
        stats.received + drops,
        sent,
        "each is accounted for:\n{stats}"
    );
    assert_eq!(stats.replies.failed.total(), 0, "{stats}");
    assert_eq!(stats.replies.sent, stats.handled, "{stats}");
    assert!(stats.peak_workers <= WORKERS, "{stats}");
}

/// Polite load loses nothing: each counter moves by exactly what was asked for.
#[track_caller]
fn assert_exact(before: &Stats, after: &Stats, mixes: u64) {
    let all = mixes * MOST as u64;
    assert_eq!(after.received - before.received, all, "{after}");
    assert_eq!(after.kernel_drops, before.kernel_drops, "{after}");
    assert_eq!(
        after.failed - before.failed,
        mixes * FAILED_OF_A_MIX,
        "{after}"
    );
    assert_eq!(
        after.panicked - before.panicked,
        mixes * PANICKED_OF_A_MIX,
        "{after}"
    );
    assert_eq!(
        after.refused.by(Refusal::Verify) - before.refused.by(Refusal::Verify),
        mixes * REFUSED_OF_A_MIX,
        "{after}"
    );
    assert_eq!(
        after.handled - before.handled,
        mixes * REPLIES_TO_A_MIX as u64,
        "{after}"
    );
}
