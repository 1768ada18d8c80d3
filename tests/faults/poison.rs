//! Replies that cannot be sent, among others that can.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socketserver::ThreadingUdpServer;

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::{Client, TestServer, echo};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::Tool("nft")] => {
            replies_that_cannot_be_sent_cost_no_other_reply,
        }
    }
}

/// Peers that cannot be answered: no route (`ENETUNREACH`), a route that says
/// so (`EHOSTUNREACH`), a firewall (`EPERM`), a route that forbids (`EACCES`), the
/// network's broadcast address (`EACCES`), and a black hole (`EINVAL`).
const POISON: [[u8; 4]; 6] = [
    [203, 0, 113, 1],
    [198, 51, 100, 1],
    [10, 0, 0, 66],
    [192, 0, 2, 1],
    [10, 0, 0, 255],
    [192, 88, 99, 1],
];

fn replies_that_cannot_be_sent_cost_no_other_reply() {
    let (here, there) = Namespace::pair();
    here.ip("route add unreachable 198.51.100.0/24");
    here.ip("route add prohibit 192.0.2.0/24");
    here.ip("route add blackhole 192.88.99.0/24");
    here.command("nft", "add table ip faults");
    here.command(
        "nft",
        "add chain ip faults out { type filter hook output priority 0 ; }",
    );
    here.command("nft", "add rule ip faults out ip daddr 10.0.0.66 drop");
    let server = here.run(|| {
        ThreadingUdpServer::builder()
            .workers(1)
            .bind_fn("10.0.0.1:0", echo)
            .expect("bound")
    });
    let addr = server.local_addr();
    // Three honest clients, one datagram each between two of the others; two
    // of the replies to one client could leave as one send.
    let clients: Vec<Client> =
        there.run(move || (0..3).map(|_| Client::at("10.0.0.2:0", addr)).collect());
    let forge_from = |source: [u8; 4]| {
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(source)), 4_000);
        // From inside: what comes over a link from such sources is dropped there.
        here.run(move || Forger::new().datagram(source, addr, b"answer me"));
    };
    let mut sent = 0;
    for source in POISON {
        forge_from(source);
        for client in &clients {
            client.send(&[sent]);
            sent += 1;
        }
    }
    let server = here.run(|| TestServer::spawn(server));
    for number in 0..sent {
        clients[usize::from(number) % clients.len()].expect_reply(&[number]);
    }
    let stats = server.stop().stats;
    if cfg!(not(socketserver_portable)) {
        assert_eq!(stats.batches, 1, "they came in one batch");
    }
    assert_eq!(stats.handled, 24, "nobody can tell before the reply");
    assert_eq!(stats.replies.sent, 18);
    let failed = stats.replies.failed;
    assert_eq!(
        (failed.unreachable, failed.not_permitted, failed.bad_address),
        (2, 3, 1),
        "{stats}"
    );
}
