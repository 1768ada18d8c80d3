//! Several datagrams that the kernel delivers as one (generic receive offload, GRO).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{Builder, OnTruncated, ThreadingUdpServer};

use crate::support::{ANY_PORT, Client, Journal, TestServer, echo};

/// Sends `count` datagrams of `len` bytes, the last one byte shorter, as one
/// segmented send. Each begins with its number.
#[track_caller]
fn send_segmented(client: &UdpSocket, to: SocketAddr, count: u8, len: usize) {
    let segment = i32::try_from(len).expect("a short datagram");
    setsockopt(client, sockopt::UdpGsoSegment, &segment).expect("a segment size");
    let mut payload: Vec<u8> = (0..count)
        .flat_map(|number| std::iter::repeat_n(number, len))
        .collect();
    payload.pop();
    let sent = client.send_to(&payload, to).expect("loopback");
    assert_eq!(sent, payload.len(), "sent whole");
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind(ANY_PORT).expect("a client's socket");
    let patience = Some(Duration::from_secs(5));
    client.set_read_timeout(patience).expect("not zero");
    client
}

fn coalescing() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder().coalesce_receives(true)
}

#[test]
fn each_datagram_of_a_coalesced_receive_is_handled_answered_and_counted() {
    for addr in [ANY_PORT, "0.0.0.0:0"] {
        let server = TestServer::spawn(coalescing().bind_fn(addr, echo).expect("bound"));
        let to = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
        let client = client();
        send_segmented(&client, to, 20, 100);
        let mut buffer = [0; 200];
        for number in 0..20_u8 {
            let len = client.recv(&mut buffer).expect("a reply for each");
            let expected = if number == 19 { 99 } else { 100 };
            assert_eq!(&buffer[..len], &[number; 100][..expected], "reply {number}");
        }
        let stats = server.stop().stats;
        assert_eq!((stats.received, stats.handled), (20, 20));
        assert_eq!(stats.bytes_received, 1_999);
        assert_eq!(stats.batches, 1, "it did come as one");
    }
}

#[test]
fn without_the_option_a_segmented_send_comes_as_datagrams() {
    let server = TestServer::spawn(ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound"));
    let client = client();
    send_segmented(&client, server.local_addr(), 20, 100);
    server.wait_until_settled(20);
    assert_eq!(server.stop().stats.bytes_received, 1_999);
}

#[test]
fn max_packet_size_is_for_each_datagram_of_a_coalesced_receive() {
    let seen = Journal::new();
    let noted = seen.clone();
    let builder = coalescing()
        .max_packet_size(40)
        .on_truncated(OnTruncated::Deliver);
    let server = builder.bind_fn(ANY_PORT, move |bytes, _, socket| {
        noted.note(format!(
            "{} x {}, cut: {}",
            bytes[0],
            bytes.len(),
            socket.is_truncated()
        ));
        Ok(())
    });
    let server = TestServer::spawn(server.expect("bound"));
    let client = client();
    send_segmented(&client, server.local_addr(), 2, 41);
    server.wait_until_settled(2);
    assert_eq!(seen.read(), ["0 x 40, cut: true", "1 x 40, cut: false"]);
    let long = Client::of(server.local_addr());
    long.send(&[7; 60_000]);
    server.wait_until_settled(3);
    assert_eq!(seen.read()[2], "7 x 40, cut: true", "longer than any slot");
}

#[test]
fn a_socket_that_came_with_gro_switched_on_is_served_right() {
    let socket = UdpSocket::bind(ANY_PORT).expect("a free port");
    setsockopt(&socket, sockopt::UdpGroSegment, &true).expect("Linux 5.0");
    let factory = || echo;
    let server = ThreadingUdpServer::from_socket(socket, factory).expect("a UDP socket");
    let server = TestServer::spawn(server);
    let client = client();
    send_segmented(&client, server.local_addr(), 5, 10);
    server.wait_until_settled(5);
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.batches), (5, 1));
}

#[test]
fn one_request_by_hand_handles_all_that_came_as_one() {
    let mut server = coalescing().bind_fn(ANY_PORT, echo).expect("bound");
    let client = client();
    send_segmented(&client, server.local_addr(), 3, 10);
    assert!(
        server
            .handle_request(None)
            .expect("it was sent")
            .is_handled()
    );
    assert_eq!(server.handle().stats().handled, 3);
}

#[test]
fn the_rest_of_a_coalesced_receive_does_not_wait_for_a_stuck_handler() {
    let gate = crate::support::Gate::new();
    let held = gate.clone();
    let server = coalescing()
        .workers(2)
        .bind_fn(ANY_PORT, move |bytes, _, socket| {
            if bytes[0] == 0 {
                held.pass();
            }
            Ok(socket.reply(bytes)?)
        });
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let client = client();
    send_segmented(&client, server.local_addr(), 30, 10);
    server.wait_until_settled(29);
    assert_eq!(gate.waiting(), 1, "the first alone is held");
}
