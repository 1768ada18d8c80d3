//! What goes on when a process of a hand-over dies, or whoever listened to it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Successor, served_address, who_serves};
use crate::program::{PATIENCE, Program, example_path};

/// A service manager that has stopped reading: whoever reports to it waits, and
/// so has not reported to anyone else yet.
struct BusyManager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl BusyManager {
    fn new(test: &str) -> Self {
        let name = format!("handover-{test}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let socket = UnixDatagram::bind(&path).expect("a name of its own");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self { socket, path }
    }

    /// Reads until this process has reported.
    #[track_caller]
    fn hears_of(&self, pid: i32) {
        let expected = format!("READY=1\nMAINPID={pid}");
        let mut word = [0; 100];
        loop {
            let len = crate::program::uninterrupted(|| self.socket.recv(&mut word));
            if word[..len.expect("a report")] == *expected.as_bytes() {
                return;
            }
        }
    }

    /// Leaves no room for a report.
    fn stops_reading(&self) {
        let other = UnixDatagram::unbound().expect("a socket");
        other.set_nonblocking(true).expect("a mode");
        while other.send_to(b"noise", &self.path).is_ok() {}
    }
}

impl Drop for BusyManager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A server, and its successor that serves and has not reported it.
fn hand_over_without_a_report(test: &str) -> (BusyManager, SocketAddr, Program, Successor) {
    nix::sys::prctl::set_child_subreaper(true).expect("an attribute");
    let manager = BusyManager::new(test);
    let mut command = Command::new(example_path("handover"));
    command
        .arg("127.0.0.1:0")
        .env("NOTIFY_SOCKET", &manager.path);
    let mut first = Program::start("handover", &mut command);
    let addr = served_address(&first.stdout.line_with(": serving "));
    manager.hears_of(first.id() as i32);
    manager.stops_reading();
    first.type_in("next\n");
    let second = Successor::announced_by(&mut first);
    (manager, addr, first, second)
}

#[test]
fn a_successor_serves_on_when_its_predecessor_dies_before_the_report() {
    let (manager, addr, mut first, second) = hand_over_without_a_report("orphan");
    let pid = first.id();
    first.signal("KILL");
    first.wait();
    manager.hears_of(second.0.as_raw());
    // It has tried to report to the dead one as well.
    first.stderr.line_with("it is served all the same");
    assert_eq!(who_serves(addr), second.0.as_raw());
    kill(second.0, Signal::SIGTERM).expect("it serves");
    first.stdout.line_with(": ended, ");
    second.wait();
    let left = std::env::temp_dir().join(format!("handover-{pid}.sock"));
    assert!(!left.exists(), "{} is left", left.display());
}

#[test]
fn a_predecessor_serves_on_when_its_successor_dies_before_the_report() {
    let (_manager, addr, mut first, second) = hand_over_without_a_report("childless");
    kill(second.0, Signal::SIGKILL).expect("it serves");
    let line = first.stderr.line_with("not handed over");
    assert!(line.contains("the successor ended: signal: 9"), "{line}");
    std::mem::forget(second);
    assert_eq!(who_serves(addr), first.id() as i32);
    first.interrupt();
    assert!(first.end().status.success(), "in order");
}

/// A process whose output nobody reads; killed when dropped.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nobody_has_to_read_what_a_server_says() {
    nix::sys::prctl::set_child_subreaper(true).expect("an attribute");
    let first = Command::new(example_path("handover"))
        .arg("127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut first = Unread(first.expect("it is built"));
    let mut line = String::new();
    let mut stdout = BufReader::new(first.0.stdout.take().expect("it is piped"));
    stdout.read_line(&mut line).expect("it is text");
    let addr = served_address(&line);
    drop((stdout, first.0.stderr.take()));

    let mut stdin = first.0.stdin.take().expect("it is piped");
    stdin.write_all(b"what?\nnext\n").expect("it reads");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = first.0.try_wait().expect("it can be waited for") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not hand over");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "the first process: {status}");
    let second = Successor(Pid::from_raw(who_serves(addr)));
    kill(second.0, Signal::SIGTERM).expect("it serves");
    second.wait();
}
