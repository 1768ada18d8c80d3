//! Sockets that somebody else opened: handed in, or passed to the process.
//! Each test about the latter runs again in a process that is passed some.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use socketserver::{
    BindError, HandlerError, SocketHandle, ThreadingUdpServer, ThreadingUnixDatagramServer,
    activated_sockets, unix,
};

use crate::support::{ANY_PORT, Client, TestServer, assert_passes, echo};

type Handler = fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>;

fn from_socket(socket: impl Into<OwnedFd>) -> Result<ThreadingUdpServer, BindError> {
    let socket = UdpSocket::from(socket.into());
    ThreadingUdpServer::from_socket(socket, || echo as Handler)
}

#[track_caller]
fn refusal(socket: impl Into<OwnedFd>) -> String {
    let error = from_socket(socket).expect_err("it cannot be served");
    assert!(matches!(error, BindError::TakeOver { .. }), "not {error}");
    error.to_string()
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    let stream = TcpListener::bind(ANY_PORT).expect("bound");
    let unix = UnixDatagram::unbound().expect("a socket");
    let open = |family, kind| socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    let netlink = open(AddressFamily::Netlink, SockType::Datagram).expect("a socket");
    let unbound = open(AddressFamily::Inet, SockType::Datagram).expect("a socket");
    let file = File::open("/dev/null").expect("a file");
    for (text, descriptor) in [
        (
            "it is a socket for streams, not for datagrams",
            stream.into(),
        ),
        (
            "it is a Unix domain socket, without IP addresses",
            unix.into(),
        ),
        ("its addresses are neither IPv4 nor IPv6", netlink),
        ("it is not bound to a port", unbound),
        (
            "Socket operation on non-socket (os error 88)",
            OwnedFd::from(file),
        ),
    ] {
        let expected = format!("cannot take over the socket: {text}");
        assert_eq!(refusal(descriptor), expected);
    }
}

#[test]
fn a_connected_socket_is_refused() {
    let peer = UdpSocket::bind(ANY_PORT).expect("bound");
    let addr = peer.local_addr().expect("bound");
    let connected = UdpSocket::bind(ANY_PORT).expect("bound");
    connected.connect(addr).expect("loopback");
    let expected =
        format!("cannot take over the socket: it is connected to {addr} and hears nobody else");
    assert_eq!(refusal(connected), expected);
}

/// Who may open them is said for each network namespace, so it is asked for in
/// one of its own.
#[test]
fn a_socket_for_pings_is_refused() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: only root has network namespaces to itself");
        return;
    }
    let alone = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").expect("root may");
        let icmp = Some(SockProtocol::Icmp);
        let flags = SockFlag::SOCK_CLOEXEC;
        let pings = socket(AddressFamily::Inet, SockType::Datagram, flags, icmp);
        refusal(pings.expect("the group is in range"))
    });
    let text = "cannot take over the socket: its protocol is number 1, not UDP";
    assert_eq!(alone.join().expect("it does not panic"), text);
}

