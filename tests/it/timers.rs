//! What is due once, after a while: `ServerHandle::after`.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use socketserver::{ChangeError, ServerHandle, ThreadingUdpServer};

#[cfg(target_os = "linux")]
use crate::support::process;
use crate::support::{
    ANY_PORT, Client, DEADLINE, Gate, Journal, ServerBuilder, UdpServer, echo, for_both_servers,
    keep_log, logged, wait_until,
};

for_both_servers! {
    a_timer_runs_once_not_before_it_is_due_and_may_send,
    timers_run_in_the_order_in_which_they_are_due,
    a_timer_that_is_cancelled_never_runs,
    neither_a_hung_hook_nor_stuck_handlers_delay_a_timer,
    a_panic_in_a_timer_is_contained_counted_and_logged,
    a_hung_timer_does_not_hold_the_shutdown_beyond_its_deadline,
    timers_go_on_while_the_server_drains,
    what_is_not_due_when_the_server_closes_is_dropped,
}

const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_secs(3_600);

fn a_timer_runs_once_not_before_it_is_due_and_may_send<S: UdpServer>() {
    let server = S::bound(echo);
    let client = Client::of(server.local_addr());
    let (peer, set) = (client.addr(), Instant::now());
    let again = move |server: &ServerHandle| {
        server.send_to(b"again", peer).expect("sent");
    };
    let first = move |server: &ServerHandle| {
        server.send_to(b"first", peer).expect("sent");
        server.after(SOON, again).expect("set by a timer");
    };
    server.handle().after(SOON, first).expect("set");
    client.expect_reply(b"first");
    assert!(set.elapsed() >= SOON, "after {:?}", set.elapsed());
    client.expect_reply(b"again");
    assert!(set.elapsed() >= 2 * SOON, "after {:?}", set.elapsed());
    let report = server.spawn().stop().expect("ends in order");
    assert_eq!(report.stats.replies.sent, 2, "once each");
}

fn timers_run_in_the_order_in_which_they_are_due<S: UdpServer>() {
    let server = S::serving(echo);
    let (tell, told) = mpsc::channel();
    let gate = Gate::new();
    let held = gate.clone();
    let _open = gate.open_on_drop();
    // All are set while none can run, whatever else this machine does.
    server
        .after(Duration::ZERO, move |_| held.pass())
        .expect("set");
    gate.wait_for(1);
    for (delay, name) in [(30, "d"), (1, "a"), (20, "c"), (10, "b")] {
        let tell = tell.clone();
        let delay = Duration::from_millis(delay);
        server
            .after(delay, move |_| tell.send(name).expect("the test listens"))
            .expect("set");
    }
    server
        .after(Duration::MAX, |_| panic!("never due"))
        .expect("set");
    gate.open();
    let names = [(); 4].map(|()| told.recv_timeout(DEADLINE).expect("due"));
    assert_eq!(names, ["a", "b", "c", "d"]);
}

fn a_timer_that_is_cancelled_never_runs<S: UdpServer>() {
    let server = S::serving(echo);
    let gate = Gate::new();
    let held = gate.clone();
    let _open = gate.open_on_drop();
    // Whatever else this machine does, none can run before the test says so.
    server
        .after(Duration::ZERO, move |_| held.pass())
        .expect("set");
    gate.wait_for(1);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = |by| {
        let runs = Arc::clone(&runs);
        move |_: &ServerHandle| {
            runs.fetch_add(by, SeqCst);
        }
    };
    let doomed = server.after(Duration::ZERO, counted(100)).expect("set");
    drop(server.after(Duration::ZERO, counted(1)).expect("set"));
    let last = server.after(SOON, counted(1)).expect("set");
    assert!(doomed.cancel(), "it has not begun");
    assert!(!doomed.clone().cancel(), "it is cancelled already");
    assert_eq!(Arc::strong_count(&runs), 3, "what it captured is gone");
    gate.open();
    wait_until("the others have run", || runs.load(SeqCst) >= 2);
    assert!(!last.cancel(), "it is over");
    assert_eq!(runs.load(SeqCst), 2, "not the one that was cancelled");
}

