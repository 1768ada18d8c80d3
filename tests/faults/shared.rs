//! Sockets that several servers have, in one process or in several.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::Shutdown;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe, read, write};
use socketserver::{HandlerError, RequestOutcome, ServerHandle, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, alone, cases};
use crate::support::process::waits_of;
use crate::support::{ANY_PORT, Client, DEADLINE, TestServer, echo, keep_log, logged, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            several_servers_on_one_socket_count_no_errors,
            a_server_that_is_stopped_leaves_the_others_on_its_socket_nothing_to_handle,
            forked_children_of_a_bound_server_all_end_when_they_are_told,
            a_forked_child_of_a_bound_server_has_timers_of_its_own,
        }
    }
}

/// So many servers on one socket, which count what reaches a handler of theirs.
fn on_one_socket(socket: &UdpSocket, count: usize) -> (Vec<TestServer>, Arc<AtomicUsize>) {
    let handled = Arc::new(AtomicUsize::new(0));
    let serve = |_| {
        let socket = socket.try_clone().expect("one more descriptor");
        let handled = Arc::clone(&handled);
        let server = ThreadingUdpServer::from_socket(socket, move || {
            let handled = Arc::clone(&handled);
            move |bytes: &[u8],
                  peer: SocketAddr,
                  socket: &SocketHandle|
                  -> Result<(), HandlerError> {
                handled.fetch_add(1, Relaxed);
                echo(bytes, peer, socket)
            }
        });
        TestServer::spawn(server.expect("taken over"))
    };
    ((0..count).map(serve).collect(), handled)
}

/// Each datagram wakes all who wait for one, and one of them gets it.
fn several_servers_on_one_socket_count_no_errors() {
    if !alone("several_servers_on_one_socket_count_no_errors") {
        return;
    }
    keep_log();
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    let (servers, handled) = on_one_socket(&socket, 4);
    let client = Client::of(socket.local_addr().expect("bound"));
    for number in 0..2_000_u32 {
        if number == 1_000 && cfg!(not(socketserver_portable)) {
            // From now on each sees what one sees whom another is always quicker
            // than: the socket is ready, and has nothing.
            let shut = nix::sys::socket::shutdown(socket.as_raw_fd(), Shutdown::Read);
            assert_eq!(shut, Err(Errno::ENOTCONN), "done, and refused");
        }
        let bytes = number.to_be_bytes();
        assert_eq!(client.ask(&bytes), bytes);
    }
    for server in servers {
        let stats = server.stop().stats;
        assert_eq!(stats.receive_errors, 0, "{stats}");
    }
    assert_eq!(handled.load(Relaxed), 2_000, "all others are no datagrams");
    assert!(logged("receive failed").is_empty());
}

fn a_server_that_is_stopped_leaves_the_others_on_its_socket_nothing_to_handle() {
    for _ in 0..30 {
        let socket = UdpSocket::bind(ANY_PORT).expect("bound");
        let (mut servers, handled) = on_one_socket(&socket, 2);
        let client = Client::of(socket.local_addr().expect("bound"));
        // Both are there once either has answered, or will be.
        assert_eq!(client.ask(b"before"), b"before");
        let stopped = servers.pop().expect("two").stop();
        assert_eq!(stopped.stats.receive_errors, 0);
        assert_eq!(client.ask(b"after"), b"after");
        servers.pop().expect("one").stop();
        assert_eq!(handled.load(Relaxed), 2, "what was asked and nothing else");
    }
}

/// What wakes a server must be its own, or one of the others takes the wake-up.
fn forked_children_of_a_bound_server_all_end_when_they_are_told() {
    if !alone("forked_children_of_a_bound_server_all_end_when_they_are_told") {
        return;
    }
    for has_served_before in [false, true] {
        let mut server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
        if has_served_before {
            let served = server.handle_request(Some(Duration::from_millis(1)));
            let outcome = served.expect("nothing fails");
            assert_eq!(outcome, RequestOutcome::TimedOut, "nobody asked");
        }
        let (ready, is_ready) = pipe().expect("a pipe");
        let (told, tell) = pipe().expect("a pipe");
        let mut server = Some(server);
        let children: Vec<_> = (0..4)
            .map(|_| match fork().expect("one more process") {
                Fork::Parent(id) => Pid::from_raw(id),
                Fork::Child => {
                    let server = server.take().expect("it is a copy");
                    // Closed as soon as the parent closes its own.
                    nix::unistd::close(tell.as_raw_fd()).expect("open");
                    let end = catch_unwind(AssertUnwindSafe(|| {
                        serve_until_told(server, &is_ready, &told)
                    }));
                    std::process::exit(i32::from(end.is_err()));
                }
            })
            .collect();
        for _ in &children {
            read(&ready, &mut [0]).expect("it is ready");
        }
        drop(tell);
        assert_all_end(children);
    }
}

/// The thread that the parent has for timers is not in the child.
fn a_forked_child_of_a_bound_server_has_timers_of_its_own() {
    if !alone("a_forked_child_of_a_bound_server_has_timers_of_its_own") {
        return;
    }
    for sets_its_own in [false, true] {
        let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
        let handle = server.handle();
        handle.after(100 * DEADLINE, |_| ()).expect("set");
        // Forked while it holds a lock, a thread would leave that locked.
        wait_until("the thread waits", || waits_of("socketserver-ti") > 0);
        match fork().expect("one more process") {
            Fork::Parent(id) => assert_all_end(vec![Pid::from_raw(id)]),
            Fork::Child => {
                let end = catch_unwind(AssertUnwindSafe(|| {
                    if sets_its_own {
                        let (tell, told) = mpsc::channel();
                        let run = move |_: &ServerHandle| tell.send(()).expect("awaited");
                        handle.after(Duration::ZERO, run).expect("set");
                        told.recv_timeout(DEADLINE).expect("it runs in the child");
                    }
                    let began = Instant::now();
                    TestServer::spawn(server).stop();
                    assert!(began.elapsed() < DEADLINE / 2, "nobody is waited for");
                }));
                std::process::exit(i32::from(end.is_err()));
            }
        }
    }
}

fn serve_until_told(server: ThreadingUdpServer, is_ready: &OwnedFd, told: &OwnedFd) {
    let running = TestServer::spawn(server);
    wait_until("its worker waits", || waits_of("socketserver") > 0);
    write(is_ready, b"!").expect("somebody reads");
    read(told, &mut [0]).expect("the end of the pipe");
    running.stop();
}

#[track_caller]
fn assert_all_end(mut children: Vec<Pid>) {
    let deadline = Instant::now() + DEADLINE;
    while !children.is_empty() && Instant::now() < deadline {
        children.retain(|child| match waitpid(*child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => true,
            ended => {
                assert_eq!(ended, Ok(WaitStatus::Exited(*child, 0)));
                false
            }
        });
        std::thread::yield_now();
    }
    for child in &children {
        kill(*child, Signal::SIGKILL).expect("it is a child of this process");
        waitpid(*child, None).expect("it is a child of this process");
    }
    assert!(children.is_empty(), "{} never ended", children.len());
}
