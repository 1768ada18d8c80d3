//! What a handler is shown: whole datagrams, one by one, and nothing else.

use std::sync::mpsc;

use socketserver::{OnTruncated, Refusal, ThreadingUdpServer};

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
use crate::support::Gate;
use crate::support::{
    ANY_PORT, Client, ServerBuilder, TestServer, UdpServer, echo, for_both_servers,
};

for_both_servers! {
    an_empty_datagram_is_data,
    three_equal_datagrams_stay_three,
    datagrams_of_one_batch_keep_their_boundaries,
    the_largest_datagram_goes_there_and_back,
    a_datagram_that_is_too_long_is_refused_and_counted,
    a_truncated_datagram_is_flagged_and_shows_no_stale_bytes,
    a_datagram_of_exactly_the_limit_is_whole,
    what_the_server_does_to_wake_itself_is_shown_to_no_handler,
    a_client_that_vanished_disturbs_nobody,
    a_datagram_from_the_server_to_itself_is_refused,
    the_handler_is_told_who_asked,
}

fn an_empty_datagram_is_data<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| {
        Ok(socket.reply(format!("{} bytes", bytes.len()).as_bytes())?)
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b""), b"0 bytes", "the handler saw it");
    assert_eq!(client.ask(b"x"), b"1 bytes", "and the next");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.bytes_received), (2, 1), "both count");
}

fn three_equal_datagrams_stay_three<S: UdpServer>() {
    let server = S::bound(|bytes, _, socket| Ok(socket.reply(&bytes.to_ascii_uppercase())?));
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"baby~");
    }
    let server = TestServer::spawn(server);
    for _ in 0..3 {
        client.expect_reply(b"BABY~");
    }
    assert_eq!(server.stop().stats.received, 3, "neither merged nor split");
    client.expect_silence();
}

fn datagrams_of_one_batch_keep_their_boundaries<S: UdpServer>() {
    let server = S::builder().at_most(1).bound(echo);
    let client = Client::of(server.local_addr());
    // Long and short in turn, each of its own letter.
    let sizes = [900, 1, 0, 700, 3, 1_400, 2, 0, 65, 64, 63, 512];
    let datagrams: Vec<Vec<u8>> = sizes
        .iter()
        .zip(b'a'..)
        .map(|(size, letter)| vec![letter; *size])
        .collect();
    datagrams.iter().for_each(|datagram| client.send(datagram));
    let _server = TestServer::spawn(server);
    for datagram in &datagrams {
        client.expect_reply(datagram);
    }
}

fn the_largest_datagram_goes_there_and_back<S: UdpServer>() {
    let server = S::serving(echo);
    let client = Client::of(server.local_addr());
    let largest: Vec<u8> = (0..65_507_u32).map(|at| (at % 251) as u8).collect();
    client.send(&largest);
    client.expect_reply(&largest);
}

fn a_datagram_that_is_too_long_is_refused_and_counted<S: UdpServer>() {
    let server = S::builder().at_most(1).max_packet_size(8).bound(echo);
    let client = Client::of(server.local_addr());
    client.send(b"before");
    client.send(b"far too long");
    client.send(b"after");
    let server = TestServer::spawn(server);
    client.expect_reply(b"before");
    client.expect_reply(b"after");
    let stats = server.stop().stats;
    assert_eq!(
        stats.refused.by(Refusal::Truncated),
        1,
        "refused for that reason"
    );
    assert_eq!(stats.handled, 2, "its neighbours are intact");
    client.expect_silence();
}

fn a_truncated_datagram_is_flagged_and_shows_no_stale_bytes<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::builder()
        .at_most(1)
        .max_packet_size(8)
        .on_truncated(OnTruncated::Deliver)
        .serving(move |bytes, _, socket| {
            tell.send((bytes.to_vec(), socket.is_truncated()))?;
            Ok(socket.reply(b"seen")?)
        });
    let client = Client::of(server.local_addr());
    for datagram in [&b"AAAAAAAAAAAA"[..], b"bb", b"", b"CCCCCCCCC", b"d"] {
        assert_eq!(client.ask(datagram), b"seen");
    }
    server.stop();
    let seen: Vec<(Vec<u8>, bool)> = told.iter().collect();
    let expected: Vec<(Vec<u8>, bool)> = vec![
        (b"AAAAAAAA".to_vec(), true),
        (b"bb".to_vec(), false),
        (b"".to_vec(), false),
        (b"CCCCCCCC".to_vec(), true),
        (b"d".to_vec(), false),
    ];
    assert_eq!(seen, expected, "each as long as it was, at most 8");
}

fn a_datagram_of_exactly_the_limit_is_whole<S: UdpServer>() {
    let server = S::builder().max_packet_size(8).serving(|bytes, _, socket| {
        assert!(!socket.is_truncated(), "nothing is missing");
        Ok(socket.reply(bytes)?)
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"12345678"), b"12345678", "eight of eight");
    assert_eq!(server.stop().stats.refused.total(), 0, "none refused");
}

