//! `verify_request`, `handle_error`, `service_actions`, `handle_timeout`.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::RequestOutcome;

use crate::support::{
    ANY_PORT, Client, DEADLINE, Gate, Journal, ServerBuilder, UdpServer, cause_of, echo,
    for_both_servers, keep_log, logged, wait_until,
};

for_both_servers! {
    a_failure_reaches_handle_error_once_with_address_and_length,
    a_request_that_is_not_verified_reaches_neither_handler_nor_handle_error,
    verify_request_is_shown_the_datagram,
    a_panic_in_verify_request_is_contained_and_reported,
    a_panic_in_handle_error_is_contained_and_counted,
    a_panic_in_service_actions_is_contained_and_counted,
    a_panic_in_handle_timeout_is_contained_and_counted,
    service_actions_is_called_again_and_again_with_the_handle,
    service_actions_is_called_under_load_as_well,
    a_hung_hook_delays_no_rescue_and_no_shutdown,
    what_a_hook_captured_may_panic_when_it_is_dropped,
    without_a_hook_failures_are_logged_and_cannot_flood_the_log,
}

fn a_failure_reaches_handle_error_once_with_address_and_length<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::builder()
        .handle_error(move |failure| {
            let fact = (
                cause_of(failure),
                failure.addr(),
                failure.datagram_len(),
                failure.to_string(),
            );
            tell.send(fact).expect("the test listens");
        })
        .serving(|_, _, _| Err("no such number".into()));
    let client = Client::of(server.local_addr());
    client.send(b"12345");
    let (cause, addr, len, text) = told.recv_timeout(DEADLINE).expect("reported");
    assert_eq!(cause, "error: no such number", "what");
    assert_eq!(addr, client.addr(), "from whom");
    assert_eq!(len, 5, "how long");
    let line = format!("handler failed on 5 bytes from {addr}: no such number");
    assert_eq!(text, line, "in one line");
    let stats = server.stop().stats;
    assert_eq!(stats.failed, 1, "counted once");
    assert_eq!(told.iter().count(), 0, "reported once");
}

fn a_request_that_is_not_verified_reaches_neither_handler_nor_handle_error<S: UdpServer>() {
    let journal = Journal::new();
    let (errors, handled) = (journal.clone(), journal.clone());
    let server = S::builder()
        .at_most(1)
        .verify_request(|bytes, _| bytes != b"refuse me")
        .handle_error(move |failure| errors.note(failure.to_string()))
        .serving(move |bytes, _, socket| {
            handled.note(String::from_utf8_lossy(bytes));
            Ok(socket.reply(bytes)?)
        });
    let client = Client::of(server.local_addr());
    client.send(b"refuse me");
    assert_eq!(client.ask(b"take me"), b"take me");
    let stats = server.stop().stats;
    assert_eq!(
        stats.refused.by(socketserver::Refusal::Verify),
        1,
        "refused exactly once"
    );
    assert_eq!(stats.refused.total(), 1, "for no other reason");
    assert_eq!(journal.read(), ["take me"], "nobody else learns of it");
}

fn verify_request_is_shown_the_datagram<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::builder()
        .verify_request(move |bytes, addr| tell.send((bytes.to_vec(), addr)).is_ok())
        .serving(echo);
    let client = Client::of(server.local_addr());
    client.ask(b"look at me");
    let shown = told.recv_timeout(DEADLINE).expect("shown");
    assert_eq!(shown, (b"look at me".to_vec(), client.addr()));
}

/// Python's server ends when `verify_request` raises.
fn a_panic_in_verify_request_is_contained_and_reported<S: UdpServer>() {
    let failures = Journal::new();
    let reported = failures.clone();
    let server = S::builder()
        .at_most(1)
        .verify_request(|bytes, _| {
            assert_ne!(bytes, b"panic", "verify panicked");
            true
        })
        .handle_error(move |failure| reported.note(cause_of(failure)))
        .serving(echo);
    let client = Client::of(server.local_addr());
    client.send(b"panic");
    assert_eq!(client.ask(b"alive?"), b"alive?");
    assert_eq!(server.stop().stats.panicked, 1, "that datagram's fate");
    let reports = failures.read();
    assert_eq!(reports.len(), 1, "reported once");
    assert!(reports[0].contains("verify panicked"), "{reports:?}");
}

/// Python's server ends when `handle_error` raises.
fn a_panic_in_handle_error_is_contained_and_counted<S: UdpServer>() {
    let server = S::builder()
        .at_most(1)
        .handle_error(|_| panic!("handle_error panicked"))
        .serving(|bytes, _, socket| match bytes {
            b"fail" => Err("as asked".into()),
            b"panic" => panic!("as asked"),
            _ => Ok(socket.reply(bytes)?),
        });
    let client = Client::of(server.local_addr());
    client.send(b"fail");
    client.send(b"panic");
    assert_eq!(client.ask(b"alive?"), b"alive?");
    let stats = server.stop().stats;
    assert_eq!(stats.hook_panics, 2, "twice");
    assert_eq!((stats.failed, stats.panicked), (1, 1), "fates as ever");
}

