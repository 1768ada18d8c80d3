//! The limiter with a clock of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::guard::keys::Keys;

fn key() -> TableKey {
    Keys::new([5; Keys::BYTES]).table
}

fn at(millis: u64) -> Timestamp {
    Timestamp::after(Duration::from_millis(millis))
}

fn host(number: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(number).into(), 9)
}

fn limiter(limit: RateLimit) -> RateLimiter {
    RateLimiter::new(limit).expect("memory for a table")
}

/// How many of `count` datagrams at one moment pass.
fn passed(limiter: &RateLimiter, peer: SocketAddr, count: u32, now: Timestamp) -> u32 {
    let verdicts = (0..count).map(|_| limiter.judge(limiter.source(peer), &key(), now));
    verdicts.filter(|v| *v != Verdict::Over).count() as u32
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let limiter = limiter(RateLimit::per_second(10).burst(5).leak(0));
    assert_eq!(passed(&limiter, host(1), 100, at(0)), 5, "the burst");
    assert_eq!(passed(&limiter, host(1), 100, at(99)), 0, "nothing earned");
    assert_eq!(passed(&limiter, host(1), 100, at(100)), 1, "one earned");
    assert_eq!(passed(&limiter, host(1), 100, at(400)), 3, "three earned");
    assert_eq!(
        passed(&limiter, host(1), 100, at(60_000)),
        5,
        "no more than a burst"
    );
    assert_eq!(
        passed(&limiter, host(2), 100, at(60_000)),
        5,
        "another source"
    );
}

#[test]
fn the_burst_is_a_seconds_worth_unless_said_otherwise() {
    let limiter = limiter(RateLimit::per_second(10).leak(0));
    assert_eq!(passed(&limiter, host(1), 100, at(0)), 10);
}

#[test]
fn one_in_so_many_leaks_through() {
    let limiter = limiter(RateLimit::per_second(1).leak(4));
    assert_eq!(passed(&limiter, host(1), 1 + 40, at(0)), 1 + 10);
}

#[test]
fn a_rhythm_does_not_take_every_leak() {
    let limiter = limiter(RateLimit::per_second(1).leak(10));
    passed(&limiter, host(1), 1, at(0));
    let mut served = 0;
    for _ in 0..1_000 {
        // Nine of a flood and one of the client in whose name it comes.
        passed(&limiter, host(1), 9, at(0));
        served += passed(&limiter, host(1), 1, at(0));
    }
    assert!((50..200).contains(&served), "{served} of 1000, one in 10");
}

#[test]
fn link_local_peers_are_sources_of_their_own() {
    let limiter = limiter(RateLimit::per_second(1).burst(1).leak(0));
    for peer in ["[fe80::1%1]:9", "[fe80::2%1]:9", "[fe80::1%2]:9"] {
        let peer = peer.parse().expect("an address");
        assert_eq!(passed(&limiter, peer, 2, at(0)), 1, "{peer}");
    }
}

#[test]
fn a_prefix_shares_one_bucket() {
    let shared = limiter(RateLimit::per_second(1).burst(3).leak(0).ipv4_prefix(24));
    let sum: u32 = (0..256).map(|ip| passed(&shared, host(ip), 1, at(0))).sum();
    assert_eq!(sum, 3, "256 addresses are one source");
    let v6 = |ip: &str| SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), 9);
    let limiter = limiter(RateLimit::per_second(1).burst(1).leak(0));
    assert_eq!(passed(&limiter, v6("2001:db8::1"), 1, at(0)), 1);
    assert_eq!(
        passed(&limiter, v6("2001:db8::ffff:1:2:3"), 1, at(0)),
        0,
        "the same /64"
    );
    assert_eq!(
        passed(&limiter, v6("2001:db8:0:1::1"), 1, at(0)),
        1,
        "another"
    );
}

#[test]
fn under_a_flood_of_sources_a_known_client_is_served_and_an_offender_remembered() {
    let limiter = limiter(
        RateLimit::per_second(10)
            .burst(10)
            .leak(0)
            .table_entries(1_024),
    );
    let (client, offender) = (host(1), host(2));
    assert_eq!(passed(&limiter, offender, 1_000, at(0)), 10, "used up");
    let mut served = 0;
    for step in 0..30_u32 {
        let now = at(u64::from(step) * 10);
        for number in 0..1_000 {
            passed(&limiter, host(1_000 + step * 1_000 + number), 1, now);
        }
        if step % 10 == 0 {
            served += passed(&limiter, client, 1, now);
        }
    }
    assert_eq!(served, 3, "every request of the client");
    let again = passed(&limiter, offender, 1_000, at(300));
    assert_eq!(again, 3, "what it has earned, and no new bucket");
}

