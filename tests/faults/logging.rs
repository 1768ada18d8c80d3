//! Loggers that block, and loggers that panic.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use socketserver::{
    AmplificationLimit, DeferredAnswer, DetachedHandle, RateLimit, SendError, SocketHandle,
    ThreadingUdpServer,
};

use crate::harness::{Case, Need, alone, cases};
use crate::netns::Namespace;
use crate::support::process::threads;
use crate::support::{ANY_PORT, Client, DEADLINE, Gate, TestServer, assert_conserved};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_logger_that_blocks_holds_up_neither_replies_nor_stats_nor_the_end,
            a_logger_that_blocks_on_a_warning_holds_up_no_rescue_and_no_end,
            a_logger_that_panics_costs_nobody_anything,
        }
        &[Need::Root, Need::Tool("ip")] => {
            a_logger_that_blocks_on_a_deferred_answer_holds_up_no_other_answer,
        }
    }
}

/// Blocks at every line of what is sent until the gate opens.
struct Blocking(OnceLock<Mutex<Gate>>);

static LOGGER: Blocking = Blocking(OnceLock::new());

impl Blocking {
    /// From now on, lines wait at this gate.
    fn wait_at(&self, gate: &Gate) {
        let place = self.0.get_or_init(Mutex::default);
        *place.lock().expect("no panic") = gate.clone();
    }
}

impl log::Log for Blocking {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        let is_meant = |text: &&str| line.contains(text);
        if [
            "cannot send",
            "withheld",
            "are busy",
            "abandoned",
            "left behind",
        ]
        .iter()
        .any(is_meant)
        {
            let gate = self
                .0
                .get()
                .expect("a gate")
                .lock()
                .expect("no panic")
                .clone();
            gate.pass();
        }
    }

    fn flush(&self) {}
}

/// One worker waits in the logger because of something that could not be sent,
/// batched or at once, or was not allowed to be; for as long as the logger
/// likes, everybody else goes on.
fn a_logger_that_blocks_holds_up_neither_replies_nor_stats_nor_the_end() {
    if !alone("a_logger_that_blocks_holds_up_neither_replies_nor_stats_nor_the_end") {
        return;
    }
    log::set_logger(&LOGGER).expect("no other logger");
    log::set_max_level(log::LevelFilter::Warn);
    // A broadcast without leave: the kernel refuses it, and nothing leaves.
    const NOWHERE: SocketAddr = SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 255, 255, 255)),
        9,
    );
    let flush: fn(&SocketHandle) -> _ = |socket| socket.send_to(b"lost", NOWHERE);
    let flush_first: fn(&SocketHandle) -> _ = |socket| {
        socket.send_to(b"lost", NOWHERE)?;
        socket.detach().reply(b"more")
    };
    let withheld: fn(&SocketHandle) -> _ = |socket| socket.reply(&[0; 10_000]);
    let withheld_single: fn(&SocketHandle) -> _ = |socket| {
        let _ = socket.detach().reply(&[0; 10_000]);
        Ok(())
    };
    for (way, fails) in [
        ("flush", flush),
        ("flush first", flush_first),
        ("withheld", withheld),
        ("withheld at once", withheld_single),
    ] {
        goes_on(way, fails);
    }
}

#[track_caller]
fn goes_on(way: &str, fails: fn(&SocketHandle) -> Result<(), SendError>) {
    let gate = Gate::new();
    LOGGER.wait_at(&gate);
    let (tell, handles) = mpsc::channel::<DetachedHandle>();
    let mut builder = ThreadingUdpServer::builder()
        .workers(2..=8)
        .drain_timeout(Duration::from_millis(100));
    if way.starts_with("withheld") {
        builder = builder.amplification_limit(AmplificationLimit::new());
    }
    let server = builder
        .bind_fn(ANY_PORT, move |bytes, _, socket| {
            if bytes != b"fail" {
                return Ok(socket.reply(bytes)?);
            }
            tell.send(socket.detach())?;
            Ok(fails(socket)?)
        })
        .expect("a free port")
        .spawn();
    let handle = server.handle();
    let _open = gate.open_on_drop();
    let client = Client::of(handle.local_addr());
    client.send(b"fail");
    gate.wait_for(1);
    if way == "flush first" {
        client.expect_reply(b"more");
    }
    for number in 0..20 {
        assert_eq!(client.ask(&[number]), [number], "{way}: others are served");
    }
    let detached = handles.recv_timeout(DEADLINE).expect("told before");
    in_time(way, "its worker's handle sends", move || {
        detached.reply(b"!")
    })
    .expect("it is sent");
    client.expect_reply(b"!");
    let asked = handle.clone();
    let stats = in_time(way, "stats are told", move || asked.stats());
    assert!(stats.received >= 21, "{way}: {stats}");
    let report = in_time(way, "the server ends", move || server.stop());
    assert!(gate.waiting() >= 1, "{way}: the logger still blocks");
    let report = report.expect("it ends in order");
    assert_eq!(report.abandoned_threads, 1, "{way}: who is in the logger");
}

