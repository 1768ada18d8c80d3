//! Answers that are given after the handler has returned.

use std::net::UdpSocket;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{DeferredAnswer, SendError, ThreadingUdpServer};

use crate::support::{
    ANY_PORT, Client, DEADLINE, Journal, ServerBuilder, TestServer, UdpServer, for_both_servers,
    wait_until,
};

for_both_servers! {
    a_datagram_is_in_flight_until_it_is_answered,
    what_is_failed_or_dropped_counts_as_failed_and_is_reported,
    an_answer_that_cannot_be_sent_is_a_failure_that_is_told,
    an_error_or_a_panic_of_the_handler_decides,
    an_answer_may_be_given_while_the_handler_runs,
    a_shutdown_waits_for_answers_and_abandons_them_at_its_deadline,
}

/// Keeps the answers of a handler for the test.
fn keep() -> (Sender<DeferredAnswer>, Receiver<DeferredAnswer>) {
    mpsc::channel()
}

#[track_caller]
fn next(answers: &Receiver<DeferredAnswer>) -> DeferredAnswer {
    answers.recv_timeout(DEADLINE).expect("one is deferred")
}

/// The handler has returned.
#[track_caller]
fn wait_until_due(server: &TestServer, count: usize) {
    wait_until("the answers are due", || {
        let stats = server.stats();
        stats.deferred == count && stats.busy_workers == 0
    });
}

fn a_datagram_is_in_flight_until_it_is_answered<S: UdpServer>() {
    let (keep, kept) = keep();
    let server = S::serving(move |_, _, socket| {
        socket.reply(b"first")?;
        Ok(keep.send(socket.defer()?)?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"?");
    let answer = next(&kept);
    wait_until_due(&server, 1);
    let stats = server.stats();
    assert_eq!((stats.received, stats.in_flight, stats.handled), (1, 1, 0));
    assert_eq!(answer.peer_addr(), client.addr());
    assert_eq!(answer.local_addr(), server.local_addr());
    client.expect_reply(b"first");
    answer.send(b"second").expect("sent");
    client.expect_reply(b"second");
    assert_eq!(server.stats().in_flight, 1, "more may follow");
    answer.reply(b"third").expect("sent");
    client.expect_reply(b"third");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.deferred), (1, 0));
    assert_eq!(stats.replies.sent, 3);
}

fn what_is_failed_or_dropped_counts_as_failed_and_is_reported<S: UdpServer>() {
    let (keep, kept) = keep();
    let (tell, told) = mpsc::channel();
    let builder = S::builder().handle_error(move |failure| {
        // The test may be over.
        let _ = tell.send((failure.addr(), failure.to_string()));
    });
    let server = builder.serving(move |_, _, socket| Ok(keep.send(socket.defer()?)?));
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"four");
    }
    next(&kept).fail("no database");
    drop(next(&kept));
    next(&kept).finish().expect("in time");
    for words in ["no database", "its deferred answer was dropped"] {
        let (addr, line) = told.recv_timeout(DEADLINE).expect("reported");
        assert_eq!(addr, client.addr());
        assert!(line.contains("4 bytes") && line.ends_with(words), "{line}");
    }
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.failed), (1, 2));
}

fn an_answer_that_cannot_be_sent_is_a_failure_that_is_told<S: UdpServer>() {
    let (keep, kept) = keep();
    let told = Journal::new();
    let noted = told.clone();
    let server = S::builder()
        .handle_error(move |failure| noted.note(failure.to_string()))
        .serving(move |_, _, socket| Ok(keep.send(socket.defer()?)?));
    let client = Client::of(server.local_addr());
    client.send(b"long");
    let sent = next(&kept).reply(&[0; 70_000]);
    assert!(matches!(sent, Err(SendError::TooLong { .. })), "{sent:?}");
    let expected = format!(
        "handler failed on 4 bytes from {}: {}",
        client.addr(),
        sent.unwrap_err()
    );
    assert_eq!(told.read(), [expected]);
    assert_eq!(server.stop().stats.failed, 1);
}