#[test]
fn datagrams_queued_before_serving_are_served_in_order() {
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bind_fn(ANY_PORT, echo)
        .expect("bound");
    let client = Client::of(server.local_addr());
    for number in 0..100_u8 {
        client.send(&[number]);
    }
    let _server = TestServer::spawn(server);
    for number in 0..100_u8 {
        client.expect_reply(&[number]);
    }
}

/// The portable twin wakes its receiver with a datagram, which must be known as
/// such also when it is longer than a client's may be.
fn what_the_server_does_to_wake_itself_is_shown_to_no_handler<S: UdpServer>() {
    for _ in 0..20 {
        let server = S::builder()
            .max_packet_size(1)
            .on_truncated(OnTruncated::Deliver)
            .serving(echo);
        Client::of(server.local_addr()).ask(b"x");
        let stats = server.stop().stats;
        assert_eq!(stats.received, 1, "nobody else sent anything:\n{stats}");
    }
}

fn a_client_that_vanished_disturbs_nobody<S: UdpServer>() {
    let server = S::bound(echo);
    let addr = server.local_addr();
    let staying = Client::of(addr);
    for _ in 0..10 {
        // Its port is closed before the reply comes: an ICMP error goes back.
        Client::of(addr).send(b"gone");
        staying.send(b"staying");
    }
    let server = TestServer::spawn(server);
    for _ in 0..10 {
        staying.expect_reply(b"staying");
    }
    assert_eq!(staying.ask(b"and now?"), b"and now?", "still served");
    assert_eq!(server.stop().stats.handled, 21, "all were handled");
}

fn a_datagram_from_the_server_to_itself_is_refused<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| {
        socket.send_to(b"to myself", socket.local_addr())?;
        Ok(socket.reply(bytes)?)
    });
    let client = Client::of(server.local_addr());
    client.ask(b"go");
    server.wait_until_settled(2);
    let stats = server.stop().stats;
    assert_eq!(
        stats.refused.by(Refusal::OwnAddress),
        1,
        "it goes round once"
    );
    assert_eq!((stats.received, stats.handled), (2, 1), "and no further");
}

fn the_handler_is_told_who_asked<S: UdpServer>() {
    let server = S::serving(|_, addr, socket| Ok(socket.reply(addr.to_string().as_bytes())?));
    for _ in 0..3 {
        let client = Client::of(server.local_addr());
        let shown = client.ask(b"who am I?");
        assert_eq!(shown, client.addr().to_string().into_bytes());
    }
}

/// The portable twin cannot ask the kernel what it dropped.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn what_a_full_pool_makes_the_kernel_drop_is_counted_to_the_last() {
    const SENT: u64 = 500;
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1..=2)
        .receive_buffer(20_000)
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"1");
    gate.wait_for(1);
    client.send(b"2");
    gate.wait_for(2);
    for _ in 2..SENT {
        client.send(b"flood");
    }
    let drops = server.stats().kernel_drops.expect("Linux tells");
    assert!(drops > 0, "the buffer is small");
    gate.open();
    server.wait_until_settled(SENT - drops);
    let stats = server.stop().stats;
    let drops = stats.kernel_drops.expect("Linux tells");
    assert_eq!(
        stats.received + drops,
        SENT,
        "none is unaccounted for:\n{stats}"
    );
}

/// The portable twin receives one datagram per call.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn datagrams_that_wait_are_received_in_one_batch() {
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let client = Client::of(server.local_addr());
    for _ in 0..32 {
        client.send(b"together");
    }
    let server = TestServer::spawn(server);
    for _ in 0..32 {
        client.expect_reply(b"together");
    }
    assert_eq!(server.stop().stats.batches, 1, "one call for all");
}

/// Only Linux tells when a datagram was received.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn what_waited_too_long_is_shed_and_what_came_after_it_is_answered() {
    let limit = std::time::Duration::from_millis(200);
    let server = socketserver::ThreadingUdpServer::builder()
        .shed_older_than(limit)
        // What is shed is not charged to its sender.
        .rate_limit(socketserver::RateLimit::per_second(1).burst(2).leak(0))
        .bind_fn(crate::support::ANY_PORT, crate::support::echo)
        .expect("bound");
    let client = Client::of(server.local_addr());
    // The kernel switches stamps on in the background and stamps what it received
    // before with the time at which it is read; nothing tells when it is done.
    std::thread::sleep(std::time::Duration::from_millis(100));
    for _ in 0..5 {
        client.send(b"old");
    }
    // The stall itself: nobody serves yet.
    std::thread::sleep(limit + std::time::Duration::from_millis(100));
    client.send(b"new");
    let server = TestServer::spawn(server);
    client.expect_reply(b"new");
    let stats = server.stop().stats;
    assert_eq!((stats.shed.stale, stats.handled), (5, 1));
    crate::support::assert_conserved(&stats);
}
