//! Options, their defaults, and what `bind` says when it fails.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Duration;

use socketserver::{
    BindError, Builder, ConfigError, ForkingStyleUdpServer, HandlerError, SocketHandle,
    ThreadingUdpServer,
};

use crate::support::{
    ANY_PORT, Client, Gate, ServerBuilder, TestServer, UdpServer, echo, for_both_servers, keep_log,
    logged, wait_until,
};

for_both_servers! {
    nonsense_is_refused_at_bind_with_the_options_name,
    a_taken_port_is_said_in_a_sentence,
    an_address_that_cannot_be_resolved_is_an_error,
    the_defaults_are_as_documented,
    the_receive_buffer_is_asked_for_and_what_was_granted_is_told,
}

type Threading = Builder<ThreadingUdpServer>;
type Forking = Builder<ForkingStyleUdpServer>;

/// The option and the problem that an error names.
#[track_caller]
fn refusal<S: UdpServer>(builder: Builder<S>) -> (&'static str, String) {
    match builder.bind_fn(ANY_PORT, echo) {
        Err(BindError::Config(ConfigError {
            option, problem, ..
        })) => (option, problem),
        Err(other) => panic!("an error of another kind: {other}"),
        Ok(_) => panic!("nonsense was accepted"),
    }
}

fn nonsense_is_refused_at_bind_with_the_options_name<S: UdpServer>() {
    let cases = [
        ("max_packet_size", S::builder().max_packet_size(0)),
        ("max_packet_size", S::builder().max_packet_size(65_536)),
        ("batch_size", S::builder().batch_size(0)),
        ("batch_size", S::builder().batch_size(1_025)),
        ("receive_buffer", S::builder().receive_buffer(0)),
        ("receive_buffer", S::builder().receive_buffer(usize::MAX)),
        ("poll_interval", S::builder().poll_interval(Duration::ZERO)),
        ("thread_name", S::builder().thread_name("zero\0byte")),
        ("stack_size", S::builder().stack_size(0)),
        ("stack_size", S::builder().stack_size(usize::MAX)),
    ];
    for (name, builder) in cases {
        let (option, problem) = refusal::<S>(builder);
        assert_eq!(option, name, "the option that was turned: {problem}");
        assert!(!problem.is_empty(), "{name}: the problem is said");
    }
}

#[test]
fn workers_that_make_no_sense_are_refused() {
    let cases: [(&str, Threading); 4] = [
        (
            "workers: 0 workers cannot serve; at least 1",
            ThreadingUdpServer::builder().workers(0),
        ),
        (
            "workers: 0 workers cannot serve; at least 1",
            ThreadingUdpServer::builder().workers(0..=4),
        ),
        (
            "workers: the minimum 5 is above the maximum 4",
            ThreadingUdpServer::builder().workers(RangeInclusive::new(5, 4)),
        ),
        (
            "workers: 65537 is not between 1 and 65536 workers",
            ThreadingUdpServer::builder().workers(65_537),
        ),
    ];
    for (text, builder) in cases {
        let error = builder.bind_fn(ANY_PORT, echo).expect_err(text);
        assert_eq!(error.to_string(), text, "in words");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
    }
}

#[test]
fn max_children_that_make_no_sense_are_refused_under_that_name() {
    let cases: [Forking; 2] = [
        ForkingStyleUdpServer::builder().max_children(0),
        ForkingStyleUdpServer::builder().max_children(usize::MAX),
    ];
    for builder in cases {
        let (option, _) = refusal::<ForkingStyleUdpServer>(builder);
        assert_eq!(option, "max_children", "not the other server's option");
    }
}

#[test]
fn a_later_max_children_replaces_an_earlier_one() {
    let builder = ForkingStyleUdpServer::builder()
        .max_children(0)
        .max_children(5);
    assert!(builder.bind_fn(ANY_PORT, echo).is_ok(), "5 make sense");
    let server = ForkingStyleUdpServer::builder()
        .max_children(1)
        .max_children(40)
        .serving(echo);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let least = cores.min(40);
    wait_until("it has as many as if 1 had not been said", || {
        server.stats().workers == least
    });
}

#[test]
fn a_send_buffer_that_makes_no_sense_is_refused() {
    for size in [0, usize::MAX] {
        let builder = ThreadingUdpServer::builder().send_buffer(size);
        let (option, _) = refusal::<ThreadingUdpServer>(builder);
        assert_eq!(option, "send_buffer");
    }
}

fn a_taken_port_is_said_in_a_sentence<S: UdpServer>() {
    let taken = UdpSocket::bind(ANY_PORT).expect("bound");
    let addr = taken.local_addr().expect("bound");
    let error = S::builder()
        .bind_fn(addr.to_string(), echo)
        .map(drop)
        .expect_err("the port is taken");
    let text = format!("cannot bind {addr}: address in use");
    assert_eq!(error.to_string(), text, "who and why");
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "the kind");
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "kept in io::Error");
    assert_eq!(error.to_string(), text, "and the words as well");
}

