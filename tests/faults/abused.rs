//! Clients whose address is abused: a flood comes in their name, while they
//! want to be served themselves.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socketserver::{
    AmplificationLimit, Builder, HandlerError, RateLimit, Refusal, SocketHandle, ThreadingUdpServer,
};

use crate::harness::{Case, Need, cases, scale};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::{Client, TestServer, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::Tool("nft")] => {
            a_flood_in_the_name_of_a_victim_is_not_amplified_and_its_clients_are_served,
        }
        &[Need::Root, Need::Tool("ip")] => {
            a_flood_in_the_name_of_a_client_leaves_it_a_share_of_the_rate,
        }
    }
}

/// Three hosts: a server, a victim with honest clients, and an attacker, each
/// on a link of its own to the server. The attacker sees nothing of what the
/// other two say to each other.
struct Scene {
    server: Namespace,
    victim: Namespace,
    attacker: Namespace,
}

/// Where the server is, for all.
const SERVER: &str = "10.0.0.1:0";
/// Whose name is abused: somebody's, on the victim.
const VICTIM: &str = "10.0.0.2:4000";

impl Scene {
    #[track_caller]
    fn new() -> Self {
        let (server, victim) = Namespace::pair();
        let attacker = Namespace::new();
        server.join(&attacker, "wild");
        server.ip("address add 10.0.1.1/24 dev wild");
        attacker.ip("address add 10.0.1.2/24 dev wild");
        attacker.ip("route add 10.0.0.0/24 via 10.0.1.1");
        server.run(|| {
            // Takes packets by whatever link they come, as most hosts on the
            // internet have to: they have but one.
            let filter = "/proc/sys/net/ipv4/conf/all/rp_filter";
            std::fs::write(filter, "2").expect("root may");
        });
        Self {
            server,
            victim,
            attacker,
        }
    }

    /// Serves, with room for some moments in which the server does not run.
    #[track_caller]
    fn serving(
        &self,
        builder: Builder<ThreadingUdpServer>,
        handler: fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>,
    ) -> TestServer {
        self.server.run(move || {
            let builder = builder.receive_buffer(8 << 20);
            TestServer::spawn(builder.bind_fn(SERVER, handler).expect("bound"))
        })
    }

    /// A flood in the name of the victim.
    #[track_caller]
    fn flood(&self, server: SocketAddr) -> Forgery {
        self.attacker.run(move || Forgery::start(server))
    }

    /// Counts what reaches a port of the victim.
    #[track_caller]
    fn count_at(&self, port: u16) {
        self.victim.command("nft", "add table ip faults");
        let chain = "add chain ip faults in { type filter hook input priority 0 ; }";
        self.victim.command("nft", chain);
        let rule = format!("add rule ip faults in udp dport {port} counter");
        self.victim.command("nft", &rule);
    }

    /// Bytes of payload that were counted there.
    #[track_caller]
    fn counted(&self) -> u64 {
        let listing = self.victim.command("nft", "list chain ip faults in");
        let mut words = listing.split_whitespace();
        let mut number_after = |name| {
            let found = words.by_ref().any(|word| word == name);
            let number = words.next().filter(|_| found);
            number.and_then(|text| text.parse::<u64>().ok())
        };
        let (packets, bytes) = (number_after("packets"), number_after("bytes"));
        let (packets, bytes) = packets.zip(bytes).expect("a counter");
        bytes - packets * HEADERS
    }
}

/// Of IPv4 and UDP. A segmented send counts as one packet, with one of each.
const HEADERS: u64 = 20 + 8;

/// Datagrams in the name of the victim, 10,000 a second, until told to end.
struct Forgery {
    ends: Arc<AtomicBool>,
    /// Returns how many were sent.
    thread: Option<JoinHandle<u64>>,
}

/// What the flood asks.
const BAIT: [u8; 64] = [b'?'; 64];

impl Forgery {
    /// In the network of the calling thread.
    fn start(server: SocketAddr) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let (forger, victim) = (Forger::new(), VICTIM.parse().expect("an address"));
            let (mut sent, mut next) = (0, Instant::now());
            while !told.load(Relaxed) {
                for _ in 0..AT_ONCE {
                    forger.datagram(victim, server, &BAIT);
                }
                sent += AT_ONCE;
                next += Duration::from_secs(AT_ONCE) / RATE;
                // The flood's own pace.
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            sent
        });
        let thread = Some(thread);
        Self { ends, thread }
    }

    /// Ends it; how many datagrams were sent.
    fn end(mut self) -> u64 {
        self.ends.store(true, Relaxed);
        let thread = self.thread.take().expect("ended only once");
        thread.join().expect("a forgery does not panic")
    }
}

impl Drop for Forgery {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
    }
}

/// Of the flood, per second.
const RATE: u32 = 10_000;
/// No multiple or divisor of what is let through.
const AT_ONCE: u64 = 13;

/// How long each flood lasts.
fn length() -> Duration {
    Duration::from_secs((2 * scale()).min(30))
}

/// Answers with ten times the question, and hands out tokens and takes them.
fn generous(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    if bytes == b"token, please" {
        return Ok(socket.reply(socket.token().as_ref())?);
    }
    if socket.validate(bytes) {
        return Ok(socket.reply(b"welcome")?);
    }
    Ok(socket.reply(&bytes.repeat(10))?)
}

