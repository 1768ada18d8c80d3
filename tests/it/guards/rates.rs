//! Who sends too much, and who goes round in circles.

use std::time::{Duration, Instant};

use socketserver::{RateLimit, Refusal, ReplyLoops, ThreadingUdpServer};

use crate::support::{Client, ServerBuilder, TestServer, echo, wait_until};

/// Far below what these tests send, so that nothing is earned while they run.
fn slow() -> RateLimit {
    RateLimit::per_second(1).leak(0)
}

fn serving(limit: RateLimit) -> TestServer {
    ThreadingUdpServer::builder()
        .rate_limit(limit)
        .serving(echo)
}

fn send(client: &Client, count: u32) {
    for number in 0..count {
        client.send(&number.to_be_bytes());
    }
}

/// A second, a datagram: what a slow machine may have let pass beyond the burst.
fn earned_since(began: Instant) -> u64 {
    began.elapsed().as_secs() + 1
}

#[test]
fn what_exceeds_the_rate_is_refused_and_counted() {
    let began = Instant::now();
    let server = serving(slow().burst(10));
    let client = Client::of(server.local_addr());
    send(&client, 100);
    server.wait_until_settled(100);
    let stats = server.stop().stats;
    let most = 10 + earned_since(began);
    assert!((10..=most).contains(&stats.handled), "{stats}");
    assert_eq!(stats.refused.by(Refusal::RateLimited), 100 - stats.handled);
    assert_eq!(stats.replies.sent, stats.handled, "and nobody is told");
}

#[cfg(target_os = "linux")]
#[test]
fn another_source_has_a_share_of_its_own() {
    let server = serving(slow().burst(2));
    let flood = Client::at("127.0.0.2:0", server.local_addr());
    send(&flood, 200);
    server.wait_until_settled(200);
    let client = Client::at("127.0.0.1:0", server.local_addr());
    assert_eq!(client.ask(b"me, too"), b"me, too");
    // The port does not matter: whoever has one has them all.
    let same = Client::at("127.0.0.2:0", server.local_addr());
    let before = server.stats().refused.by(Refusal::RateLimited);
    send(&same, 5);
    server.wait_until_settled(206);
    assert!(server.stop().stats.refused.by(Refusal::RateLimited) > before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_prefix_is_one_source() {
    let began = Instant::now();
    let server = serving(slow().burst(5).ipv4_prefix(24));
    for host in 1..=50 {
        Client::at(&format!("127.0.7.{host}:0"), server.local_addr()).send(b"one of many");
    }
    server.wait_until_settled(50);
    let handled = server.stop().stats.handled;
    assert!(
        (5..=5 + earned_since(began)).contains(&handled),
        "{handled}"
    );
}

#[test]
fn one_in_so_many_leaks_through() {
    let began = Instant::now();
    let server = serving(slow().burst(1).leak(10));
    send(&Client::of(server.local_addr()), 201);
    server.wait_until_settled(201);
    let handled = server.stop().stats.handled;
    let most = 21 + earned_since(began);
    assert!((20..=most).contains(&handled), "a tenth and one: {handled}");
}

#[test]
fn a_dry_run_only_counts() {
    let began = Instant::now();
    let server = serving(slow().burst(10).dry_run(true));
    let client = Client::of(server.local_addr());
    send(&client, 100);
    server.wait_until_settled(100);
    let watched = server.stats().would_be_rate_limited;
    let stats = server.stop().stats;
    assert_eq!(stats.handled, 100, "all pass");
    assert_eq!(stats.refused.total(), 0, "none is refused");
    let would_be = stats.would_be_rate_limited;
    assert_eq!(would_be, watched, "the handle and the report agree");
    let least = 90 - earned_since(began);
    assert!((least..=90).contains(&would_be), "{would_be}");
    assert!(stats.table().to_string().contains("would be over the rate"));
}

/// A server that answers whatever it gets with an error: the naive kind. Asked
/// to `attack` an address it writes there first, as if a forger had.
fn naive(builder: socketserver::Builder<ThreadingUdpServer>) -> TestServer {
    builder.serving(|bytes, _, socket| {
        let text = std::str::from_utf8(bytes)?;
        match text.strip_prefix("attack ") {
            Some(victim) => Ok(socket.send_to(b"what?", victim.parse()?)?),
            None => Ok(socket.reply(b"error: I do not understand")?),
        }
    })
}

#[test]
fn two_servers_set_on_each_other_are_taken_apart() {
    let builder = ThreadingUdpServer::builder();
    let guarded = naive(builder.break_reply_loops(ReplyLoops::new()));
    let other = naive(ThreadingUdpServer::builder());
    let attack = format!("attack {}", guarded.local_addr());
    for _ in 0..3 {
        // Several datagrams go round at the same time.
        Client::of(other.local_addr()).send(attack.as_bytes());
    }
    wait_until("the loop is broken", || {
        guarded.stats().refused.by(Refusal::ReplyLoop) > 0
    });
    let (mut last, mut quiet_since) = (0, Instant::now());
    wait_until("nothing goes round any more", || {
        let now = guarded.stats().received + other.stats().received;
        if now != last {
            (last, quiet_since) = (now, Instant::now());
        }
        quiet_since.elapsed() > Duration::from_millis(300)
    });
    let stats = guarded.stop().stats;
    assert!(
        stats.refused.by(Refusal::ReplyLoop) <= 3,
        "each ends once: {stats}"
    );
    other.stop();
}

#[test]
fn a_muted_question_is_refused_and_others_are_not() {
    let loops = ReplyLoops::new().exchanges(8).mute(Duration::from_secs(60));
    let loops = loops.gap(Duration::from_secs(30));
    let server = ThreadingUdpServer::builder()
        .break_reply_loops(loops)
        .serving(echo);
    let client = Client::of(server.local_addr());
    for _ in 0..8 {
        assert_eq!(client.ask(b"again"), b"again");
    }
    client.send(b"again");
    assert_eq!(client.ask(b"something else"), b"something else");
    let neighbour = Client::of(server.local_addr());
    assert_eq!(neighbour.ask(b"again"), b"again", "another peer may ask it");
    let stats = server.stop().stats;
    client.expect_silence();
    assert_eq!(
        (stats.handled, stats.refused.by(Refusal::ReplyLoop)),
        (10, 1)
    );
}

#[test]
fn questions_that_differ_are_no_loop() {
    let loops = ReplyLoops::new().exchanges(8);
    let server = ThreadingUdpServer::builder()
        .break_reply_loops(loops)
        .serving(echo);
    let client = Client::of(server.local_addr());
    for number in 0..200_u32 {
        let question = number.to_be_bytes();
        assert_eq!(client.ask(&question), question);
    }
    assert_eq!(server.stop().stats.handled, 200);
}
