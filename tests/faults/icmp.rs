//! Errors that arrive late, from afar, and perhaps from a forger.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::load::percentile;
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::{ANY_PORT, Client, TestServer, echo, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            clients_that_vanished_cost_nobody_a_reply,
            clients_that_vanished_are_counted_where_errors_are_reported,
        }
        &[Need::FastPath] => {
            pending_error_of_one_peer_costs_no_other_its_reply,
            thousands_of_clients_that_vanish_delay_nobody_who_stays,
        }
        &[Need::Root, Need::Tool("ip")] => {
            forged_icmp_stops_nothing,
        }
        &[Need::Root, Need::Tool("ip"), Need::FastPath] => {
            forged_path_mtu_splits_no_reply,
        }
    }
}

/// Clients that stay and clients that are gone when the replies come, in turn.
/// Returns those that stay, after they got theirs.
#[track_caller]
fn ask_and_half_of_them_vanish(server: SocketAddr) -> Vec<Client> {
    // These first: else one of them may be given a port that is free again.
    let staying: Vec<_> = (0..20).map(|_| Client::of(server)).collect();
    for (client, number) in staying.iter().zip((0..).step_by(2)) {
        client.send(&[number]);
        Client::of(server).send(&[number + 1]);
    }
    staying
}

#[track_caller]
fn expect_own_replies(clients: &[Client]) {
    for (client, number) in clients.iter().zip((0..).step_by(2)) {
        client.expect_reply(&[number]);
    }
}

fn clients_that_vanished_cost_nobody_a_reply() {
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let clients = ask_and_half_of_them_vanish(server.local_addr());
    let server = TestServer::spawn(server);
    expect_own_replies(&clients);
    assert_eq!(clients[0].ask(b"again"), b"again");
    let stats = server.stop().stats;
    assert_eq!(stats.replies.sent, 41, "sent means accepted by the kernel");
    assert_eq!(stats.receive_errors, 0, "nobody asked for errors");
}

fn echo_handler() -> fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> {
    echo
}

/// With `IP_RECVERR`, which a socket may have when it is handed in, each reply
/// that found nobody comes back as an error of some later call.
#[track_caller]
pub(crate) fn reporting_socket() -> UdpSocket {
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    setsockopt(&socket, sockopt::Ipv4RecvErr, &true).expect("an option of IPv4");
    socket
}

fn clients_that_vanished_are_counted_where_errors_are_reported() {
    let server = ThreadingUdpServer::from_socket(reporting_socket(), echo_handler);
    let server = server.expect("taken over");
    let clients = ask_and_half_of_them_vanish(server.local_addr());
    let server = TestServer::spawn(server);
    expect_own_replies(&clients);
    for client in &clients {
        assert_eq!(client.ask(b"again"), b"again");
    }
    // With no other reply under way, nobody but who receives hears the news.
    let (mut asked, before) = (60, server.stats().receive_errors);
    wait_until("the news is heard", || {
        Client::of(server.local_addr()).send(b"and gone");
        asked += 1;
        server.stats().receive_errors > before
    });
    server.wait_until_settled(asked);
    let stats = server.stop().stats;
    assert_eq!(stats.handled, asked, "every datagram was handled");
    assert_eq!(stats.replies.failed.total(), 0, "{stats}");
}

/// Each of them leaves an error in a queue of the socket, which makes it ready
/// though nothing can be received.
fn thousands_of_clients_that_vanish_delay_nobody_who_stays() {
    const ROUNDS: u64 = 100;
    const IN_EACH: u64 = 30;
    const GOOD: Duration = Duration::from_millis(20);
    let v6 = UdpSocket::bind("[::1]:0").expect("bound");
    setsockopt(&v6, sockopt::Ipv6RecvErr, &true).expect("an option of IPv6");
    for socket in [reporting_socket(), v6] {
        let server = ThreadingUdpServer::from_socket(socket, echo_handler);
        let server = TestServer::spawn(server.expect("taken over"));
        let stays = Client::of(server.local_addr());
        // A busy machine may spoil a window; pauses would spoil them all.
        let (mut windows, mut p90s) = (0, Vec::new());
        while windows < 5 && p90s.iter().all(|p90| *p90 > GOOD) {
            let mut waits: Vec<_> = (0..ROUNDS)
                .map(|number| {
                    for _ in 0..IN_EACH {
                        Client::of(server.local_addr()).send(b"and gone");
                    }
                    let asked = Instant::now();
                    assert_eq!(stays.ask(&number.to_be_bytes()), number.to_be_bytes());
                    asked.elapsed()
                })
                .collect();
            waits.sort_unstable();
            p90s.push(percentile(&waits, 90));
            windows += 1;
        }
        let sent = windows * ROUNDS * (1 + IN_EACH);
        assert!(p90s.iter().any(|p90| *p90 <= GOOD), "slow: {p90s:?}");
        server.wait_until_settled(sent);
        // The last of the news.
        stays.ask(b"still there?");
        let heard = server.stats().receive_errors;
        assert!((1..=sent).contains(&heard), "{heard} errors of {sent}");
        for _ in 0..100 {
            stays.ask(b"still there?");
        }
        let stats = server.stop().stats;
        assert_eq!(stats.receive_errors, heard, "nobody has vanished since");
        assert_eq!(stats.handled, sent + 101, "every datagram was handled");
        assert_eq!(stats.replies.failed.total(), 0, "{stats}");
    }
}