#[test]
fn nonsense_is_refused_in_words() {
    let limit = || RateLimit::per_second(1);
    for (limit, words) in [
        (RateLimit::per_second(0), "0 datagrams per second"),
        (
            RateLimit::per_second(1_000_001),
            "1000001 datagrams per second",
        ),
        (limit().burst(0), "a burst of 0"),
        (limit().ipv4_prefix(23), "an IPv4 prefix of 23 bits"),
        (limit().ipv4_prefix(33), "an IPv4 prefix of 33 bits"),
        (limit().ipv6_prefix(55), "an IPv6 prefix of 55 bits"),
        (limit().ipv6_prefix(129), "an IPv6 prefix of 129 bits"),
        (limit().leak(1), "a leak of one in 1"),
        (limit().table_entries(0), "a table of 0 entries"),
    ] {
        let problem = limit.check().expect_err(words);
        assert!(problem.starts_with(words), "{problem}");
    }
    assert_eq!(limit().check(), Ok(()));
}

#[test]
fn memory_is_as_documented() {
    assert_eq!(Table::<Bucket>::bytes(DEFAULT_ENTRIES), 65_536 * 25);
}

proptest! {
    /// The law of the token bucket: in any window of time there pass at most a
    /// burst, what is earned in that time, and one in so many of the rest.
    #[test]
    fn never_more_than_burst_and_rate_and_leak_in_any_window(
        rate in 1..2_000_u32,
        burst in 1..50_u32,
        leak in prop_oneof![Just(0), 2..12_u32],
        gaps in prop::collection::vec(0..5_000_000_u64, 1..200),
    ) {
        let limiter = limiter(RateLimit::per_second(rate).burst(burst).leak(leak));
        let mut now = Timestamp::START;
        let mut seen = Vec::new();
        for gap in gaps {
            now = now.plus(gap);
            seen.push((now, limiter.judge(limiter.source(host(1)), &key(), now)));
        }
        for from in 0..seen.len() {
            let (mut within, mut leaked, mut over) = (0_u64, 0_u64, 0_u64);
            for (when, verdict) in &seen[from..] {
                match verdict {
                    Verdict::Within => within += 1,
                    Verdict::Leaked => leaked += 1,
                    Verdict::Over => over += 1,
                }
                let earned = when.since(seen[from].0) as f64 / 1e9 * f64::from(rate);
                prop_assert!(within as f64 <= f64::from(burst) + earned + 1e-6);
                prop_assert!(leaked <= (leaked + over) / u64::from(leak.max(1)) + 2);
            }
        }
        if leak == 0 {
            prop_assert!(seen.iter().all(|(_, verdict)| *verdict != Verdict::Leaked));
        }
    }

    /// And not less either: who keeps to the rate is never refused.
    #[test]
    fn who_keeps_to_the_rate_is_never_refused(rate in 1..=1_000_000_u32, burst in 1..50_u32) {
        let limiter = limiter(RateLimit::per_second(rate).burst(burst));
        let gap = 1_000_000_000_u64.div_ceil(u64::from(rate));
        for step in 0..200 {
            let now = Timestamp::START.plus(step * gap);
            let verdict = limiter.judge(limiter.source(host(1)), &key(), now);
            prop_assert_eq!(verdict, Verdict::Within);
        }
    }
}

#[test]
fn a_limit_in_the_place_of_another_knows_what_was_used_up() {
    let limit = RateLimit::per_second(10).burst(5).leak(0);
    let before = limiter(limit.clone());
    assert_eq!(passed(&before, host(1), 5, at(0)), 5);
    let same = before.changed(limit.clone()).expect("memory for a table");
    assert_eq!(passed(&same, host(1), 100, at(0)), 0, "used up before");
    assert_eq!(passed(&same, host(2), 100, at(0)), 5, "another source");
    let apart = before.changed(limit.ipv4_prefix(24));
    let apart = apart.expect("memory for a table");
    assert_eq!(passed(&apart, host(1), 100, at(0)), 5, "told apart anew");
}

/// A minute's worth of slow datagrams is no debt of a minute where they are quick.
#[test]
fn nobody_owes_more_than_a_burst_of_the_limit_that_holds() {
    let slow = limiter(RateLimit::per_second(1).burst(60).leak(0));
    assert_eq!(passed(&slow, host(1), 100, at(0)), 60);
    let quick = slow.changed(RateLimit::per_second(1_000).burst(10).leak(0));
    let quick = quick.expect("memory for a table");
    assert_eq!(passed(&quick, host(1), 100, at(0)), 0, "a burst is used up");
    assert_eq!(passed(&quick, host(1), 100, at(1)), 1, "one earned");
    assert_eq!(passed(&quick, host(1), 100, at(6)), 5, "and five more");
}

#[test]
fn trusted_sources_are_known_in_either_form() {
    let limiter = limiter(RateLimit::per_second(1).trust(["192.0.2.0/24", "2001:db8::/32"]));
    for (ip, is_trusted) in [
        ("192.0.2.9", true),
        ("::ffff:192.0.2.9", true),
        ("2001:db8::9", true),
        ("192.0.3.9", false),
    ] {
        let ip: IpAddr = ip.parse().expect("an address");
        assert_eq!(limiter.trusts(ip), is_trusted, "{ip}");
    }
}
