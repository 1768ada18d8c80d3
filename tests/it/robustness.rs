//! What users' code and sockets can do to a server at worst.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
use std::{thread, time::Instant};

use socketserver::{
    BindError, ConfigError, DatagramHandler, HandlerError, ServerHandle, SocketHandle,
    ThreadingUdpServer,
};

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
use crate::support::process;
use crate::support::{
    ANY_PORT, Client, Gate, TestServer, assert_conserved, echo, keep_log, wait_until,
};

/// An error that cannot even be shown.
#[derive(Debug)]
struct Unspeakable;

impl std::error::Error for Unspeakable {}

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("shown")
    }
}

#[test]
fn an_error_that_panics_when_shown_costs_no_worker() {
    keep_log();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bind_fn(ANY_PORT, |bytes, _, socket| match bytes {
            b"bad" => Err(Box::new(Unspeakable)),
            _ => Ok(socket.reply(bytes)?),
        })
        .expect("bound");
    let client = Client::of(server.local_addr());
    let server = TestServer::spawn(server);
    for _ in 0..3 {
        client.send(b"bad");
        assert_eq!(client.ask(b"good"), b"good", "the one worker is alive");
    }
    let stats = server.stop().stats;
    assert_eq!((stats.failed, stats.handled), (3, 3));
    assert_conserved(&stats);
}

/// On Windows a receive fails for each reply that found nobody, unless it is told
/// not to.
#[test]
fn clients_that_are_gone_cost_no_receive_error() {
    const GONE: u64 = 20;
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bind_fn(ANY_PORT, gate.holding(b"wait"))
        .expect("bound");
    let server = TestServer::spawn(server);
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"wait");
    gate.wait_for(1);
    for _ in 0..GONE {
        Client::of(server.local_addr()).send(b"gone");
    }
    gate.open();
    assert_eq!(Client::of(server.local_addr()).ask(b"here"), b"here");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.receive_errors), (GONE + 2, 0));
}

/// Panics when it is set up, and again when it is dropped for that.
struct Doomed(bool);

impl DatagramHandler for Doomed {
    fn setup(&mut self) -> Result<(), HandlerError> {
        assert!(!self.0, "not set up");
        Ok(())
    }

    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        Ok(socket.reply(bytes)?)
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        assert!(!self.0, "not dropped either");
    }
}

#[test]
fn a_panic_in_setup_and_again_in_drop_does_not_end_the_process() {
    let made = AtomicUsize::new(0);
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .bind(ANY_PORT, move || Doomed(made.fetch_add(1, Relaxed) == 0))
        .expect("bound");
    let client = Client::of(server.local_addr());
    let server = TestServer::spawn(server);
    client.send(b"first");
    assert_eq!(client.ask(b"second"), b"second");
    let stats = server.stop().stats;
    assert_eq!((stats.panicked, stats.handled), (1, 1));
}

#[test]
fn handles_of_a_closed_server_hold_nothing_of_it() {
    let captured = Arc::new(());
    let held = Arc::clone(&captured);
    // Python's `self.server`: a handler that can reach its own server.
    let own = Arc::new(std::sync::OnceLock::<ServerHandle>::new());
    let own_handle = Arc::clone(&own);
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, move |bytes, _, socket| {
        let _ = (&held, &own_handle);
        Ok(socket.reply(bytes)?)
    });
    let server = server.expect("bound");
    own.set(server.handle()).expect("set once");
    let client = Client::of(server.local_addr());
    let server = TestServer::spawn(server);
    assert_eq!(client.ask(b"x"), b"x");
    server.stop();
    wait_until("what the handler captured is gone", || {
        Arc::strong_count(&captured) == 1
    });
    let handle = own.get().expect("it was set");
    assert_eq!(handle.stats().handled, 1, "the last stats remain");
    handle.shutdown();
}

#[test]
fn what_handle_request_keeps_ends_when_the_server_is_spawned() {
    let captured = Arc::new(());
    let held = Arc::clone(&captured);
    let mut server = ThreadingUdpServer::bind(ANY_PORT, move || {
        let held = Arc::clone(&held);
        move |bytes: &[u8], addr: SocketAddr, socket: &SocketHandle| {
            let _ = &held;
            echo(bytes, addr, socket)
        }
    })
    .expect("bound");
    let client = Client::of(server.local_addr());
    client.send(b"one");
    let patience = Some(Duration::from_secs(5));
    assert!(
        server
            .handle_request(patience)
            .expect("it is served")
            .is_handled()
    );
    assert_eq!(Arc::strong_count(&captured), 3, "one instance is kept");
    drop(server.spawn());
    assert_eq!(Arc::strong_count(&captured), 1, "and gone, on this thread");
}

#[test]
fn a_bound_socket_refuses_options_that_come_too_late() {
    for (option, builder) in [
        ("only_v6", ThreadingUdpServer::builder().only_v6(true)),
        (
            "allow_reuse_address",
            ThreadingUdpServer::builder().allow_reuse_address(true),
        ),
        (
            "allow_reuse_port",
            ThreadingUdpServer::builder().allow_reuse_port(true),
        ),
    ] {
        let socket = UdpSocket::bind(ANY_PORT).expect("bound");
        let refused = builder.from_socket(socket, || echo as fn(&[u8], _, &_) -> _);
        match refused {
            Err(BindError::Config(ConfigError { option: named, .. })) => assert_eq!(named, option),
            other => panic!("{option} is not refused: {other:?}"),
        }
    }
}

#[test]
fn a_mapped_address_reaches_an_ipv4_peer_from_an_ipv4_server() {
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, |bytes, addr, socket| {
        let SocketAddr::V4(v4) = addr else {
            return Err("an IPv4 peer is shown as one".into());
        };
        let mapped = SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()));
        Ok(socket.send_to(bytes, mapped)?)
    });
    let server = server.expect("bound");
    let client = Client::of(server.local_addr());
    let _server = TestServer::spawn(server);
    assert_eq!(client.ask(b"mapped"), b"mapped");
}

/// A socket that always polls ready: whoever shares it has shut it down for
/// reading. The portable twin does not poll.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn a_socket_that_is_ready_for_nothing_is_backed_off_from_and_still_serves() {
    use std::os::fd::AsRawFd;

    const NAME: &str = "shut";
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    let shared = socket.try_clone().expect("a second descriptor");
    let server = ThreadingUdpServer::builder()
        .thread_name(NAME)
        .from_socket(socket, || echo as fn(&[u8], _, &_) -> _);
    let server = TestServer::spawn(server.expect("taken over"));
    // The error that the call returns (it is not connected) does not keep the
    // kernel from doing it.
    let _ = nix::sys::socket::shutdown(shared.as_raw_fd(), nix::sys::socket::Shutdown::Read);
    let client = Client::of(server.local_addr());
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert_eq!(client.ask(b"still there?"), b"still there?");
    }
    let before = process::cpu_ticks_of(NAME);
    thread::sleep(Duration::from_millis(500));
    let ticks = process::cpu_ticks_of(NAME) - before;
    assert!(ticks <= 10, "it spins: {ticks} of 50 ticks");
    assert_eq!(server.stats().receive_errors, 0, "nothing failed");
}
