//! `handle_request`: one datagram on the calling thread.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{
    Builder, DatagramHandler, ForkingStyleUdpServer, HandlerError, RequestOutcome, SocketHandle,
    ThreadingUdpServer,
};

use crate::support::{
    ANY_PORT, Client, DEADLINE, HomeBound, Journal, ServerBuilder, TestServer, UdpServer,
    assert_conserved, echo, for_both_servers,
};

for_both_servers! {
    handle_request_handles_exactly_one_datagram,
    handle_request_tells_a_timeout_and_calls_handle_timeout,
    handle_request_after_shutdown_says_so_at_once,
    handle_request_hears_a_shutdown_while_it_waits,
    handle_request_contains_a_panic_and_counts_it,
    handle_request_accepts_the_longest_timeout,
    handle_request_may_be_called_on_one_thread_after_the_other,
    a_server_serves_forever_after_handle_request,
    handle_request_starts_no_thread,
    what_a_handler_captured_goes_with_the_server_wherever_that_ends,
}

fn handle_request_handles_exactly_one_datagram<S: UdpServer>() {
    let mut server = S::bound(echo);
    let client = Client::of(server.local_addr());
    client.send(b"first");
    client.send(b"second");
    assert!(
        server.handle_request(None).expect("received").is_handled(),
        "the first"
    );
    assert_eq!(server.handle().stats().handled, 1, "one and no more");
    client.expect_reply(b"first");
    client.expect_silence();
    assert!(
        server.handle_request(None).expect("received").is_handled(),
        "the second"
    );
    client.expect_reply(b"second");
    assert_conserved(&server.handle().stats());
}

fn handle_request_tells_a_timeout_and_calls_handle_timeout<S: UdpServer>() {
    let (mut server, calls) = counting_timeouts::<S>();
    let timeout = Duration::from_millis(20);
    let began = Instant::now();
    let outcome = server.handle_request(Some(timeout)).expect("no error");
    assert_eq!(outcome, RequestOutcome::TimedOut);
    assert!(began.elapsed() >= timeout, "it waited that long");
    assert_eq!(calls.load(SeqCst), 1, "handle_timeout was called");
    let outcome = server.handle_request(Some(Duration::ZERO));
    let outcome = outcome.expect("no error");
    assert_eq!(outcome, RequestOutcome::TimedOut, "a look without waiting");
    Client::of(server.local_addr()).send(b"in time");
    assert!(
        server
            .handle_request(Some(timeout))
            .expect("no error")
            .is_handled()
    );
    assert_eq!(calls.load(SeqCst), 2, "not for a datagram");
}

fn handle_request_after_shutdown_says_so_at_once<S: UdpServer>() {
    let (mut server, calls) = counting_timeouts::<S>();
    server.handle().shutdown();
    let outcome = server.handle_request(None).expect("no error");
    assert_eq!(outcome, RequestOutcome::ShutDown, "at once");
    assert_eq!(calls.load(SeqCst), 0, "that is no timeout");
}

fn counting_timeouts<S: UdpServer>() -> (S, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let count = move || {
        counted.fetch_add(1, SeqCst);
    };
    (S::builder().handle_timeout(count).bound(echo), calls)
}

fn handle_request_hears_a_shutdown_while_it_waits<S: UdpServer>() {
    // Whether the shutdown comes during the wait is for the scheduler to say:
    // so more than once.
    for _ in 0..20 {
        let mut server = S::bound(echo);
        let handle = server.handle();
        let client = Client::of(server.local_addr());
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn(move || {
            let mut next = || server.handle_request(None).expect("no error");
            let mut outcome = next();
            while outcome.is_handled() {
                outcome = next();
            }
            let _ = tell.send(outcome);
        });
        client.ask(b"the first of two requests");
        handle.shutdown();
        let heard = told.recv_timeout(DEADLINE / 2);
        // If it does not hear the shutdown, it hears this, and the test ends.
        client.send(b"wake up");
        waiting.join().expect("no panic");
        assert_eq!(heard, Ok(RequestOutcome::ShutDown), "it hears the shutdown");
    }
}

