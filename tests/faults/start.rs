//! What comes before a server serves, and sockets that it is handed.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use socketserver::{BindError, HandlerError, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, alone, cases, scale};
use crate::load::{MOST, Sender};
use crate::support::process::open_descriptors;
use crate::support::{ANY_PORT, Client, ServerBuilder, TestServer, echo, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            what_waits_before_serving_is_served_in_order,
            a_socket_that_is_not_a_bound_udp_socket_is_refused_and_closed,
            a_socket_is_handed_over_under_load_without_losing_a_datagram,
            clients_of_a_group_member_that_dies_are_served_by_the_others,
        }
        &[Need::FastPath] => {
            what_overflows_before_serving_is_counted_before_and_after,
        }
    }
}

fn what_waits_before_serving_is_served_in_order() {
    const WAITING: u16 = 2_000;
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bound(move |bytes, _, _| {
            let number = u16::from_be_bytes(bytes.try_into()?);
            noted.lock().map_err(|_| "poisoned")?.push(number);
            Ok(())
        });
    let client = Client::of(server.local_addr());
    for number in 0..WAITING {
        client.send(&number.to_be_bytes());
    }
    assert_eq!(server.handle().stats().received, 0, "bound, not serving");
    let server = TestServer::spawn(server);
    server.wait_until_settled(WAITING.into());
    server.stop();
    let order = order.lock().expect("no handler panicked");
    let expected: Vec<_> = (0..WAITING).collect();
    assert!(*order == expected, "each once and in order: {order:?}");
}

fn what_overflows_before_serving_is_counted_before_and_after() {
    const SENT: u64 = 2_000;
    let server = ThreadingUdpServer::builder()
        .receive_buffer(20_000)
        .bound(echo);
    let client = Client::of(server.local_addr());
    for _ in 0..SENT {
        client.send(b"too many");
    }
    let dropped = server.handle().stats().kernel_drops.expect("Linux tells");
    assert!(dropped > 0 && dropped < SENT, "{dropped} were dropped");
    let server = TestServer::spawn(server);
    server.wait_until_settled(SENT - dropped);
    let stats = server.stop().stats;
    assert_eq!(stats.handled, SENT - dropped, "all the others:\n{stats}");
    assert_eq!(stats.kernel_drops, Some(dropped), "and no more:\n{stats}");
}

fn a_socket_that_is_not_a_bound_udp_socket_is_refused_and_closed() {
    if !alone("a_socket_that_is_not_a_bound_udp_socket_is_refused_and_closed") {
        return;
    }
    let listener = TcpListener::bind(ANY_PORT).expect("bound");
    let connected = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let new = |family, kind, flags, protocol| -> OwnedFd {
        socket(family, kind, flags, protocol).expect("a socket")
    };
    let unbound = || {
        new(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::empty(),
            Some(SockProtocol::Udp),
        )
    };
    let wrong: Vec<(&str, OwnedFd)> = vec![
        ("a listening TCP socket", listener.into()),
        ("a connected TCP socket", connected.into()),
        (
            "a datagram socket of another family",
            UnixDatagram::unbound().expect("a socket").into(),
        ),
        ("a file", File::open("/dev/null").expect("opened").into()),
        ("a UDP socket that is not bound", unbound()),
    ];
    let before = open_descriptors();
    let count = wrong.len();
    for (what, descriptor) in wrong {
        let socket = UdpSocket::from(descriptor);
        let taken = ThreadingUdpServer::from_socket(socket, || HANDLER);
        match taken {
            Err(BindError::TakeOver { .. }) => {}
            Err(error) => panic!("{what} is refused, but not as such: {error}"),
            Ok(_) => panic!("{what} is taken over"),
        }
    }
    assert_eq!(open_descriptors(), before - count, "each was closed");
}

const HANDLER: fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> = echo;

/// Two servers, one after the other, on the same open socket. What the first
/// has not read when it ends waits there for the second.
fn a_socket_is_handed_over_under_load_without_losing_a_datagram() {
    let total = 20_000 * scale().min(20);
    let first = UdpSocket::bind(ANY_PORT).expect("bound");
    let second = first.try_clone().expect("a second descriptor");
    let addr = first.local_addr().expect("bound");
    let seen: Arc<Vec<AtomicUsize>> =
        Arc::new((0..total).map(|_| AtomicUsize::default()).collect());
    let serve = |socket| {
        let seen = Arc::clone(&seen);
        let server = ThreadingUdpServer::builder()
            .receive_buffer(4 << 20)
            .from_socket(socket, move || {
                let seen = Arc::clone(&seen);
                move |bytes: &[u8], _: SocketAddr, _: &SocketHandle| -> Result<(), HandlerError> {
                    let number = u64::from_be_bytes(bytes.try_into()?);
                    seen[usize::try_from(number)?].fetch_add(1, Relaxed);
                    Ok(())
                }
            });
        TestServer::spawn(server.expect("taken over"))
    };
    let old = serve(first);
    let streaming = std::thread::spawn(move || {
        let mut sender = Sender::to(addr);
        for start in (0..total).step_by(MOST) {
            let end = (start + MOST as u64).min(total);
            let numbers: Vec<_> = (start..end).map(u64::to_be_bytes).collect();
            assert_eq!(sender.send(&numbers), numbers.len(), "sent");
            // About 50,000 per second: the stream's own pace.
            std::thread::sleep(Duration::from_micros(500));
        }
    });
    wait_until("it is under load", || old.stats().handled > total / 4);
    let by_old = old.stop().stats;
    let new = serve(second);
    streaming.join().expect("all were sent");
    wait_until("all have arrived", || {
        by_old.handled + new.stats().handled >= total
    });
    let by_new = new.stop().stats;
    assert!(
        by_new.handled > 0,
        "the old one was under load and had {} of {total}",
        by_old.handled
    );
    assert!(
        seen.iter().all(|times| times.load(Relaxed) == 1),
        "each datagram was handled exactly once"
    );
}

/// The kernel spreads clients over the sockets of the group. Who is asked in
/// the moment of the death may lose a datagram; who asks again is served.
fn clients_of_a_group_member_that_dies_are_served_by_the_others() {
    let member = |addr: &str| {
        let server = ThreadingUdpServer::builder()
            .allow_reuse_port(true)
            .bind_fn(addr, echo);
        TestServer::spawn(server.expect("bound"))
    };
    let survivor = member(ANY_PORT);
    let addr = survivor.local_addr();
    let doomed = member(&addr.to_string());
    let clients: Vec<_> = (0..64).map(|_| Client::of(addr)).collect();
    for client in &clients {
        assert_eq!(client.ask(b"either"), b"either");
    }
    let shared = doomed.stop().stats.handled;
    assert!((1..64).contains(&shared), "{shared} of 64 went to one");
    for client in &clients {
        assert_eq!(client.ask(b"who is left"), b"who is left");
    }
    let rest = survivor.stop().stats.received;
    assert_eq!(rest, 128 - shared, "all the rest");
}
