//! Bound, serving, told to stop, closed.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::ThreadingUdpServer;

use crate::support::{
    ANY_PORT, Client, ServerBuilder, UdpServer, assert_conserved, assert_port_is_free, echo,
    for_both_servers,
};

for_both_servers! {
    local_addr_names_the_port_really_bound,
    three_successive_clients_each_get_their_line,
    a_server_that_is_told_to_stop_ends,
    twenty_servers_shut_down_right_after_spawn_all_end,
    shutdown_before_serving_is_remembered,
    shutdown_twice_and_after_the_end_is_harmless,
    shutdown_from_inside_a_handler_does_not_deadlock,
    shutdown_does_not_wait_for_the_poll_interval,
    a_poll_interval_without_end_is_served_like_any_other,
    join_waits_until_somebody_else_stops_the_server,
    serve_forever_returns_on_the_calling_thread_and_hooks_run_on_another,
    dropping_a_running_server_stops_it_and_frees_the_port,
    dropping_a_bound_server_frees_the_port_although_handles_live_on,
    a_server_never_served_closes_and_never_calls_its_factory,
    a_handle_outlives_its_server_with_the_last_stats,
}

fn local_addr_names_the_port_really_bound<S: UdpServer>() {
    let server = S::bound(echo);
    let addr = server.local_addr();
    assert_ne!(addr.port(), 0, "port 0 was resolved");
    assert_eq!(server.handle().local_addr(), addr, "the handle agrees");
    let taken = UdpSocket::bind(addr).map(drop);
    assert!(taken.is_err(), "that very port is taken");
}

#[cfg(unix)]
#[test]
fn local_addr_is_what_the_socket_itself_says() {
    use std::os::fd::AsFd;

    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let copy = server.as_fd().try_clone_to_owned().expect("a descriptor");
    let said = UdpSocket::from(copy).local_addr().expect("bound");
    assert_eq!(server.local_addr(), said, "as getsockname says");
}

fn three_successive_clients_each_get_their_line<S: UdpServer>() {
    let server = S::serving(|mut bytes, _, socket| {
        use std::io::{BufRead, Write};

        let mut line = String::new();
        bytes.read_line(&mut line)?;
        socket.writer().write_all(line.as_bytes())?;
        Ok(())
    });
    for _ in 0..3 {
        let client = Client::of(server.local_addr());
        assert_eq!(client.ask(b"hello world\n"), b"hello world\n", "the line");
    }
    assert_eq!(server.stop().stats.handled, 3, "one for each client");
}

fn a_server_that_is_told_to_stop_ends<S: UdpServer>() {
    let server = S::bound(echo);
    let handle = server.handle();
    let serving = thread::spawn(|| server.serve_forever());
    Client::of(handle.local_addr()).ask(b"up?");
    handle.shutdown();
    let report = serving.join().expect("no panic").expect("ends in order");
    assert_conserved(&report.stats);
    assert_eq!(report.stats.handled, 1, "the one that was asked");
}

fn twenty_servers_shut_down_right_after_spawn_all_end<S: UdpServer>() {
    for _ in 0..20 {
        let server = S::bound(echo).spawn();
        server.shutdown();
        let report = server.join().expect("whoever wins the race, it ends");
        assert_conserved(&report.stats);
    }
}

fn shutdown_before_serving_is_remembered<S: UdpServer>() {
    let server = S::bound(echo);
    let addr = server.local_addr();
    let client = Client::of(addr);
    client.send(b"waits in the kernel");
    server.handle().shutdown();
    let report = server.serve_forever().expect("returns at once");
    assert_eq!(report.stats.received, 0, "nothing is drained");
    client.expect_silence();
    assert_port_is_free(addr);
}

fn shutdown_twice_and_after_the_end_is_harmless<S: UdpServer>() {
    let server = S::bound(echo).spawn();
    let handle = server.handle();
    handle.shutdown();
    handle.shutdown();
    server.join().expect("ends in order");
    handle.shutdown();
}

