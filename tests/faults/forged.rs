//! Sources that nobody sends from, in packets that no honest host would send.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{Interface, Refusal, ThreadingUdpServer};

use crate::harness::{Case, Need, SYSTEM_PYTHON, alone, cases};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::process::cpu_ticks_of;
use crate::support::{ANY_PORT, Client, Gate, TestServer, echo, wait_until};
use crate::world::NoDescriptors;

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip")] => {
            a_source_port_of_zero_costs_its_neighbours_no_reply,
            a_source_that_is_a_group_or_everybody_reaches_no_handler,
            a_server_never_answers_itself,
            a_server_is_itself_by_its_link_local_address,
            a_server_is_itself_by_a_secondary_address,
            without_descriptors_clients_with_the_servers_port_are_answered_in_a_flood,
        }
        &[Need::Root, Need::Tool("ip"), Need::FastPath] => {
            a_source_port_of_zero_switches_no_feature_off,
            a_server_is_itself_by_all_addresses_that_are_routed_to_it,
        }
        &[Need::Root, Need::Tool("ip"), Need::Scapy] => {
            what_another_forger_makes_is_judged_the_same,
        }
    }
}

/// Port 0: a reply there fails with `EINVAL`, as a send does that asks for a
/// feature the kernel does not have.
fn a_source_port_of_zero_costs_its_neighbours_no_reply() {
    Namespace::new().run(|| {
        for bound_to in [ANY_PORT, "[::1]:0"] {
            let server = ThreadingUdpServer::builder()
                .workers(1)
                .batch_size(32)
                .bind_fn(bound_to, echo)
                .expect("bound");
            let addr = server.local_addr();
            let forger = Forger::new();
            let clients: Vec<_> = (0..31).map(|_| Client::of(addr)).collect();
            for (number, client) in clients.iter().enumerate() {
                if number == 15 {
                    let nobody = SocketAddr::new(addr.ip(), 0);
                    forger.datagram(nobody, addr, b"answer me");
                }
                client.send(&[number as u8]);
            }
            let server = TestServer::spawn(server);
            for (number, client) in clients.iter().enumerate() {
                client.expect_reply(&[number as u8]);
            }
            let stats = server.stop().stats;
            assert_eq!((stats.handled, stats.refused.total()), (31, 1));
            assert_eq!(stats.replies.failed.total(), 0, "none was even tried");
        }
    });
}

/// A client with GRO sees whether replies leave segmented.
fn a_source_port_of_zero_switches_no_feature_off() {
    Namespace::new().run(|| {
        let gate = Gate::new();
        let held = gate.clone();
        let server = ThreadingUdpServer::builder()
            .workers(1)
            .bind_fn(ANY_PORT, move |bytes, addr, socket| {
                if bytes == b"hold" {
                    held.pass();
                }
                echo(bytes, addr, socket)
            })
            .expect("bound");
        let addr = server.local_addr();
        let (forger, client) = (Forger::new(), Client::of(addr));
        setsockopt(&client, sockopt::UdpGroSegment, &true).expect("since Linux 5.0");
        let server = TestServer::spawn(server);
        let _opened = gate.open_on_drop();
        client.send(b"hold");
        gate.wait_for(1);
        for _ in 0..10 {
            forger.datagram(SocketAddr::new(addr.ip(), 0), addr, b"answer me");
        }
        for _ in 0..16 {
            client.send(b"hop!");
        }
        gate.open();
        client.expect_reply(b"hold");
        let mut longest = 0;
        let mut total = 0;
        while total < 16 * 4 {
            let len = client.receive().len();
            longest = longest.max(len);
            total += len;
        }
        assert!(longest > 4, "no two replies left in one send");
        assert_eq!(server.stop().stats.refused.total(), 10);
    });
}

fn a_source_that_is_a_group_or_everybody_reaches_no_handler() {
    Namespace::new().run(|| {
        let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
        let addr = server.local_addr();
        let (forger, client) = (Forger::new(), Client::of(addr));
        let server = TestServer::spawn(server);
        for source in ["224.0.0.1:99", "239.1.2.3:99", "255.255.255.255:99"] {
            forger.datagram(source.parse().expect("an address"), addr, b"answer me");
        }
        assert_eq!(client.ask(b"still there?"), b"still there?");
        let stats = server.stop().stats;
        assert_eq!(stats.handled, 1, "the honest one alone");
        assert_eq!(stats.refused.total(), 3, "the kernel lets them through");
    });
}