/// The first send after the news came gets to hear it instead of being sent.
fn pending_error_of_one_peer_costs_no_other_its_reply() {
    let nobody = UdpSocket::bind(ANY_PORT).and_then(|socket| socket.local_addr());
    let nobody = nobody.expect("a port that is free again");
    let server = ThreadingUdpServer::from_socket(reporting_socket(), move || {
        move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| -> Result<(), HandlerError> {
            socket.try_send_to(b"is anybody there?", nobody)?;
            Ok(socket.reply(bytes)?)
        }
    });
    let server = TestServer::spawn(server.expect("taken over"));
    let client = Client::of(server.local_addr());
    for number in 0..20_u8 {
        assert_eq!(client.ask(&[number]), [number]);
    }
    let stats = server.stop().stats;
    assert_eq!(stats.replies.failed.total(), 0, "{stats}");
}

fn forged_icmp_stops_nothing() {
    Namespace::new().run(|| {
        for bound_to in [ANY_PORT, "[::1]:0"] {
            let server = ThreadingUdpServer::bind_fn(bound_to, echo).expect("bound");
            let (addr, forger) = (server.local_addr(), Forger::new());
            let client = Client::of(addr);
            let server = TestServer::spawn(server);
            for round in 0..50_u8 {
                forger.port_unreachable(addr, client.addr());
                for mtu in [0, 68, 552, 1_280] {
                    forger.too_big(addr, client.addr(), mtu);
                }
                assert_eq!(client.ask(&[round]), [round]);
            }
            let stats = server.stop().stats;
            assert_eq!((stats.handled, stats.replies.sent), (50, 50));
            assert_eq!((stats.receive_errors, stats.replies.failed.total()), (0, 0));
        }
    });
}

/// A forger who says that a link takes 552 bytes makes a host that believes it
/// split what it sends: an ordinary socket does, which shows that it is heard.
fn forged_path_mtu_splits_no_reply() {
    let (here, there) = Namespace::pair();
    for (bound_to, client_at) in [("10.0.0.1:0", "10.0.0.2:0"), ("[fd00::1]:0", "[fd00::2]:0")] {
        let (server, ordinary) = here.run(move || {
            let server = ThreadingUdpServer::bind_fn(bound_to, echo).expect("bound");
            let ordinary = UdpSocket::bind(bound_to).expect("bound");
            (TestServer::spawn(server), ordinary)
        });
        let addr = server.local_addr();
        let believer = ordinary.local_addr().expect("bound");
        let client = there.run(move || Client::at(client_at, addr));
        let peer = client.addr();
        let long = [b'x'; 1_400];
        assert_eq!(client.ask(&long), long);
        there.run(move || {
            let forger = Forger::new();
            for mtu in [68, 552, 1_280] {
                forger.too_big(addr, peer, mtu);
                forger.too_big(believer, peer, mtu);
            }
        });
        let before = here.fragments_made();
        for _ in 0..10 {
            assert_eq!(client.ask(&long), long);
        }
        assert_eq!(here.fragments_made(), before, "no reply was split");
        // The first send may fail, which is how it hears of it.
        while here.fragments_made() == before {
            let _ = ordinary.send_to(&long, peer);
        }
        assert_eq!(server.stop().stats.replies.failed.total(), 0);
    }
}
