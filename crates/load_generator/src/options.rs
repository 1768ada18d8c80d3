//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::{Expect, Plan, SHORTEST};

/// Puts load on a UDP server that echoes, and checks every reply.
///
/// Closed loop: each peer has a window of datagrams in flight and sends the next
/// one when a reply comes. Open loop, with --rate: datagrams leave at a steady
/// rate whatever comes back, and latency counts from when one was due.
///
/// The exit code is 0, or 1 if no reply came or one was wrong. Lost datagrams
/// are reported; on UDP they are no failure.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The server's address
    pub addr: String,
    /// How many sockets, each with a port of its own
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    peers: u16,
    /// Closed loop: how many datagrams each peer has in flight
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    window: u16,
    /// The length of a datagram in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(SHORTEST as i64..=LONGEST))]
    size: u16,
    /// How long to send: 5s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    duration: Duration,
    /// Open loop: datagrams per second, over all peers
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// After how long a datagram without reply is lost
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    timeout: Duration,
    /// What a reply has to be
    #[arg(long, value_enum, default_value_t = Reply::Upper)]
    expect: Reply,
    /// Print the counts alone, without a progress bar
    #[arg(long)]
    pub quiet: bool,
    /// Print the counts as one JSON object, without a progress bar
    #[arg(long)]
    pub json: bool,
}

/// What a reply has to be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reply {
    /// The datagram in upper case
    Upper,
    /// The datagram as it was
    Echo,
    /// Anything
    Any,
}

impl Options {
    /// The load asked for.
    pub fn plan(&self) -> Result<Plan, String> {
        let mut addrs =
            (self.addr.to_socket_addrs()).map_err(|error| format!("{}: {error}", self.addr))?;
        let server: SocketAddr = addrs
            .next()
            .ok_or_else(|| format!("{}: no such address", self.addr))?;
        Ok(Plan {
            server,
            peers: self.peers.into(),
            window: self.window.into(),
            rate: self.rate,
            size: self.size.into(),
            slow_share: 0.0,
            duration: self.duration,
            timeout: self.timeout,
            expect: match self.expect {
                Reply::Upper => Expect::Upper,
                Reply::Echo => Expect::Echo,
                Reply::Any => Expect::Any,
            },
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number")?;
    if (0.1..=10_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("not between 0.1 and 10000000".to_owned())
    }
}

/// A number with its unit; seconds if there is none.
fn time(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|char: char| char.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_each = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => return Err("the unit is none of ms, s, m".to_owned()),
    };
    let number: f64 = number.trim().parse().map_err(|_| "not a number")?;
    let seconds = number * seconds_each;
    if (0.001..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not between 1ms and a day".to_owned())
    }
}

/// What fits into one datagram over IPv4.
const LONGEST: i64 = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [("5s", 5_000), ("250ms", 250), ("2m", 120_000), ("0.5", 500)] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5h", "-1s", "0s", "nan", "inf", "1e9"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn defaults_make_a_plan() {
        let options = Options::parse_from(["udp_load", "127.0.0.1:9"]);
        let plan = options.plan().expect("all of it makes sense");
        assert_eq!((plan.peers, plan.window, plan.size), (64, 1, 64));
        assert_eq!(plan.expect, Expect::Upper);
    }

    #[test]
    fn nonsense_is_refused() {
        for (option, value) in [
            ("--peers", "0"),
            ("--peers", "65536"),
            ("--window", "0"),
            ("--size", "16"),
            ("--size", "65508"),
            ("--rate", "0"),
            ("--rate", "nan"),
        ] {
            let parsed = Options::try_parse_from(["udp_load", "127.0.0.1:9", option, value]);
            assert!(parsed.is_err(), "{option} {value}");
        }
    }
}