/// Runs the calling test again in a process that is passed these descriptors,
/// from 3 on. `true` says that this is that process: go on.
#[track_caller]
fn is_passed<const N: usize>(
    test: &str,
    descriptors: impl FnOnce() -> [OwnedFd; N],
    variables: &[(&str, &str)],
) -> bool {
    const CHILD: &str = "SOCKETSERVER_TEST_PASSED";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mappings = descriptors().into_iter().zip(3..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    // The process id is known in that process alone: its shell says it, and
    // becomes the test.
    let mut command = Command::new("sh");
    command
        .args(["-c", "LISTEN_PID=${WANTED:-$$} exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this test"))
        .args([&format!("takeover::{test}"), "--exact", "--nocapture"])
        .envs(variables.iter().copied())
        .env(CHILD, "yes")
        .fd_mappings(mappings.collect())
        .expect("no two are the same");
    assert_passes(&mut command);
    false
}

fn bound() -> OwnedFd {
    UdpSocket::bind(ANY_PORT).expect("bound").into()
}

fn is_open(descriptor: i32) -> bool {
    // Also when what it leads to is no file.
    Path::new(&format!("/proc/self/fd/{descriptor}"))
        .symlink_metadata()
        .is_ok()
}

#[test]
fn a_unix_datagram_socket_that_is_passed_is_taken_by_its_name_and_served() {
    const PLACE: &str = "SOCKETSERVER_TEST_PLACE";
    // Whoever runs the test in another process says where.
    let place = std::env::var(PLACE).unwrap_or_else(|_| std::process::id().to_string());
    let path = |role: &str| std::env::temp_dir().join(format!("passed-{place}-{role}"));
    let names = ("LISTEN_FDNAMES", "log:log:log");
    let variables = [("LISTEN_FDS", "3"), names, (PLACE, place.as_str())];
    let listener = || TcpListener::bind(ANY_PORT).expect("bound").into();
    let datagrams = || UnixDatagram::bind(path("server")).expect("bound").into();
    if !is_passed(
        "a_unix_datagram_socket_that_is_passed_is_taken_by_its_name_and_served",
        || [bound(), listener(), datagrams()],
        &variables,
    ) {
        return;
    }
    let mut activated = activated_sockets().expect("they make sense");
    let socket = activated.take_unix("log").expect("behind the listener");
    assert!(activated.take_unix("log").is_none(), "only once");
    assert_eq!((activated.udp.len(), activated.others.len()), (1, 1));
    let server = ThreadingUnixDatagramServer::from_socket(
        socket,
        unix::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?)),
    );
    let server = server.expect("taken over").spawn();
    let client = UnixDatagram::bind(path("client")).expect("bound");
    client
        .send_to(b"hello", path("server"))
        .expect("it is served");
    let mut bytes = [0; 16];
    assert_eq!(client.recv(&mut bytes).expect("a reply"), 5);
    server.stop().expect("it ends in order");
    for role in ["server", "client"] {
        std::fs::remove_file(path(role)).expect("it is left to whoever made it");
    }
}

#[test]
fn sockets_passed_are_taken_once_and_served() {
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "echo:other")];
    if !is_passed(
        "sockets_passed_are_taken_once_and_served",
        || [bound(), bound()],
        &variables,
    ) {
        return;
    }
    let passed = activated_sockets().expect("they can be served").udp;
    let names: Vec<_> = passed.iter().map(|one| one.name.as_deref()).collect();
    assert_eq!(names, [Some("echo"), Some("other")]);
    for activated in passed {
        let flags = nix::fcntl::fcntl(&activated.socket, nix::fcntl::FcntlArg::F_GETFD);
        let on_exec = nix::fcntl::FdFlag::FD_CLOEXEC.bits();
        assert_eq!(flags, Ok(on_exec), "children do not inherit it");
        let server = TestServer::spawn(from_socket(activated.socket).expect("checked"));
        assert_eq!(Client::of(server.local_addr()).ask(b"there?"), b"there?");
    }
    let error = activated_sockets().expect_err("not twice");
    let text = "LISTEN_FDS: an earlier call took these sockets";
    assert_eq!(error.to_string(), text);
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let variables = [("LISTEN_FDS", "1"), ("WANTED", "1")];
    if !is_passed(
        "sockets_for_another_process_are_left_alone",
        || [bound()],
        &variables,
    ) {
        return;
    }
    assert!(activated_sockets().expect("no error").is_empty());
    assert!(is_open(3), "it is somebody's");
    assert!(activated_sockets().expect("nor the next time").is_empty());
}

