//! Guards that change while a server serves, and whom they trust.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use socketserver::{
    ChangeError, ConfigError, RateLimit, Refusal, ReplyLoops, ServerHandle, Stats,
    ThreadingUdpServer,
};

use crate::support::{
    ANY_PORT, Client, Gate, ServerBuilder, TestServer, UdpServer, echo, wait_until,
};

fn serving() -> TestServer {
    ThreadingUdpServer::serving(echo)
}

/// Far below what these tests send.
fn slow() -> RateLimit {
    RateLimit::per_second(1).leak(0)
}

/// Sends a datagram, and waits until it is settled: the stats after that.
#[track_caller]
fn settled(server: &TestServer, client: &Client) -> Stats {
    let before = server.stats().settled();
    client.send(b"hello?");
    server.wait_until_settled(before + 1);
    server.stats()
}

#[test]
fn the_next_datagram_obeys_a_new_list() {
    let server = serving();
    let client = Client::of(server.local_addr());
    assert_eq!(settled(&server, &client).handled, 1);

    server.set_denied_networks(["127.0.0.0/8"]).expect("a list");
    let stats = settled(&server, &client);
    assert_eq!((stats.handled, stats.refused.by(Refusal::Denied)), (1, 1));

    server.set_denied_networks([""; 0]).expect("an empty list");
    assert_eq!(settled(&server, &client).handled, 2);

    server
        .set_allowed_networks(["192.0.2.0/24"])
        .expect("a list");
    let stats = settled(&server, &client);
    assert_eq!(
        (stats.handled, stats.refused.by(Refusal::NotAllowed)),
        (2, 1)
    );

    let with_client = ["192.0.2.0/24", "127.0.0.1"];
    server.set_allowed_networks(with_client).expect("a list");
    assert_eq!(settled(&server, &client).handled, 3);

    server.set_denied_networks(["127.0.0.1"]).expect("a list");
    let stats = settled(&server, &client);
    assert_eq!(stats.refused.by(Refusal::Denied), 2, "denying wins");

    server.set_denied_networks([""; 0]).expect("an empty list");
    let all = ["0.0.0.0/0", "::/0"];
    server.set_allowed_networks(all).expect("a list");
    assert_eq!(settled(&server, &client).handled, 4);
}

#[test]
fn what_was_set_up_at_bind_is_replaced() {
    let builder = ThreadingUdpServer::builder();
    let server = builder.deny_networks(["127.0.0.1"]).serving(echo);
    let client = Client::of(server.local_addr());
    assert_eq!(settled(&server, &client).refused.by(Refusal::Denied), 1);
    server.set_denied_networks(["192.0.2.1"]).expect("a list");
    assert_eq!(settled(&server, &client).handled, 1);
}

#[test]
fn the_next_datagram_obeys_a_new_rate() {
    let server = serving();
    let client = Client::of(server.local_addr());
    server.set_rate_limit(slow().burst(1)).expect("a limit");
    assert_eq!(settled(&server, &client).handled, 1, "the burst");
    let stats = settled(&server, &client);
    assert_eq!(stats.refused.by(Refusal::RateLimited), 1, "{stats}");

    let trusting = slow().burst(1).trust(["127.0.0.0/8"]);
    server.set_rate_limit(trusting).expect("a limit");
    assert_eq!(settled(&server, &client).handled, 2, "trusted");

    server.set_rate_limit(slow().burst(1)).expect("a limit");
    let stats = settled(&server, &client);
    assert_eq!(stats.refused.by(Refusal::RateLimited), 2, "{stats}");

    let quick = RateLimit::per_second(1_000_000).leak(0);
    server.set_rate_limit(quick).expect("a limit");
    wait_until("a microsecond has passed", || {
        let handled = server.stats().handled;
        settled(&server, &client).handled > handled
    });

    server.set_rate_limit(None).expect("no limit");
    let before = server.stats();
    for _ in 0..100 {
        client.send(b"hello?");
    }
    server.wait_until_settled(before.settled() + 100);
    assert_eq!(server.stop().stats.handled, before.handled + 100);
}