/// Who answers in vain, as the way to the peer is gone, waits in the logger; the
/// answers to others leave meanwhile.
fn a_logger_that_blocks_on_a_deferred_answer_holds_up_no_other_answer() {
    if !alone("a_logger_that_blocks_on_a_deferred_answer_holds_up_no_other_answer") {
        return;
    }
    log::set_logger(&LOGGER).expect("no other logger");
    log::set_max_level(log::LevelFilter::Warn);
    let gate = Gate::new();
    LOGGER.wait_at(&gate);
    let (here, there) = Namespace::pair();
    let (keep, kept) = mpsc::channel::<DeferredAnswer>();
    let server = here.run(move || {
        ThreadingUdpServer::bind_fn("0.0.0.0:7000", move |bytes, _, socket| {
            let (answer, bytes) = (socket.defer()?, bytes.to_vec());
            if bytes == b"later" {
                keep.send(answer)?;
            } else {
                std::thread::spawn(move || answer.reply(&bytes));
            }
            Ok(())
        })
    });
    let _server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let client = |host: &str| Client::at(ANY_PORT_OF_ALL, host.parse().expect("valid"));
    let far = there.run(move || client("10.0.0.1:7000"));
    let near = here.run(move || client("127.0.0.1:7000"));
    far.send(b"later");
    let answer = kept.recv_timeout(DEADLINE).expect("it is deferred");
    here.ip("link delete veth");
    std::thread::spawn(move || answer.reply(b"gone"));
    gate.wait_for(1);
    for number in 0..100 {
        assert_eq!(near.ask(&[number]), [number]);
    }
}

const ANY_PORT_OF_ALL: &str = "0.0.0.0:0";

/// Runs it on another thread, which must come back while the logger blocks.
#[track_caller]
fn in_time<T: Send + 'static>(way: &str, what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    let run = move |tell: Sender<T>| {
        let _ = tell.send(f());
    };
    std::thread::spawn(move || run(tell));
    let result = told.recv_timeout(DEADLINE);
    result.unwrap_or_else(|_| panic!("{way}: in vain waited until {what}"))
}

/// The thread that looks after workers tells that all of them are busy, and whom it
/// leaves behind; it waits for no logger.
fn a_logger_that_blocks_on_a_warning_holds_up_no_rescue_and_no_end() {
    if !alone("a_logger_that_blocks_on_a_warning_holds_up_no_rescue_and_no_end") {
        return;
    }
    log::set_logger(&LOGGER).expect("no other logger");
    log::set_max_level(log::LevelFilter::Warn);
    let (log_gate, first, second) = (Gate::new(), Gate::new(), Gate::new());
    LOGGER.wait_at(&log_gate);
    let (held_first, held_second) = (first.clone(), second.clone());
    let server = ThreadingUdpServer::builder()
        .workers(2..=4)
        .drain_timeout(Duration::from_millis(100))
        .bind_fn(ANY_PORT, move |bytes, _, socket| {
            match bytes {
                b"first" => held_first.pass(),
                b"second" => held_second.pass(),
                _ => {}
            }
            Ok(socket.reply(bytes)?)
        })
        .expect("a free port")
        .spawn();
    let _open = [
        first.open_on_drop(),
        second.open_on_drop(),
        log_gate.open_on_drop(),
    ];
    let client = Client::of(server.local_addr());
    for _ in 0..4 {
        client.send(b"first");
    }
    first.wait_for(4);
    client.send(b"behind them");
    // The warning that all are busy.
    log_gate.wait_for(1);
    first.open();
    let mut replies: Vec<_> = (0..5).map(|_| client.receive()).collect();
    replies.sort_unstable();
    assert_eq!(replies[0], b"behind them");
    for blocked in 1..=3 {
        client.send(b"second");
        assert_eq!(client.ask(b"quick"), b"quick", "beside {blocked} blocked");
    }
    let told = Instant::now();
    server.stop().expect("in order");
    assert!(told.elapsed() < DEADLINE, "the logger is not waited for");
    assert!(log_gate.waiting() > 0, "it blocked all the while");
}

/// Panics at every line: `println!` into a closed pipe is enough.
struct Bomb;

static LINES: AtomicU64 = AtomicU64::new(0);

impl log::Log for Bomb {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        LINES.fetch_add(1, Relaxed);
        panic!("the pipe is closed");
    }

    fn flush(&self) {}
}

/// Whatever is logged while serving: failing handlers, replies that cannot be sent,
/// datagrams that are refused, a pool that grows and shrinks, an end with handlers
/// left behind.
fn a_logger_that_panics_costs_nobody_anything() {
    const ROUNDS: u64 = 200;
    if !alone("a_logger_that_panics_costs_nobody_anything") {
        return;
    }
    log::set_logger(&Bomb).expect("no other logger");
    log::set_max_level(log::LevelFilter::Trace);
    std::panic::set_hook(Box::new(|_| {}));
    let server = ThreadingUdpServer::builder()
        .workers(2..=4)
        .max_packet_size(100)
        .deny_networks(["127.0.0.66"])
        .rate_limit(RateLimit::per_second(1_000_000))
        .drain_timeout(Duration::from_millis(100))
        .bind_fn(ANY_PORT, |bytes, _, socket| match bytes {
            b"fail" => Err("no such number".into()),
            b"panic" => panic!("no such case"),
            // No route leads there from loopback.
            b"lost" => Ok(socket.send_to(b"lost", ([192, 0, 2, 1], 9).into())?),
            b"stay" => {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            }
            bytes => Ok(socket.reply(bytes)?),
        })
        .expect("bound");
    let server = TestServer::spawn(server);
    let addr = server.local_addr();
    let client = Client::of(addr);
    let denied = Client::at("127.0.0.66:0", addr);
    for round in 0..ROUNDS {
        for bytes in [&b"fail"[..], b"panic", b"lost", &[0; 101]] {
            client.send(bytes);
        }
        denied.send(b"me too");
        assert_eq!(client.ask(b"and me?"), b"and me?", "round {round}");
    }
    assert!(LINES.load(Relaxed) > 0, "something was logged");
    assert!(threads() <= 4 + 4, "{} threads", threads());
    let stats = server.stats();
    assert_eq!(stats.handled, 2 * ROUNDS, "{stats}");
    assert_eq!(stats.failed_worker_starts, 0, "{stats}");
    client.send(b"stay");
    server.wait_until_settled(6 * ROUNDS);
    let report = server.stop();
    assert_conserved(&report.stats);
}
