//! A server that binds as root and serves as nobody.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use socketserver::ThreadingUdpServer;

use crate::support::process::{is_alone, threads};
use crate::support::{Client, TestServer, echo, keep_log, logged};

/// By custom the user and the group that own nothing.
const NOBODY: u32 = 65_534;
/// RFC 862. Below 1024: for root to bind.
const ECHO: &str = "127.0.0.1:7";

#[test]
fn a_server_binds_as_root_and_serves_as_nobody() {
    let test = "a_server_binds_as_root_and_serves_as_nobody";
    if !Uid::effective().is_root() {
        println!("skipped: only root has privileges to drop");
        return;
    }
    if !is_alone(module_path!(), test, None) {
        return;
    }
    // In a network namespace of its own every port is free.
    unshare(CloneFlags::CLONE_NEWNET).expect("root may");
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    if !up.is_ok_and(|status| status.success()) {
        println!("skipped: no ip here");
        return;
    }
    let before = threads();
    let server = ThreadingUdpServer::builder()
        .workers(2)
        .bind_fn(ECHO, echo)
        .expect("root may bind it");
    assert_eq!(threads(), before, "binding starts no thread");

    become_nobody();
    let again = UdpSocket::bind("127.0.0.1:13").expect_err("a port for root");
    assert_eq!(again.kind(), std::io::ErrorKind::PermissionDenied);

    let addr = server.local_addr();
    let server = TestServer::spawn(server);
    // The client's socket is made here, in the same namespace.
    assert_eq!(Client::of(addr).ask(b"whoami"), b"whoami");
    for task in fs::read_dir("/proc/self/task").expect("proc is mounted") {
        let status = task.expect("an entry").path().join("status");
        let Ok(status) = fs::read_to_string(status) else {
            continue;
        };
        let nobody = format!("Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}");
        assert!(
            status.contains(&nobody),
            "a thread with privileges:\n{status}"
        );
    }
    assert_eq!(server.stop().stats.handled, 1);
}

#[track_caller]
fn become_nobody() {
    setgroups(&[]).expect("still root");
    setgid(Gid::from_raw(NOBODY)).expect("still root");
    setuid(Uid::from_raw(NOBODY)).expect("still root");
}

/// What the system grants at most to whom it grants no more.
#[track_caller]
fn limit(name: &str) -> usize {
    let limit = fs::read_to_string(format!("/proc/sys/net/core/{name}"));
    let limit = limit.expect("proc is mounted");
    limit.trim().parse().expect("a number")
}

/// The kernel's queue shrinks under overload, as far as it can grow again.
#[cfg(not(socketserver_portable))]
#[test]
fn a_receive_buffer_that_could_not_be_had_back_is_left_as_it_is() {
    use std::time::{Duration, Instant};

    use nix::sys::socket::{getsockopt, sockopt};

    use crate::support::{ANY_PORT, wait_until};

    let test = "a_receive_buffer_that_could_not_be_had_back_is_left_as_it_is";
    if !Uid::effective().is_root() {
        println!("skipped: only root has privileges to drop");
        return;
    }
    if !is_alone(module_path!(), test, None) {
        return;
    }
    let asked = 2 * limit("rmem_max");
    let socket = UdpSocket::bind(ANY_PORT).expect("a free port");
    let same = socket.try_clone().expect("a descriptor");
    let size = || getsockopt(&same, sockopt::RcvBuf).expect("an option");
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .receive_buffer(asked)
        .shed_older_than(Duration::from_millis(1))
        .from_socket(socket, || {
            |_: &[u8], _, _: &_| {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(2) {
                    std::hint::spin_loop();
                }
                Ok(())
            }
        })
        .expect("taken over");
    let before = size();
    assert_eq!(before, 2 * asked, "root has what it asks for");
    become_nobody();
    let server = TestServer::spawn(server);
    let client = Client::of(server.local_addr());
    wait_until("it is overloaded for many measurements", || {
        (0..200).for_each(|_| client.send(b"too much"));
        let stats = server.stats();
        stats.shed.stale > 2_000 && stats.handled > 50
    });
    assert_eq!(size(), before, "while it sheds");
    assert_eq!(server.stop().stats.receive_buffer.granted, asked);
    assert_eq!(size(), before, "for whoever has the socket next");
}

#[test]
fn a_send_buffer_that_falls_short_is_logged_once_with_the_remedy() {
    const DEFAULT: usize = 4 << 20;
    let test = "a_send_buffer_that_falls_short_is_logged_once_with_the_remedy";
    if !Uid::effective().is_root() {
        println!("skipped: only root has privileges to drop");
        return;
    }
    if !is_alone(module_path!(), test, None) {
        return;
    }
    become_nobody();
    keep_log();
    let most = limit("wmem_max");
    // The portable twin has one for each address.
    let sockets = if cfg!(socketserver_portable) { 1 } else { 2 };
    let server = ThreadingUdpServer::builder()
        .send_buffer(2 * most)
        .shards(sockets)
        .bind_fn("127.0.0.1:0", echo)
        .expect("less is no error");
    let lines = logged(&format!("{}: a send buffer", server.local_addr()));
    assert_eq!(lines.len(), 1, "once for both: {lines:?}");
    assert!(lines[0].contains("net.core.wmem_max"), "{lines:?}");
    // On loopback no reply waits for a host that is not there.
    for (addr, is_told) in [("127.0.0.1:0", false), ("0.0.0.0:0", most < DEFAULT)] {
        let server = ThreadingUdpServer::bind_fn(addr, echo).expect("less is no error");
        let lines = logged(&format!("{}: a send buffer", server.local_addr()));
        assert_eq!(lines.len(), usize::from(is_told), "{addr}: {lines:?}");
    }
}