fn neither_a_hung_hook_nor_stuck_handlers_delay_a_timer<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::builder()
        .at_most(1)
        .poll_interval(Duration::from_millis(1))
        .service_actions(move |_| held.pass())
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"block");
    gate.wait_for(2);
    let (tell, told) = mpsc::channel();
    server.after(SOON, move |_| drop(tell)).expect("set");
    let ended = told.recv_timeout(DEADLINE);
    assert_eq!(ended, Err::<(), _>(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(gate.waiting(), 2, "both hung all the while");
}

fn a_panic_in_a_timer_is_contained_counted_and_logged<S: UdpServer>() {
    keep_log();
    let server = S::serving(echo);
    let port = server.local_addr().port();
    let bad = move |_: &ServerHandle| panic!("bad timer of {port}");
    server.after(Duration::ZERO, bad).expect("set");
    let (tell, told) = mpsc::channel();
    server
        .after(SOON, move |_| tell.send(()).expect("the test listens"))
        .expect("set");
    told.recv_timeout(DEADLINE).expect("timers go on");
    assert_eq!(server.stop().stats.hook_panics, 1, "counted");
    let lines = logged(&format!("bad timer of {port}"));
    let expected = format!("ERROR: a timer panicked: bad timer of {port}");
    assert_eq!(lines, [expected], "logged");
}

fn a_hung_timer_does_not_hold_the_shutdown_beyond_its_deadline<S: UdpServer>() {
    keep_log();
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::builder()
        .drain_timeout(Duration::from_millis(200))
        .serving(echo);
    let _open = gate.open_on_drop();
    server
        .after(Duration::ZERO, move |_| held.pass())
        .expect("set");
    gate.wait_for(1);
    let (addr, told) = (server.local_addr(), Instant::now());
    server.stop();
    let took = told.elapsed();
    assert!(took < DEADLINE, "it is left behind, after {took:?}");
    assert!(
        took >= Duration::from_millis(200),
        "not before the deadline"
    );
    assert_eq!(gate.waiting(), 1, "it hung all the while");
    let line = format!("{addr}: a timer has not returned");
    assert_eq!(logged(&line).len(), 1, "the log tells");
}

fn timers_go_on_while_the_server_drains<S: UdpServer>() {
    let gate = Gate::new();
    let server = S::serving(gate.holding_all());
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"wait for the timer");
    gate.wait_for(1);
    server.shutdown();
    let opened = gate.clone();
    server
        .after(SOON, move |_| opened.open())
        .expect("set while it drains");
    let report = server.stop();
    assert_eq!((report.stats.handled, report.abandoned), (1, 0));
}

fn what_is_not_due_when_the_server_closes_is_dropped<S: UdpServer>() {
    let captured = Arc::new(());
    let keep = |server: &ServerHandle| {
        let (kept, inner) = (Arc::clone(&captured), server.clone());
        server.after(LATER, move |_| drop((kept, inner)))
    };
    let server = S::serving(echo);
    let handle = ServerHandle::clone(&server);
    let timer = keep(&handle).expect("set");
    let told = Instant::now();
    server.stop();
    assert!(told.elapsed() < DEADLINE, "nobody waits for it");
    assert_eq!(Arc::strong_count(&captured), 1, "dropped");
    assert!(!timer.cancel(), "gone");
    let late = keep(&handle);
    assert!(matches!(late, Err(ChangeError::Closed)), "{late:?}");
    assert_eq!(Arc::strong_count(&captured), 1, "dropped at once");

    let unserved = S::bound(echo);
    keep(&unserved.handle()).expect("set");
    drop(unserved);
    assert_eq!(Arc::strong_count(&captured), 1, "dropped");
}

#[test]
fn timers_are_bounded_in_number() {
    const MOST: usize = 65_536;
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let handle = server.handle();
    let one = handle.after(LATER, |_| ()).expect("set");
    for _ in 1..MOST {
        handle.after(LATER, |_| ()).expect("set");
    }
    let error = handle.after(LATER, |_| ()).expect_err("one too many");
    assert!(matches!(error, ChangeError::TooManyTimers { most: MOST }));
    let line = "cannot set a timer: 65536 are set and not due yet";
    assert_eq!(error.to_string(), line);
    assert!(one.cancel());
    handle.after(LATER, |_| ()).expect("there is room again");
}

/// It would wait for itself.
#[test]
fn a_timer_may_drop_the_server() {
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let handle = server.handle();
    let journal = Journal::new();
    let (noted, set) = (journal.clone(), Instant::now());
    let drops = move |_: &ServerHandle| {
        drop(server);
        noted.note("dropped");
    };
    handle.after(Duration::ZERO, drops).expect("set");
    wait_until("the server is dropped", || !journal.read().is_empty());
    assert!(set.elapsed() < DEADLINE / 2, "after {:?}", set.elapsed());
    let late = handle.after(SOON, |_| ());
    assert!(matches!(late, Err(ChangeError::Closed)), "{late:?}");
}

/// Only Linux shows the threads of a process by name.
#[cfg(target_os = "linux")]
#[test]
fn the_thread_begins_with_the_first_timer_and_is_gone_with_the_server() {
    let timers = || process::threads_named("hourly-timers");
    let server = ThreadingUdpServer::builder().thread_name("hourly");
    let server = server.bind_fn(ANY_PORT, echo).expect("bound").spawn();
    assert_eq!(Client::of(server.local_addr()).ask(b"up?"), b"up?");
    assert_eq!(timers(), 0, "nobody has set one");
    for _ in 0..3 {
        server.after(LATER, |_| ()).expect("set");
    }
    wait_until("there is one thread", || timers() == 1);
    server.stop().expect("ends in order");
    // Who was waited for may be shown a moment longer.
    wait_until("the thread is gone", || timers() == 0);
}
