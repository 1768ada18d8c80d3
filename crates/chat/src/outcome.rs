//! What the room wants done; doing it is left to others.

use std::fmt::Display;
use std::net::SocketAddr;

/// Lines to send and lines to show, each in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Datagrams to send, and where to.
    pub sends: Vec<(SocketAddr, String)>,
    /// Lines for the operator.
    pub shows: Vec<String>,
    /// Addresses that count as validated: the operator answers there. A person has looked at what came
    /// from there: that is proof enough to send them a line.
    pub validated: Vec<SocketAddr>,
}

impl Outcome {
    /// Has a line sent, ended as the receiver ends its own.
    pub fn send(&mut self, to: Peer, line: impl Display) {
        self.sends.push((to.addr, to.ended(line)));
    }

    /// Has the operator's own words sent to someone who has not joined.
    pub fn answer(&mut self, to: Peer, text: &str) {
        self.validated.push(to.addr);
        self.send(to, text);
    }

    /// Has a line shown to the operator.
    pub fn show(&mut self, line: impl Into<String>) {
        self.shows.push(line.into());
    }
}

/// How to write to someone.
///
/// `nc` ends each line with a newline and shows lines run together without one;
/// other programs send bare text and would show the newline. So everyone is
/// answered as they write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where to.
    pub addr: SocketAddr,
    /// Whether lines end with a newline.
    pub newline: bool,
}

impl Peer {
    /// Sees from a datagram how its sender writes.
    pub fn of(addr: SocketAddr, bytes: &[u8]) -> Self {
        Self {
            addr,
            newline: bytes.ends_with(b"\n"),
        }
    }

    /// Ends a line for this peer.
    pub fn ended(self, line: impl Display) -> String {
        let end = if self.newline { "\n" } else { "" };
        format!("{line}{end}")
    }
}