/// One forged datagram would otherwise go round for ever, at full speed.
fn a_server_never_answers_itself() {
    Namespace::new().run(|| {
        // What a server on a wildcard calls itself is any address of the host.
        for (bound_to, itself) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.9"),
            ("[::1]:0", "::1"),
            ("[::]:0", "::1"),
            // IPv4, spelled as IPv6.
            ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
            ("[::ffff:0.0.0.0]:0", "127.0.0.9"),
        ] {
            let server = ThreadingUdpServer::builder()
                .thread_name("selfish")
                .bind_fn(bound_to, echo)
                .expect("bound");
            let own = SocketAddr::new(
                itself.parse().expect("an address"),
                server.local_addr().port(),
            );
            let client = Client::of(own);
            let server = TestServer::spawn(server);
            let forger = Forger::new();
            for _ in 0..20 {
                forger.datagram(own, own, b"tell yourself");
            }
            wait_until("they are received", || server.stats().received >= 20);
            client.send(b"and now?");
            // The portable twin cannot choose where an answer leaves from.
            let (answer, _) = client.receive_from();
            assert_eq!(answer, b"and now?");
            let before = cpu_ticks_of("selfish");
            // Nothing is waited for here: this is the time that is measured.
            thread::sleep(Duration::from_millis(500));
            let spent = cpu_ticks_of("selfish") - before;
            let stats = server.stop().stats;
            assert_eq!(
                (stats.refused.total(), stats.replies.sent),
                (20, 1),
                "{bound_to}: not one was answered, but the client's"
            );
            assert!(spent <= 2, "{bound_to}: it used {spent} ticks at rest");
        }
    });
}

/// A link-local address means something only together with its link. The far end
/// of that link forges: what the server answered itself would go round inside
/// the host, for ever.
fn a_server_is_itself_by_its_link_local_address() {
    let (here, there) = Namespace::pair();
    let server = here.run(|| {
        let server = ThreadingUdpServer::bind_fn("[::]:0", echo);
        TestServer::spawn(server.expect("bound"))
    });
    let port = server.local_addr().port();
    there.run(move || {
        let link = if_nametoindex("veth").expect("the link is there");
        let at_link = |ip: &str| -> SocketAddr {
            let ip = ip.parse().expect("an address");
            SocketAddrV6::new(ip, port, 0, link).into()
        };
        let itself = at_link("fe80::1");
        let forger = Forger::new();
        for _ in 0..20 {
            forger.datagram(itself, itself, b"tell yourself");
        }
        // An honest one with the same port, at the other end of the link.
        let own = at_link("fe80::2").to_string();
        assert_eq!(Client::at(&own, itself).ask(b"and now?"), b"and now?");
    });
    let refused = || server.stats().refused.by(Refusal::OwnAddress);
    wait_until("all are refused", || refused() == 20);
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.replies.sent), (1, 1), "{stats}");
}

/// Asked which address it would send from, Linux names the first of a network,
/// never a secondary one: those have to be listed.
fn a_server_is_itself_by_a_secondary_address() {
    let (here, there) = Namespace::pair();
    let second = Ipv4Addr::new(10, 0, 0, 9);
    here.ip(&format!("address add {second}/24 dev veth"));
    here.run(move || {
        let group = Ipv4Addr::new(239, 255, 70, 86);
        let server = ThreadingUdpServer::builder()
            .join_multicast(group.into(), Interface::Address(second))
            .bind_fn("0.0.0.0:0", echo)
            .expect("an interface has this address");
        let own = SocketAddr::from((second, server.local_addr().port()));
        let server = TestServer::spawn(server);
        let forger = Forger::new();
        for _ in 0..20 {
            forger.datagram(own, own, b"tell yourself");
        }
        let asked = SocketAddr::from((Ipv4Addr::LOCALHOST, own.port()));
        assert_eq!(Client::of(asked).ask(b"and now?"), b"and now?");
        let stats = server.stop().stats;
        assert_eq!(stats.refused.by(Refusal::OwnAddress), 20, "{stats}");
        assert_eq!(stats.handled, 1, "{stats}");
    });
    drop(there);
}

