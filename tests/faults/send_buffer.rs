//! A network that takes replies more slowly than they are made.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::load::Sender;
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::{Client, TestServer, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::Tool("tc")] => {
            replies_that_find_no_room_are_dropped_in_time_and_counted,
            what_counts_as_sent_over_a_slow_link_arrives,
        }
        &[Need::Root, Need::Tool("ip")] => {
            replies_to_absent_hosts_leave_room_for_those_to_present_ones,
            absent_hosts_hold_no_more_of_the_send_buffer_than_their_share,
            replies_to_absent_hosts_at_a_rate_leave_room_for_those_to_present_ones,
            a_small_send_buffer_that_absent_hosts_fill_has_room_again_when_they_are_given_up,
        }
    }
}

/// The buffer is full for longer than a send waits, in the middle of replies
/// that leave as one: each of them is counted as what it was.
fn what_counts_as_sent_over_a_slow_link_arrives() {
    const SENT: u64 = 320;
    const REPLY: [u8; 1_000] = [b'r'; 1_000];
    let here = Namespace::new();
    let server = here.run(|| {
        ThreadingUdpServer::builder()
            .send_buffer(4_608)
            .workers(1)
            .bind_fn("127.0.0.1:0", |_, _, socket| Ok(socket.reply(&REPLY)?))
            .expect("bound")
    });
    let addr = server.local_addr();
    let client = here.run(move || {
        let mut sender = Sender::to(addr);
        for _ in 0..SENT / 32 {
            assert_eq!(sender.send(&[b"request"; 32]), 32, "sent");
        }
        sender.socket
    });
    here.command(
        "tc",
        "qdisc add dev lo root tbf rate 500kbit burst 2kb limit 8mb",
    );
    // Received all the while, so that nothing is lost there for want of room.
    let (ended, ends) = mpsc::channel::<()>();
    let counting = std::thread::spawn(move || {
        let patience = Some(Duration::from_millis(20));
        client.set_read_timeout(patience).expect("not zero");
        let (mut arrived, mut buffer) = (0, [0; 2_000]);
        loop {
            match client.recv(&mut buffer) {
                Ok(len) => {
                    assert_eq!(buffer[..len], REPLY, "a whole reply");
                    arrived += 1;
                }
                Err(_) if ends.try_recv().is_err() => {}
                Err(_) => return arrived,
            }
        }
    });
    let server = here.run(|| TestServer::spawn(server));
    server.wait_until_settled(SENT);
    let stats = server.stop().stats;
    let queue = || here.command("tc", "-s qdisc show dev lo");
    wait_until("the link has taken all", || {
        queue().contains("backlog 0b 0p")
    });
    ended.send(()).expect("it is counted");
    let arrived: u64 = counting.join().expect("no panic");
    let dropped = here.counter("Udp", "RcvbufErrors");
    let replies = stats.replies;
    let shown = format!("{arrived} arrived, {dropped} dropped\n{}\n{stats}", queue());
    assert!(queue().contains("dropped 0,"), "{shown}");
    assert_eq!(replies.sent, arrived + dropped, "{shown}");
    assert_eq!(replies.bytes_sent, 1_000 * replies.sent, "{shown}");
    assert_eq!(replies.failed.no_room, SENT - replies.sent, "{shown}");
}

/// What waits for the addresses of hosts that are not there (ARP) waits in the
/// server's send buffer: more than the system's default holds.
fn replies_to_absent_hosts_leave_room_for_those_to_present_ones() {
    const ASKED: u8 = 50;
    let (here, there) = Namespace::pair();
    let (server, client) = sending_to_absent(DEFAULT, 100, 100, &here, &there);
    let addr = server.local_addr();
    there.run(move || {
        let forger = Forger::new();
        for source in absent(200) {
            forger.datagram(source, addr, b"answer me");
        }
    });
    for number in 0..ASKED {
        assert_eq!(client.ask(&[number]), [number], "there is room");
    }
    server.wait_until_settled(202 + u64::from(ASKED));
    let stats = server.stop().stats;
    assert_eq!(stats.replies.failed.total(), 0, "{stats}");
}

