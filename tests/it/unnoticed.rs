//! What users do wrong without a word, and what tells them.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;

use socketserver::{
    BindError, Builder, DatagramHandler, DetachedHandle, ForkingStyleUdpServer, HandlerError,
    RequestOutcome, Server, SocketHandle, ThreadingUdpServer, from_fn,
};

use crate::support::{
    ANY_PORT, Client, DEADLINE, ServerBuilder, TestServer, UdpServer, echo, for_both_servers,
    keep_log, logged, wait_until,
};

for_both_servers! {
    a_bound_server_does_what_its_handle_does,
    one_function_is_bound_by_name_and_in_from_fn,
    an_address_is_named_as_it_was_given,
    without_a_logger_failures_go_to_standard_error,
}

/// A handler as it comes from Python: it keeps in `self` what belongs to one
/// request.
#[derive(Default)]
struct Login {
    user: Option<String>,
}

impl DatagramHandler for Login {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        let name = std::str::from_utf8(bytes)?.to_owned();
        let user = self.user.get_or_insert(name);
        Ok(socket.reply(user.as_bytes())?)
    }
}

/// What five clients are taken for.
fn users<S: UdpServer>(builder: Builder<S>) -> Vec<Vec<u8>> {
    let server = builder.at_most(1).serving_handlers(Login::default);
    let ask = |name: &&str| Client::of(server.local_addr()).ask(name.as_bytes());
    ["ann", "bob", "cyd", "dan", "eve"]
        .iter()
        .map(ask)
        .collect()
}

#[test]
fn state_goes_from_client_to_client_unless_instances_are_fresh() {
    let kept = users(ThreadingUdpServer::builder().workers(1));
    assert_eq!(
        kept, [b"ann"; 5],
        "the documented life: as long as the worker"
    );
    let fresh = users(ThreadingUdpServer::builder().fresh_instance(true));
    assert_eq!(fresh, [b"ann", b"bob", b"cyd", b"dan", b"eve"]);
    let forking = users(ForkingStyleUdpServer::builder());
    assert_eq!(forking, [b"ann", b"bob", b"cyd", b"dan", b"eve"]);
}

fn a_bound_server_does_what_its_handle_does<S: UdpServer>() {
    let server = S::bound(echo);
    assert_eq!(server.stats().received, 0);
    assert_eq!(server.active_children(), 0);
    assert_eq!(server.local_addr(), Server::handle(&server).local_addr());
    server.shutdown();
    let report = server.serve_forever().expect("it returns at once");
    assert_eq!(report.stats.received, 0);
}

fn one_function_is_bound_by_name_and_in_from_fn<S: UdpServer>() {
    let socket = || UdpSocket::bind(ANY_PORT).expect("a free port");
    let closure = from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
    for server in [
        S::bind(ANY_PORT, echo),
        S::bind(ANY_PORT, closure),
        S::from_socket(socket(), echo),
        S::from_socket(socket(), closure),
        S::bind(ANY_PORT, || echo),
    ] {
        let server = TestServer::spawn(server.expect("bound"));
        assert_eq!(Client::of(server.local_addr()).ask(b"hi"), b"hi");
    }
    // It has nothing of its own that a thread would keep for the next call.
    let (captured, closed) = mpsc::channel::<()>();
    let keeps = from_fn(move |_, _, _| {
        let _ = &captured;
        Ok(())
    });
    let mut server = S::bind(ANY_PORT, keeps).expect("bound");
    Client::of(server.local_addr()).send(b"one");
    let outcome = server.handle_request(None).expect("received");
    assert_eq!(outcome, RequestOutcome::Handled);
    let elsewhere = std::thread::spawn(move || drop(server));
    elsewhere.join().expect("no panic");
    let gone = Err(mpsc::RecvTimeoutError::Disconnected);
    assert_eq!(closed.recv_timeout(DEADLINE), gone, "no thread keeps it");
}

#[track_caller]
fn refused<S>(bound: Result<S, BindError>) -> BindError {
    let error = bound.map(drop).expect_err("it makes no sense");
    assert_eq!(format!("{error:?}"), error.to_string(), "what main prints");
    error
}

