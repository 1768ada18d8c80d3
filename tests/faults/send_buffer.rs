//! A network that takes replies more slowly than they are made.

use std::time::{Duration, Instant};

use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::load::Sender;
use crate::netns::Namespace;
use crate::support::{TestServer, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::Tool("tc")] => {
            replies_that_find_no_room_are_dropped_in_time_and_counted,
        }
    }
}

/// On loopback a send buffer never fills up; on a link with a limit it does.
fn replies_that_find_no_room_are_dropped_in_time_and_counted() {
    const SENT: u64 = 600;
    const REPLY: [u8; 1_000] = [b'r'; 1_000];
    let (near, far) = Namespace::pair();
    near.command(
        "tc",
        "qdisc add dev veth root tbf rate 500kbit burst 2kb limit 1mb",
    );
    let server = near.run(|| {
        let server = ThreadingUdpServer::builder()
            .send_buffer(4_608)
            .workers(2..=4)
            .drain_timeout(Duration::from_secs(2))
            .bind("10.0.0.1:0", || big_reply);
        TestServer::spawn(server.expect("bound"))
    });
    fn big_reply(
        _: &[u8],
        _: std::net::SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        Ok(socket.reply(&REPLY)?)
    }
    let addr = server.local_addr();
    let began = Instant::now();
    far.run(move || {
        let mut sender = Sender::bound("10.0.0.2:0", addr);
        for _ in 0..SENT / 30 {
            assert_eq!(sender.send(&[b"request"; 30]), 30, "sent");
        }
    });
    // All that while the link takes some 60 replies a second.
    wait_until("all were received all the same", || {
        server.stats().settled() == SENT
    });
    let settled = began.elapsed();
    let told = Instant::now();
    let stats = server.stop().stats;
    let took = told.elapsed();
    let replies = stats.replies;
    assert_eq!(stats.handled, SENT, "{stats}");
    assert!(replies.failed.no_room > SENT / 10, "{stats}");
    assert!(replies.sent > 0, "some find room: {stats}");
    assert_eq!(
        replies.sent + replies.failed.total(),
        SENT,
        "each reply ends in one way:\n{stats}"
    );
    assert_eq!(replies.failed.total(), replies.failed.no_room, "{stats}");
    assert!(
        took < Duration::from_secs(4),
        "all settled after {settled:?}, draining took {took:?}:\n{stats}"
    );
}
