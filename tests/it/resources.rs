//! Threads, descriptors, child processes.

use std::net::UdpSocket;
use std::rc::Rc;
use std::thread;

use socketserver::{ForkingStyleUdpServer, ServeError, ThreadingUdpServer};

#[cfg(target_os = "linux")]
use crate::support::process;
use crate::support::{
    ANY_PORT, Client, Gate, HomeBound, Journal, ServerBuilder, TestServer, UdpServer,
    assert_port_is_free, echo, for_both_servers, wait_until,
};

for_both_servers! {
    instances_stay_on_the_thread_that_made_them,
    a_server_that_gets_no_thread_says_so_and_frees_the_port,
}

fn instances_stay_on_the_thread_that_made_them<S: UdpServer>() {
    let journal = Journal::new();
    let noted = journal.clone();
    let server = S::builder().at_most(4).serving_handlers(move || HomeBound {
        home: thread::current().id(),
        calls: Rc::default(),
        journal: noted.clone(),
    });
    let clients: Vec<_> = (0..20).map(|_| Client::of(server.local_addr())).collect();
    for _ in 0..5 {
        clients.iter().for_each(|client| client.send(b"home?"));
        clients
            .iter()
            .for_each(|client| client.expect_reply(b"home?"));
    }
    server.stop();
    let lines = journal.read();
    assert!(!lines.is_empty(), "instances were finished");
    assert!(
        lines.iter().all(|line| line == "finished"),
        "each stayed where it was made: {lines:?}"
    );
}

/// The application's own child process keeps its exit code for the application.
#[cfg(unix)]
#[test]
fn a_child_process_of_the_application_is_left_to_it() {
    let server = ForkingStyleUdpServer::serving(echo);
    let mut child = std::process::Command::new("sh")
        .args(["-c", "exit 72"])
        .spawn()
        .expect("a shell");
    let client = Client::of(server.local_addr());
    for _ in 0..20 {
        client.ask(b"x");
    }
    server.stop();
    let status = child.wait().expect("nobody else has waited for it");
    assert_eq!(status.code(), Some(72), "its own exit code");
}

/// No address space has room for a stack of a tebibyte; where memory is
/// promised without limit, it has, and there is nothing to show.
fn a_server_that_gets_no_thread_says_so_and_frees_the_port<S: UdpServer>() {
    const STACK: usize = 1 << 40;
    let std_thread = thread::Builder::new().stack_size(STACK).spawn(|| ());
    if std_thread.is_ok() {
        return;
    }
    let server = S::builder().stack_size(STACK).bound(echo);
    let handle = server.handle();
    let error = server.serve_forever().expect_err("no thread, no server");
    assert!(
        matches!(error, ServeError::StartWorkers { started: 0, .. }),
        "not {error}"
    );
    assert_port_is_free(handle.local_addr());
}

/// Only Linux is known to have this way to make threads scarce.
#[cfg(target_os = "linux")]
#[test]
fn workers_that_cannot_be_started_break_neither_serving_nor_closing() {
    // Room for one stack of a gibibyte, not for two.
    const MEMORY_KIB: u64 = 1_900_000;
    let test = "workers_that_cannot_be_started_break_neither_serving_nor_closing";
    if !process::is_alone(module_path!(), test, Some(MEMORY_KIB)) {
        return;
    }
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1..=8)
        .stack_size(1 << 30)
        .max_packet_size(64)
        .batch_size(1)
        .serving(gate.holding(b"stick"));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"stick");
    gate.wait_for(1);
    client.send(b"behind it");
    wait_until("growing has failed", || {
        server.stats().failed_worker_starts > 0
    });
    gate.open();
    client.expect_reply(b"stick");
    client.expect_reply(b"behind it");
    let report = server.stop();
    assert_eq!(report.stats.handled, 2, "the one worker did it all");
    assert_eq!(report.stats.peak_workers, 1, "there was no second");
    assert_eq!(report.abandoned_threads, 0, "closing went well");
}

/// Descriptors of a process can be counted on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_failing_binds_leak_no_descriptor() {
    if !process::is_alone(
        module_path!(),
        "a_thousand_failing_binds_leak_no_descriptor",
        None,
    ) {
        return;
    }
    let taken = UdpSocket::bind(ANY_PORT).expect("bound");
    let addr = taken.local_addr().expect("bound");
    let before = process::open_descriptors();
    for _ in 0..512 {
        ThreadingUdpServer::bind_fn(addr, echo).expect_err("the port is taken");
        ForkingStyleUdpServer::bind_fn(addr, echo).expect_err("the port is taken");
    }
    assert_eq!(process::open_descriptors(), before, "as many as before");
}

/// Descriptors and threads of a process can be counted on Linux.
#[cfg(target_os = "linux")]
#[test]
fn servers_leak_neither_descriptors_nor_threads() {
    if !process::is_alone(
        module_path!(),
        "servers_leak_neither_descriptors_nor_threads",
        None,
    ) {
        return;
    }
    fn live<S: UdpServer>() {
        let server = S::builder().at_most(4).serving(echo);
        Client::of(server.local_addr()).ask(b"up?");
        server.stop();
    }
    live::<ThreadingUdpServer>();
    wait_until("the workers have ended", || {
        process::threads_named("socketserve") == 0
    });
    let (descriptors, threads) = (process::open_descriptors(), process::threads());
    for _ in 0..20 {
        live::<ThreadingUdpServer>();
        live::<ForkingStyleUdpServer>();
    }
    // A worker has said goodbye before its thread ends, and what it shared with
    // the others ends with the last of them.
    wait_until("no more descriptors are open than before", || {
        process::open_descriptors() == descriptors
    });
    wait_until("there are no more threads than before", || {
        process::threads() == threads
    });
}

/// Only Linux shows the threads of a process by name.
#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_started_before_serving() {
    let server = ThreadingUdpServer::builder()
        .workers(2)
        .thread_name("unborn")
        .bind_fn(ANY_PORT, echo)
        .expect("bound");
    assert_eq!(process::threads_named("unborn"), 0, "bound, not serving");
    assert_eq!(server.handle().stats().workers, 0, "no worker");
    let server = TestServer::spawn(server);
    Client::of(server.local_addr()).ask(b"up?");
    // A thread names itself, a moment after it has begun.
    wait_until("both threads are named", || {
        process::threads_named("unborn") == 2
    });
}
