//! `uppercase_echo`, asked by plain sockets.

use std::net::{SocketAddr, UdpSocket};

use crate::program::{PATIENCE, Program, uninterrupted};

/// A client's socket towards `server`.
fn client_of(server: SocketAddr) -> UdpSocket {
    let own = match server {
        SocketAddr::V4(_) => "127.0.0.1:0",
        SocketAddr::V6(_) => "[::1]:0",
    };
    let client = UdpSocket::bind(own).expect("a free port");
    client.connect(server).expect("the server's address");
    client
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout above zero");
    client
}

#[track_caller]
fn expect_echo(client: &UdpSocket, question: &[u8], answer: &[u8]) {
    client.send(question).expect("it can be sent");
    let mut buffer = vec![0; 65_535];
    let len = uninterrupted(|| client.recv(&mut buffer)).expect("an answer in time");
    assert_eq!(
        String::from_utf8_lossy(&buffer[..len]),
        String::from_utf8_lossy(answer)
    );
}

#[test]
fn each_datagram_comes_back_in_upper_case() {
    let (mut server, addr) = Program::uppercase_echo(&[]);
    let client = client_of(addr);
    expect_echo(&client, b"hello", b"HELLO");
    let line = server.stderr.line_with("hello");
    let own = client.local_addr().expect("it is bound").to_string();
    assert!(line.contains(&own), "the log says who sent it: {line}");
    expect_echo(&client, b"", b"");
    expect_echo(
        &client,
        "grüße, 世界 ß".as_bytes(),
        "GRÜSSE, 世界 SS".as_bytes(),
    );
    expect_echo(&client, b"not utf-8: \xff", b"NOT UTF-8: \xff");
    let long = [b'x'; 65_507];
    expect_echo(&client, &long, &long.to_ascii_uppercase());
    let line = server.stderr.line_with("65507 bytes");
    assert!(line.len() < 250, "it does not fill the screen: {line}");
}

/// As a service manager passes what one unit opens, in either order.
#[cfg(target_os = "linux")]
#[test]
fn the_udp_socket_that_was_passed_beside_a_listener_is_served() {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    use command_fds::{CommandFdExt, FdMapping};

    use crate::program::example_path;

    for (name, args, is_first) in [
        ("uppercase_echo", "127.0.0.1:9", true),
        ("uppercase_echo", "--forking", false),
        ("chat_server", "127.0.0.1:9", true),
        ("chat_server", "127.0.0.1:9", false),
    ] {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let addr = socket.local_addr().expect("it is bound");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut passed = [OwnedFd::from(socket), OwnedFd::from(listener)];
        if !is_first {
            passed.reverse();
        }
        let mappings = passed.into_iter().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        // The process id is known in that process alone: its shell says it, and
        // becomes the program.
        let mut command = Command::new("sh");
        command
            .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$1\""])
            .arg(example_path(name))
            .arg(args)
            .fd_mappings(mappings.collect())
            .expect("no two are the same");
        let mut server = Program::start(name, &mut command);
        assert_eq!(server.listening(), addr, "{name}");
        if name == "uppercase_echo" {
            expect_echo(&client_of(addr), b"hello", b"HELLO");
        }
    }
}

#[test]
fn forking_style_answers_the_same() {
    let (_server, addr) = Program::uppercase_echo(&["--forking", "--workers", "2"]);
    let clients: Vec<_> = (0..5).map(|_| client_of(addr)).collect();
    for client in &clients {
        expect_echo(client, "fork, été".as_bytes(), "FORK, ÉTÉ".as_bytes());
    }
}

