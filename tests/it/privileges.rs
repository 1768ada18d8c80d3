//! A server that binds as root and serves as nobody.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use socketserver::ThreadingUdpServer;

use crate::support::process::{is_alone, threads};
use crate::support::{Client, TestServer, echo};

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

    setgroups(&[]).expect("still root");
    setgid(Gid::from_raw(NOBODY)).expect("still root");
    setuid(Uid::from_raw(NOBODY)).expect("still root");
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
