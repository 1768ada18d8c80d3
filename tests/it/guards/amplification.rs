//! How much is sent to an address that is not validated.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;

use socketserver::{
    AmplificationLimit, HandlerError, SendError, SocketHandle, Stats, ThreadingUdpServer,
};

use crate::support::{ANY_PORT, Client, DEADLINE, Handle, ServerBuilder, TestServer, wait_until};

fn serving(limit: AmplificationLimit, handler: impl Handle) -> TestServer {
    ThreadingUdpServer::builder()
        .workers(1)
        .amplification_limit(limit)
        .serving(handler)
}

/// Waits until so many replies were sent and withheld. (A datagram is settled
/// before the replies of its batch leave.)
#[track_caller]
fn wait_for_ends(server: &TestServer, sent: u64, withheld: u64) {
    wait_until(format!("{sent} are sent and {withheld} withheld"), || {
        let replies = server.stats().replies;
        (replies.sent, replies.withheld) == (sent, withheld)
    });
}

/// Every reply that was asked for has one end.
#[track_caller]
fn assert_ends(stats: &Stats, sent: u64, withheld: u64) {
    let replies = stats.replies;
    assert_eq!(
        (replies.sent, replies.withheld),
        (sent, withheld),
        "{stats}"
    );
    assert_eq!(replies.failed.total(), 0, "withheld is not failed: {stats}");
}

/// Sends as often and as much as the datagram says, such as `3 x 10`, padded.
fn obedient(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    let (count, len) = std::str::from_utf8(bytes)?
        .trim()
        .split_once('x')
        .ok_or("how much?")?;
    for _ in 0..count.trim().parse::<usize>()? {
        socket.reply(&vec![b'x'; len.trim().parse()?])?;
    }
    Ok(())
}

#[test]
fn an_address_is_sent_three_times_what_came_from_there() {
    let server = serving(AmplificationLimit::new(), obedient);
    let client = Client::of(server.local_addr());
    // Packets of 7 bytes and 28 of headers; three times 35 may leave.
    client.send(b"10 x 7 ");
    wait_for_ends(&server, 3, 7);
    client.send(b"1 x 78 ");
    wait_for_ends(&server, 3, 8);
    client.send(b"1 x 182");
    server.wait_until_settled(3);
    let stats = server.stop().stats;
    assert_eq!(stats.handled, 3, "the handler is not told: {stats}");
    assert_ends(&stats, 4, 8);
    for len in [7, 7, 7, 182] {
        assert_eq!(client.receive().len(), len);
    }
    client.expect_silence();
}

#[test]
fn the_factor_is_the_one_that_was_asked_for() {
    let server = serving(AmplificationLimit::new().factor(1), obedient);
    let client = Client::of(server.local_addr());
    client.send(b"3 x 3  ");
    server.wait_until_settled(1);
    client.send(b"1 x 12 ");
    server.wait_until_settled(2);
    assert_ends(&server.stop().stats, 1, 3);
}

/// Headers are most of what an empty reply is on the wire.
#[test]
fn empty_replies_count_as_the_packets_that_they_are() {
    let server = serving(AmplificationLimit::new(), obedient);
    let client = Client::of(server.local_addr());
    client.send(format!("{:<100}", "300 x 0").as_bytes());
    wait_for_ends(&server, 3, 297);
    assert_ends(&server.stop().stats, 3, 297);
}

#[test]
fn whoever_proves_its_address_gets_everything() {
    let server = serving(AmplificationLimit::new(), |bytes, _, socket| {
        if socket.is_validated() || socket.validate(bytes) {
            Ok(socket.reply(&[b'x'; 60_000])?)
        } else {
            Ok(socket.reply(socket.token().as_ref())?)
        }
    });
    let client = Client::of(server.local_addr());
    let token = client.ask(b"hello!");
    assert_eq!(client.ask(&token).len(), 60_000);
    assert_eq!(client.ask(b"").len(), 60_000, "whatever it asks");
    assert_ends(&server.stop().stats, 3, 0);
}