/// More of them than could be kept in mind. What comes from elsewhere is forged,
/// which only the way of the answer shows: it ends there.
fn a_server_is_itself_by_all_addresses_that_are_routed_to_it() {
    const EACH: u64 = 200;
    const NETWORK: &str = "2001:db8:1::/64";
    let (here, there) = Namespace::pair();
    here.ip(&format!("-6 route add local {NETWORK} dev lo"));
    there.ip(&format!("-6 route add {NETWORK} via fd00::1"));
    for (forger_at, handled) in [(&here, 1), (&there, EACH + 1)] {
        let server = here.run(|| {
            let server = ThreadingUdpServer::bind_fn("[::]:0", echo);
            TestServer::spawn(server.expect("bound"))
        });
        let port = server.local_addr().port();
        let routed = move |number: u64| -> SocketAddr {
            let network = 0x2001_0db8_0001_0000_u128 << 64;
            let ip = Ipv6Addr::from(network | u128::from(number));
            SocketAddr::new(ip.into(), port)
        };
        forger_at.run(move || {
            let forger = Forger::new();
            for number in 0..EACH {
                let (source, to) = (routed(1_000 + number), routed(9_000 + number));
                forger.datagram(source, to, b"tell yourself");
            }
        });
        let refused = || server.stats().refused.by(Refusal::OwnAddress);
        wait_until("each is refused at last", || refused() >= EACH);
        here.run(move || {
            let client = Client::of(routed(5));
            assert_eq!(client.ask(b"and now?"), b"and now?");
        });
        let stats = server.stop().stats;
        assert_eq!(stats.refused.by(Refusal::OwnAddress), EACH, "{stats}");
        assert_eq!((stats.handled, stats.replies.sent), (handled, handled));
    }
}

/// Whoever has the server's own port makes it look whether it is itself: that
/// must need nothing that can run out.
fn without_descriptors_clients_with_the_servers_port_are_answered_in_a_flood() {
    if !alone("without_descriptors_clients_with_the_servers_port_are_answered_in_a_flood") {
        return;
    }
    let (here, there) = Namespace::pair();
    here.ip("route add default via 10.0.0.2");
    let server = here.run(|| {
        let server = ThreadingUdpServer::builder().workers(1);
        TestServer::spawn(server.bind_fn("0.0.0.0:0", echo).expect("bound"))
    });
    let port = server.local_addr().port();
    let (forger, client) = there.run(move || {
        let asked = SocketAddr::from(([10, 0, 0, 1], port));
        (
            Forger::new(),
            Client::at(&format!("10.0.0.2:{port}"), asked),
        )
    });
    // What it wakes by is made when serving begins.
    assert_eq!(client.ask(b"up?"), b"up?");
    let exhausted = NoDescriptors::left();
    let asked = SocketAddr::from(([10, 0, 0, 1], port));
    let began = Instant::now();
    let mut forged = 0;
    // Longer than what was listed at bind is taken for granted.
    while began.elapsed() < Duration::from_millis(1_500) {
        for number in (forged..).take(100) {
            let source = Ipv4Addr::from_bits(0xc612_0000 + number % 0xffff);
            forger.datagram(SocketAddr::from((source, port)), asked, b"from nowhere");
        }
        forged += 100;
        assert_eq!(client.ask(b"my turn"), b"my turn");
    }
    drop(exhausted);
    let stats = server.stop().stats;
    assert_eq!(stats.refused.total(), 0, "nobody is the server: {stats}");
    println!("{forged} forged, {} received", stats.received);
}

/// Scapy builds its packets from scratch: what [`Forger`] and the server have
/// wrong in common would show.
fn what_another_forger_makes_is_judged_the_same() {
    let namespace = Namespace::new();
    let server = namespace.run(|| {
        let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo);
        TestServer::spawn(server.expect("bound"))
    });
    let addr = server.local_addr();
    let mut scapy = Command::new(SYSTEM_PYTHON);
    scapy.args(["-c", SCAPY, &addr.port().to_string()]);
    namespace.output_of(scapy);
    let client = namespace.run(move || Client::of(addr));
    assert_eq!(client.ask(b"still there?"), b"still there?");
    let stats = server.stop().stats;
    assert_eq!(stats.refused.total(), 3, "port 0, itself, a group");
    assert_eq!(
        (stats.handled, stats.replies.sent),
        (2, 2),
        "the honest ones"
    );
    assert_eq!(stats.receive_errors, 0, "no news of what was never sent");
}

const SCAPY: &str = r#"
import sys
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, UDP
from scapy.supersocket import L3RawSocket

server, port = "127.0.0.1", int(sys.argv[1])
line = L3RawSocket(iface="lo")
def datagram(source, source_port, **fields):
    return IP(src=source, dst=server) / UDP(sport=source_port, dport=port, **fields) / b"from scapy"
line.send(datagram("127.0.0.1", 0))
line.send(datagram(server, port))
line.send(datagram("224.0.0.1", 99))
line.send(datagram("127.0.0.1", 99, chksum=0x5555))
line.send(datagram("127.0.0.1", 99))
quoted = IP(src=server, dst="127.0.0.1") / UDP(sport=port, dport=99) / b"from scapy"
line.send(IP(src="127.0.0.1", dst=server) / ICMP(type=3, code=3) / quoted)
"#;