fn an_error_or_a_panic_of_the_handler_decides<S: UdpServer>() {
    let (keep, kept) = keep();
    let server = S::serving(move |bytes, _, socket| {
        let answer = socket.defer()?;
        assert!(matches!(socket.defer(), Err(SendError::Settled)), "once");
        keep.send(answer)?;
        match bytes {
            b"panic" => panic!("it was asked to"),
            _ => Err("not this one".into()),
        }
    });
    let client = Client::of(server.local_addr());
    for (number, what) in [b"error", b"panic"].into_iter().enumerate() {
        client.send(what);
        let answer = next(&kept);
        server.wait_until_settled(number as u64 + 1);
        assert!(matches!(answer.send(b"?"), Err(SendError::Settled)));
        assert!(matches!(answer.reply(b"?"), Err(SendError::Settled)));
    }
    let stats = server.stop().stats;
    assert_eq!((stats.failed, stats.panicked, stats.handled), (1, 1, 0));
    assert_eq!(stats.replies.sent, 0);
}

fn an_answer_may_be_given_while_the_handler_runs<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| {
        let answer = socket.defer()?;
        // Where handlers wait, the first goes past the queue.
        socket.reply(b"first")?;
        socket.reply(b"before")?;
        match bytes {
            b"here" => answer.reply(b"answer")?,
            b"elsewhere" => thread::scope(|scope| {
                let answering = scope.spawn(|| answer.reply(b"answer"));
                answering.join().expect("no panic")
            })?,
            _ => drop(answer),
        }
        Ok(socket.reply(b"after")?)
    });
    let client = Client::of(server.local_addr());
    for way in [&b"here"[..], b"elsewhere"] {
        client.send(way);
        client.expect_reply(b"first");
        client.expect_reply(b"before");
        client.expect_reply(b"answer");
        client.expect_reply(b"after");
    }
    client.send(b"nowhere");
    client.expect_reply(b"first");
    client.expect_reply(b"before");
    client.expect_reply(b"after");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.failed, stats.received), (2, 1, 3));
}

fn a_shutdown_waits_for_answers_and_abandons_them_at_its_deadline<S: UdpServer>() {
    let (keep, kept) = keep();
    let builder = S::builder().drain_timeout(Duration::from_millis(500));
    let server = builder.serving(move |_, _, socket| Ok(keep.send(socket.defer()?)?));
    let client = Client::of(server.local_addr());
    for _ in 0..3 {
        client.send(b"?");
    }
    let answers = [next(&kept), next(&kept), next(&kept)];
    wait_until_due(&server, 3);
    server.shutdown();
    let [first, second, third] = answers;
    let until = Instant::now() + Duration::from_millis(100);
    while Instant::now() < until {
        first.send(b"not yet").expect("the server waits");
        client.expect_reply(b"not yet");
    }
    first.reply(b"in time").expect("the server waits for it");
    client.expect_reply(b"in time");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.abandoned), (1, 2));
    let late = second.reply(b"too late");
    assert!(matches!(late, Err(SendError::Closed)), "{late:?}");
    assert!(matches!(third.finish(), Err(SendError::Closed)));
}