/// As daemons have it that serve both: DNS, SIP, syslog.
#[test]
fn sockets_of_both_kinds_are_told_apart_the_stream_first() {
    let test = "sockets_of_both_kinds_are_told_apart_the_stream_first";
    let variables = [("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "dns:dns:log")];
    if is_passed(test, || [listening(), bound(), pipe()], &variables) {
        assert_told_apart(0, 1);
    }
}

#[test]
fn sockets_of_both_kinds_are_told_apart_the_datagrams_first() {
    let test = "sockets_of_both_kinds_are_told_apart_the_datagrams_first";
    let variables = [("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "dns:dns:log")];
    if is_passed(test, || [bound(), listening(), pipe()], &variables) {
        assert_told_apart(1, 0);
    }
}

#[track_caller]
fn assert_told_apart(tcp: usize, udp: usize) {
    let mut passed = activated_sockets().expect("both can be used");
    assert!(passed.take_at(tcp).is_none(), "no UDP socket");
    assert!(passed.take_other_at(udp).is_none(), "no other");
    assert!(passed.take("log").is_none(), "of this name there is a pipe");
    assert!(passed.take_other("nobody").is_none(), "nor of this one");
    let listener = passed.take_other_at(tcp).expect("a listener");
    let flags = nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_GETFD);
    let on_exec = nix::fcntl::FdFlag::FD_CLOEXEC.bits();
    assert_eq!(flags, Ok(on_exec), "children do not inherit it");
    let listener = TcpListener::from(listener);
    let there = listener.local_addr().expect("bound");
    std::net::TcpStream::connect(there).expect("it listens");
    let socket = passed.take("dns").expect("a UDP socket of this name");
    let server = TestServer::spawn(from_socket(socket).expect("checked"));
    assert_eq!(Client::of(server.local_addr()).ask(b"there?"), b"there?");
    assert!(passed.take("log").is_none() && !passed.is_empty());
    assert!(passed.take_other("log").is_some(), "a pipe");
    assert!(passed.is_empty(), "all were taken");
}

fn listening() -> OwnedFd {
    TcpListener::bind(ANY_PORT).expect("bound").into()
}

fn pipe() -> OwnedFd {
    nix::unistd::pipe().expect("two descriptors").0
}

#[test]
fn a_socket_that_cannot_be_served_is_named_and_those_before_it_are_closed() {
    let unbound = || {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Inet, SockType::Datagram, flags, None).expect("a socket")
    };
    if !is_passed(
        "a_socket_that_cannot_be_served_is_named_and_those_before_it_are_closed",
        || [bound(), unbound(), bound()],
        &[("LISTEN_FDS", "3")],
    ) {
        return;
    }
    let error = activated_sockets().expect_err("4 is not bound");
    let text = "cannot take over descriptor 4: it is not bound to a port";
    assert_eq!(error.to_string(), text);
    assert_eq!([3, 4, 5].map(is_open), [false, true, true]);
}

#[test]
fn a_descriptor_that_is_not_open_is_named() {
    if !is_passed(
        "a_descriptor_that_is_not_open_is_named",
        || [bound()],
        &[("LISTEN_FDS", "2")],
    ) {
        return;
    }
    let error = activated_sockets().expect_err("4 is not open");
    let text = "cannot take over descriptor 4: Bad file descriptor (os error 9)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn nonsense_in_the_environment_is_refused() {
    if !is_passed(
        "nonsense_in_the_environment_is_refused",
        || [bound()],
        &[("LISTEN_FDS", "many")],
    ) {
        return;
    }
    let error = activated_sockets().expect_err("not a number");
    let text = "LISTEN_FDS: \"many\" is not between 1 and 1048576";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_second_descriptor_keeps_the_socket_open() {
    let socket = UdpSocket::bind(ANY_PORT).expect("bound");
    let kept = socket.try_clone().expect("a clone");
    let server = TestServer::spawn(from_socket(socket).expect("taken over"));
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"first"), b"first");
    server.stop();
    client.send(b"nobody serves");
    assert!(kept.as_raw_fd() > 2);
    let server = TestServer::spawn(from_socket(kept).expect("taken over again"));
    client.expect_reply(b"nobody serves");
    assert_eq!(server.stop().stats.handled, 1, "it had waited");
}
