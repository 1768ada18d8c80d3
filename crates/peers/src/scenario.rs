//! What the servers have to do. A scenario's name says all of it: see the
//! crate's first page.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use load_generator::{Expect, Plan, Work};

/// One kind of load on one kind of handler.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// How many clients there are; none in a scenario that is quiet.
    peers: usize,
    /// Closed loop: how many datagrams each has in flight.
    window: usize,
    /// Open loop: datagrams a second over all.
    pub(crate) rate: Option<f64>,
    /// What share of the datagrams is marked as slow, from 0 to 1.
    pub(crate) share: f64,
    /// What handlers do for those.
    pub(crate) work: Work,
    /// Whether they ask Redis.
    pub(crate) redis: bool,
}

/// What kind a scenario is of: it decides who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Handlers that take no time, as fast as possible.
    Quick,
    /// So many datagrams a second.
    Light,
    /// Handlers that compute.
    Computing,
    /// Handlers that wait.
    Waiting,
    /// No datagrams at all while it is measured.
    Quiet,
}

/// The scenarios that are measured if nobody asks for others: those named here,
/// and handlers that wait, each wait with each number of peers and each share.
pub(crate) fn all() -> Vec<Scenario> {
    let mut names: Vec<String> = NAMED.split_whitespace().map(str::to_owned).collect();
    for share in ["", "-10%", "-1%"] {
        for wait in ["200us", "1ms", "3ms", "10ms"] {
            names.extend([64, 500, 1_000].map(|peers| format!("{peers}x1-wait{wait}{share}")));
        }
    }
    let parsed = names.iter().map(|name| name.parse());
    parsed
        .collect::<Result<_, _>>()
        .expect("names that say something")
}

const NAMED: &str = "64x1 16x16 1x1 64@100 64@1000 64@5000 64@20000 64x1-cpu20us 64x1-cpu200us \
                     64x1-cpu2ms 64x1-redis 64x1-wait100ms-1% one-wait60s idle";

impl Scenario {
    /// Decides who takes part.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self { peers: 0, .. } => Kind::Quiet,
            Self { redis: true, .. } => Kind::Waiting,
            _ if !self.work.wait.is_zero() => Kind::Waiting,
            _ if !self.work.compute.is_zero() => Kind::Computing,
            Self { rate: Some(_), .. } => Kind::Light,
            _ => Kind::Quick,
        }
    }

    /// The load.
    pub(crate) fn plan(&self, server: SocketAddr, duration: Duration) -> Plan {
        Plan {
            server,
            peers: self.peers,
            window: self.window,
            rate: self.rate,
            size: 64,
            slow_share: self.share,
            duration,
            timeout: Duration::from_secs(1),
            expect: Expect::Upper,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let load = parts.next()?;
        let (peers, window, rate) = match (load.split_once('x'), load.split_once('@')) {
            (Some((peers, window)), None) => (peers.parse().ok()?, window.parse().ok()?, None),
            (None, Some((peers, rate))) => (peers.parse().ok()?, 1, Some(rate.parse().ok()?)),
            _ if ["one", "idle"].contains(&load) => (0, 1, None),
            _ => return None,
        };
        let mut scenario = Self {
            name: name.to_owned(),
            peers,
            window,
            rate,
            share: 0.0,
            work: Work::NONE,
            redis: false,
        };
        for part in parts {
            if let Some(percent) = part.strip_suffix('%') {
                scenario.share = percent.parse::<f64>().ok()? / 100.0;
                continue;
            }
            scenario.share = 1.0;
            if let Some(time) = part.strip_prefix("wait") {
                scenario.work.wait = humantime::parse_duration(time).ok()?;
            } else if let Some(time) = part.strip_prefix("cpu") {
                scenario.work.compute = humantime::parse_duration(time).ok()?;
            } else if part == "redis" {
                scenario.redis = true;
            } else {
                return None;
            }
        }
        let works = scenario.redis || scenario.work != Work::NONE;
        let makes_sense = window > 0
            && rate.is_none_or(|rate| rate > 0.0)
            && works == (scenario.share > 0.0)
            && scenario.share <= 1.0;
        makes_sense.then_some(scenario)
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::parse(name).ok_or_else(|| format!("no scenario: {name}; try 64x1-wait1ms-10%"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_done() {
        let scenario = |name: &str| name.parse::<Scenario>().expect("a good name");
        let mixed = scenario("500x2-wait200us-10%");
        assert_eq!((mixed.peers, mixed.window, mixed.share), (500, 2, 0.1));
        assert_eq!(mixed.work.wait, Duration::from_micros(200));
        let open = scenario("64@1000");
        assert_eq!((open.rate, open.share), (Some(1_000.0), 0.0));
        let names = "64x1 64@100 64x1-cpu2ms 64x1-redis 64@100-wait1ms one-wait60s idle";
        let kinds: Vec<_> = names.split(' ').map(|name| scenario(name).kind()).collect();
        let expected = {
            use Kind::*;
            [Quick, Light, Computing, Waiting, Waiting, Quiet, Quiet]
        };
        assert_eq!(kinds, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        let names = "64 64x0 64x1-wait 64x1-wait5 64x1-10% 64x1-wait1ms-0% 64@0 1x1-wait1ms-101%";
        for name in names.split(' ') {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
        assert_eq!(all().len(), 14 + 36);
    }
}