fn a_panic_in_service_actions_is_contained_and_counted<S: UdpServer>() {
    let server = S::builder()
        .poll_interval(Duration::from_millis(1))
        .service_actions(|_| panic!("service_actions panicked"))
        .serving(echo);
    wait_until("it has panicked twice", || server.stats().hook_panics >= 2);
    assert_eq!(Client::of(server.local_addr()).ask(b"alive?"), b"alive?");
    let handle = socketserver::ServerHandle::clone(&server);
    let report = server.stop();
    assert!(report.stats.hook_panics >= 2, "the report tells it");
    let later = handle.stats().hook_panics;
    assert_eq!(later, report.stats.hook_panics, "so does the handle");
}

fn a_panic_in_handle_timeout_is_contained_and_counted<S: UdpServer>() {
    let mut server = S::builder()
        .handle_timeout(|| panic!("handle_timeout panicked"))
        .bind_fn(ANY_PORT, echo)
        .expect("bound");
    let served = server.handle_request(Some(Duration::from_millis(1)));
    let outcome = served.expect("contained");
    assert_eq!(outcome, RequestOutcome::TimedOut, "still a timeout");
    assert_eq!(server.handle().stats().hook_panics, 1, "counted");
}

fn service_actions_is_called_again_and_again_with_the_handle<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::builder()
        .poll_interval(Duration::from_millis(2))
        .service_actions(move |server| {
            let _ = tell.send((thread::current().id(), server.stats()));
        })
        .serving(echo);
    Client::of(server.local_addr()).ask(b"count me");
    server.wait_until_settled(1);
    let mut threads = Vec::new();
    for _ in 0..100 {
        let (thread, stats) = told.recv_timeout(DEADLINE).expect("called again");
        threads.push(thread);
        if stats.handled == 1 && threads.len() >= 3 {
            threads.dedup();
            assert_eq!(threads.len(), 1, "always on the one serving thread");
            return;
        }
    }
    panic!("a hundred calls, and none was told of the datagram");
}

fn service_actions_is_called_under_load_as_well<S: UdpServer>() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = S::builder()
        .poll_interval(Duration::from_millis(5))
        .service_actions(move |_| {
            counted.fetch_add(1, SeqCst);
        })
        .serving(echo);
    let client = Client::of(server.local_addr());
    wait_until("called ten times while datagrams come and go", || {
        for _ in 0..20 {
            client.ask(b"busy");
        }
        calls.load(SeqCst) >= 10
    });
}

fn without_a_hook_failures_are_logged_and_cannot_flood_the_log<S: UdpServer>() {
    const SENT: u64 = 500;
    keep_log();
    let server = S::serving(|_, _, _| Err("no hook for this".into()));
    let client = Client::of(server.local_addr());
    for _ in 0..SENT {
        client.send(b"fail");
    }
    server.wait_until_settled(SENT);
    let report = server.stop();
    assert_eq!(report.stats.failed, SENT, "all are counted");
    let lines = logged(&format!("from {}: no hook for this", client.addr()));
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("ERROR: handler failed on 4 bytes")),
        "at error: {lines:?}"
    );
    let seconds = report.stats.uptime.as_secs() + 1;
    let most = 10 * seconds as usize;
    assert!(
        (1..=most).contains(&lines.len()),
        "some, at most ten a second: {}",
        lines.len()
    );
}

fn a_hung_hook_delays_no_rescue_and_no_shutdown<S: UdpServer>() {
    let (hook, handlers) = (Gate::new(), Gate::new());
    let (hook_held, held) = (hook.clone(), handlers.clone());
    let server = S::builder()
        .at_most(8)
        .poll_interval(Duration::from_millis(1))
        .drain_timeout(Duration::from_millis(200))
        .service_actions(move |_| hook_held.pass())
        .serving(move |bytes, _, socket| {
            if bytes == b"block" {
                held.pass();
            }
            Ok(socket.reply(bytes)?)
        });
    let (_open, _open_hook) = (handlers.open_on_drop(), hook.open_on_drop());
    hook.wait_for(1);
    let client = Client::of(server.local_addr());
    for blocked in 1..=4 {
        client.send(b"block");
        assert_eq!(client.ask(b"behind it"), b"behind it", "{blocked} blocked");
    }
    handlers.wait_for(4);
    let told = Instant::now();
    server.stop();
    assert!(told.elapsed() < DEADLINE, "the hook is left behind");
    assert_eq!(hook.waiting(), 1, "it hung all the while");
}

fn what_a_hook_captured_may_panic_when_it_is_dropped<S: UdpServer>() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let (first, second, third) = (Bomb, Bomb, Bomb);
    let server = S::builder()
        .verify_request(move |_, _| {
            let _ = &first;
            true
        })
        .handle_error(move |_| {
            let _ = &second;
        })
        .service_actions(move |_| {
            let _ = &third;
        })
        .serving(echo);
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"up?"), b"up?");
    assert_eq!(server.stop().stats.handled, 1, "the report is not lost");
}