/// A question as long as those of the flood.
fn question(number: u64) -> [u8; BAIT.len()] {
    let mut question = [b'q'; BAIT.len()];
    question[..8].copy_from_slice(&number.to_be_bytes());
    question
}

/// Asks a question every few milliseconds for so long. Returns how many were
/// asked and how many answered; what answers the flood does not count.
fn ask_for(time: Duration, socket: &UdpSocket, server: SocketAddr) -> (u64, u64) {
    let patience = Some(Duration::from_millis(3));
    socket.set_read_timeout(patience).expect("not zero");
    let (began, mut asked, mut answered) = (Instant::now(), 0, 0);
    while began.elapsed() < time {
        let question = question(asked);
        socket.send_to(&question, server).expect("it is sent");
        asked += 1;
        let pause = Instant::now();
        let mut answer = [0; 2_048];
        while pause.elapsed() < Duration::from_millis(5) {
            match socket.recv(&mut answer) {
                Ok(len) if answer[..len] != BAIT.repeat(10) => answered += 1,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("receiving: {error}"),
            }
        }
    }
    (asked, answered)
}

/// Two honest clients on the victim: one proves its address; the other does not,
/// and has the very port that is abused.
fn a_flood_in_the_name_of_a_victim_is_not_amplified_and_its_clients_are_served() {
    const FACTOR: u64 = 3;
    let scene = Scene::new();
    let limit = AmplificationLimit::new().factor(FACTOR as u32);
    let server = scene.serving(
        ThreadingUdpServer::builder().amplification_limit(limit),
        generous,
    );
    let addr = server.local_addr();
    let (validated, abused) = scene.victim.run(move || {
        let abused = UdpSocket::bind(VICTIM).expect("bound");
        (Client::at("10.0.0.2:0", addr), abused)
    });
    scene.count_at(4_000);
    let flood = scene.flood(addr);
    wait_until("the flood is there", || server.stats().received > 1_000);
    let token = validated.ask(b"token, please");
    assert_eq!(validated.ask(&token), b"welcome");
    let abused = thread::spawn(move || ask_for(length(), &abused, addr));
    let mut served = 0;
    while !abused.is_finished() {
        let question = question(served);
        assert_eq!(validated.ask(&question), question.repeat(10), "each, whole");
        served += 1;
        thread::sleep(Duration::from_millis(2));
    }
    let (asked, answered) = abused.join().expect("a client does not panic");
    let forged = flood.end();
    server.wait_until_settled(forged + asked + served + 2);
    let stats = server.stop().stats;
    assert_eq!(stats.handled, forged + asked + served + 2, "{stats}");
    let replies = stats.replies;
    assert_eq!(replies.failed.total(), 0, "{stats}");
    assert_eq!(
        replies.sent + replies.withheld,
        stats.handled,
        "each answer was sent or withheld:\n{stats}"
    );
    // On the wire: with 28 bytes of headers, ten baits in each answer.
    let received = (forged + asked) * (BAIT.len() as u64 + 28);
    let payload = scene.counted();
    let arrived = payload + payload / (10 * BAIT.len() as u64) * 28;
    assert!(
        arrived <= FACTOR * received,
        "{arrived} bytes came there, of {received} in its name:\n{stats}"
    );
    // Each answer is as long as ten questions, of which three earn some.
    assert!(arrived > 2 * received, "it is what limits:\n{stats}");
    let own = served * 10 * BAIT.len() as u64 + (token.len() + b"welcome".len()) as u64;
    assert_eq!(replies.bytes_sent, payload + own, "{stats}");
    // Of the abused port's answers three in ten are sent, its own among them.
    assert!(
        answered * 20 > asked,
        "the abused port got {answered} of {asked} answers"
    );
}

/// The leak: whose name is abused is slowed down, and not silenced.
fn a_flood_in_the_name_of_a_client_leaves_it_a_share_of_the_rate() {
    const PER_SECOND: u32 = 100;
    const LEAK: u64 = 10;
    let scene = Scene::new();
    let limit = RateLimit::per_second(PER_SECOND).leak(LEAK as u32);
    let builder = ThreadingUdpServer::builder().rate_limit(limit);
    let began = Instant::now();
    let server = scene.serving(builder, generous);
    let addr = server.local_addr();
    let client = scene
        .victim
        .run(|| UdpSocket::bind("10.0.0.2:0").expect("bound"));
    let flood = scene.flood(addr);
    wait_until("its share is used up", || {
        server.stats().refused.by(Refusal::RateLimited) > 1_000
    });
    let (asked, answered) = ask_for(length(), &client, addr);
    let sent = flood.end() + asked;
    server.wait_until_settled(sent);
    let stats = server.stop().stats;
    let (handled, refused) = (stats.handled, stats.refused.by(Refusal::RateLimited));
    assert_eq!(handled + refused, sent, "{stats}");
    let earned = began.elapsed().as_secs_f64() * f64::from(PER_SECOND);
    // A second's worth at once, what was earned since, and the leak.
    let most = u64::from(PER_SECOND) + earned.ceil() as u64 + refused / (LEAK - 1) + 1;
    assert!(handled <= most, "more than {most}:\n{stats}");
    // A tenth on average. Chance alone gives half of that once in a million.
    assert!(
        answered >= asked / (2 * LEAK),
        "{answered} of {asked} questions were answered"
    );
}
