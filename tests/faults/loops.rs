//! Servers that one forged datagram sets on each other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use socketserver::{
    Builder, HandlerError, RateLimit, Refusal, ReplyLoops, ServerHandle, SocketHandle,
    ThreadingUdpServer,
};

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::{ServerBuilder, TestServer, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip")] => {
            two_servers_that_a_forged_datagram_sets_on_each_other_are_taken_apart,
            an_error_is_not_answered_with_an_error,
            bait_from_a_service_that_answers_anything_is_refused,
            a_loop_whose_datagrams_change_stays_within_the_rate,
        }
    }
}

/// Answers whatever it gets with an error, errors included: the naive kind.
fn naive(_: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    Ok(socket.reply(b"error: I do not understand")?)
}

/// Answers a question, and fails of all else: as the examples do.
fn prudent(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    match bytes {
        b"how are you?" => Ok(socket.reply(b"fine")?),
        _ => Err("error: I do not understand".into()),
    }
}

fn builder() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder()
}

/// Sends `to` these datagrams in the name of `from`.
fn forge<D: AsRef<[u8]>>(from: SocketAddr, to: SocketAddr, datagrams: &[D]) {
    let forger = Forger::new();
    for datagram in datagrams {
        forger.datagram(from, to, datagram.as_ref());
    }
}

/// Waits until nothing goes round between these two.
#[track_caller]
fn wait_for_silence(one: &ServerHandle, other: &ServerHandle) {
    let (mut last, mut since) = (0, Instant::now());
    wait_until("nothing goes round any more", || {
        let now = one.stats().received + other.stats().received;
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > QUIET
    });
}

/// Many times what a datagram takes from one to the other.
const QUIET: Duration = Duration::from_millis(500);

fn two_servers_that_a_forged_datagram_sets_on_each_other_are_taken_apart() {
    const EXCHANGES: u32 = 32;
    const AT_ONCE: u64 = 3;
    Namespace::new().run(|| {
        // However slow the machine is, all of it is one loop.
        let loops = ReplyLoops::new()
            .exchanges(EXCHANGES)
            .gap(Duration::from_secs(60))
            .mute(Duration::from_secs(60));
        let guarded = || builder().break_reply_loops(loops.clone()).bound(naive);
        for other_is_guarded in [false, true] {
            let one = guarded();
            let other = match other_is_guarded {
                true => guarded(),
                false => builder().bound(naive),
            };
            // All are there before the first is answered.
            let bait = [b"what?"; AT_ONCE as usize];
            forge(other.local_addr(), one.local_addr(), &bait);
            let (one, other) = (TestServer::spawn(one), TestServer::spawn(other));
            wait_for_silence(&one, &other);
            let (one, other) = (one.stop().stats, other.stop().stats);
            // The other one's first error begins the row.
            let most = u64::from(EXCHANGES) + 1 + AT_ONCE;
            for stats in [&one, &other] {
                assert!(stats.handled <= most, "more than {most}:\n{stats}");
            }
            assert_eq!(
                one.refused.by(Refusal::ReplyLoop) + other.refused.by(Refusal::ReplyLoop),
                AT_ONCE,
                "each datagram that went round ends once:\n{one}\n{other}"
            );
        }
        // What is not watched does go round: this is no test of nothing.
        let (one, other) = (builder().serving(naive), builder().serving(naive));
        forge(other.local_addr(), one.local_addr(), &[b"what?"]);
        wait_until("it has gone round a thousand times", || {
            one.stats().handled > 1_000
        });
    });
}

/// No guard does this: what a handler fails of is told to nobody but the
/// operator.
fn an_error_is_not_answered_with_an_error() {
    Namespace::new().run(|| {
        let quiet = || builder().handle_error(|_| ()).serving(prudent);
        let (one, other) = (quiet(), quiet());
        let bait = ["error: what?", "how are you?"];
        forge(other.local_addr(), one.local_addr(), &bait);
        // Its answer is the one thing that reaches the other, who knows nothing
        // to say to it.
        other.wait_until_settled(1);
        wait_for_silence(&one, &other);
        let (one, other) = (one.stop().stats, other.stop().stats);
        assert_eq!((one.failed, one.handled), (1, 1), "{one}");
        assert_eq!(one.replies.sent, 1, "to the question alone:\n{one}");
        assert_eq!((other.failed, other.replies.sent), (1, 0), "{other}");
    });
}

/// The echo and character generator services, on their own ports.
fn bait_from_a_service_that_answers_anything_is_refused() {
    Namespace::new().run(|| {
        for port in [7, 19] {
            let service = builder()
                .bind_fn(format!("127.0.0.1:{port}"), naive)
                .expect("nobody else is in this network");
            let service = TestServer::spawn(service);
            let guarded = builder().refuse_responder_ports(true).serving(naive);
            forge(service.local_addr(), guarded.local_addr(), &[b"what?"; 20]);
            guarded.wait_until_settled(20);
            wait_for_silence(&service, &guarded);
            let stats = guarded.stop().stats;
            assert_eq!(
                (stats.refused.by(Refusal::ResponderPort), stats.handled),
                (20, 0),
                "from port {port}:\n{stats}"
            );
            let stats = service.stop().stats;
            assert_eq!(stats.received, 0, "not one word came back:\n{stats}");
        }
    });
}

fn a_loop_whose_datagrams_change_stays_within_the_rate() {
    const RATE: u32 = 20;
    const BURST: u32 = 50;
    const LEAK: u32 = 10;
    const AT_ONCE: usize = 40;
    /// Never says the same twice.
    fn inventive(_: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
        static ERRORS: AtomicU64 = AtomicU64::new(0);
        let number = ERRORS.fetch_add(1, Relaxed);
        Ok(socket.reply(format!("error {number}: I do not understand").as_bytes())?)
    }
    Namespace::new().run(|| {
        let limit = RateLimit::per_second(RATE).burst(BURST).leak(LEAK);
        let limited = builder()
            .rate_limit(limit)
            .break_reply_loops(ReplyLoops::new())
            .serving(inventive);
        let other = builder().serving(inventive);
        let began = Instant::now();
        let bait: Vec<_> = (0..AT_ONCE)
            .map(|number| format!("what {number}?"))
            .collect();
        forge(other.local_addr(), limited.local_addr(), &bait);
        // What is refused does not come round again.
        wait_for_silence(&limited, &other);
        let stats = limited.stop().stats;
        let earned = began.elapsed().as_secs_f64() * f64::from(RATE);
        let leaked = stats.refused.by(Refusal::RateLimited) / u64::from(LEAK - 1) + 1;
        let most = u64::from(BURST) + earned.ceil() as u64 + leaked;
        assert!(stats.handled <= most, "more than {most}:\n{stats}");
        assert_eq!(
            stats.refused.by(Refusal::RateLimited),
            AT_ONCE as u64,
            "each ends once:\n{stats}"
        );
    });
}
