//! Sends to sockets on loopback.

use std::net::UdpSocket;
use std::time::Duration;

use super::scripted::Told;
use super::*;
use crate::sys::TakeOver;

fn bound() -> Socket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    Socket::new(socket, TakeOver::default()).expect("a UDP socket")
}

fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).expect("not zero");
    let addr = socket.local_addr().expect("it is bound");
    (socket, addr)
}

#[track_caller]
fn expect(socket: &UdpSocket, expected: &[&[u8]]) {
    let mut buffer = [0; 2048];
    for (place, expected) in expected.iter().enumerate() {
        let len = socket.recv(&mut buffer).expect("it was sent");
        assert_eq!(&buffer[..len], *expected, "datagram {place}");
    }
}

fn flush(queue: &mut SendQueue, socket: &Socket) -> Told {
    let patience = Patience::Until(Instant::now() + Duration::from_secs(5));
    let mut told = Told::default();
    queue.flush(socket, patience, &mut told);
    assert!(queue.is_empty(), "with patience everything ends");
    told
}

#[test]
fn datagrams_of_one_size_to_one_peer_leave_in_one_call_and_arrive_apart() {
    let socket = bound();
    let ((one, one_addr), (two, two_addr)) = (peer(), peer());
    for coalesce in [true, false] {
        let mut queue =
            SendQueue::new(socket.local_addr(), QueueOptions { coalesce }).expect("memory");
        for bytes in [&b"a1"[..], b"a2", b"a3", b"", b"longer", b"b1"] {
            queue.push(bytes, one_addr, &Egress::default());
            queue.push(b"x", two_addr, &Egress::default());
        }
        let told = flush(&mut queue, &socket);
        assert_eq!((told.sent, told.bytes, told.calls), (12, 20, 1));
        assert_eq!(told.failed, []);
        expect(&one, &[b"a1", b"a2", b"a3", b"", b"longer", b"b1"]);
        expect(&two, &[&b"x"[..]; 6]);
    }
}

#[test]
fn parts_of_a_failing_message_are_skipped_one_by_one_and_all_others_sent() {
    let socket = bound();
    let (one, one_addr) = peer();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut queue =
        SendQueue::new(socket.local_addr(), QueueOptions { coalesce: true }).expect("memory");
    for bytes in [b"a1", b"a2", b"a3"] {
        queue.push(bytes, one_addr, &Egress::default());
        queue.push(b"poison", nobody, &Egress::default());
    }
    queue.push(b"a4", one_addr, &Egress::default());
    let told = flush(&mut queue, &socket);
    assert_eq!((told.sent, told.bytes), (4, 8));
    assert_eq!(told.failed, [(6, nobody); 3], "exactly those to port 0");
    expect(&one, &[b"a1", b"a2", b"a3", b"a4"]);
}