fn an_address_is_named_as_it_was_given<S: UdpServer>() {
    for addr in ["nonsense", "localhost", "127.0.0.1", "127.0.0.1:port", ""] {
        let error = refused(S::bind(addr, echo));
        let text = format!("cannot resolve {addr:?}: expected HOST:PORT");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let error = refused(S::bind(&[][..] as &[SocketAddr], echo));
    let text = "cannot bind []: there is no address in it";
    assert_eq!(error.to_string(), text);
}

#[test]
fn ipv6_alone_is_refused_for_an_ipv4_address() {
    let alone = || ThreadingUdpServer::builder().only_v6(true);
    let error = refused(alone().bind(ANY_PORT, echo));
    let text = "only_v6: \"127.0.0.1:0\" is not an IPv6 address";
    assert_eq!(error.to_string(), text);
    let both = ["127.0.0.1:0", "[::1]:0"].map(|addr| addr.parse().expect("an address"));
    let both: &[SocketAddr] = &both;
    // Where `::1` does not exist, there is nothing more to show.
    if let Ok(server) = alone().bind(both, echo) {
        assert!(server.local_addr().is_ipv6(), "IPv4 is passed over");
    }
    let server = ThreadingUdpServer::builder()
        .only_v6(false)
        .bind(ANY_PORT, echo);
    assert!(server.is_ok(), "which is served as well as there is");
}

/// By all ways to send, and in the log.
#[cfg(target_os = "linux")]
#[test]
fn a_broadcast_without_leave_is_told_from_what_else_is_not_permitted() {
    keep_log();
    let (tell, told) = mpsc::channel::<(Option<String>, DetachedHandle)>();
    let to: SocketAddr = "127.255.255.255:9".parse().expect("an address");
    let server = ThreadingUdpServer::serving(move |_, _, socket| {
        socket.send_to(b"batched", to)?;
        let tried = socket.try_send_to(b"at once", to).err();
        tell.send((tried.map(|error| error.to_string()), socket.detach()))?;
        Ok(())
    });
    Client::of(server.local_addr()).send(b"go");
    let (tried, detached) = told.recv_timeout(DEADLINE).expect("handled");
    let text = |len| {
        format!("cannot send {len} bytes to {to}: a broadcast address needs allow_broadcast(true)")
    };
    assert_eq!(tried, Some(text(7)), "try_send_to");
    let error = detached.send_to(b"later", to).expect_err("not permitted");
    assert_eq!(error.to_string(), text(5), "a detached handle");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let line = format!("{}: {}", server.local_addr(), text(7));
    wait_until("the batched one is logged", || !logged(&line).is_empty());
    wait_until("each is counted", || {
        server.stats().replies.failed.not_permitted == 3
    });
}

/// Runs the calling test again in a process without a logger, and says what that
/// writes to standard error. `None` says that this is that process: go on.
#[track_caller]
fn cries(test: &str) -> Option<String> {
    const MUTE: &str = "SOCKETSERVER_TEST_MUTE";
    if std::env::var_os(MUTE).is_some() {
        return None;
    }
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture"])
        .env(MUTE, "yes")
        .output()
        .expect("a process for the test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("1 passed"),
        "in a process of its own:\n{said}"
    );
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn without_a_logger_failures_go_to_standard_error<S: UdpServer>() {
    const SENT: u64 = 500;
    let style = std::any::type_name::<S>();
    let style = if style.contains("Forking") {
        "forking_style"
    } else {
        "threading"
    };
    let test = format!("unnoticed::{style}::without_a_logger_failures_go_to_standard_error");
    let Some(cried) = cries(&test) else {
        let fails = |builder: Builder<S>, word: &'static str| {
            let server = builder.bind_fn(ANY_PORT, move |_, _, _| Err(word.into()));
            let server = TestServer::spawn(server.expect("bound"));
            let client = Client::of(server.local_addr());
            for _ in 0..SENT {
                client.send(b"fail");
            }
            server.wait_until_settled(SENT);
            println!("{word} for {} s", server.stop().stats.uptime.as_secs());
        };
        fails(S::builder(), "a sorry tale");
        fails(S::builder().stderr_errors(false), "not to be told");
        return;
    };
    let lines: Vec<_> = cried.lines().collect();
    let told = "socketserver: handler failed on 4 bytes from 127.0.0.1:";
    let is_told = |line: &&&str| line.starts_with(told) && line.contains(": a sorry tale");
    let count = lines.iter().filter(is_told).count();
    assert!(count > 0, "somebody hears of it:\n{cried}");
    assert!(count < SENT as usize / 2, "at a limited rate:\n{cried}");
    assert!(!cried.contains("not to be told"), "silenced:\n{cried}");
}