fn shutdown_from_inside_a_handler_does_not_deadlock<S: UdpServer>() {
    let slot = Arc::new(OnceLock::<socketserver::ServerHandle>::new());
    let own = Arc::clone(&slot);
    let server = S::bound(move |bytes, _, socket| {
        own.get().expect("set before serving").shutdown();
        Ok(socket.reply(bytes)?)
    });
    slot.set(server.handle()).expect("set once");
    let client = Client::of(server.local_addr());
    let server = server.spawn();
    client.send(b"last words");
    let report = server.join().expect("the server ends by itself");
    assert_eq!(report.stats.handled, 1, "its own shutdown let it finish");
    assert_eq!(report.abandoned, 0, "nobody was left behind");
    client.expect_reply(b"last words");
}

fn shutdown_does_not_wait_for_the_poll_interval<S: UdpServer>() {
    let server = S::builder()
        .poll_interval(Duration::from_secs(3600))
        .service_actions(|_| ())
        .serving(echo);
    Client::of(server.local_addr()).ask(b"up?");
    let began = Instant::now();
    server.stop();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "shutdown took {took:?}");
}

fn a_poll_interval_without_end_is_served_like_any_other<S: UdpServer>() {
    let server = S::builder()
        .poll_interval(Duration::MAX)
        .service_actions(|_| ())
        .serving(echo);
    assert_eq!(Client::of(server.local_addr()).ask(b"up?"), b"up?");
    server.stop();
}

fn join_waits_until_somebody_else_stops_the_server<S: UdpServer>() {
    let server = S::bound(echo).spawn();
    let handle = server.handle();
    let client = Client::of(handle.local_addr());
    let ended = Arc::new(AtomicBool::new(false));
    let says_ended = Arc::clone(&ended);
    let joining = thread::spawn(move || {
        let report = server.join().expect("ends in order");
        says_ended.store(true, SeqCst);
        report
    });
    for _ in 0..10 {
        assert_eq!(client.ask(b"still there?"), b"still there?");
    }
    assert!(!ended.load(SeqCst), "join does not stop anything");
    handle.shutdown();
    let report = joining.join().expect("no panic");
    assert_eq!(report.stats.handled, 10, "the report is the server's");
}

fn serve_forever_returns_on_the_calling_thread_and_hooks_run_on_another<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::builder()
        .poll_interval(Duration::from_millis(1))
        .service_actions(move |_| {
            let _ = tell.send(thread::current().id());
        })
        .bound(echo);
    let handle = server.handle();
    let stopping = thread::spawn(move || {
        let hook_thread = told.recv().expect("service_actions was called");
        handle.shutdown();
        hook_thread
    });
    server.serve_forever().expect("ends in order");
    let hook_thread = stopping.join().expect("no panic");
    assert_ne!(
        hook_thread,
        thread::current().id(),
        "this thread looks after workers"
    );
}

fn dropping_a_running_server_stops_it_and_frees_the_port<S: UdpServer>() {
    let server = S::bound(echo).spawn();
    let handle = server.handle();
    let addr = server.local_addr();
    Client::of(addr).ask(b"up?");
    drop(server);
    assert_port_is_free(addr);
    assert_eq!(handle.stats().workers, 0, "no worker is left");
}

fn dropping_a_bound_server_frees_the_port_although_handles_live_on<S: UdpServer>() {
    let server = S::bound(echo);
    let handle = server.handle();
    let addr = server.local_addr();
    drop(server);
    assert_port_is_free(addr);
    handle.shutdown();
    assert_eq!(handle.stats().received, 0, "there is still an answer");
}

fn a_server_never_served_closes_and_never_calls_its_factory<S: UdpServer>() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = S::builder()
        .bind(ANY_PORT, move || {
            let before = counted.fetch_add(1, SeqCst);
            assert!(before == usize::MAX, "an unusable handler");
            echo
        })
        .expect("bound");
    let addr = server.local_addr();
    drop(server);
    assert_port_is_free(addr);
    assert_eq!(calls.load(SeqCst), 0, "no datagram, no handler");
}

fn a_handle_outlives_its_server_with_the_last_stats<S: UdpServer>() {
    let server = S::bound(echo).spawn();
    let handle = server.handle();
    Client::of(handle.local_addr()).ask(b"one");
    let report = server.stop().expect("ends in order");
    let last = handle.stats();
    assert_eq!(last, report.stats, "the handle shows what the report says");
    assert_eq!(handle.stats(), last, "and time stands still");
    assert_eq!(last.replies.sent, 1, "one reply");
}
