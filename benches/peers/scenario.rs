//! What the servers have to do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Expect, Plan};
use crate::work::Work;

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
    /// What share of the handlers has work to do.
    slow_share: f64,
    /// What work.
    pub(crate) work: Work,
    /// Who takes part.
    who: &'static [&'static str],
}

/// All of them.
pub(crate) const ALL: [Scenario; 9] = [
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
        name: "1x1-pinned",
        what: "1 peer, 1 in flight; the server on one CPU, the load on another",
        peers: 1,
        pinned: true,
        who: &["ours", "c-mmsg", "std-loop", "tokio-loop", "tokio-task"],
        ..CHEAP
    },
    Scenario {
        name: "1x1",
        what: "1 peer, 1 in flight: the way there and back",
        peers: 1,
        ..CHEAP
    },
    Scenario {
        name: "64x1-guarded",
        what: "64 peers, 1 in flight each; what guards cost",
        who: &["ours", "ours-guarded"],
        ..CHEAP
    },
    Scenario {
        name: "64x1-cpu20",
        what: "64 peers, 1 in flight each; every handler computes for 20 µs",
        slow_share: 1.0,
        work: Work {
            spin: Duration::from_micros(20),
            ..Work::NONE
        },
        who: &["ours", "ours-1", "std-loop", "std-pool", "tokio-task"],
        ..CHEAP
    },
    Scenario {
        name: "1000-block10",
        what: "1,000 peers, 1 in flight each; every handler blocks 10 ms",
        peers: 1_000,
        slow_share: 1.0,
        work: Work {
            block: Duration::from_millis(10),
            ..Work::NONE
        },
        // No loops: they answer a hundred a second, hardly one of them in time.
        who: &[
            "ours",
            "ours-forking",
            "std-pool",
            "tokio-task",
            "py-threading",
            "py-asyncio",
        ],
        ..CHEAP
    },
    Scenario {
        name: "64x1-block1%",
        what: "64 peers, 1 in flight each; 1 % of the handlers block 100 ms, latency of the others",
        slow_share: 0.01,
        work: Work {
            block: Duration::from_millis(100),
            ..Work::NONE
        },
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
    work: Work::NONE,
    who: &[
        "ours",
        "ours-forking",
        "c-mmsg",
        "std-loop",
        "std-pool",
        "tokio-loop",
        "tokio-task",
        "py-udp",
        "py-threading",
        "py-forking",
        "py-asyncio",
    ],
};

impl Scenario {
    /// Whether a server takes part.
    pub(crate) fn has(&self, contestant: &str) -> bool {
        self.who.contains(&contestant)
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

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
mod tests {
    use super::*;
    use crate::contestant;

    #[test]
    fn names_are_told_apart() {
        for (index, scenario) in ALL.iter().enumerate() {
            let mut before = ALL[..index].iter();
            assert!(
                before.all(|other| other.name != scenario.name),
                "{}",
                scenario.name
            );
        }
    }

    #[test]
    fn whoever_takes_part_exists_and_meets_ours() {
        for scenario in &ALL {
            assert!(scenario.has(contestant::OURS), "{}", scenario.name);
            for name in scenario.who {
                let mut all = contestant::ALL.iter();
                let exists = all.any(|one| one.name == *name);
                assert!(exists, "{name} in {}", scenario.name);
            }
        }
    }

    #[test]
    fn only_those_compute_who_know_how() {
        for scenario in ALL.iter().filter(|one| !one.work.spin.is_zero()) {
            for name in scenario.who {
                let is_rust = !name.starts_with("py-") && !name.starts_with("c-");
                assert!(is_rust, "{name} in {}", scenario.name);
            }
        }
    }

    #[test]
    fn work_is_given_to_somebody() {
        for scenario in &ALL {
            let works = !scenario.work.block.is_zero() || !scenario.work.spin.is_zero();
            assert_eq!(works, scenario.slow_share > 0.0, "{}", scenario.name);
        }
    }
}
