//! Handlers that start programs.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use socketserver::ThreadingUdpServer;

use crate::harness::{Case, Need, alone, cases};
use crate::support::process::open_descriptors;
use crate::support::{Client, TestServer, UdpServer, assert_port_is_free};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Tool("ls")] => {
            a_program_started_by_a_handler_inherits_no_descriptor,
        }
        &[Need::Tool("sleep")] => {
            a_program_started_by_a_handler_does_not_keep_the_port,
        }
    }
}

/// Alone, since the other tests have descriptors of their own making.
fn a_program_started_by_a_handler_inherits_no_descriptor() {
    if !alone("a_program_started_by_a_handler_inherits_no_descriptor") {
        return;
    }
    // What whoever runs the tests has left open is inherited, too.
    let before = listed();
    let server = ThreadingUdpServer::serving(|_, _, socket| {
        Ok(socket.reply(listed().join("\n").as_bytes())?)
    });
    let client = Client::of(server.local_addr());
    let reply = client.ask(b"what did you get?");
    let inherited = String::from_utf8(reply).expect("ls writes text");
    let inherited: Vec<_> = inherited.lines().map(str::to_owned).collect();
    assert_eq!(inherited, before, "no more than without a server");
    assert!(open_descriptors() > before.len(), "though there are more");
}

/// The descriptors that a program inherits, as `ls` sees its own.
fn listed() -> Vec<String> {
    let output = Command::new("ls")
        .arg("/proc/self/fd")
        .stdin(Stdio::null())
        .output()
        .expect("ls runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// Alone, since a program that any other test starts has the socket until it
/// is executed.
fn a_program_started_by_a_handler_does_not_keep_the_port() {
    if !alone("a_program_started_by_a_handler_does_not_keep_the_port") {
        return;
    }
    let child = Arc::new(Mutex::new(None::<Child>));
    let started = Arc::clone(&child);
    // No other test has a socket on this address that could get the port.
    let server = ThreadingUdpServer::bind_fn("127.24.0.1:0", move |bytes, _, socket| {
        let sleep = Command::new("sleep").arg("60").spawn()?;
        *started.lock().map_err(|_| "poisoned")? = Some(sleep);
        Ok(socket.reply(bytes)?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    let addr = server.local_addr();
    Client::of(addr).ask(b"start");
    server.stop();
    let child = child.lock().expect("no panic").take();
    let mut child = child.expect("it was started");
    let is_running = child.try_wait().expect("its state").is_none();
    let bound = std::panic::catch_unwind(|| assert_port_is_free(addr));
    child.kill().expect("it is ours");
    child.wait().expect("it has ended");
    assert!(is_running, "it was running still");
    assert!(bound.is_ok(), "the port was free all the same");
}
