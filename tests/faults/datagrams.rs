//! The smallest and the longest: datagrams and replies of no byte and of too many.

use std::io::ErrorKind;
use std::sync::mpsc;

use socketserver::{OnTruncated, Refusal, SendError, ThreadingUdpServer};

use crate::harness::{Case, cases};
use crate::support::{ANY_PORT, Client, TestServer, echo};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            an_empty_datagram_is_data,
            a_datagram_over_the_limit_costs_its_neighbours_nothing,
            a_truncated_datagram_is_marked_and_shows_no_stale_bytes,
            an_oversize_reply_fails_alone,
        }
    }
}

/// The most that a UDP datagram over IPv4 can carry: 65,535 bytes less the
/// headers of IP (20) and UDP (8).
const LONGEST: usize = 65_507;

/// Bytes that differ from their neighbours, and from those of other seeds.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 7 + seed) % 251) as u8).collect()
}

fn an_empty_datagram_is_data() {
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, |bytes, _, socket| match bytes {
        b"say nothing" => Ok(()),
        _ => Ok(socket.reply(bytes)?),
    });
    let server = TestServer::spawn(server.expect("bound"));
    let client = Client::of(server.local_addr());
    // Were no reply taken for an empty one, the silent second request would
    // be answered before the third.
    client.send(b"");
    client.expect_reply(b"");
    client.send(b"say nothing");
    client.send(b"go on");
    client.expect_reply(b"go on");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.replies.sent), (3, 2));
    client.expect_silence();
}

fn a_datagram_over_the_limit_costs_its_neighbours_nothing() {
    const LIMIT: usize = 100;
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .max_packet_size(LIMIT)
        .bind_fn(ANY_PORT, echo)
        .expect("bound");
    let client = Client::of(server.local_addr());
    // Queued before anyone receives: they come in one batch.
    let sizes = [LIMIT, LIMIT + 1, 0, LONGEST, LIMIT - 1, 5_000, 1];
    for (seed, size) in sizes.into_iter().enumerate() {
        client.send(&pattern(seed, size));
    }
    let server = TestServer::spawn(server);
    for (seed, size) in sizes.into_iter().enumerate() {
        if size <= LIMIT {
            client.expect_reply(&pattern(seed, size));
        }
    }
    let stats = server.stop().stats;
    assert_eq!(
        (stats.handled, stats.refused.by(Refusal::Truncated)),
        (4, 3)
    );
    client.expect_silence();
}

fn a_truncated_datagram_is_marked_and_shows_no_stale_bytes() {
    const LIMIT: usize = 64;
    let (tell, told) = mpsc::channel();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .max_packet_size(LIMIT)
        .on_truncated(OnTruncated::Deliver)
        .bind_fn(ANY_PORT, move |bytes, _, socket| {
            tell.send((bytes.to_vec(), socket.is_truncated()))?;
            Ok(socket.reply(b"seen")?)
        })
        .expect("bound");
    let client = Client::of(server.local_addr());
    // Twice through the same slots: long ones first, whose bytes lie there
    // when the short ones come.
    let sizes = [LONGEST, LIMIT + 1, LIMIT, 3, 0, 63, 1, LONGEST, 2];
    let server = TestServer::spawn(server);
    for (seed, size) in sizes.into_iter().enumerate() {
        assert_eq!(client.ask(&pattern(seed, size)), b"seen");
    }
    server.stop();
    let seen: Vec<_> = told.iter().collect();
    let expected: Vec<_> = sizes
        .into_iter()
        .enumerate()
        .map(|(seed, size)| (pattern(seed, size.min(LIMIT)), size > LIMIT))
        .collect();
    assert_eq!(seen, expected, "each cut at the limit, marked if it was");
}

fn an_oversize_reply_fails_alone() {
    let (tell, told) = mpsc::channel();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bind_fn(ANY_PORT, move |bytes, addr, socket| {
            if bytes == b"too much" {
                let reply = pattern(0, LONGEST + 1);
                tell.send((socket.reply(&reply), socket.try_send_to(&reply, addr)))?;
            }
            Ok(socket.reply(bytes)?)
        })
        .expect("bound");
    let client = Client::of(server.local_addr());
    let requests = [&b"before"[..], b"too much", b"after", &pattern(1, LONGEST)];
    for request in requests {
        client.send(request);
    }
    let server = TestServer::spawn(server);
    for request in requests {
        client.expect_reply(request);
    }
    let (batched, immediate) = told.recv().expect("the handler was there");
    assert!(
        matches!(batched, Err(SendError::TooLong { .. })),
        "told at once: {batched:?}"
    );
    let immediate = immediate.expect_err("refused as well");
    assert_eq!(immediate.kind(), ErrorKind::InvalidInput, "{immediate}");
    let stats = server.stop().stats;
    assert_eq!(stats.handled, 4, "the handler went on");
    assert_eq!(stats.replies.sent, 4, "all that could be sent was");
}