fn an_address_that_cannot_be_resolved_is_an_error<S: UdpServer>() {
    let error = S::builder()
        .bind_fn("127.0.0.1:no-port", echo)
        .map(drop)
        .expect_err("that is no port");
    assert!(matches!(error, BindError::Resolve { .. }), "not {error}");
}

#[test]
fn an_empty_list_of_addresses_is_an_error() {
    let none: [SocketAddr; 0] = [];
    let error = ThreadingUdpServer::bind_fn(&none[..], echo).expect_err("nowhere");
    assert!(matches!(error, BindError::NoAddress { .. }), "not {error}");
}

#[test]
fn the_first_address_that_can_be_bound_is_bound() {
    let taken = UdpSocket::bind(ANY_PORT).expect("bound");
    let free: SocketAddr = ANY_PORT.parse().expect("an address");
    let list = [taken.local_addr().expect("bound"), free];
    let server = ThreadingUdpServer::bind_fn(&list[..], echo).expect("the second");
    assert_ne!(server.local_addr(), list[0], "the first is taken");
}

#[test]
fn a_port_is_not_shared_unless_asked_for() {
    let first = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let addr = first.local_addr();
    let error = ThreadingUdpServer::builder()
        .allow_reuse_address(true)
        .bind_fn(addr, echo)
        .expect_err("one side alone cannot share");
    // Windows tells whoever asks to share from whoever does not (WSAEACCES).
    let kinds = [ErrorKind::AddrInUse, ErrorKind::PermissionDenied];
    let expected = kinds[usize::from(cfg!(windows))];
    assert_eq!(error.kind(), expected, "{error}");
}

/// Elsewhere than on Linux these options mean other things.
#[cfg(target_os = "linux")]
#[test]
fn a_port_is_shared_when_both_servers_ask_for_it() {
    let by_port = || ThreadingUdpServer::builder().allow_reuse_port(true);
    let first = by_port().bind_fn(ANY_PORT, echo).expect("bound");
    let second = by_port().bind_fn(first.local_addr(), echo).expect("shared");
    assert_eq!(first.local_addr(), second.local_addr(), "SO_REUSEPORT");

    let by_address = || ThreadingUdpServer::builder().allow_reuse_address(true);
    let first = by_address().bind_fn(ANY_PORT, echo).expect("bound");
    let second = by_address()
        .bind_fn(first.local_addr(), echo)
        .expect("shared");
    assert_eq!(first.local_addr(), second.local_addr(), "SO_REUSEADDR");
}

