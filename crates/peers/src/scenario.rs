//! What the servers have to do. A scenario's name says all of it:
//! `64x1-wait10ms-10%` is 64 peers with one datagram in flight each, and one
//! handler in ten waits 10 ms.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use load_generator::{Expect, Plan, Work};

/// The scenarios that are measured if nobody asks for others: those named here,
/// and handlers that wait, each wait with each number of peers and each share.
pub(crate) fn all() -> Vec<Scenario> {
    let mut names: Vec<String> = NAMED.map(str::to_owned).into();
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

const NAMED: [&str; 14] = [
    "64x1",
    "16x16",
    "1x1",
    "64@100",
    "64@1000",
    "64@5000",
    "64@20000",
    "64x1-cpu20us",
    "64x1-cpu200us",
    "64x1-cpu2ms",
    "64x1-redis",
    "64x1-wait100ms-1%",
    "one-wait60s",
    "idle",
];

/// One kind of load on one kind of handler.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) load: Load,
    /// What a slow handler does.
    pub(crate) work: Work,
    /// Whether a slow handler asks Redis.
    pub(crate) redis: bool,
    /// What share of the handlers is slow, from 0 to 1.
    pub(crate) share: f64,
}

/// How datagrams are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// Each peer sends the next datagram when it has its reply.
    Closed { peers: usize, window: usize },
    /// So many a second, whatever comes back.
    Open { peers: usize, rate: f64 },
    /// A single datagram, before anything is measured.
    One,
    /// One with a quick answer, and then none.
    Idle,
}

/// What kind a scenario is of: it decides who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Handlers that take no time, as fast as possible.
    Quick,
    /// The same with one datagram at a time: the way there and back.
    Alone,
    /// Few datagrams a second.
    Light,
    /// Handlers that compute.
    Computing,
    /// Handlers that wait.
    Waiting,
    /// No datagrams at all.
    Quiet,
}

impl Scenario {
    /// Decides who takes part.
    pub(crate) fn kind(&self) -> Kind {
        match self.load {
            Load::One | Load::Idle => Kind::Quiet,
            _ if !self.work.wait.is_zero() || self.redis => Kind::Waiting,
            _ if !self.work.compute.is_zero() => Kind::Computing,
            Load::Open { .. } => Kind::Light,
            Load::Closed {
                peers: 1,
                window: 1,
            } => Kind::Alone,
            Load::Closed { .. } => Kind::Quick,
        }
    }

    /// The load, if it is more than one datagram.
    pub(crate) fn plan(&self, server: SocketAddr, duration: Duration) -> Option<Plan> {
        let (peers, window, rate) = match self.load {
            Load::Closed { peers, window } => (peers, window, None),
            Load::Open { peers, rate } => (peers, 1, Some(rate)),
            Load::One | Load::Idle => return None,
        };
        Some(Plan {
            server,
            peers,
            window,
            rate,
            size: 64,
            slow_share: self.share,
            duration,
            timeout: Duration::from_secs(1),
            expect: Expect::Upper,
        })
    }
}

/// In words.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.load {
            Load::Closed { peers, window } => write!(f, "{peers} peers, {window} in flight each")?,
            Load::Open { peers, rate } => write!(f, "{peers} peers, {rate} datagrams a second")?,
            Load::One => write!(f, "one datagram")?,
            Load::Idle => return write!(f, "no datagrams"),
        }
        let who = match self.share {
            0.0 => return Ok(()),
            1.0 => "every handler".to_owned(),
            share => format!("{} % of the handlers", 100.0 * share),
        };
        let Work { wait, compute } = self.work;
        match (self.redis, wait.is_zero()) {
            (true, _) => write!(f, "; {who} asks Redis, 0.7 ms away"),
            (_, false) => write!(f, "; {who} waits {wait:?}"),
            (_, true) => write!(f, "; {who} computes for {compute:?}"),
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let bad = || format!("no scenario: {name}; one is called 64x1-wait1ms");
        let mut parts = name.split('-');
        let mut scenario = Self {
            name: name.to_owned(),
            load: load(parts.next().unwrap_or_default()).ok_or_else(bad)?,
            work: Work::NONE,
            redis: false,
            share: 0.0,
        };
        for part in parts {
            if part == "redis" {
                scenario.redis = true;
            } else if let Some(time) = part.strip_prefix("wait") {
                scenario.work.wait = duration(time).ok_or_else(bad)?;
            } else if let Some(time) = part.strip_prefix("cpu") {
                scenario.work.compute = duration(time).ok_or_else(bad)?;
            } else if let Some(percent) = part.strip_suffix('%') {
                let percent: f64 = percent.parse().map_err(|_| bad())?;
                scenario.share = percent / 100.0;
                continue;
            } else {
                return Err(bad());
            }
            scenario.share = 1.0;
        }
        let works = scenario.redis || scenario.work != Work::NONE;
        if works != (scenario.share > 0.0) || scenario.share > 1.0 {
            return Err(bad());
        }
        Ok(scenario)
    }
}

/// `64x1`, `64@1000`, `one` or `idle`.
fn load(text: &str) -> Option<Load> {
    if let Some((peers, window)) = text.split_once('x') {
        let (peers, window) = (peers.parse().ok()?, window.parse().ok()?);
        return (peers > 0 && window > 0).then_some(Load::Closed { peers, window });
    }
    if let Some((peers, rate)) = text.split_once('@') {
        let (peers, rate) = (peers.parse().ok()?, rate.parse().ok()?);
        return (peers > 0 && rate > 0.0).then_some(Load::Open { peers, rate });
    }
    match text {
        "one" => Some(Load::One),
        "idle" => Some(Load::Idle),
        _ => None,
    }
}

/// `200us`, `10ms` or `60s`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number = number.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str) -> Scenario {
        name.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn names_say_what_is_done() {
        let mixed = scenario("500x2-wait200us-10%");
        assert_eq!(
            mixed.load,
            Load::Closed {
                peers: 500,
                window: 2
            }
        );
        assert_eq!(mixed.work.wait, Duration::from_micros(200));
        assert_eq!(mixed.share, 0.1);
        let words = "500 peers, 2 in flight each; 10 % of the handlers waits 200µs";
        assert_eq!(mixed.to_string(), words);
        let open = scenario("64@1000");
        assert_eq!(
            open.load,
            Load::Open {
                peers: 64,
                rate: 1_000.0
            }
        );
        assert_eq!(open.share, 0.0);
        assert_eq!(scenario("1x1-cpu20us").share, 1.0);
    }

    #[test]
    fn kinds_are_told_apart() {
        let kinds = [
            "64x1",
            "1x1",
            "64@100",
            "64x1-cpu2ms",
            "64x1-redis",
            "idle",
            "one-wait60s",
        ]
        .map(|name| scenario(name).kind());
        let expected = [
            Kind::Quick,
            Kind::Alone,
            Kind::Light,
            Kind::Computing,
            Kind::Waiting,
            Kind::Quiet,
            Kind::Quiet,
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn all_of_them_are_told_apart() {
        let mut names: Vec<_> = all().into_iter().map(|one| one.name).collect();
        assert_eq!(names.len(), 14 + 36);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 14 + 36);
    }

    #[test]
    fn nonsense_is_refused() {
        for name in [
            "",
            "64",
            "0x1",
            "64x1-wait",
            "64x1-wait5h",
            "64x1-10%",
            "64x1-wait1ms-0%",
            "64@0",
            "64x1-wait1ms-101%",
        ] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