#[cfg(target_os = "linux")]
#[test]
fn a_trusted_source_is_not_limited_and_others_are() {
    let limit = RateLimit::per_second(10).leak(0).trust(["127.0.0.2"]);
    let server = ThreadingUdpServer::builder()
        .rate_limit(limit)
        .serving(echo);
    for host in [2, 3] {
        let client = Client::at(&format!("127.0.0.{host}:0"), server.local_addr());
        for number in 0..1_000_u32 {
            client.send(&number.to_be_bytes());
        }
    }
    server.wait_until_settled(2_000);
    let stats = server.stop().stats;
    let refused = stats.refused.by(Refusal::RateLimited);
    assert_eq!(stats.handled, 2_000 - refused, "{stats}");
    // Of 127.0.0.3 a burst passes, and ten for each second that this took.
    assert!((500..=990).contains(&refused), "{stats}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_trusted_peer_is_in_no_loop_and_others_are() {
    let gap = std::time::Duration::from_secs(30);
    let loops = ReplyLoops::new().exchanges(8).gap(gap).mute(gap);
    let server = ThreadingUdpServer::builder()
        .break_reply_loops(loops.trust(["127.0.0.2"]))
        .serving(echo);
    let monitor = Client::at("127.0.0.2:0", server.local_addr());
    let other = Client::at("127.0.0.3:0", server.local_addr());
    for _ in 0..100 {
        assert_eq!(monitor.ask(b"alive?"), b"alive?");
    }
    for _ in 0..8 {
        assert_eq!(other.ask(b"alive?"), b"alive?");
    }
    other.send(b"alive?");
    server.wait_until_settled(109);
    assert_eq!(server.stop().stats.refused.by(Refusal::ReplyLoop), 1);
}

#[test]
fn nonsense_is_refused_and_all_stays_as_it_was() {
    let server = serving();
    server.set_denied_networks(["127.0.0.1"]).expect("a list");
    let refusals = [
        server.set_denied_networks(["192.0.2.1", "nowhere"]),
        server.set_allowed_networks(["127.0.0.1/33"]),
        server.set_allowed_networks([""; 0]),
        server.set_rate_limit(RateLimit::per_second(0)),
        server.set_rate_limit(slow().trust(["10.0.0.1/8"])),
    ];
    let expected = [
        ("deny_networks", "`nowhere`"),
        ("allow_networks", "`127.0.0.1/33`"),
        ("allow_networks", "everyone"),
        ("rate_limit", "0 datagrams"),
        ("rate_limit", "`10.0.0.1/8`"),
    ];
    for (refusal, (name, text)) in refusals.into_iter().zip(expected) {
        match refusal {
            Err(ChangeError::Config(ConfigError {
                option, problem, ..
            })) => {
                assert_eq!(option, name);
                assert!(problem.contains(text), "{name}: {problem}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let stats = settled(&server, &Client::of(server.local_addr()));
    assert_eq!(stats.refused.by(Refusal::Denied), 1, "{stats}");
    assert_eq!(stats.refused.total(), 1, "{stats}");
}

#[test]
fn before_serving_it_can_be_changed_and_once_closed_no_more() {
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let handle = server.handle();
    handle.set_denied_networks(["127.0.0.1"]).expect("bound");
    let server = TestServer::spawn(server);
    let stats = settled(&server, &Client::of(server.local_addr()));
    assert_eq!(stats.refused.by(Refusal::Denied), 1);
    server.stop();
    assert_closed(&handle);
}

/// Whoever hangs has still what the server judged by.
#[test]
fn once_closed_no_more_is_changed_while_a_handler_hangs() {
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .drain_timeout(Duration::from_millis(20))
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"stick");
    gate.wait_for(1);
    let handle = (*server).clone();
    assert_eq!(server.stop().abandoned_threads, 1);
    assert_closed(&handle);
}

#[track_caller]
fn assert_closed(handle: &ServerHandle) {
    for closed in [
        handle.set_denied_networks([""; 0]),
        handle.set_allowed_networks(["::/0"]),
        handle.set_rate_limit(None),
    ] {
        assert!(matches!(closed, Err(ChangeError::Closed)), "{closed:?}");
    }
}

/// Sets its flag when dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Whoever changes them all the time holds up nobody, and nobody is refused who
/// is in none of the lists.
#[test]
fn changes_under_load_cost_no_datagram() {
    let server = serving();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for denied in ["192.0.2.0/24", "198.51.100.0/24"] {
            let (server, is_done) = (&server, &is_done);
            scope.spawn(move || {
                while !is_done.load(Relaxed) {
                    server.set_denied_networks([denied]).expect("a list");
                    server.set_denied_networks([""; 0]).expect("a list");
                    let limit = RateLimit::per_second(1_000_000);
                    server.set_rate_limit(limit).expect("a limit");
                    server.set_rate_limit(None).expect("no limit");
                }
            });
        }
        // Also when the test fails.
        let _done = Done(&is_done);
        let client = Client::of(server.local_addr());
        for number in 0..1_000_u32 {
            assert_eq!(client.ask(&number.to_be_bytes()), number.to_be_bytes());
        }
    });
    let stats = server.stop().stats;
    assert_eq!(
        (stats.handled, stats.refused.total()),
        (1_000, 0),
        "{stats}"
    );
}