fn echoing() -> impl FnMut(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> {
    |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| Ok(socket.reply(bytes)?)
}

#[test]
fn a_socket_that_is_handed_in_is_served() {
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    let addr = socket.local_addr().expect("bound");
    let server = ThreadingUdpServer::from_socket(socket, echoing).expect("taken over");
    assert_eq!(server.local_addr(), addr, "the same socket");
    let asked = server.handle().stats().receive_buffer.asked;
    assert_eq!(asked, None, "its buffer was left as it was");
    let server = TestServer::spawn(server);
    assert_eq!(Client::of(addr).ask(b"there?"), b"there?");
    server.stop();

    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    let addr = socket.local_addr().expect("bound");
    let server = ForkingStyleUdpServer::from_socket(socket, echoing).expect("taken over");
    let _server = TestServer::spawn(server);
    assert_eq!(Client::of(addr).ask(b"there?"), b"there?");
}

#[test]
fn a_socket_handed_in_as_non_blocking_is_served_and_stopped() {
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    socket.set_nonblocking(true).expect("a flag");
    let addr = socket.local_addr().expect("bound");
    let server = ThreadingUdpServer::from_socket(socket, echoing).expect("taken over");
    let server = TestServer::spawn(server);
    assert_eq!(Client::of(addr).ask(b"there?"), b"there?");
    server.stop();
}

#[test]
fn a_buffer_that_was_asked_for_is_set_on_a_socket_handed_in() {
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    let server = ThreadingUdpServer::builder()
        .receive_buffer(50_000)
        .from_socket(socket, echoing)
        .expect("taken over");
    let buffer = server.handle().stats().receive_buffer;
    assert_eq!(buffer.asked, Some(50_000));
    assert!(buffer.granted >= 50_000, "granted: {}", buffer.granted);
}

fn the_defaults_are_as_documented<S: UdpServer>() {
    let server = S::bound(echo);
    let stats = server.handle().stats();
    assert_eq!(stats.receive_buffer.asked, Some(4 << 20), "4 MiB");
    assert_eq!(stats.received, 0, "nothing yet");
    assert_eq!(stats.hook_panics, 0, "nothing yet");
    // The portable twin cannot ask the kernel.
    let known = cfg!(all(target_os = "linux", not(socketserver_portable)));
    assert_eq!(stats.kernel_drops, known.then_some(0), "none dropped");
    // The largest datagram there is passes whole; Python cuts at 8,192.
    let server = TestServer::spawn(server);
    let long = vec![b'x'; 65_507];
    assert!(Client::of(server.local_addr()).ask(&long) == long, "whole");
}

#[test]
fn a_server_starts_with_as_many_workers_as_it_was_told() {
    let server = ThreadingUdpServer::builder().workers(3).serving(echo);
    Client::of(server.local_addr()).ask(b"up?");
    wait_until("the other two have been started", || {
        server.stats().workers == 3
    });
    assert_eq!(server.stop().stats.peak_workers, 3, "never more");
}

#[test]
fn block_on_close_is_another_name_for_drain_timeout() {
    let gate = Gate::new();
    let server = ThreadingUdpServer::builder()
        .block_on_close(Duration::ZERO)
        .serving(gate.holding_all());
    let _open = gate.open_on_drop();
    Client::of(server.local_addr()).send(b"stick");
    gate.wait_for(1);
    assert_eq!(server.stop().abandoned, 1, "nobody was waited for");
}

fn the_receive_buffer_is_asked_for_and_what_was_granted_is_told<S: UdpServer>() {
    let server = S::builder().receive_buffer(100_000).bound(echo);
    let buffer = server.handle().stats().receive_buffer;
    assert_eq!(buffer.asked, Some(100_000), "as asked");
    // Half of what Linux reports; a system may round up, or grant less.
    #[cfg(target_os = "linux")]
    assert_eq!(buffer.granted, 100_000, "halved");
    assert!(buffer.granted > 0, "something");
}

/// Where a gigabyte is granted, there is nothing to warn of.
#[test]
fn a_receive_buffer_that_falls_short_is_logged_with_the_remedy() {
    const ASKED: usize = 1_000_000_000;
    keep_log();
    let server = ThreadingUdpServer::builder()
        .receive_buffer(ASKED)
        .bind_fn(ANY_PORT, echo)
        .expect("less is no error");
    let buffer = server.handle().stats().receive_buffer;
    let lines = logged(&format!("{}: a receive buffer", server.local_addr()));
    if buffer.granted < ASKED {
        assert_eq!(lines.len(), 1, "said once: {lines:?}");
        assert!(lines[0].contains("net.core.rmem_max"), "{lines:?}");
    } else {
        assert_eq!(lines.len(), 0, "nothing to say: {lines:?}");
    }
}

/// Where `::1` does not exist, there is nothing to show.
#[test]
fn an_ipv6_socket_serves_ipv6_and_ipv4_as_it_is_told() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let server = ThreadingUdpServer::bind_fn("[::1]:0", echo).expect("bound");
    let server = TestServer::spawn(server);
    assert_eq!(Client::of(server.local_addr()).ask(b"six"), b"six");
    server.stop();

    let both = ThreadingUdpServer::builder()
        .only_v6(false)
        .bind_fn("[::]:0", |_, addr, socket| {
            Ok(socket.reply(addr.to_string().as_bytes())?)
        })
        .expect("bound");
    let port = both.local_addr().port();
    let _both = TestServer::spawn(both);
    let client = Client::of(SocketAddr::from(([127, 0, 0, 1], port)));
    let shown = client.ask(b"four");
    assert_eq!(
        shown,
        client.addr().to_string().into_bytes(),
        "an IPv4 peer is shown as one"
    );
}

#[test]
fn with_only_v6_the_same_port_is_free_for_ipv4() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let server = ThreadingUdpServer::builder()
        .only_v6(true)
        .bind_fn("[::]:0", echo)
        .expect("bound");
    let port = server.local_addr().port();
    UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], port))).expect("free for IPv4");
}

/// The list in the platform notes.
#[cfg(not(all(target_os = "linux", not(socketserver_portable))))]
#[test]
fn what_only_linux_has_is_refused_by_its_name() {
    for (builder, option) in [
        (ThreadingUdpServer::builder().workers(2).shards(2), "shards"),
        (
            ThreadingUdpServer::builder().shed_older_than(Duration::from_secs(1)),
            "shed_older_than",
        ),
    ] {
        let error = builder.bind_fn(ANY_PORT, echo).expect_err("not here");
        assert!(
            matches!(error, BindError::Config(ConfigError { .. })),
            "{error}"
        );
        assert!(error.to_string().starts_with(option), "{error}");
    }
}

#[test]
fn what_users_code_says_of_a_socket_is_what_bind_says() {
    let builder = ThreadingUdpServer::builder();
    let refusing = builder.configure_socket(|_| Err(std::io::Error::other("not this one")));
    let error = refusing.bind_fn(ANY_PORT, echo).expect_err("it is refused");
    let text = "cannot bind 127.0.0.1:0: not this one";
    assert_eq!(error.to_string(), text);
}

#[test]
fn what_is_asked_before_bind_is_refused_by_name_for_a_socket_that_is_bound() {
    let builder = ThreadingUdpServer::builder;
    for (option, builder) in [
        ("device", builder().device("lo")),
        ("freebind", builder().freebind(false)),
        ("mark", builder().mark(0)),
        ("priority", builder().priority(0)),
        ("configure_socket", builder().configure_socket(|_| Ok(()))),
    ] {
        let socket = UdpSocket::bind(ANY_PORT).expect("a free port");
        let error = builder.from_socket(socket, || echo).expect_err(option);
        let problem = "a socket that is bound already cannot be set up any more";
        assert_eq!(error.to_string(), format!("{option}: {problem}"));
    }
}
