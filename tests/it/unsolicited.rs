//! What a server sends of its own accord: from its port, to anyone, from any thread.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socketserver::{AmplificationLimit, SendError, ServerHandle, ThreadingUdpServer};

use crate::replies::LONGEST;
use crate::support::{
    ANY_PORT, Client, DEADLINE, Gate, ServerBuilder, TestServer, UdpServer, echo, for_both_servers,
    wait_until,
};

for_both_servers! {
    a_server_speaks_first_from_bind_on_from_its_hook_and_from_any_thread,
    what_one_thread_sends_arrives_in_order,
    many_are_sent_to_in_few_calls_and_one_that_fails_costs_the_others_nothing,
    long_datagrams_to_many_arrive_whole,
    a_handler_reaches_its_server,
    a_handler_that_lives_long_hears_of_the_shutdown,
    a_server_speaks_while_it_drains_and_no_more_once_closed,
}

fn a_server_speaks_first_from_bind_on_from_its_hook_and_from_any_thread<S: UdpServer>() {
    let (give, given) = mpsc::channel::<SocketAddr>();
    let given = std::sync::Mutex::new(given);
    let server = S::builder()
        .poll_interval(Duration::from_millis(5))
        .service_actions(move |server| {
            if let Ok(peer) = given.lock().expect("no panic").try_recv() {
                server.send_to(b"from the hook", peer).expect("sent");
            }
        })
        .bound(echo);
    let client = Client::of(server.local_addr());
    let handle = server.handle();
    handle
        .send_to(b"before serving", client.addr())
        .expect("sent");
    client.expect_reply(b"before serving");
    let server = TestServer::spawn(server);
    give.send(client.addr()).expect("the hook listens");
    client.expect_reply(b"from the hook");
    let (elsewhere, peer) = (handle.clone(), client.addr());
    let sending = thread::spawn(move || elsewhere.send_to(b"from a thread", peer));
    sending.join().expect("no panic").expect("sent");
    client.expect_reply(b"from a thread");
    let stats = server.stop().stats;
    assert_eq!(stats.received, 0, "nobody has written");
    assert_eq!(stats.replies.sent, 3, "all are counted: {stats}");
    assert_eq!(stats.replies.bytes_sent, 40, "and their bytes: {stats}");
}

fn what_one_thread_sends_arrives_in_order<S: UdpServer>() {
    let server = S::serving(echo);
    let client = Client::of(server.local_addr());
    let peer = client.addr();
    for number in (0..100).step_by(3) {
        server.send_to(&[number], peer).expect("sent");
        let sent = server.send_to_all(&[number + 1], [peer]);
        assert_eq!(sent.expect("open").sent, 1);
        server.send_to(&[number + 2], peer).expect("sent");
    }
    for number in 0..102 {
        client.expect_reply(&[number]);
    }
}

fn many_are_sent_to_in_few_calls_and_one_that_fails_costs_the_others_nothing<S: UdpServer>() {
    let server = S::serving(echo);
    let clients: Vec<_> = (0..100).map(|_| Client::of(server.local_addr())).collect();
    let mut peers: Vec<_> = clients.iter().map(Client::addr).collect();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
    peers.insert(0, nobody);
    peers.insert(50, v6);
    let told = server.send_to_all(b"tick", &peers).expect("it is open");
    for client in &clients {
        client.expect_reply(b"tick");
    }
    assert_eq!(told.sent, 100);
    let failures: Vec<_> = told.failures.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(failures, [nobody, v6], "and no others");
    assert!(matches!(told.failures[0].1, SendError::PortZero { .. }));
    assert!(matches!(
        told.failures[1].1,
        SendError::AddressFamily { .. }
    ));
    let replies = server.stop().stats.replies;
    assert_eq!(replies.sent, 100, "each is counted: {replies:?}");
    assert_eq!(replies.failed.bad_address, 2, "so is each failure");
    if cfg!(all(target_os = "linux", not(socketserver_portable))) {
        let calls = replies.send_calls;
        assert!(calls <= 4, "64 in a call: {calls} calls");
    }
}

fn long_datagrams_to_many_arrive_whole<S: UdpServer>() {
    let server = S::serving(echo);
    let clients: Vec<_> = (0..5).map(|_| Client::of(server.local_addr())).collect();
    let news: Vec<u8> = (0..LONGEST).map(|at| (at % 251) as u8).collect();
    let told = server.send_to_all(&news, clients.iter().map(Client::addr));
    assert_eq!(told.expect("open").sent, clients.len());
    for client in &clients {
        client.expect_reply(&news);
    }
    let peer = clients[0].addr();
    let told = server.send_to_all(&vec![0; LONGEST + 1], [peer]);
    let failures = told.expect("open").failures;
    assert!(
        matches!(failures[..], [(to, SendError::TooLong { .. })] if to == peer),
        "{failures:?}"
    );
}

