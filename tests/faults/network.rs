//! Networks that come and go, lose, repeat and reorder.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socketserver::ThreadingUdpServer;

use crate::harness::{Case, Need, cases, scale};
use crate::netns::Namespace;
use crate::support::{ANY_PORT, Client, TestServer, echo, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            repeated_and_reordered_datagrams_are_answered_one_for_one,
        }
        &[Need::Root, Need::Tool("ip")] => {
            an_address_that_goes_and_comes_back_is_served_again,
            a_link_that_goes_down_and_up_is_served_again,
            loopback_that_goes_down_and_up_is_served_again,
        }
        &[Need::Root, Need::Tool("ip"), Need::Tool("nft")] => {
            what_the_network_loses_is_all_that_is_missing,
        }
    }
}

/// A client that takes no answer for an answer.
struct Prober {
    socket: UdpSocket,
    server: SocketAddr,
    asked: u32,
}

impl Prober {
    #[track_caller]
    fn at(own: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).expect("a client's socket");
        let patience = Some(Duration::from_millis(50));
        socket.set_read_timeout(patience).expect("not zero");
        Self {
            socket,
            server,
            asked: 0,
        }
    }

    /// Asks once; whether the answer came.
    fn is_answered(&mut self) -> bool {
        self.asked += 1;
        let question = self.asked.to_ne_bytes();
        self.ask(&question).is_ok_and(|answer| answer == question)
    }

    fn ask(&self, question: &[u8]) -> io::Result<[u8; 4]> {
        self.socket.send_to(question, self.server)?;
        let mut answer = [0; 4];
        loop {
            self.socket.recv_from(&mut answer)?;
            // Answers to earlier questions may come late.
            if answer == question {
                return Ok(answer);
            }
        }
    }
}

/// What goes away and comes back, in the server's network.
struct Outage {
    ends: &'static [&'static str],
    begins: &'static [&'static str],
}

/// A server bound to its address and one bound to a wildcard are asked before,
/// during and after the outage, and that twice.
#[track_caller]
fn survive(here: &Namespace, there: &Namespace, at: [&'static str; 2], outage: &Outage) {
    let [server_at, client_at] = at;
    for bound_to in [server_at, "0.0.0.0"] {
        let server = here.run(move || {
            let server = ThreadingUdpServer::bind_fn((bound_to, 0), echo).expect("bound");
            TestServer::spawn(server)
        });
        let addr = SocketAddr::new(
            server_at.parse().expect("an address"),
            server.local_addr().port(),
        );
        let mut client = there.run(move || Prober::at(&format!("{client_at}:0"), addr));
        for _ in 0..2 {
            wait_until("it is answered", || client.is_answered());
            outage.begins.iter().for_each(|command| here.ip(command));
            let answered = (0..3).any(|_| client.is_answered());
            assert!(!answered, "nothing gets through");
            outage.ends.iter().for_each(|command| here.ip(command));
            wait_until("it is answered again", || client.is_answered());
        }
        let stats = server.stop().stats;
        assert_eq!(stats.handled, stats.received, "{stats}");
    }
}

fn an_address_that_goes_and_comes_back_is_served_again() {
    let (here, there) = Namespace::pair();
    let outage = Outage {
        begins: &["address del 10.0.0.1/24 dev veth"],
        ends: &["address add 10.0.0.1/24 brd + dev veth"],
    };
    survive(&here, &there, ["10.0.0.1", "10.0.0.2"], &outage);
}

fn a_link_that_goes_down_and_up_is_served_again() {
    let (here, there) = Namespace::pair();
    let outage = Outage {
        begins: &["link set veth down"],
        ends: &["link set veth up"],
    };
    survive(&here, &there, ["10.0.0.1", "10.0.0.2"], &outage);
}

fn loopback_that_goes_down_and_up_is_served_again() {
    let here = Namespace::new();
    let outage = Outage {
        begins: &["link set lo down"],
        ends: &["link set lo up"],
    };
    survive(&here, &here, ["127.0.0.1", "127.0.0.1"], &outage);
}

/// A firewall drops one in a hundred on the way to the server: the counters of
/// both, and what the client got, agree to the last datagram.
fn what_the_network_loses_is_all_that_is_missing() {
    const AT_ONCE: u64 = 100;
    let namespace = Namespace::new();
    let server = namespace.run(|| {
        let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
        TestServer::spawn(server)
    });
    let addr = server.local_addr();
    let drops = format!(
        "add rule ip faults in udp dport {} numgen random mod 100 == 7 counter name lost drop",
        addr.port()
    );
    for command in [
        "add table ip faults",
        "add counter ip faults lost",
        "add chain ip faults in { type filter hook input priority 0 ; }",
        &drops,
    ] {
        namespace.command("nft", command);
    }
    let lost = || {
        let listing = namespace.command("nft", "list counter ip faults lost");
        let mut words = listing.split_whitespace();
        words.find(|word| *word == "packets");
        let count = words.next().and_then(|count| count.parse::<u64>().ok());
        count.expect("a number of packets")
    };
    let client = namespace.run(move || Client::of(addr));
    let total = 3_000 * scale();
    let mut answered = 0;
    for first in (0..total).step_by(AT_ONCE as usize) {
        let numbers = first..first + AT_ONCE;
        numbers.for_each(|number| client.send(&number.to_ne_bytes()));
        // On loopback it is received or lost once it is sent.
        let sent = first + AT_ONCE;
        let lost = lost();
        wait_until("all that was not lost is answered", || {
            server.stats().replies.sent == sent - lost
        });
        while answered < sent - lost {
            let number = client.receive();
            let number = u64::from_ne_bytes(number.try_into().expect("eight bytes"));
            assert!((first..sent).contains(&number), "an answer of this round");
            answered += 1;
        }
        client.expect_silence();
    }
    let (lost, stats) = (lost(), server.stop().stats);
    assert!(lost > 0, "something was lost");
    assert_eq!(stats.received, total - lost, "{lost} lost:\n{stats}");
    assert_eq!(stats.kernel_drops.unwrap_or(0), 0);
}

/// What a network may do with datagrams: pass them on in another order, and
/// some of them twice. Each comes to a handler as often as it arrives.
fn repeated_and_reordered_datagrams_are_answered_one_for_one() {
    /// How a network passes on five datagrams.
    const ARRIVING: [u64; 7] = [4, 2, 0, 0, 3, 1, 4];
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let client = Client::of(server.local_addr());
    let server = TestServer::spawn(server);
    for first in (0..500 * scale()).step_by(5) {
        let arriving = ARRIVING.map(|place| first + place);
        for number in arriving {
            client.send(&number.to_ne_bytes());
        }
        let mut answers = arriving.map(|_| {
            let answer = client.receive();
            u64::from_ne_bytes(answer.try_into().expect("eight bytes"))
        });
        answers.sort_unstable();
        let mut expected = arriving;
        expected.sort_unstable();
        assert_eq!(answers, expected, "each as often as it was sent");
    }
    let stats = server.stop().stats;
    assert_eq!(stats.handled, 700 * scale());
    client.expect_silence();
}
