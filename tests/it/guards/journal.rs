//! What the guards write to the log: little, and all that matters.

use socketserver::{AmplificationLimit, RateLimit, Refusal, ThreadingUdpServer};

use crate::support::{Client, ServerBuilder, echo, keep_log, logged};

#[test]
fn a_refusal_is_logged_at_once_and_the_rest_summed_up_in_the_end() {
    keep_log();
    let limit = RateLimit::per_second(1).burst(1).leak(0);
    // One worker: none finds the journal taken, so all are named.
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .rate_limit(limit)
        .serving(echo);
    let addr = server.local_addr();
    let client = Client::of(addr);
    for _ in 0..200 {
        client.send(b"too much");
    }
    server.wait_until_settled(200);
    let why = "127.0.0.1: more than rate_limit allows";
    let first = format!("WARN: {addr}: refused datagrams from {why}");
    assert_eq!(logged(&format!("{addr}: refused")), [first], "at once");
    let refused = server.stop().stats.refused.by(Refusal::RateLimited);
    let lines = logged(&format!("{addr}: refused"));
    // In as many seconds as the test took, and not in a whole period.
    let summary = format!(" 127.0.0.1, {} more in ", refused - 1);
    assert!(!lines[1].contains(" in 10 s"), "{lines:?}");
    assert!(lines[1].contains(&summary), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_flood_of_sources_is_summed_up_in_one_line() {
    keep_log();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .deny_networks(["127.9.0.0/16"])
        .serving(echo);
    let addr = server.local_addr();
    for host in 1..=100 {
        Client::at(&format!("127.9.0.{host}:0"), addr).send(b"hello?");
    }
    server.wait_until_settled(100);
    server.stop();
    let lines = logged(&format!("{addr}: refused"));
    assert_eq!(lines.len(), 9, "eight names and a number: {lines:?}");
    assert!(lines[8].contains("others, 92 in "), "{lines:?}");
    assert!(
        lines[8].ends_with(" s: denied by deny_networks"),
        "{lines:?}"
    );
}

#[test]
fn what_is_withheld_is_logged() {
    keep_log();
    let server = ThreadingUdpServer::builder()
        .amplification_limit(AmplificationLimit::new())
        .serving(|_, _, socket| Ok(socket.reply(&[b'x'; 1_000])?));
    let addr = server.local_addr();
    Client::of(addr).send(b"tell me all");
    server.wait_until_settled(1);
    server.stop();
    let line = format!(
        "WARN: {addr}: withheld replies to 127.0.0.1: more than amplification_limit allows"
    );
    assert_eq!(logged(&format!("{addr}: withheld")), [line]);
}
