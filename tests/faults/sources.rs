//! Floods from more sources than there can be.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socketserver::{AmplificationLimit, Builder, RateLimit, ReplyLoops, ThreadingUdpServer};

use crate::harness::{Case, Need, alone, cases, scale};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::process::cpu_ticks_of;
use crate::support::{Client, TestServer, echo};
use crate::world::resident_kib;

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip")] => {
            a_flood_from_random_sources_takes_no_memory_and_no_client_its_turn,
            with_all_guards_a_flood_from_random_sources_takes_no_more_memory_or_time,
        }
    }
}

/// Pseudo-random numbers (splitmix64), the same ones in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    }
}

/// All of IPv4, any port.
fn any_v4(number: u64) -> SocketAddr {
    let ip = Ipv4Addr::from_bits(number as u32);
    SocketAddr::from((ip, (number >> 32) as u16))
}

/// One network of a single customer: 2⁶⁴ addresses.
fn any_of_a_v6_network(number: u64) -> SocketAddr {
    let ip = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(number));
    SocketAddr::from((ip, 4_000))
}

/// Also with the server's own port: then it looks whether the address is its own.
fn with_port_of(server: SocketAddr, number: u64, source: SocketAddr) -> SocketAddr {
    if number % 2 == 0 {
        SocketAddr::new(source.ip(), server.port())
    } else {
        source
    }
}

fn a_flood_from_random_sources_takes_no_memory_and_no_client_its_turn() {
    if !alone("a_flood_from_random_sources_takes_no_memory_and_no_client_its_turn") {
        return;
    }
    for flood in FLOODS {
        flood.on(ThreadingUdpServer::builder(), 50);
    }
}

/// Tables that are full cost no more to look into than empty ones, and a guard
/// that forgets the sources of a flood does not forget the client.
fn with_all_guards_a_flood_from_random_sources_takes_no_more_memory_or_time() {
    if !alone("with_all_guards_a_flood_from_random_sources_takes_no_more_memory_or_time") {
        return;
    }
    for flood in FLOODS {
        // Less than the second flood sends, whose sources are one for the limit;
        // and more than a client can ask that waits for each answer.
        let guarded = ThreadingUdpServer::builder()
            .refuse_responder_ports(true)
            .deny_networks(["192.0.2.0/24", "2001:db8:1::/48"])
            .break_reply_loops(ReplyLoops::new())
            .rate_limit(RateLimit::per_second(20_000))
            .amplification_limit(AmplificationLimit::new());
        flood.on(guarded, 50);
    }
}

/// A flood on a server, from random sources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flood {
    bound_to: &'static str,
    asked: &'static str,
    source: fn(u64) -> SocketAddr,
}

/// One over each version of IP.
pub(crate) const FLOODS: [Flood; 2] = [
    Flood {
        bound_to: "0.0.0.0:0",
        asked: "127.0.0.1",
        source: any_v4,
    },
    Flood {
        bound_to: "[::]:0",
        asked: "::1",
        source: any_of_a_v6_network,
    },
];

impl Flood {
    /// Floods such a server, in a network of its own. One client asks all the
    /// time and gets its answers; memory does not grow after the warm-up, by
    /// whose last round all that has a fixed size has been touched.
    #[track_caller]
    pub(crate) fn on(self, builder: Builder<ThreadingUdpServer>, warm_up: u64) {
        let (here, there) = Namespace::pair();
        // Replies to the forged sources leave, and get lost there.
        here.ip("route add default via 10.0.0.2");
        here.ip("-6 route add default via fd00::2");
        here.run(move || self.run(builder, warm_up));
        drop(there);
    }

    #[track_caller]
    fn run(self, builder: Builder<ThreadingUdpServer>, warm_up: u64) {
        let builder = builder.workers(2).thread_name("flooded");
        let server = builder.bind_fn(self.bound_to, echo).expect("bound");
        let asked = self.asked.parse().expect("an address");
        let addr = SocketAddr::new(asked, server.local_addr().port());
        let (forger, client) = (Forger::new(), Client::of(addr));
        let server = TestServer::spawn(server);
        let mut numbers = Numbers(1);
        let mut round = |number: u64| {
            for random in numbers.by_ref().take(AT_ONCE) {
                let source = with_port_of(addr, random, (self.source)(random));
                forger.datagram(source, addr, b"from nowhere");
            }
            let question = number.to_ne_bytes();
            assert_eq!(client.ask(&question), question, "it has its turn");
        };
        (0..warm_up).for_each(&mut round);
        let before = resident_kib();
        let half = 500 * scale();
        let mut ticks_of_half = |from: u64| {
            let before = cpu_ticks_of("flooded");
            (from..from + half).for_each(&mut round);
            cpu_ticks_of("flooded") - before
        };
        let (first, second) = (ticks_of_half(warm_up), ticks_of_half(warm_up + half));
        let rounds = warm_up + 2 * half;
        let after = resident_kib();
        let stats = server.stop().stats;
        assert_eq!(
            stats.received + stats.kernel_drops.unwrap_or(0),
            rounds * (AT_ONCE as u64 + 1),
            "all of the flood is accounted for:\n{stats}"
        );
        assert!(
            after < before + MOST_GROWTH,
            "memory grew from {before} to {after} KiB"
        );
        // Other processes cost it the caches, now in one half and now in the other.
        assert!(
            second < 5 * first + 10,
            "a datagram costs ever more: {first} ticks, then {second}"
        );
    }
}

/// Datagrams between two questions of the client: they fit the smallest
/// receive buffer.
const AT_ONCE: usize = 100;

/// In KiB: less than ten bytes for each of the sources.
const MOST_GROWTH: u64 = 1_024;
