//! Paths, names and files: who makes them, and who removes them.

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;

use socketserver::unix::UnixAddr;
use socketserver::{BindError, RequestOutcome, ThreadingUnixDatagramServer};

use super::{Client, Folder, Serving, TestServer, UnixBuilder, builder, echo};

#[track_caller]
fn kind(refused: Result<ThreadingUnixDatagramServer, BindError>) -> ErrorKind {
    refused.expect_err("it is refused").kind()
}

#[track_caller]
fn bind(builder: UnixBuilder, path: &Path) -> Result<ThreadingUnixDatagramServer, BindError> {
    builder.bind(path, echo)
}

#[test]
fn the_file_goes_with_the_server_however_it_ends() {
    let folder = Folder::new();
    let path = folder.server();
    let bound = || bind(builder(), &path).expect("the path is free again");
    drop(bound());
    assert!(!path.exists(), "dropped");
    let mut server = bound();
    let outcome = server
        .handle_request(Some(Duration::ZERO))
        .expect("it is open");
    assert_eq!(outcome, RequestOutcome::TimedOut);
    drop(server);
    assert!(!path.exists(), "used for single requests");
    let server = bound();
    let handle = server.handle();
    handle.shutdown();
    server.serve_forever().expect("it ends in order");
    assert!(!path.exists(), "served, though a handle is left");
    drop(handle);
    let server = TestServer::spawn(bound());
    assert_eq!(folder.client("client").ask(b"hello"), b"hello");
    server.stop();
    assert!(!path.exists(), "stopped");
}

#[test]
fn a_file_that_somebody_else_has_put_there_stays() {
    let folder = Folder::new();
    let path = folder.server();
    let server = bind(builder(), &path).expect("bound");
    fs::remove_file(&path).expect("anybody may, who may write to the folder");
    let successor = UnixDatagram::bind(&path).expect("the path is free");
    drop(server);
    assert!(path.exists(), "it is the successor's");
    drop(successor);
    fs::remove_file(&path).expect("it was left");
    let server = bind(builder(), &path).expect("bound");
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, "a letter").expect("the path is free");
    drop(server);
    assert_eq!(fs::read_to_string(&path).expect("it was left"), "a letter");
}

#[test]
fn a_file_in_the_way_is_replaced_only_if_it_is_a_socket_that_nobody_has() {
    let folder = Folder::new();
    let path = folder.server();
    let replacing = || builder().replace_stale_socket(true);
    let server = TestServer::spawn(bind(builder(), &path).expect("bound"));
    for builder in [builder(), replacing()] {
        assert_eq!(kind(bind(builder, &path)), ErrorKind::AddrInUse, "served");
    }
    assert_eq!(
        folder.client("client").ask(b"hello"),
        b"hello",
        "it is alive"
    );
    server.stop();

    fs::write(&path, "a letter").expect("the path is free");
    for builder in [builder(), replacing()] {
        assert_eq!(kind(bind(builder, &path)), ErrorKind::AddrInUse, "a letter");
    }
    fs::remove_file(&path).expect("it was left");

    let stream = UnixListener::bind(&path).expect("the path is free");
    assert_eq!(
        kind(bind(replacing(), &path)),
        ErrorKind::AddrInUse,
        "others listen"
    );
    drop(stream);
    fs::remove_file(&path).expect("it was left");

    drop(UnixDatagram::bind(&path).expect("the path is free"));
    assert!(path.exists(), "left behind");
    assert_eq!(
        kind(bind(builder(), &path)),
        ErrorKind::AddrInUse,
        "unless asked"
    );
    drop(bind(replacing(), &path).expect("nobody has it"));
    assert!(!path.exists(), "it was this server's own then");
}

#[test]
fn the_file_has_the_permissions_that_were_asked_for() {
    let folder = Folder::new();
    for mode in [0o600, 0o622, 0o777] {
        let server = bind(builder().socket_mode(mode), &folder.server()).expect("bound");
        let found = fs::metadata(folder.server())
            .expect("its file")
            .permissions();
        assert_eq!(found.mode() & 0o777, mode);
        drop(server);
    }
}