/// The same for longer than the kernel asks for an address (three seconds): as
/// many are given up as come.
fn replies_to_absent_hosts_at_a_rate_leave_room_for_those_to_present_ones() {
    const PER_SECOND: u32 = 200;
    const SECONDS: u32 = 5;
    let (here, there) = Namespace::pair();
    let (server, client) = sending_to_absent(DEFAULT, 0, 0, &here, &there);
    let addr = server.local_addr();
    let forging = there.run(move || {
        let forger = Forger::new();
        std::thread::spawn(move || {
            let began = Instant::now();
            for (number, source) in (0..PER_SECOND * SECONDS).zip(absent(60).cycle()) {
                // The load's own pace.
                let due = began + Duration::from_secs(1) / PER_SECOND * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                forger.datagram(source, addr, &[b'x'; 1_000]);
            }
        })
    });
    let mut asked = 0;
    while !forging.is_finished() {
        assert_eq!(client.ask(b"here"), b"here", "there is room");
        asked += 1;
    }
    forging.join().expect("all were sent");
    server.wait_until_settled(2 + asked + u64::from(PER_SECOND * SECONDS));
    let stats = server.stop().stats;
    assert_eq!(stats.replies.failed.total(), 0, "{stats}");
}

/// The kernel keeps no more for a host whose address it waits for than
/// `unres_qlen_bytes` says (arp(7)); what is beyond is dropped there, and the
/// send buffer has room again. So all but one of the hosts that could fill it
/// leave room for everybody else: of the system's default, that is one.
fn absent_hosts_hold_no_more_of_the_send_buffer_than_their_share() {
    for buffer in [DEFAULT, SHARE] {
        // The kernel doubles what it grants.
        let hosts = 2 * buffer / SHARE - 1;
        let (here, there) = Namespace::pair();
        let (server, client) = sending_to_absent(buffer, hosts as u8, EACH * hosts, &here, &there);
        assert_eq!(client.ask(b"here"), b"here", "there is room");
        let stats = server.stop().stats;
        assert_eq!(stats.replies.failed.total(), 0, "{stats}");
        let sent = (EACH * hosts + 2) as u64;
        assert_eq!(stats.replies.sent, sent, "{stats}");
    }
}

/// With the system's default three absent hosts suffice.
fn a_small_send_buffer_that_absent_hosts_fill_has_room_again_when_they_are_given_up() {
    let (here, there) = Namespace::pair();
    let (server, client) = sending_to_absent(SHARE, 3, EACH * 3, &here, &there);
    wait_until("it is full", || server.stats().replies.failed.no_room > 0);
    server.wait_until_settled(2);
    let sent = server.stats().replies.sent;
    wait_until("there is room", || {
        client.send(b"here");
        server.stats().replies.sent > sent
    });
    assert_eq!(client.receive(), b"here");
    let stats = server.stop().stats;
    let failed = stats.replies.failed;
    assert_eq!(failed.total(), failed.no_room, "{stats}");
}

/// What is asked for if nobody says anything.
const DEFAULT: usize = 4 << 20;
/// What the kernel keeps for one absent host, and by default for a socket
/// (`net.core.wmem_default`).
const SHARE: usize = 212_992;
/// More datagrams than a share holds, as the kernel counts: each with its overhead.
const EACH: usize = 250;

/// A server with such a send buffer that was made to send so many datagrams to so
/// many hosts that are not there, in turn, and the client who did that.
fn sending_to_absent(
    buffer: usize,
    hosts: u8,
    count: usize,
    here: &Namespace,
    there: &Namespace,
) -> (TestServer, Client) {
    let server = here.run(move || {
        let mut builder = ThreadingUdpServer::builder().workers(1);
        if buffer != DEFAULT {
            builder = builder.send_buffer(buffer);
        }
        builder
            .bind_fn("10.0.0.1:0", move |bytes, _, socket| match bytes {
                b"many" => absent(hosts)
                    .cycle()
                    .take(count)
                    .try_for_each(|host| socket.send_to(&[0; 1_000], host))
                    .map_err(Into::into),
                _ => Ok(socket.reply(bytes)?),
            })
            .expect("bound")
    });
    let addr = server.local_addr();
    let server = here.run(|| TestServer::spawn(server));
    let client = there.run(move || Client::at("10.0.0.2:0", addr));
    assert_eq!(client.ask(b"known"), b"known", "before all that");
    client.send(b"many");
    (server, client)
}

/// So many hosts on the link that are not there.
fn absent(count: u8) -> impl Iterator<Item = SocketAddr> + Clone {
    (0..count).map(|host| SocketAddr::from(([10, 0, 0, 20 + host], 4_000)))
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
    fn big_reply(_: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
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
