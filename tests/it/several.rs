//! `bind_all`: one server on several addresses and ports.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::Duration;

use socketserver::{
    BindError, ForkingStyleUdpServer, HandlerError, RequestOutcome, SocketHandle,
    ThreadingUdpServer,
};

use crate::support::{
    Client, Gate, Handle, TestServer, assert_port_is_free, echo, logged, wait_until,
};

/// Three addresses of loopback, two of one family, all on one port.
const THREE: [&str; 3] = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"];

#[track_caller]
fn bound(addrs: &[&str], f: impl Handle) -> ThreadingUdpServer {
    let server = ThreadingUdpServer::builder().bind_all_fn(addrs, f);
    server.expect("free ports on loopback")
}

/// Two ports of 127.0.0.1 and one of `::1`, which were free a moment ago.
fn three_ports() -> [SocketAddr; 3] {
    let free = |at: &str| UdpSocket::bind(at).and_then(|socket| socket.local_addr());
    ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"].map(|at| free(at).expect("a free port"))
}

/// Serves `f` at three addresses and ports.
#[track_caller]
fn at_three_ports(f: impl Handle + Clone) -> ThreadingUdpServer {
    let attempt = || {
        let builder = ThreadingUdpServer::builder();
        builder.bind_all_fn(three_ports(), f.clone()).ok()
    };
    // Somebody may have been quicker.
    let bound = (0..100).find_map(|_| attempt());
    bound.expect("three free ports")
}

#[test]
fn a_handle_sends_from_the_address_that_it_is_told() {
    let server = TestServer::spawn(bound(&["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"], echo));
    for addr in server.local_addrs() {
        let handle = server.from(addr).expect("bound to it");
        let client = UdpSocket::bind(SocketAddr::new(addr.ip(), 0)).expect("a client's socket");
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("not zero");
        client.connect(addr).expect("loopback");
        let to = client.local_addr().expect("bound");
        handle.send_to(b"one", to).expect("sent");
        assert_eq!(client.recv(&mut [0; 8]).expect("it is heard"), 3);
        let told = handle.send_to_all(b"all", [to]).expect("open");
        assert_eq!((told.sent, told.failures.len()), (1, 0));
        assert_eq!(client.recv(&mut [0; 8]).expect("it is heard"), 3);
    }
    let nowhere = server.from("127.0.0.3:1".parse().expect("valid"));
    let text = "from: the server is not bound to 127.0.0.3:1";
    assert_eq!(nowhere.expect_err("not bound").to_string(), text);
}

/// Answers in every way there is.
fn answer_in_every_way(
    bytes: &[u8],
    peer: SocketAddr,
    socket: &SocketHandle,
) -> Result<(), HandlerError> {
    socket.reply(bytes)?;
    socket.send_to(bytes, peer)?;
    socket.try_send_to(bytes, peer)?;
    let detached = socket.detach();
    detached.reply(bytes)?;
    let later = detached.clone();
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| later.send_to(socket_addr(&later).as_bytes(), peer));
        sending.join().expect("no panic")
    });
    sent?;
    Ok(socket.reply(socket.local_addr().to_string().as_bytes())?)
}

fn socket_addr(handle: &socketserver::DetachedHandle) -> String {
    handle.local_addr().to_string()
}

#[test]
fn each_answer_leaves_by_the_socket_that_was_asked_whichever_way() {
    let server = TestServer::spawn(at_three_ports(answer_in_every_way));
    for addr in server.local_addrs() {
        // The client takes answers from there alone.
        let client = Client::of(addr);
        client.send(b"who?");
        for _ in 0..4 {
            client.expect_reply(b"who?");
        }
        client.expect_reply(addr.to_string().as_bytes());
        client.expect_reply(addr.to_string().as_bytes());
    }
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.replies.sent), (3, 18), "{stats}");
}

#[test]
fn a_deferred_answer_leaves_by_the_socket_that_was_asked() {
    let server = at_three_ports(|_: &[u8], _: SocketAddr, socket: &SocketHandle| {
        let answer = socket.defer()?;
        let later = move || {
            let own = answer.local_addr().to_string();
            answer.reply(own.as_bytes())
        };
        thread::Builder::new().spawn(later)?;
        Ok(())
    });
    let server = TestServer::spawn(server);
    for addr in server.local_addrs() {
        let client = Client::of(addr);
        client.send(b"who?");
        client.expect_reply(addr.to_string().as_bytes());
    }
    server.wait_until_settled(3);
}

