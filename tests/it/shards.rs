//! `shards`: several sockets, one server.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use socketserver::{BindError, RequestOutcome, ThreadingUdpServer};

use crate::support::{
    ANY_PORT, Client, Gate, ServerBuilder, TestServer, UdpServer, assert_port_is_free, echo,
    for_both_servers, wait_until,
};

for_both_servers! {
    peers_are_spread_over_the_sockets_and_all_are_served,
}

fn peers_are_spread_over_the_sockets_and_all_are_served<S: UdpServer>() {
    let server = S::builder().at_most(8).shards(4).serving(|_, _, socket| {
        // The worker at a door handles what comes there.
        let name = thread::current().id();
        Ok(socket.reply(format!("{name:?}").as_bytes())?)
    });
    let clients: Vec<_> = (0..64).map(|_| Client::of(server.local_addr())).collect();
    let names: HashSet<_> = clients.iter().map(|client| client.ask(b"who?")).collect();
    assert!(
        names.len() > 1,
        "one socket would have one worker: {names:?}"
    );
    let addr = server.local_addr();
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.replies.sent), (64, 64), "{stats}");
    assert_port_is_free(addr);
}

#[test]
fn a_free_worker_serves_all_sockets_while_the_others_are_stuck() {
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder().workers(4).shards(4);
    let server = server.bind_fn(ANY_PORT, gate.holding(b"stick"));
    let server = TestServer::spawn(server.expect("bound"));
    let _open = gate.open_on_drop();
    let stuck: Vec<_> = (0..3).map(|_| Client::of(server.local_addr())).collect();
    for (count, client) in stuck.iter().enumerate() {
        client.send(b"stick");
        gate.wait_for(count + 1);
    }
    // So many reach every socket.
    for _ in 0..40 {
        let client = Client::of(server.local_addr());
        assert_eq!(client.ask(b"hello"), b"hello", "one worker is free");
    }
    gate.open();
    for client in &stuck {
        client.expect_reply(b"stick");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let alone = UdpSocket::bind(ANY_PORT).expect("a free port");
    let addr = alone.local_addr().expect("bound");
    let server = ThreadingUdpServer::builder().shards(2).bind_fn(addr, echo);
    assert!(matches!(server, Err(BindError::Bind { .. })), "{server:?}");
    let shards = ThreadingUdpServer::builder().shards(2);
    let first = shards.bind_fn(ANY_PORT, echo).expect("a free port");
    let second = ThreadingUdpServer::builder().shards(2);
    let second = second.bind_fn(first.local_addr(), echo);
    assert!(matches!(second, Err(BindError::Bind { .. })), "{second:?}");
}

#[test]
fn more_sockets_than_workers_and_a_socket_handed_in_are_refused() {
    let refused = |result: Result<ThreadingUdpServer, BindError>| {
        let error = result.expect_err("it makes no sense");
        error.to_string()
    };
    let few = ThreadingUdpServer::builder().workers(2).shards(3);
    assert_eq!(
        refused(few.bind_fn(ANY_PORT, echo)),
        "shards: 3 sockets need as many workers; workers allows 2"
    );
    let none = ThreadingUdpServer::builder().shards(0);
    assert_eq!(
        refused(none.bind_fn(ANY_PORT, echo)),
        "shards: 0 is not between 1 and 1024 sockets"
    );
    let socket = UdpSocket::bind(ANY_PORT).expect("a free port");
    let given = ThreadingUdpServer::builder().shards(2);
    assert_eq!(
        refused(given.from_socket(socket, || echo)),
        "shards: a socket that is bound already cannot be set up any more"
    );
}

#[test]
fn requests_by_hand_come_from_all_sockets() {
    let server = ThreadingUdpServer::builder().shards(3);
    let mut server = server.bind_fn(ANY_PORT, echo).expect("a free port");
    let clients: Vec<_> = (0..30).map(|_| Client::of(server.local_addr())).collect();
    for client in &clients {
        client.send(b"hello");
    }
    let patience = Some(Duration::from_secs(5));
    for client in &clients {
        assert!(
            server
                .handle_request(patience)
                .expect("it was sent")
                .is_handled()
        );
        let _ = client;
    }
    for client in &clients {
        client.expect_reply(b"hello");
    }
    let outcome = server.handle_request(Some(Duration::ZERO)).expect("open");
    assert_eq!(outcome, RequestOutcome::TimedOut);
    let handle = server.handle();
    let stopper = thread::spawn(move || handle.shutdown());
    let outcome = server.handle_request(patience).expect("stopped");
    assert_eq!(outcome, RequestOutcome::ShutDown, "heard");
    stopper.join().expect("no panic");
}

#[test]
fn drops_are_counted_over_all_sockets() {
    let server = ThreadingUdpServer::builder()
        .shards(2)
        .receive_buffer(2_304);
    let server = server.bind_fn(ANY_PORT, echo).expect("a free port");
    let clients: Vec<_> = (0..20).map(|_| Client::of(server.local_addr())).collect();
    for client in &clients {
        for _ in 0..50 {
            client.send(&[0; 100]);
        }
    }
    let drops = server.handle().stats().kernel_drops.expect("Linux tells");
    let server = TestServer::spawn(server);
    wait_until("the rest was received", || {
        server.stats().received + drops == 1_000
    });
}