#[test]
fn a_socket_that_was_handed_in_is_served_and_its_file_is_left_alone() {
    let folder = Folder::new();
    let path = folder.server();
    let socket = UnixDatagram::bind(&path).expect("the path is free");
    let server = ThreadingUnixDatagramServer::from_socket(socket, echo).expect("taken over");
    let server = TestServer::spawn(server);
    assert_eq!(server.local_addr(), UnixAddr::new(&path).expect("short"));
    assert_eq!(folder.client("client").ask(b"hello"), b"hello");
    server.stop();
    assert!(path.exists(), "whoever has made it removes it");
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    let folder = Folder::new();
    let bound = |name| UnixDatagram::bind(folder.join(name)).expect("the path is free");
    let connected = bound("connected");
    let _other = bound("other");
    connected
        .connect(folder.join("other"))
        .expect("it is there");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let stream = UnixListener::bind(folder.join("stream")).expect("the path is free");
    let unnamed = UnixDatagram::unbound().expect("a socket");
    for (descriptor, problem) in [
        (
            OwnedFd::from(connected),
            "it is connected and hears nobody else",
        ),
        (udp.into(), "it is not a Unix datagram socket"),
        (stream.into(), "it is not a Unix datagram socket"),
        (unnamed.into(), "it has no name: nobody can send to it"),
    ] {
        let socket = UnixDatagram::from(descriptor);
        let refused = ThreadingUnixDatagramServer::from_socket(socket, echo);
        let error = refused.expect_err(problem);
        assert!(matches!(error, BindError::TakeOver { .. }), "not {error}");
        assert_eq!(
            error.to_string(),
            format!("cannot take over the socket: {problem}")
        );
    }
}

#[test]
fn options_for_the_file_of_a_socket_that_was_handed_in_are_refused() {
    let folder = Folder::new();
    for (builder, option) in [
        (builder().replace_stale_socket(true), "replace_stale_socket"),
        (builder().socket_mode(0o600), "socket_mode"),
    ] {
        let socket = UnixDatagram::bind(folder.join(option)).expect("the path is free");
        let refused = builder.from_socket(socket, echo).expect_err(option);
        assert!(refused.to_string().starts_with(option), "{refused}");
    }
}

#[test]
fn a_path_that_cannot_be_bound_is_refused_in_words() {
    let folder = Folder::new();
    let long = folder.join(&"x".repeat(108));
    let error = bind(builder(), &long).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let place = long.display();
    let len = place.to_string().len();
    let words = format!("cannot bind {place}: the path has {len} bytes; a socket's has at most ");
    assert!(error.to_string().starts_with(&words), "{error}");
    let nowhere = folder.join("no/folder");
    let error = bind(builder(), &nowhere).expect_err("there is no such folder");
    let words = format!("cannot bind {}: entity not found", nowhere.display());
    assert_eq!(error.to_string(), words);
    assert_eq!(
        kind(bind(builder(), Path::new(""))),
        ErrorKind::InvalidInput
    );
}

#[test]
fn the_longest_path_can_be_served_and_answered() {
    let folder = Folder::new();
    let prefix = folder.join("").display().to_string();
    let most = if cfg!(target_os = "linux") { 107 } else { 103 };
    let longest = |letter: &str| folder.join(&letter.repeat(most - prefix.len()));
    let server = TestServer::spawn(bind(builder(), &longest("s")).expect("as long as can be"));
    let client = Client::at(longest("c"), longest("s"));
    assert_eq!(client.ask(b"hello"), b"hello");
    server.stop();
    assert!(!longest("s").exists());
}

/// The abstract namespace is Linux's.
#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_needs_no_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = |role| format!("socketserver-{role}-{}", std::process::id());
    let path = format!("\0{}", name("server"));
    let server = bind(builder(), Path::new(&path)).expect("bound");
    assert_eq!(
        kind(bind(builder(), Path::new(&path))),
        ErrorKind::AddrInUse
    );
    let server = TestServer::spawn(server);
    assert_eq!(
        server.local_addr().to_string(),
        format!("@{}", name("server"))
    );
    assert_eq!(
        server.local_addr().as_abstract_name(),
        Some(name("server").as_bytes())
    );
    let addr = |role| SocketAddr::from_abstract_name(name(role)).expect("short");
    let client = UnixDatagram::bind_addr(&addr("client")).expect("nobody's");
    client
        .set_read_timeout(Some(crate::support::DEADLINE))
        .expect("a timeout");
    client
        .send_to_addr(b"hello", &addr("server"))
        .expect("it is there");
    let mut bytes = [0; 16];
    let (len, from) = client.recv_from(&mut bytes).expect("a reply");
    assert_eq!(&bytes[..len], b"hello");
    assert_eq!(UnixAddr::from(&from), server.local_addr());
    server.stop();
    drop(bind(builder(), Path::new(&path)).expect("free again"));
}

#[test]
fn lines_in_the_log_name_the_path() {
    crate::support::keep_log();
    let folder = Folder::new();
    let server = builder().max_packet_size(4).serving(&folder, echo);
    folder.client("client").send(b"too long");
    server.wait_until_settled(1);
    let line = format!(
        "{}: refused a datagram of more than 4 bytes (max_packet_size) from {}",
        folder.server().display(),
        folder.join("client").display(),
    );
    assert_eq!(crate::support::logged(&line).len(), 1);
}
