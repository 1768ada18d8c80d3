//! Sources that nobody can answer, where the protocol has them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;

use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{Builder, Refusal, Stats, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::raw::Forger;
use crate::support::{ANY_PORT, DEADLINE, TestServer};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip")] => {
            a_client_without_an_address_reaches_the_handler_where_that_is_allowed,
            a_datagram_from_port_0_reaches_the_handler_where_that_is_allowed,
        }
    }
}

/// As a client of DHCP does: from 0.0.0.0:68 to 255.255.255.255:67 (RFC 2131, 4.1).
fn a_client_without_an_address_reaches_the_handler_where_that_is_allowed() {
    let (here, there) = (Namespace::new(), Namespace::new());
    here.join(&there, "veth");
    here.ip("address add 10.0.0.1/24 brd + dev veth");
    let client = there.run(|| {
        let client = UdpSocket::bind("0.0.0.0:68").expect("nobody is there");
        let device = "veth".into();
        setsockopt(&client, sockopt::BindToDevice, &device).expect("root may");
        client.set_broadcast(true).expect("a flag");
        client
    });
    let discover = move || {
        let sent = client.send_to(b"discover", "255.255.255.255:67");
        assert_eq!(sent.expect("the link is up"), 8);
    };
    here.run(move || {
        let plain = ThreadingUdpServer::builder;
        let (refused, answers) = asked(plain(), "0.0.0.0:67", &discover);
        assert_eq!(refused.refused.by(Refusal::Unspecified), 1, "{refused}");
        assert_eq!(answers, [""; 0], "no handler saw it");
        let allowing = plain().allow_unspecified_sources(true);
        let (handled, answers) = asked(allowing, "0.0.0.0:67", &discover);
        assert_eq!(handled.handled, 1, "{handled}");
        let [answer] = &answers[..] else {
            panic!("all ways tell the same: {answers:?}")
        };
        let nobody = "cannot send to 0.0.0.0:68: the unspecified address is nobody's: ";
        assert!(answer.starts_with(nobody), "{answer}");
        assert!(answer.ends_with("hears broadcasts"), "what to do: {answer}");
        assert_eq!(handled.replies.failed.bad_address, 3, "{handled}");
        assert_eq!(handled.replies.sent, 0, "{handled}");
    });
}

/// As exporters do that expect no answer (RFC 768).
fn a_datagram_from_port_0_reaches_the_handler_where_that_is_allowed() {
    Namespace::new().run(|| {
        let export = |addr: SocketAddr| {
            let nobody = SocketAddr::from(([127, 0, 0, 9], 0));
            Forger::new().datagram(nobody, addr, b"a record");
        };
        let plain = ThreadingUdpServer::builder;
        let (refused, answers) = asked_at(plain(), ANY_PORT, export);
        assert_eq!(refused.refused.by(Refusal::PortZero), 1, "{refused}");
        assert_eq!(answers, [""; 0], "no handler saw it");
        let allowing = plain().allow_port_zero_sources(true);
        let (handled, answers) = asked_at(allowing, ANY_PORT, export);
        assert_eq!(handled.handled, 1, "{handled}");
        let nobody = "cannot send to 127.0.0.9:0: port 0 is nobody's";
        assert_eq!(answers, [nobody]);
        assert_eq!(handled.replies.failed.bad_address, 3, "{handled}");
        assert_eq!(handled.replies.sent, 0, "{handled}");
    });
}

#[track_caller]
fn asked(builder: Builder<ThreadingUdpServer>, addr: &str, ask: impl Fn()) -> (Stats, Vec<String>) {
    asked_at(builder, addr, |_| ask())
}

/// Asks a server once, whose handler tries to answer in every way. Returns the
/// stats, and how that failed, once for each time that it failed alike.
#[track_caller]
fn asked_at(
    builder: Builder<ThreadingUdpServer>,
    addr: &str,
    ask: impl Fn(SocketAddr),
) -> (Stats, Vec<String>) {
    let (tell, told) = mpsc::channel();
    let server = builder.bind_fn(addr, move |bytes, peer, socket| {
        let replied = socket.reply(bytes).expect_err("nobody is there");
        let sent = socket
            .try_send_to(bytes, peer)
            .expect_err("nobody is there");
        let later = socket.detach().reply(bytes).expect_err("nobody is there");
        assert_eq!(replied.to_string(), sent.to_string());
        assert_eq!(replied.to_string(), later.to_string());
        Ok(tell.send(replied.to_string())?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    ask(server.local_addr());
    server.wait_until_settled(1);
    let stats = server.stop().stats;
    (
        stats,
        std::iter::from_fn(|| told.recv_timeout(DEADLINE).ok()).collect(),
    )
}
