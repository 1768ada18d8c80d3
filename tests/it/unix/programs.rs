//! Clients in other languages.

use std::process::Command;
use std::sync::mpsc;

use super::{Folder, Serving, builder, echo};
use crate::support::DEADLINE;

/// Python, if there is one. Without, a word about it.
fn python(script: &str) -> Option<Command> {
    let mut python = Command::new("python3");
    python.arg("-c").arg(script);
    if Command::new("python3").arg("-c").arg("").status().is_err() {
        eprintln!("skipped: there is no python3");
        return None;
    }
    Some(python)
}

#[track_caller]
fn assert_succeeds(program: &mut Command) {
    let output = program.output().expect("it was started before");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
}

/// What a Python program logs to syslog is received: its client has no name.
#[test]
fn pythons_handler_for_syslog_is_served() {
    let script = "
import logging, logging.handlers, sys
log = logging.getLogger('app')
log.addHandler(logging.handlers.SysLogHandler(address=sys.argv[1]))
log.warning('disk %s is full', '/dev/sda')
log.error('and so is %s', '/dev/sdb')
";
    let Some(mut python) = python(script) else {
        return;
    };
    let folder = Folder::new();
    let (sender, lines) = mpsc::channel();
    let server = builder().serving(&folder, move |bytes, addr, _| {
        sender.send((addr.is_unnamed(), bytes.to_vec()))?;
        Ok(())
    });
    assert_succeeds(python.arg(folder.server()));
    // Facility "user" (1) with the severities "warning" (4) and "err" (3).
    for expected in ["<12>disk /dev/sda is full\0", "<11>and so is /dev/sdb\0"] {
        let (is_unnamed, line) = lines.recv_timeout(DEADLINE).expect("it was logged");
        assert!(is_unnamed);
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }
    assert_eq!(server.stop().stats.handled, 2);
}

/// The client of Python's own tests of `UnixDatagramServer`.
#[test]
fn a_client_in_python_is_answered() {
    let script = "
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
    client.settimeout(10)
    client.bind(sys.argv[1] + '.client')
    client.sendto(b'hello world', sys.argv[1])
    received, sender = client.recvfrom(100)
    assert received == b'hello world', received
    assert sender == sys.argv[1], sender
";
    let Some(mut python) = python(script) else {
        return;
    };
    let folder = Folder::new();
    let server = builder().serving(&folder, echo);
    assert_succeeds(python.arg(folder.server()));
    assert_eq!(server.stop().stats.replies.sent, 1);
}
