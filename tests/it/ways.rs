//! What holds for all ways to send alike: batched, at once, detached.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};

use crate::replies::LONGEST;
use crate::support::{ANY_PORT, Client, DEADLINE, TestServer, UdpServer, for_both_servers};

for_both_servers! {
    what_a_handler_sends_keeps_its_order_whichever_way,
    every_way_to_send_refuses_the_same,
}

fn what_a_handler_sends_keeps_its_order_whichever_way<S: UdpServer>() {
    let server = S::serving(count_in_every_way);
    let client = Client::of(server.local_addr());
    client.send(b"count");
    for number in 0..COUNTED {
        client.expect_reply(&[number]);
    }
    let replies = server.stop().stats.replies;
    assert_eq!(replies.sent, u64::from(COUNTED), "each counted");
}

/// What [`count_in_every_way`] sends.
const COUNTED: u8 = 36;

/// Sends numbers from 0 on, each in another way than the one before.
fn count_in_every_way(
    _: &[u8],
    peer: SocketAddr,
    socket: &SocketHandle,
) -> Result<(), HandlerError> {
    let detached = socket.detach();
    for first in (0..COUNTED - 1).step_by(7) {
        socket.reply(&[first])?;
        detached.reply(&[first + 1])?;
        socket.send_to(&[first + 2], peer)?;
        socket.try_send_to(&[first + 3], peer)?;
        socket.reply(&[first + 4])?;
        let elsewhere = detached.clone();
        let sent = thread::scope(|scope| {
            let sending = scope.spawn(|| elsewhere.send_to(&[first + 5], peer));
            sending.join().expect("no panic")
        });
        sent?;
        socket.try_reply(&[first + 6])?;
    }
    Ok(socket.writer().write_all(&[COUNTED - 1])?)
}

fn every_way_to_send_refuses_the_same<S: UdpServer>() {
    let long: &[u8] = &[b'x'; LONGEST + 1];
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    // What fails for two reasons fails for the first.
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 9));
    let refused = [
        (long, nobody),
        (b"?", nobody),
        (b"?", unspecified),
        (b"?", v6),
    ];
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |_, _, socket| {
        for (bytes, to) in refused {
            tell.send([
                io::Error::from(socket.send_to(bytes, to).expect_err("refused")),
                io::Error::from(socket.try_send_to(bytes, to).expect_err("refused")),
                io::Error::from(socket.detach().send_to(bytes, to).expect_err("refused")),
            ])?;
        }
        Ok(())
    });
    let client = Client::of(server.local_addr());
    client.send(b"try all");
    for _ in refused {
        let [batched, tried, detached] = told.recv_timeout(DEADLINE).expect("told");
        assert_eq!(batched.to_string(), tried.to_string());
        assert_eq!(batched.to_string(), detached.to_string());
        assert_eq!(tried.kind(), ErrorKind::InvalidInput);
    }
    let failed = server.stop().stats.replies.failed;
    assert_eq!(
        (failed.too_long, failed.bad_address),
        (3, 9),
        "each counted"
    );
    assert_eq!(failed.total(), 12, "once");
}

/// Whichever way a handler sends, also while others of its peer wait.
#[test]
fn what_one_peers_handlers_send_keeps_its_order_whichever_way() {
    const EACH: u8 = 5;
    let builder = ThreadingUdpServer::builder().order_per_peer(true);
    let server = builder.bind_fn(ANY_PORT, count_in_every_way);
    let server = server.expect("a free port");
    let client = Client::of(server.local_addr());
    for _ in 0..EACH {
        client.send(b"count");
    }
    let server = TestServer::spawn(server);
    for _ in 0..EACH {
        for number in 0..COUNTED {
            client.expect_reply(&[number]);
        }
    }
    assert_eq!(server.stop().stats.handled, u64::from(EACH));
}
