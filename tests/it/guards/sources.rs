//! Who is refused for where it sends from.

use std::net::{SocketAddr, UdpSocket};

use socketserver::{BindError, ConfigError, Refusal, Stats, ThreadingUdpServer};

use crate::support::{ANY_PORT, Client, ServerBuilder, TestServer, echo};

type Builder = socketserver::Builder<ThreadingUdpServer>;

fn builder() -> Builder {
    ThreadingUdpServer::builder()
}

/// Serves, and lets one stranger from each host and one from 127.0.0.1 ask.
/// Returns the stats after that.
#[track_caller]
fn asked_from(builder: Builder, hosts: &[u8]) -> Stats {
    let server = builder.serving(echo);
    let clients: Vec<_> = hosts
        .iter()
        .map(|host| Client::at(&format!("127.0.0.{host}:0"), server.local_addr()))
        .collect();
    for client in &clients {
        client.send(b"hello?");
    }
    server.wait_until_settled(hosts.len() as u64);
    server.stop().stats
}

#[cfg(target_os = "linux")]
#[test]
fn denied_networks_are_refused() {
    let stats = asked_from(
        builder().deny_networks(["127.0.0.2", "127.0.0.4/30"]),
        &[1, 2, 3, 4, 7, 8],
    );
    assert_eq!(
        (stats.handled, stats.refused.by(Refusal::Denied)),
        (3, 3),
        "{stats}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn networks_that_are_not_allowed_are_refused_and_deny_wins() {
    let limited = builder()
        .allow_networks(["127.0.0.0/30"])
        .allow_networks(["::ffff:127.0.0.9"])
        .deny_networks(["127.0.0.2"]);
    let stats = asked_from(limited, &[1, 2, 3, 4, 9]);
    let refused = stats.refused;
    assert_eq!(
        (refused.by(Refusal::Denied), refused.by(Refusal::NotAllowed)),
        (1, 1),
        "{stats}"
    );
    assert_eq!(stats.handled, 3, "127.0.0.1, .3 and .9");
}

#[cfg(target_os = "linux")]
#[test]
fn a_dual_stack_server_knows_ipv4_networks() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let server = builder()
        .only_v6(false)
        .deny_networks(["127.0.0.2", "::1"])
        .bind_fn("[::]:0", echo)
        .expect("bound");
    let port = server.local_addr().port();
    let server = TestServer::spawn(server);
    let v4 = SocketAddr::from(([127, 0, 0, 1], port));
    Client::at("127.0.0.2:0", v4).send(b"hello?");
    let v6 = format!("[::1]:{port}").parse().expect("an address");
    Client::at("[::1]:0", v6).send(b"hello?");
    assert_eq!(Client::at("127.0.0.1:0", v4).ask(b"hello?"), b"hello?");
    server.wait_until_settled(3);
    assert_eq!(server.stop().stats.refused.by(Refusal::Denied), 2);
}

#[test]
fn networks_that_are_none_are_refused_at_bind_with_the_option_and_the_text() {
    let trusting = || socketserver::AmplificationLimit::new().trust(["10.0.0.1/8"]);
    let rate = socketserver::RateLimit::per_second(0);
    let loops = socketserver::ReplyLoops::new().exchanges(0);
    let cases = [
        (
            "allow_networks",
            "`nowhere`",
            builder().allow_networks(["nowhere"]),
        ),
        (
            "allow_networks",
            "everyone",
            builder().allow_networks([""; 0]),
        ),
        (
            "deny_networks",
            "`127.0.0.1/33`",
            builder().deny_networks(["127.0.0.1/33"]),
        ),
        (
            "amplification_limit",
            "`10.0.0.1/8`",
            builder().amplification_limit(trusting()),
        ),
        ("rate_limit", "0 datagrams", builder().rate_limit(rate)),
        (
            "break_reply_loops",
            "0 exchanges",
            builder().break_reply_loops(loops),
        ),
    ];
    for (name, text, builder) in cases {
        match builder.bind_fn(ANY_PORT, echo) {
            Err(BindError::Config(ConfigError {
                option, problem, ..
            })) => {
                assert_eq!(option, name);
                assert!(problem.contains(text), "{name}: {problem}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Needs the leave to bind a low port; the one it asks for is rarely taken.
#[cfg(target_os = "linux")]
#[test]
fn services_that_answer_anything_are_refused_by_their_ports() {
    // Ubiquiti's discovery, above 1,023: anyone may bind it. Once: a child of another
    // test may have it still when it is closed.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let responder = Client::at("127.13.0.7:10001", nobody);
    for refuse in [true, false] {
        let server = builder().refuse_responder_ports(refuse).serving(echo);
        responder.send_to(b"error: what?", server.local_addr());
        Client::of(server.local_addr()).ask(b"a client");
        server.wait_until_settled(2);
        let stats = server.stop().stats;
        let expected = if refuse { (1, 1) } else { (2, 0) };
        let counted = (stats.handled, stats.refused.by(Refusal::ResponderPort));
        assert_eq!(counted, expected, "asked to: {refuse}");
    }
}
