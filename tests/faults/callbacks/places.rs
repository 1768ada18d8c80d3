//! Where users' code runs, and how to have the server come there.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;

use super::scene::{MAX_PACKET_SIZE, hook_hangs};
use crate::support::{Client, wait_until};

/// A place in users' code.
#[derive(Debug)]
pub(super) struct Place {
    /// What runs there; of the logger, after [`LINE`], what it is given.
    pub(super) name: &'static str,
    pub(super) when: When,
    /// Has the server at this address come there, now or when it ends.
    pub(super) provoke: fn(SocketAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Serving,
    /// Once the server has been told to stop.
    Ending,
}

/// The places that `handle_request` comes to as well.
pub(super) fn of_handle_request() -> impl Iterator<Item = &'static Place> {
    OF_ALL.iter()
}

/// The places of a server whose handler instances live as long as their workers.
pub(super) fn of_workers() -> impl Iterator<Item = &'static Place> {
    OF_ALL.iter().chain(OF_SERVING).chain(OF_WORKERS)
}

/// The places where a server with an instance for each datagram differs.
pub(super) fn of_children() -> impl Iterator<Item = &'static Place> {
    OF_CHILDREN.iter()
}

/// The places of a server that keeps a session for each peer.
pub(super) fn of_sessions() -> impl Iterator<Item = &'static Place> {
    OF_SESSIONS.iter()
}

/// Begins the name of a line in the log.
pub(super) const LINE: &str = "line: ";

const OF_ALL: &[Place] = &[
    serving("factory", |addr| send(addr, b"hello")),
    serving("setup", |addr| send(addr, b"hello")),
    serving("handle", |addr| send(addr, b"hello")),
    serving("verify_request", |addr| send(addr, b"hello")),
    serving("handle_error", |addr| send(addr, b"fail")),
    serving("display of an error", |addr| send(addr, b"fail")),
    serving("drop of an error", |addr| send(addr, b"fail")),
    serving("panic hook", |addr| send(addr, b"panic")),
    serving("drop of a payload", |addr| send(addr, b"panic")),
    serving("drop of an instance", |addr| send(addr, b"panic")),
    serving("line: handler failed", |addr| send(addr, b"fail")),
    serving("line: handler panicked", |addr| send(addr, b"panic")),
    serving("line: handle_error panicked", |addr| send(addr, b"fail")),
    serving("line: cannot send", |addr| send(addr, b"lost")),
    serving("line: receive failed", |addr| send(addr, b"to nobody")),
    serving("line: no reply to", |addr| send(addr, b"too long")),
    serving("line: withheld replies to", |addr| send(addr, b"amplify")),
    serving("line: refused datagrams from", send_denied),
    serving("line: refused a datagram of more", |addr| {
        send(addr, &[0; MAX_PACKET_SIZE + 1]);
    }),
    ending("line: 1 more in", |addr| {
        send_denied(addr);
        send_denied(addr);
        ask(addr, b"hello");
    }),
    ending("line: dropping the factory panicked", |_| {}),
    ending("line: dropping a hook panicked", |_| {}),
    ending("drop of the factory", |_| {}),
    ending("drop of verify_request", |_| {}),
    ending("drop of handle_error", |_| {}),
    ending("drop of service_actions", |_| {}),
    ending("drop of handle_timeout", |_| {}),
];

const OF_SERVING: &[Place] = &[
    serving("service_actions", |_| {}),
    serving("line: service_actions panicked", |_| {}),
    ending("line: abandoned", |addr| ask(addr, b"stay")),
    ending("line: left behind", |_| {
        wait_until("the hook hangs", hook_hangs);
    }),
];

const OF_WORKERS: &[Place] = &[
    ending("finish", |addr| ask(addr, b"hello")),
    ending("drop of an instance", |addr| ask(addr, b"hello")),
    ending("line: finish panicked", |addr| ask(addr, b"hello")),
];

const OF_CHILDREN: &[Place] = &[
    serving("factory", |addr| send(addr, b"hello")),
    serving("setup", |addr| send(addr, b"hello")),
    serving("finish", |addr| send(addr, b"hello")),
    serving("drop of an instance", |addr| send(addr, b"hello")),
    serving("line: finish panicked", |addr| send(addr, b"hello")),
];

const OF_SESSIONS: &[Place] = &[
    serving("admit", |addr| send(addr, b"hello")),
    serving("maker", |addr| send(addr, b"hello")),
    serving("handle of a session", |addr| send(addr, b"hello")),
    serving("tick", |addr| send(addr, b"hello")),
    serving("end of a session", |addr| send(addr, b"bye")),
    serving("drop of a session", |addr| send(addr, b"bye")),
    serving("drop of a session", |addr| send(addr, b"panic")),
    ending("end of a session", |addr| ask(addr, b"hello")),
    ending("drop of a session", |addr| ask(addr, b"hello")),
    ending("drop of the maker", |_| {}),
];

/// Whose datagrams are refused.
pub(super) const DENIED: &str = "127.0.0.66";

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} while {:?}", self.name, self.when)
    }
}

const fn serving(name: &'static str, provoke: fn(SocketAddr)) -> Place {
    let when = When::Serving;
    Place {
        name,
        when,
        provoke,
    }
}

const fn ending(name: &'static str, provoke: fn(SocketAddr)) -> Place {
    let when = When::Ending;
    Place {
        name,
        when,
        provoke,
    }
}

fn send(addr: SocketAddr, bytes: &[u8]) {
    Client::of(addr).send(bytes);
}

fn ask(addr: SocketAddr, bytes: &[u8]) {
    assert_eq!(Client::of(addr).ask(bytes), bytes);
}

fn send_denied(addr: SocketAddr) {
    Client::at(&format!("{DENIED}:0"), addr).send(b"hello");
}