/// In lanes, the datagrams of several sockets are handled by one worker in one go.
#[test]
fn they_do_so_when_datagrams_of_all_sockets_are_handled_in_one_go() {
    for is_ordered in [false, true] {
        let gate = Gate::new();
        let builder = ThreadingUdpServer::builder()
            .workers(3)
            .order_per_peer(is_ordered);
        let server = builder.bind_all_fn(["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"], {
            let gate = gate.clone();
            move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
                if bytes == b"stick" {
                    gate.pass();
                }
                socket.reply(bytes)?;
                Ok(socket.reply(socket.local_addr().to_string().as_bytes())?)
            }
        });
        let server = TestServer::spawn(server.expect("free ports on loopback"));
        let _open = gate.open_on_drop();
        let addrs = server.local_addrs();
        let stuck: Vec<_> = addrs.iter().map(|addr| Client::of(*addr)).collect();
        let [first, rest @ ..] = &stuck[..] else {
            unreachable!("there are three")
        };
        // One worker is left, which goes from door to door.
        for (count, client) in rest.iter().enumerate() {
            client.send(b"stick");
            gate.wait_for(count + 1);
        }
        let clients: Vec<_> = (0..60)
            .map(|number| Client::of(addrs[number % 3]))
            .collect();
        for client in &clients {
            client.send(b"hello");
        }
        if is_ordered {
            // A client may share the lane of one that sticks.
            gate.open();
        }
        for (number, client) in clients.iter().enumerate() {
            client.expect_reply(b"hello");
            client.expect_reply(addrs[number % 3].to_string().as_bytes());
        }
        first.send(b"hello");
        first.expect_reply(b"hello");
        gate.open();
        for client in rest {
            client.expect_reply(b"stick");
        }
        wait_until("all are handled", || server.stats().handled == 63);
        let stats = server.stop().stats;
        assert_eq!(stats.replies.sent, 126, "{stats}");
    }
}

/// Handlers that wait are helped: who claims from another's batch never was at
/// its door.
#[test]
fn helpers_answer_by_the_socket_of_the_batch() {
    let server = ThreadingUdpServer::builder().workers(4..=32);
    let server = server.bind_all_fn(["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"], |bytes, _, s| {
        thread::sleep(Duration::from_millis(2));
        Ok(s.reply(bytes)?)
    });
    let server = TestServer::spawn(server.expect("free ports on loopback"));
    let addrs = server.local_addrs();
    let clients: Vec<_> = (0..30)
        .map(|number| Client::of(addrs[number % 3]))
        .collect();
    for round in 0..20_u8 {
        for client in &clients {
            client.send(&[round]);
        }
        for client in &clients {
            client.expect_reply(&[round]);
        }
    }
    assert!(server.stats().peak_workers > 4, "{}", server.stats());
}

#[test]
fn port_0_is_one_port_for_all_and_an_address_named_twice_is_bound_once() {
    let server = bound(&THREE, echo);
    let addrs = server.local_addrs();
    let [v4, v6] = addrs[..] else {
        panic!("two addresses: {addrs:?}");
    };
    assert_eq!((v4.port(), v4.is_ipv4()), (v6.port(), v6.is_ipv6()));
    assert_eq!(server.local_addr(), v4, "the first");
    drop(server);
    assert_port_is_free(v4);
    assert_port_is_free(v6);
}

#[test]
fn wildcards_of_both_families_share_a_port() {
    let server = TestServer::spawn(bound(&["[::]:0", "0.0.0.0:0"], echo));
    let port = server.local_addr().port();
    for ip in ["127.0.0.1", "::1"] {
        let ip: std::net::IpAddr = ip.parse().expect("a valid address");
        assert_eq!(Client::of((ip, port).into()).ask(b"hello"), b"hello");
    }
}

#[test]
fn localhost_is_every_address_that_the_name_stands_for() {
    let server = TestServer::spawn(bound(&["localhost:0"], echo));
    let port = server.local_addr().port();
    let mut expected: Vec<_> = ("localhost", port)
        .to_socket_addrs()
        .expect("known everywhere")
        .collect();
    expected.sort();
    expected.dedup();
    let mut addrs = server.local_addrs();
    addrs.sort();
    assert_eq!(addrs, expected);
    for addr in addrs {
        assert_eq!(Client::of(addr).ask(b"hello"), b"hello", "{addr}");
    }
}

#[test]
fn where_one_address_cannot_be_bound_none_is() {
    let taken = UdpSocket::bind("[::1]:0").expect("a free port");
    let taken = (taken.local_addr().expect("bound"), taken);
    let first = three_ports()[0];
    let server = ThreadingUdpServer::builder().bind_all_fn([first, taken.0], echo);
    match server {
        Err(BindError::Bind { addr, .. }) => assert_eq!(addr, taken.0),
        other => panic!("{other:?}"),
    }
    assert_port_is_free(first);
    let none = ThreadingUdpServer::builder().bind_all_fn([] as [&str; 0], echo);
    let none = none.expect_err("nothing to bind").to_string();
    assert_eq!(none, "bind_all: there is no address to bind");
}