#[test]
fn ctrl_c_ends_it_with_its_stats() {
    for args in [&[][..], &["--forking"][..]] {
        let (server, addr) = Program::uppercase_echo(args);
        expect_echo(&client_of(addr), b"one", b"ONE");
        server.interrupt();
        let end = server.end();
        assert!(end.status.success(), "exit code 0: {end:?}");
        for (name, count) in [("received", "1"), ("handled", "1"), ("replies sent", "1")] {
            let row = end.stdout.iter().find(|line| line.trim().starts_with(name));
            let row = row.unwrap_or_else(|| panic!("a row for {name}: {end:?}"));
            let value = row.trim().trim_start_matches(name);
            assert_eq!(value.split_whitespace().next(), Some(count), "{row}");
        }
        let next = UdpSocket::bind(addr);
        assert!(next.is_ok(), "the port is free again: {next:?}");
    }
}

#[test]
fn quiet_logs_no_message() {
    let (server, addr) = Program::uppercase_echo(&["--quiet"]);
    expect_echo(&client_of(addr), b"psst", b"PSST");
    server.interrupt();
    let end = server.end();
    let told = end.stderr.iter().any(|line| line.contains("psst"));
    assert!(!told, "nothing of the message: {end:?}");
}

#[test]
fn it_names_the_line_to_type_in_another_terminal() {
    for (bind, host) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("[::1]:0", "::1"),
        ("[::]:0", "::1"),
    ] {
        if bind.starts_with('[') && UdpSocket::bind("[::1]:0").is_err() {
            println!("skipped {bind}: no IPv6 here");
            continue;
        }
        let mut server = Program::example("uppercase_echo", &[bind]);
        let bound = server.listening();
        assert_ne!(bound.port(), 0, "the port really bound");
        let port = bound.port();
        assert_eq!(
            server.stdout.line(),
            format!("in another terminal: nc -u {host} {port}"),
            "bound to {bind}"
        );
        let reachable = SocketAddr::new(host.parse().expect("an address"), port);
        expect_echo(&client_of(reachable), b"hi", b"HI");
    }
}

#[test]
fn a_taken_port_is_told_in_one_line() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let end = Program::example("uppercase_echo", &[&addr]).end();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    assert_eq!(
        end.stderr,
        [format!(
            "uppercase_echo: cannot bind {addr}: address in use"
        )]
    );
}

#[test]
fn nonsense_workers_are_refused_by_name() {
    for (args, option) in [
        (&["127.0.0.1:0", "--workers", "0"][..], "workers"),
        (
            &["127.0.0.1:0", "--forking", "--workers", "0"][..],
            "max_children",
        ),
    ] {
        let end = Program::example("uppercase_echo", args).end();
        assert_eq!(end.status.code(), Some(1), "{end:?}");
        assert_eq!(
            end.stderr,
            [format!(
                "uppercase_echo: {option}: 0 workers cannot serve; at least 1"
            )]
        );
    }
}

#[test]
fn what_waits_in_tasks_is_answered_before_the_end() {
    const CLIENTS: usize = 20;
    let args = ["127.0.0.1:0", "--wait", "300"];
    let mut server = Program::example("async_echo", &args);
    let addr = server.listening();
    let clients: Vec<_> = (0..CLIENTS).map(|_| client_of(addr)).collect();
    let (first, others) = clients.split_first().expect("some");
    expect_echo(first, b"up", b"UP");
    for client in others {
        client.send(b"soon").expect("it can be sent");
    }
    // Loopback has delivered them; what is in the kernel when the server is told to
    // stop is not its own yet.
    expect_echo(first, b"last", b"LAST");
    for client in others {
        client.send(b"sooner").expect("it can be sent");
    }
    server.interrupt();
    for client in others {
        let mut buffer = [0; 64];
        let len = uninterrupted(|| client.recv(&mut buffer)).expect("an answer in time");
        assert_eq!(&buffer[..len], b"SOON");
    }
    let end = server.end();
    assert!(end.status.success(), "{end:?}");
    let count = |name: &str| {
        let mut rows = end.stdout.iter().map(|line| line.split_whitespace());
        rows.find_map(|mut row| (row.next()? == name).then(|| row.next())?)
    };
    assert_eq!(count("received"), count("handled"), "{end:?}");
}