#[test]
fn every_way_to_send_is_limited() {
    let (tell, told) = mpsc::channel();
    let (detached, handles) = mpsc::channel();
    let server = serving(AmplificationLimit::new(), move |bytes, addr, socket| {
        let long = [b'x'; 1_000];
        match bytes {
            b"reply" => Ok(socket.reply(&long)?),
            b"send" => Ok(socket.send_to(&long, addr)?),
            b"write" => Ok(socket.writer().write_all(&long)?),
            b"try" => {
                let error = socket.try_send_to(&long, addr).expect_err("too much");
                Ok(tell.send(error)?)
            }
            _ => Ok(detached.send(socket.detach())?),
        }
    });
    let client = Client::of(server.local_addr());
    for way in ["reply", "send", "write", "try", "later"] {
        client.send(way.as_bytes());
    }
    let error = told.recv_timeout(DEADLINE).expect("the handler tells");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let handle = handles.recv_timeout(DEADLINE).expect("a handle");
    for error in [
        handle.reply(&[0; 1_000]),
        handle.send_to(&[0; 1_000], client.addr()),
    ] {
        match error.expect_err("too much") {
            SendError::Withheld { len: 1_000, to } => assert_eq!(to, client.addr()),
            other => panic!("not {other}"),
        }
    }
    handle.reply(b"this much").expect("that has been earned");
    assert_eq!(client.receive(), b"this much", "and nothing else");
    let stats = server.stop().stats;
    assert_eq!(stats.handled, 5, "{stats}");
    assert_ends(&stats, 1, 6);
    client.expect_silence();
    let late = handle.reply(b"too late").expect_err("closed");
    assert!(matches!(late, SendError::Closed), "not {late}");
}

#[test]
fn who_has_sent_nothing_is_sent_nothing_unless_trusted() {
    for (trusted, heard) in [("192.0.2.0/24", false), ("127.0.0.0/8", true)] {
        let audit = UdpSocket::bind(ANY_PORT).expect("a free port");
        let to = audit.local_addr().expect("bound");
        let limit = AmplificationLimit::new().trust([trusted]);
        let server = serving(
            limit,
            move |bytes, _, socket| Ok(socket.send_to(bytes, to)?),
        );
        Client::of(server.local_addr()).send(b"for the records");
        server.wait_until_settled(1);
        let (sent, withheld) = if heard { (1, 0) } else { (0, 1) };
        assert_ends(&server.stop().stats, sent, withheld);
        audit.set_nonblocking(true).expect("a flag");
        assert_eq!(
            audit.recv(&mut [0; 100]).is_ok(),
            heard,
            "trust in {trusted}"
        );
    }
}

/// What is refused was not received, as far as answers go.
#[test]
fn what_is_refused_earns_nothing() {
    let (tell, told) = mpsc::channel();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .amplification_limit(AmplificationLimit::new().factor(1))
        .verify_request(|bytes, _| bytes.len() < 100)
        .serving(move |_, _, socket| Ok(tell.send(socket.reply(&[b'x'; 50]))?));
    let client = Client::of(server.local_addr());
    client.send(&[0; 1_000]);
    client.send(b"short");
    let result = told.recv_timeout(DEADLINE).expect("one is handled");
    assert!(result.is_ok(), "the batch says nothing");
    server.wait_until_settled(2);
    assert_ends(&server.stop().stats, 0, 1);
}

/// One datagram at a time goes the same way.
#[test]
fn handle_request_is_limited_as_well() {
    let mut server = ThreadingUdpServer::builder()
        .amplification_limit(AmplificationLimit::new())
        .bind_fn(ANY_PORT, obedient)
        .expect("bound");
    let client = Client::of(server.local_addr());
    client.send(b"9 x 7  ");
    assert!(
        server
            .handle_request(Some(DEADLINE))
            .expect("served")
            .is_handled()
    );
    assert_ends(&server.handle().stats(), 3, 6);
}

/// A validated address stays so, whoever else writes.
#[cfg(target_os = "linux")]
#[test]
fn a_flood_of_strangers_pushes_no_validated_address_out() {
    let limit = AmplificationLimit::new().table_entries(8);
    let server = serving(limit, |bytes, _, socket| {
        if socket.is_validated() || socket.validate(bytes) {
            Ok(socket.reply(&[b'x'; 1_000])?)
        } else {
            Ok(socket.reply(socket.token().as_ref())?)
        }
    });
    let client = Client::of(server.local_addr());
    let token = client.ask(b"hello!");
    assert_eq!(client.ask(&token).len(), 1_000);
    for host in 2..=200 {
        let stranger = Client::at(&format!("127.0.0.{host}:0"), server.local_addr());
        assert_eq!(stranger.ask(b"hello!").len(), 16, "all are answered");
    }
    assert_eq!(client.ask(b"still?").len(), 1_000);
}