#[test]
fn there_are_no_more_sockets_than_workers() {
    let server = ForkingStyleUdpServer::builder().max_children(2);
    let error = server.bind_all_fn(three_ports(), echo).expect_err("three");
    assert_eq!(
        error.to_string(),
        "bind_all: 3 sockets need as many workers; max_children allows 2"
    );
}

#[test]
fn what_goes_to_another_family_leaves_by_the_first_socket_of_it() {
    let told = UdpSocket::bind("[::1]:0").expect("a free port");
    let there = told.local_addr().expect("bound");
    let server = at_three_ports(move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
        socket.reply(bytes)?;
        socket.send_to(b"batched", there)?;
        socket.try_send_to(b"at once", there)?;
        socket.detach().send_to(b"detached", there)?;
        Ok(socket.reply(b"after all")?)
    });
    let server = TestServer::spawn(server);
    let addrs = server.local_addrs();
    let client = Client::of(addrs[2]);
    client.send(b"before");
    client.expect_reply(b"before");
    client.expect_reply(b"after all");
    for expected in [&b"batched"[..], b"at once", b"detached"] {
        let mut bytes = [0; 16];
        let (len, from) = told.recv_from(&mut bytes).expect("it was told");
        assert_eq!((&bytes[..len], from), (expected, addrs[1]));
    }
}

/// Two sockets of one server that talk to each other would never stop, whichever
/// began.
#[test]
fn what_comes_from_another_socket_of_the_server_is_refused() {
    for (one, another) in [(0, 2), (2, 0)] {
        let server = at_three_ports(|bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
            let to = std::str::from_utf8(bytes)?.parse::<SocketAddr>()?;
            Ok(socket.send_to(b"127.0.0.1:9", to)?)
        });
        let server = TestServer::spawn(server);
        let addrs = server.local_addrs();
        Client::of(addrs[one]).send(addrs[another].to_string().as_bytes());
        server.wait_until_settled(2);
        let stats = server.stop().stats;
        let own = stats.refused.by(socketserver::Refusal::OwnAddress);
        assert_eq!((stats.handled, own), (1, 1), "{stats}");
    }
}

#[test]
fn somebody_waits_at_each_socket_whatever_the_minimum_of_workers() {
    let server = ThreadingUdpServer::builder().workers(1..=8);
    let server = server.bind_all_fn(["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"], echo);
    let server = TestServer::spawn(server.expect("free ports on loopback"));
    wait_until("there are three", || server.stats().workers == 3);
}

#[test]
fn requests_by_hand_come_from_all_of_them() {
    let mut server = at_three_ports(echo);
    let clients: Vec<_> = server.local_addrs().into_iter().map(Client::of).collect();
    for client in &clients {
        client.send(b"hello");
    }
    for _ in &clients {
        let served = server.handle_request(Some(Duration::from_secs(5)));
        assert!(served.expect("it was sent").is_handled());
    }
    for client in &clients {
        client.expect_reply(b"hello");
    }
    let outcome = server.handle_request(Some(Duration::ZERO));
    assert_eq!(outcome.expect("open"), RequestOutcome::TimedOut);
}

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn each_address_has_its_shards() {
    let server = ThreadingUdpServer::builder().shards(2);
    let server = server.bind_all_fn(["127.0.0.1:0", "[::1]:0"], echo);
    let server = TestServer::spawn(server.expect("free ports on loopback"));
    let addrs = server.local_addrs();
    assert_eq!(addrs.len(), 2, "{addrs:?}");
    for number in 0..40 {
        let client = Client::of(addrs[number % 2]);
        assert_eq!(client.ask(b"hello"), b"hello");
    }
    assert!(server.stats().workers >= 4, "{}", server.stats());
}

#[test]
fn failures_name_the_socket_that_they_happened_at() {
    crate::support::keep_log();
    let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
    let server = at_three_ports(move |_: &[u8], _: SocketAddr, socket: &SocketHandle| {
        // Broadcasts are not allowed: the kernel refuses.
        Ok(socket.send_to(b"all of you", nowhere)?)
    });
    let server = TestServer::spawn(server);
    let addr = server.local_addrs()[2];
    Client::of(addr).send(b"tell them");
    let line = format!("{addr}: cannot send 10 bytes to {nowhere}");
    wait_until("the log tells", || !logged(&line).is_empty());
}
