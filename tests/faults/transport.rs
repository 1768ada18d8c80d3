//! What the layers below hand over: damage, and several datagrams at once.

use std::io::IoSlice;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socketserver::ThreadingUdpServer;

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::process::cpu_ticks_of;
use crate::support::{ANY_PORT, Client, TestServer, echo, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_segmented_send_arrives_as_the_datagrams_it_is_made_of,
        }
        &[Need::Root, Need::Tool("ip")] => {
            a_segmented_send_over_a_link_arrives_as_the_datagrams_it_is_made_of,
            a_wrong_checksum_reaches_no_handler,
        }
    }
}

/// Sends `payload` in one call, for the kernel to cut.
#[track_caller]
fn send_segmented(client: &Client, to: SocketAddr, payload: &[u8], segment: u16) {
    let SocketAddr::V4(v4) = to else {
        panic!("{to} is of IPv4");
    };
    let to = SockaddrIn::from(SocketAddrV4::new(*v4.ip(), v4.port()));
    let sent = sendmsg(
        client.as_fd().as_raw_fd(),
        &[IoSlice::new(payload)],
        &[ControlMessage::UdpGsoSegments(&segment)],
        MsgFlags::empty(),
        Some(&to),
    );
    assert_eq!(sent, Ok(payload.len()), "segmented sends work here");
}

/// A server that tells which datagrams its handler saw.
#[track_caller]
fn telling(bound_to: &str) -> (TestServer, Receiver<Vec<u8>>) {
    let (tell, told) = mpsc::channel();
    let server =
        ThreadingUdpServer::builder()
            .workers(1)
            .bind_fn(bound_to, move |bytes, addr, socket| {
                tell.send(bytes.to_vec())?;
                echo(bytes, addr, socket)
            });
    (TestServer::spawn(server.expect("bound")), told)
}

#[track_caller]
fn expect_pieces(server: TestServer, told: &Receiver<Vec<u8>>, client: &Client) {
    let mut expected = Vec::new();
    // The last piece may be shorter; 64 pieces are the most that old kernels take.
    for (segment, len) in [(100, 1_050), (1, 64), (1_000, 10_000), (7, 8), (512, 512)] {
        let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        send_segmented(client, server.local_addr(), &payload, segment);
        expected.extend(payload.chunks(segment.into()).map(<[u8]>::to_vec));
    }
    for piece in &expected {
        client.expect_reply(piece);
    }
    let stats = server.stop().stats;
    assert_eq!(stats.received, expected.len() as u64, "each piece counts");
    let bytes: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(stats.bytes_received, bytes as u64);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
}

fn a_segmented_send_arrives_as_the_datagrams_it_is_made_of() {
    let (server, told) = telling(ANY_PORT);
    let client = Client::of(server.local_addr());
    expect_pieces(server, &told, &client);
}

fn a_segmented_send_over_a_link_arrives_as_the_datagrams_it_is_made_of() {
    let (here, there) = Namespace::pair();
    let (server, told) = here.run(|| telling("10.0.0.1:0"));
    let addr = server.local_addr();
    let client = there.run(move || Client::at("10.0.0.2:0", addr));
    expect_pieces(server, &told, &client);
}

/// The kernel looks at the checksum of a short datagram when it arrives, before
/// it belongs to any socket, and at that of a longer one when it is read:
/// poll(2) may say that there is one, and then there is none.
fn a_wrong_checksum_reaches_no_handler() {
    Namespace::new().run(|| {
        for bound_to in [ANY_PORT, "[::1]:0"] {
            let server = ThreadingUdpServer::builder()
                .thread_name("checksum")
                .bind_fn(bound_to, echo)
                .expect("bound");
            let (addr, forger) = (server.local_addr(), Forger::new());
            let client = Client::of(addr);
            let server = TestServer::spawn(server);
            let source = SocketAddr::new(addr.ip(), 99);
            for number in 0..100_u8 {
                forger.damaged(source, addr, b"short");
                forger.damaged(source, addr, &[b'x'; 200]);
                if number % 10 == 0 {
                    assert_eq!(client.ask(&[number]), [number], "between them");
                }
            }
            wait_until("all the longer ones are dropped", || {
                server.stats().kernel_drops.is_none_or(|drops| drops == 100)
            });
            let before = cpu_ticks_of("checksum");
            // Nothing is waited for here: this is the time that is measured.
            thread::sleep(Duration::from_millis(300));
            let spent = cpu_ticks_of("checksum") - before;
            let stats = server.stop().stats;
            assert_eq!((stats.received, stats.handled), (10, 10));
            assert!(spent <= 2, "{bound_to}: it used {spent} ticks at rest");
        }
    });
}