fn handle_request_contains_a_panic_and_counts_it<S: UdpServer>() {
    let mut server = S::bound(|bytes, _, socket| {
        assert_ne!(bytes, b"panic", "as asked");
        Ok(socket.reply(bytes)?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"panic");
    client.send(b"fine");
    assert!(server.handle_request(None).expect("contained").is_handled());
    assert!(
        server
            .handle_request(None)
            .expect("and on it goes")
            .is_handled()
    );
    client.expect_reply(b"fine");
    let stats = server.handle().stats();
    assert_eq!((stats.panicked, stats.handled), (1, 1), "one each");
    assert_conserved(&stats);
}

fn handle_request_accepts_the_longest_timeout<S: UdpServer>() {
    let mut server = S::bound(echo);
    let client = Client::of(server.local_addr());
    client.send(b"here already");
    let served = server.handle_request(Some(Duration::MAX));
    assert!(
        served.expect("no error").is_handled(),
        "for ever is not too long"
    );
    client.expect_reply(b"here already");
}

fn handle_request_may_be_called_on_one_thread_after_the_other<S: UdpServer>() {
    let journal = Journal::new();
    let noted = journal.clone();
    let mut server = S::builder()
        .bind(ANY_PORT, move || HomeBound {
            home: thread::current().id(),
            calls: Rc::default(),
            journal: noted.clone(),
        })
        .expect("bound");
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"where?");
        server = thread::spawn(move || {
            server.handle_request(None).expect("received");
            server
        })
        .join()
        .expect("no panic");
        client.expect_reply(b"where?");
    }
    drop(server);
    assert_eq!(journal.read(), ["finished"; 3], "each on its own thread");
}

fn a_server_serves_forever_after_handle_request<S: UdpServer>() {
    let mut server = S::bound(echo);
    let client = Client::of(server.local_addr());
    client.send(b"one");
    server.handle_request(None).expect("received");
    client.expect_reply(b"one");
    let server = TestServer::spawn(server);
    assert_eq!(client.ask(b"two"), b"two", "by a worker");
    assert_eq!(server.stop().stats.handled, 2, "counted together");
}

fn handle_request_starts_no_thread<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let mut server = S::bound(move |_, _, _| {
        tell.send(thread::current().id())?;
        Ok(())
    });
    Client::of(server.local_addr()).send(b"who?");
    server.handle_request(None).expect("received");
    let who = told.recv().expect("handled");
    assert_eq!(who, thread::current().id(), "the calling thread did it");
    assert_eq!(server.handle().stats().workers, 0, "there is no worker");
}

fn what_a_handler_captured_goes_with_the_server_wherever_that_ends<S: UdpServer>() {
    let (captured, closed) = mpsc::channel::<()>();
    let mut server = S::bound(move |bytes, _, socket| {
        let _ = &captured;
        Ok(socket.reply(bytes)?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"one");
    server.handle_request(None).expect("received");
    client.expect_reply(b"one");
    thread::spawn(move || drop(server))
        .join()
        .expect("no panic");
    assert_eq!(
        closed.recv_timeout(DEADLINE),
        Err(mpsc::RecvTimeoutError::Disconnected),
        "this thread keeps nothing of it"
    );
}

/// An instance never leaves its thread: that lets go of it when it next handles a
/// request.
#[test]
fn instances_of_servers_that_ended_elsewhere_do_not_pile_up() {
    let alive = Arc::new(());
    let make = || {
        let alive = Arc::clone(&alive);
        let server = ThreadingUdpServer::bind(ANY_PORT, move || {
            let alive = Arc::clone(&alive);
            move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
                let _ = &alive;
                Ok(socket.reply(bytes)?)
            }
        });
        server.expect("bound")
    };
    for round in 0..10 {
        let mut server = make();
        let client = Client::of(server.local_addr());
        client.send(b"one");
        server.handle_request(None).expect("received");
        client.expect_reply(b"one");
        thread::spawn(move || drop(server))
            .join()
            .expect("no panic");
        assert_eq!(
            Arc::strong_count(&alive),
            2,
            "the last one alone, round {round}"
        );
    }
}

/// Tells what its instance is and how often it was used.
struct Counter {
    number: usize,
    uses: usize,
}

impl DatagramHandler for Counter {
    fn handle(
        &mut self,
        _: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.uses += 1;
        Ok(socket.reply(format!("{}:{}", self.number, self.uses).as_bytes())?)
    }
}

fn replies_of_three_calls<S: UdpServer>(builder: Builder<S>) -> Vec<String> {
    let made = AtomicUsize::new(0);
    let mut server = builder
        .bind(ANY_PORT, move || Counter {
            number: made.fetch_add(1, SeqCst),
            uses: 0,
        })
        .expect("bound");
    let client = Client::of(server.local_addr());
    (0..3)
        .map(|_| {
            client.send(b"x");
            server.handle_request(None).expect("received");
            String::from_utf8(client.receive()).expect("text")
        })
        .collect()
}

#[test]
fn handle_request_keeps_one_instance_between_calls() {
    let replies = replies_of_three_calls(ThreadingUdpServer::builder());
    assert_eq!(replies, ["0:1", "0:2", "0:3"], "one instance, three uses");
}

#[test]
fn handle_request_makes_a_new_instance_each_time_if_they_are_to_be_fresh() {
    let replies = replies_of_three_calls(ForkingStyleUdpServer::builder());
    assert_eq!(replies, ["0:1", "1:1", "2:1"], "three instances");
    let fresh = ThreadingUdpServer::builder().fresh_instance(true);
    let replies = replies_of_three_calls(fresh);
    assert_eq!(replies, ["0:1", "1:1", "2:1"], "as in Python");
}
