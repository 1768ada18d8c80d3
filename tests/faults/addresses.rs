//! A server with many addresses answers from the one that was asked.

use std::collections::HashSet;
use std::net::{SocketAddr, SocketAddrV6};

use nix::net::if_::if_nametoindex;
use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::support::{Client, TestServer};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::FastPath] => {
            a_reply_leaves_from_the_address_asked_wherever_it_stands_in_the_batch,
        }
        &[Need::Root, Need::Tool("ip"), Need::FastPath] => {
            both_families_are_answered_from_the_address_asked,
            a_link_local_client_is_answered_on_its_link,
            a_network_that_is_routed_to_this_host_answers_from_the_address_asked,
        }
    }
}

/// Answers with the request and the address that it was sent to.
fn where_asked(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    let asked = socket.local_addr();
    Ok(socket.reply(format!("{bytes:?} to {}", asked.ip()).as_bytes())?)
}

/// Asks a server on a wildcard `address` at each of these in turn, so that all
/// positions of a batch see each of them, and looks where the replies come from.
#[track_caller]
fn ask_in_turn(wildcard: &str, asked: &[&str]) {
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .only_v6(false)
        .bind_fn(wildcard, where_asked)
        .expect("bound");
    let port = server.local_addr().port();
    let asked: Vec<SocketAddr> = asked
        .iter()
        .map(|ip| SocketAddr::new(ip.parse().expect("an address"), port))
        .collect();
    // As many clients as addresses, each of both families: every turn shifts
    // who asks where by one.
    let clients: Vec<[Client; 2]> = asked
        .iter()
        .map(|to| [Client::at("0.0.0.0:0", *to), Client::at("[::]:0", *to)])
        .collect();
    let (mut expected, mut replies) = (Vec::new(), HashSet::new());
    for number in 0..32_u8 {
        let place = usize::from(number);
        let to = asked[(place + place / asked.len()) % asked.len()];
        let client = &clients[place % asked.len()][usize::from(to.is_ipv6())];
        client.send_to(&[number], to);
        expected.push((client, number, to));
    }
    let server = TestServer::spawn(server);
    for (client, ..) in &expected {
        let (reply, from) = client.receive_from();
        let reply = String::from_utf8_lossy(&reply).into_owned();
        // A client on a wildcard has several addresses itself: between those
        // nothing keeps the replies in order.
        let place = expected.iter().position(|(asker, number, to)| {
            asker.addr() == client.addr()
                && (reply == format!("[{number}] to {}", to.ip()))
                && from == *to
        });
        assert!(place.is_some(), "{reply:?} came from {from}");
        replies.insert(reply);
    }
    assert_eq!(replies.len(), expected.len(), "one for each");
    assert_eq!(server.stop().stats.batches, 1, "they came in one batch");
}

fn a_reply_leaves_from_the_address_asked_wherever_it_stands_in_the_batch() {
    ask_in_turn("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
}

fn both_families_are_answered_from_the_address_asked() {
    let namespace = Namespace::new();
    // A unique local address (RFC 4193) beside the loopback's.
    namespace.add_v6("lo", "fd00::7/128");
    namespace.run(|| {
        ask_in_turn("[::]:0", &["127.0.0.1", "::1", "127.0.0.2", "fd00::7"]);
    });
}

/// A link-local address means nothing without its link: here two links have
/// the same ones.
fn a_link_local_client_is_answered_on_its_link() {
    let (here, there) = Namespace::pair();
    here.join(&there, "second");
    let server = here.run(|| {
        let server = ThreadingUdpServer::builder()
            .workers(1)
            .bind_fn("[::]:0", where_asked);
        server.expect("bound")
    });
    let port = server.local_addr().port();
    let clients = there.run(move || {
        ["veth", "second"].map(|link| {
            let scope = if_nametoindex(link).expect("the link is there");
            let client = Client::at(&format!("[fe80::2%{scope}]:0"), server_at(port, scope));
            (client, server_at(port, scope))
        })
    });
    for (client, to) in clients.iter().cycle().take(8) {
        client.send_to(&[7], *to);
    }
    let server = here.run(|| TestServer::spawn(server));
    for (client, to) in clients.iter().cycle().take(8) {
        let (reply, from) = client.receive_from();
        assert_eq!(String::from_utf8_lossy(&reply), "[7] to fe80::1");
        assert_eq!(from, *to, "on its own link");
    }
    assert_eq!(server.stop().stats.replies.failed.total(), 0);
}

/// The server of [`a_link_local_client_is_answered_on_its_link`], seen from a link.
fn server_at(port: u16, scope: u32) -> SocketAddr {
    let ip = "fe80::1".parse().expect("an address");
    SocketAddrV6::new(ip, port, 0, scope).into()
}

/// No interface has these addresses: a route alone makes them this host's.
fn a_network_that_is_routed_to_this_host_answers_from_the_address_asked() {
    let namespace = Namespace::new();
    namespace.ip("-6 route add local 2001:db8:1::/64 dev lo");
    namespace.ip("route add local 198.51.100.0/24 dev lo");
    namespace.run(|| {
        let server = ThreadingUdpServer::builder().only_v6(false);
        let server = server.bind_fn("[::]:0", where_asked).expect("bound");
        let server = TestServer::spawn(server);
        let port = server.local_addr().port();
        for (from, asked) in [
            ("[::1]:0", "2001:db8:1::5"),
            ("[::1]:0", "2001:db8:1:0:ffff::7"),
            ("127.0.0.1:0", "198.51.100.9"),
        ] {
            let to = SocketAddr::new(asked.parse().expect("an address"), port);
            let client = Client::at(from, to);
            client.send(b"");
            let (answer, source) = client.receive_from();
            assert_eq!(answer, format!("[] to {asked}").into_bytes());
            assert_eq!(source, to, "it leaves from where it was asked");
        }
        let stats = server.stop().stats;
        assert_eq!((stats.replies.sent, stats.replies.failed.total()), (3, 0));
    });
}
