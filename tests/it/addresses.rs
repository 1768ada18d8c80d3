//! Replies leave from the address that the client wrote to. All of 127.0.0.0/8
//! is loopback on Linux.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;

use socketserver::{
    DetachedHandle, HandlerError, Interface, SendOptions, SocketHandle, ThreadingUdpServer,
};

use crate::support::{Client, TestServer};

/// Answers with who asked and where.
fn who_and_where(
    _bytes: &[u8],
    addr: SocketAddr,
    socket: &SocketHandle,
) -> Result<(), HandlerError> {
    let answer = format!("{addr} asked {}", socket.local_addr());
    Ok(socket.reply(answer.as_bytes())?)
}

/// Any host of the loopback network.
fn loopback(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

#[test]
fn on_a_wildcard_each_reply_of_a_batch_comes_from_the_address_that_was_asked() {
    let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", who_and_where).expect("bound");
    let port = server.local_addr().port();
    let client = Client::of(loopback(1, port));
    // Sent before anyone receives: they come in one batch. Three times each, so
    // that replies to one peer from one address are coalesced, and only those.
    let hosts = [1, 2, 3, 2, 1, 3, 3, 1, 2];
    for host in hosts {
        client.send_to(b"who?", loopback(host, port));
    }
    let server = TestServer::spawn(server);
    let mut sources = Vec::new();
    for _ in hosts {
        let (answer, from) = client.receive_from();
        let answer = String::from_utf8(answer).expect("it is text");
        assert!(
            answer.ends_with(&format!(" asked {from}")),
            "from {from}: {answer}"
        );
        sources.push(from);
    }
    sources.sort();
    let expected = [1, 1, 1, 2, 2, 2, 3, 3, 3].map(|host| loopback(host, port));
    assert_eq!(sources, expected);
    assert_eq!(server.stop().stats.batches, 1, "they came in one batch");
}

/// Answers in every way there is, to the address as it is or mapped into IPv6:
/// that is the same peer.
fn in_every_way(bytes: &[u8], addr: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    let addr = match addr {
        SocketAddr::V4(v4) if bytes == b"mapped" => {
            SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
        }
        addr => addr,
    };
    let detached = socket.detach();
    socket.reply(b"reply")?;
    socket.send_to(b"send_to", addr)?;
    socket.try_reply(b"try_reply")?;
    socket.try_send_to(b"try_send_to", addr)?;
    detached.reply(b"detached reply")?;
    detached.send_to(b"detached send_to", addr)?;
    Ok(socket.writer().write_all(b"writer")?)
}

#[test]
fn a_connected_client_hears_the_answer_whichever_way_it_is_sent() {
    for (wildcard, own, asked, question) in [
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.2", "plain"),
        ("[::]:0", "127.0.0.1:0", "127.0.0.2", "plain"),
        ("[::]:0", "127.0.0.1:0", "127.0.0.2", "mapped"),
        ("[::]:0", "[::1]:0", "::1", "plain"),
    ] {
        let server = ThreadingUdpServer::builder().only_v6(false);
        let server = server.bind_fn(wildcard, in_every_way).expect("bound");
        let server = TestServer::spawn(server);
        let client = UdpSocket::bind(own).expect("a free port");
        let patience = Some(std::time::Duration::from_secs(5));
        client.set_read_timeout(patience).expect("not zero");
        let to = (asked, server.local_addr().port());
        client.connect(to).expect("loopback");
        client.send(question.as_bytes()).expect("loopback");
        let mut buffer = [0; 64];
        for way in [
            "reply",
            "send_to",
            "try_reply",
            "try_send_to",
            "detached reply",
            "detached send_to",
            "writer",
        ] {
            let len = client.recv(&mut buffer);
            let len = len.unwrap_or_else(|error| panic!("{way} to {asked}: {error}"));
            assert_eq!(String::from_utf8_lossy(&buffer[..len]), way);
        }
    }
}

#[test]
fn what_goes_to_anyone_else_leaves_from_the_address_of_the_route_whichever_way() {
    let other = Client::of(loopback(1, 9));
    let to = other.addr();
    let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", move |_, _, socket| {
        let options = SendOptions::new();
        let detached = socket.detach();
        socket.send_to(b"send_to", to)?;
        socket.try_send_to(b"try_send_to", to)?;
        detached.send_to(b"detached send_to", to)?;
        socket.send_to_with(b"send_to_with", to, &options)?;
        socket.try_send_to_with(b"try_send_to_with", to, &options)?;
        Ok(detached.send_to_with(b"detached send_to_with", to, &options)?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    let port = server.local_addr().port();
    Client::of(loopback(2, port)).send(b"tell");
    for way in [
        "send_to",
        "try_send_to",
        "detached send_to",
        "send_to_with",
        "try_send_to_with",
        "detached send_to_with",
    ] {
        let (told, from) = other.receive_from();
        assert_eq!(String::from_utf8_lossy(&told), way);
        assert_eq!(from, loopback(1, port), "{way}");
    }
}

#[test]
fn a_connected_client_hears_a_server_on_a_wildcard_whatever_address_it_asked() {
    let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", who_and_where).expect("bound");
    let port = server.local_addr().port();
    let _server = TestServer::spawn(server);
    for host in [1, 2, 77] {
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let patience = Some(std::time::Duration::from_secs(5));
        client.set_read_timeout(patience).expect("not zero");
        client.connect(loopback(host, port)).expect("loopback");
        client.send(b"who?").expect("loopback");
        let mut answer = [0; 100];
        client.recv(&mut answer).expect("only from that address");
    }
}

#[test]
fn a_detached_handle_answers_from_the_address_that_was_asked() {
    let (tell, told) = mpsc::channel::<DetachedHandle>();
    let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", move |_, _, socket| {
        tell.send(socket.detach())?;
        Ok(())
    });
    let server = server.expect("bound");
    let asked = loopback(2, server.local_addr().port());
    let _server = TestServer::spawn(server);
    let client = Client::of(asked);
    client.send(b"later");
    let handle = told.recv().expect("the handler tells");
    assert_eq!(handle.local_addr(), asked);
    handle.reply(b"now").expect("the server serves");
    assert_eq!(client.receive_from(), (b"now".to_vec(), asked));
}

