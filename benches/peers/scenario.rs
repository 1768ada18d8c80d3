//! What the servers have to do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Expect, Plan};

/// One kind of load.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// As on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// How many clients there are.
    peers: usize,
    /// How many datagrams each has in flight.
    window: usize,
    /// Whether the server has one CPU and the load another.
    pub(crate) pinned: bool,
    /// What share of the handlers blocks.
    slow_share: f64,
    /// For how long they do.
    pub(crate) block: Duration,
    /// Who takes part; all if there are none.
    only: &'static [&'static str],
}

/// All of them.
pub(crate) const ALL: [Scenario; 6] = [
    Scenario {
        name: "64x1-pinned",
        what: "64 peers, 1 in flight each; the server on one CPU, the load on another",
        pinned: true,
        ..CHEAP
    },
    Scenario {
        name: "64x1",
        what: "64 peers, 1 in flight each",
        ..CHEAP
    },
    Scenario {
        name: "16x16",
        what: "16 peers, 16 in flight each",
        peers: 16,
        window: 16,
        ..CHEAP
    },
    Scenario {
        name: "1x1",
        what: "1 peer, 1 in flight: the way there and back",
        peers: 1,
        ..CHEAP
    },
    Scenario {
        name: "1000-block10",
        what: "1,000 peers, 1 in flight each; every handler blocks 10 ms",
        peers: 1_000,
        slow_share: 1.0,
        block: Duration::from_millis(10),
        only: &["ours", "std-pool", "py-threading"],
        ..CHEAP
    },
    Scenario {
        name: "64x1-block1%",
        what: "64 peers, 1 in flight each; 1 % of the handlers block 100 ms, latency of the others",
        slow_share: 0.01,
        block: Duration::from_millis(100),
        ..CHEAP
    },
];

/// What a scenario is but for what it says itself.
const CHEAP: Scenario = Scenario {
    name: "",
    what: "",
    peers: 64,
    window: 1,
    pinned: false,
    slow_share: 0.0,
    block: Duration::ZERO,
    only: &[],
};

impl Scenario {
    /// Whether a server takes part.
    pub(crate) fn has(&self, contestant: &str) -> bool {
        self.only.is_empty() || self.only.contains(&contestant)
    }

    /// The load.
    pub(crate) fn plan(&self, server: SocketAddr, duration: Duration) -> Plan {
        Plan {
            server,
            peers: self.peers,
            window: self.window,
            rate: None,
            size: 64,
            slow_share: self.slow_share,
            duration,
            timeout: Duration::from_secs(1),
            expect: Expect::Upper,
        }
    }
}