#[test]
fn no_more_are_due_than_are_permitted() {
    let (keep, kept) = keep();
    let builder = ThreadingUdpServer::builder().max_deferred(2);
    let server = builder.bind_fn(ANY_PORT, move |_, _, socket| {
        match socket.defer() {
            Ok(answer) => keep.send(answer)?,
            Err(SendError::Busy { limit: 2 }) => socket.reply(b"busy")?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    });
    let server = TestServer::spawn(server.expect("a free port"));
    let client = Client::of(server.local_addr());
    client.send(b"1");
    client.send(b"2");
    let (first, second) = (next(&kept), next(&kept));
    assert_eq!(client.ask(b"3"), b"busy");
    first.reply(b"first").expect("sent");
    client.expect_reply(b"first");
    client.send(b"4");
    next(&kept).reply(b"fourth").expect("there was room again");
    client.expect_reply(b"fourth");
    second.reply(b"second").expect("sent");
    client.expect_reply(b"second");
    assert_eq!(server.stop().stats.handled, 4);
}

#[test]
fn a_lane_does_not_wait_for_its_answers() {
    let (keep, kept) = keep();
    let builder = ThreadingUdpServer::builder().order_per_peer(true);
    let server = builder.bind_fn(ANY_PORT, move |bytes, _, socket| {
        match bytes {
            b"later" => keep.send(socket.defer()?)?,
            _ => socket.reply(bytes)?,
        }
        Ok(())
    });
    let server = TestServer::spawn(server.expect("a free port"));
    let client = Client::of(server.local_addr());
    client.send(b"later");
    assert_eq!(client.ask(b"now"), b"now");
    next(&kept).reply(b"later").expect("sent");
    client.expect_reply(b"later");
}

#[test]
fn one_request_by_hand_may_be_answered_later() {
    let (keep, kept) = keep();
    let server =
        ThreadingUdpServer::bind_fn(
            ANY_PORT,
            move |_, _, socket| Ok(keep.send(socket.defer()?)?),
        );
    let mut server = server.expect("a free port");
    let client = Client::of(server.local_addr());
    for _ in 0..2 {
        client.send(b"?");
        let _ = server.handle_request(Some(DEADLINE)).expect("handled");
    }
    next(&kept).reply(b"later").expect("sent");
    client.expect_reply(b"later");
    let handle = server.handle();
    assert_eq!((handle.stats().handled, handle.stats().deferred), (1, 1));
    drop(server);
    assert!(matches!(next(&kept).reply(b"?"), Err(SendError::Closed)));
}

/// The right address, the count and the order of what many threads answer at the
/// same time, in one queue.
#[test]
fn answers_of_many_threads_all_arrive_each_once() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let (keep, kept) = keep();
    let server = ThreadingUdpServer::bind_fn("0.0.0.0:0", move |_, _, socket| {
        Ok(keep.send(socket.defer()?)?)
    });
    let server = TestServer::spawn(server.expect("a free port"));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    // Only answers from this address are heard.
    let host = if cfg!(socketserver_portable) {
        "127.0.0.1"
    } else {
        "127.0.0.2"
    };
    let host = if cfg!(target_os = "linux") {
        host
    } else {
        "127.0.0.1"
    };
    socket
        .connect((host, server.local_addr().port()))
        .expect("loopback");
    let mut seen = vec![0_u8; THREADS * EACH];
    for round in 0..EACH {
        let answers: Vec<_> = (0..THREADS)
            .map(|thread| {
                socket.send(b"?").expect("loopback");
                (round * THREADS + thread, next(&kept))
            })
            .collect();
        thread::scope(|scope| {
            for (number, answer) in answers {
                scope.spawn(move || answer.reply(&number.to_le_bytes()).expect("sent"));
            }
        });
        for _ in 0..THREADS {
            let mut number = [0; 8];
            let len = socket.recv(&mut number).expect("each is answered");
            assert_eq!(len, number.len());
            seen[usize::from_le_bytes(number)] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times == 1), "each once");
    let stats = server.stop().stats;
    assert_eq!(stats.handled as usize, THREADS * EACH);
    assert_eq!(stats.replies.sent as usize, THREADS * EACH);
}

/// What is answered is what its task was told, to the last one.
#[test]
fn a_shutdown_among_tasks_loses_count_of_none() {
    const PEERS: u64 = 200;
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let tasks = runtime.handle().clone();
    let (tell, told) = mpsc::channel();
    let builder = ThreadingUdpServer::builder().drain_timeout(Duration::from_millis(100));
    let server = builder.bind_fn(ANY_PORT, move |bytes, _, socket| {
        let (answer, tell) = (socket.defer()?, tell.clone());
        let number = u64::from(bytes[0]);
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(number)).await;
            let is_answered = answer.reply(b"done").is_ok();
            // The test waits for all.
            let _ = tell.send(is_answered);
        });
        Ok(())
    });
    let server = TestServer::spawn(server.expect("a free port"));
    let client = Client::of(server.local_addr());
    for number in 0..PEERS {
        client.send(&[number as u8]);
    }
    wait_until("all were handled", || server.stats().received == PEERS);
    let stats = server.stop().stats;
    let ends = (0..PEERS).map(|_| told.recv_timeout(DEADLINE).expect("each task ends"));
    let answered = ends.filter(|is_answered| *is_answered).count() as u64;
    assert_eq!(stats.handled, answered);
    assert_eq!(stats.handled + stats.abandoned, PEERS, "{stats}");
}