#[test]
fn a_dual_stack_server_answers_both_families_from_where_they_asked() {
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let server = ThreadingUdpServer::builder()
        .only_v6(false)
        .bind_fn("[::]:0", who_and_where)
        .expect("bound");
    let port = server.local_addr().port();
    let _server = TestServer::spawn(server);
    for ip in ["127.0.0.2", "127.0.0.1", "::1"] {
        let asked = SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), port);
        let client = Client::of(asked);
        client.send(b"who?");
        let (answer, from) = client.receive_from();
        assert_eq!(from, asked);
        let expected = format!("{} asked {asked}", client.addr());
        assert_eq!(String::from_utf8_lossy(&answer), expected, "shown as it is");
    }
}

/// Spelled as IPv6, it is IPv4 all the same.
#[test]
fn a_server_on_the_mapped_wildcard_answers_from_the_address_that_was_asked() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let server = ThreadingUdpServer::builder()
        .join_multicast(GROUP.into(), Interface::Address(Ipv4Addr::LOCALHOST))
        .bind_fn("[::ffff:0.0.0.0]:0", who_and_where)
        .expect("a wildcard hears groups");
    let port = server.local_addr().port();
    let client = Client::of(loopback(7, port));
    let _server = TestServer::spawn(server);
    client.send(b"who?");
    assert_answered_from(&client, loopback(7, port));
}

/// What it is bound to is no address to answer from.
#[test]
fn a_server_on_a_group_or_a_broadcast_address_says_where_it_answers_from() {
    for ip in [GROUP, Ipv4Addr::new(127, 255, 255, 255)] {
        let mut builder = ThreadingUdpServer::builder();
        if ip.is_multicast() {
            builder = builder.join_multicast(ip.into(), Interface::Address(Ipv4Addr::LOCALHOST));
        }
        let bound_to = SocketAddr::from((ip, 0)).to_string();
        let server = builder.bind_fn(&bound_to, who_and_where).expect("bound");
        let asked = server.local_addr();
        let _server = TestServer::spawn(server);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_broadcast(true).expect("a flag");
        socket.send_to(b"who?", asked).expect("sent");
        let patience = Some(std::time::Duration::from_secs(5));
        socket.set_read_timeout(patience).expect("not zero");
        let mut bytes = [0; 100];
        let (len, from) = socket.recv_from(&mut bytes).expect("an answer");
        let answer = String::from_utf8_lossy(&bytes[..len]);
        assert!(
            answer.ends_with(&format!(" asked {from}")),
            "from {from}: {answer}"
        );
    }
}

#[track_caller]
fn assert_answered_from(client: &Client, expected: SocketAddr) {
    let (answer, from) = client.receive_from();
    let answer = String::from_utf8(answer).expect("it is text");
    assert_eq!(from, expected);
    assert!(answer.ends_with(&format!(" asked {from}")), "{answer}");
}

/// Administratively scoped (RFC 2365): no router lets it out.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 70, 87);