fn a_handler_reaches_its_server<S: UdpServer>() {
    let (tell, told) = mpsc::channel::<ServerHandle>();
    let server = S::serving(move |bytes, addr, socket| {
        let server = socket.server();
        server.send_to(bytes, addr)?;
        Ok(tell.send(server)?)
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"whose are you?"), b"whose are you?");
    let inner = told.recv_timeout(DEADLINE).expect("the handle");
    assert_eq!(inner.local_addr(), server.local_addr());
    server.wait_until_settled(1);
    assert_eq!(inner.stats().handled, 1, "the same stats");
    inner.shutdown();
    assert!(server.is_shutting_down(), "the same server");
}

fn a_handler_that_lives_long_hears_of_the_shutdown<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::serving(move |_, _, socket| {
        let server = socket.server();
        held.pass();
        wait_until("it is told to stop", || server.is_shutting_down());
        Ok(socket.reply(b"goodbye")?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"stay");
    gate.wait_for(1);
    assert!(!server.is_shutting_down(), "not yet");
    gate.open();
    let handle = ServerHandle::clone(&server);
    let report = server.stop();
    assert_eq!((report.stats.handled, report.abandoned), (1, 0));
    client.expect_reply(b"goodbye");
    assert!(handle.is_shutting_down(), "also once it is closed");
}

fn a_server_speaks_while_it_drains_and_no_more_once_closed<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::serving(gate.holding(b"hold"));
    let opening = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"hold");
    gate.wait_for(1);
    let handle = ServerHandle::clone(&server);
    handle.shutdown();
    handle
        .send_to(b"last call", client.addr())
        .expect("it drains");
    client.expect_reply(b"last call");
    drop(opening);
    assert_eq!(server.stop().stats.replies.sent, 2);
    client.expect_reply(b"hold");
    assert_closed(&handle, client.addr());

    let unserved = S::bound(echo);
    let handle = unserved.handle();
    drop(unserved);
    assert_closed(&handle, client.addr());
    client.expect_silence();
}

#[track_caller]
fn assert_closed(server: &ServerHandle, peer: SocketAddr) {
    let single = server.send_to(b"too late", peer);
    assert!(matches!(single, Err(SendError::Closed)), "{single:?}");
    for peers in [vec![], vec![peer], vec![peer; 100]] {
        let many = server.send_to_all(b"too late", &peers);
        assert!(matches!(many, Err(SendError::Closed)), "{many:?}");
    }
}

#[test]
fn the_amplification_limit_holds_for_who_has_not_written() {
    let server = ThreadingUdpServer::builder()
        .amplification_limit(AmplificationLimit::new())
        .bind_fn(ANY_PORT, echo)
        .expect("bound");
    let server = TestServer::spawn(server);
    let (known, unknown) = (
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    );
    let withheld = server.send_to(b"who are you?", unknown.addr());
    assert!(
        matches!(withheld, Err(SendError::Withheld { len: 12, to }) if to == unknown.addr()),
        "{withheld:?}"
    );
    server.mark_validated(known.addr());
    server.send_to(b"it is you", known.addr()).expect("sent");
    known.expect_reply(b"it is you");
    let told = server
        .send_to_all(b"news", [unknown.addr(), known.addr()])
        .expect("open");
    known.expect_reply(b"news");
    assert_eq!(told.sent, 1);
    assert!(
        matches!(told.failures[..], [(to, SendError::Withheld { .. })] if to == unknown.addr()),
        "{:?}",
        told.failures
    );
    let replies = server.stop().stats.replies;
    assert_eq!((replies.sent, replies.withheld), (2, 2), "{replies:?}");
    unknown.expect_silence();
}

#[test]
fn on_a_wildcard_the_route_gives_the_address() {
    let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", echo).expect("bound");
    let server = TestServer::spawn(server);
    let port = server.local_addr().port();
    let client = Client::of(SocketAddr::from(([127, 0, 0, 1], port)));
    server.send_to(b"one", client.addr()).expect("sent");
    client.expect_reply(b"one");
    server.send_to_all(b"two", [client.addr()]).expect("sent");
    client.expect_reply(b"two");
}
