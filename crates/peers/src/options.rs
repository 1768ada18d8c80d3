//! The command line: what to measure.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser};
use load_generator::Work;

use crate::contestant::{self, BEFORE, Contestant};
use crate::scenario::{self, Scenario};
use crate::{publish, targets};

/// Measures this crate's servers and others, side by side.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What the targets compare, and whether they are met
    #[arg(long)]
    targets: bool,
    /// What README shows, which is written anew
    #[arg(long)]
    pub(crate) publish: bool,
    /// These servers, separated by commas, wherever they are able
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = servers())]
    only: Vec<String>,
    /// These scenarios, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// How often each server is measured in each scenario
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// For how many seconds each time
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Another build of this program, whose `ours` takes part as `before`
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) before: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Be one of the servers
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) serve: Option<String>,
    /// For how long a handler waits on a datagram that is marked as slow
    #[arg(long, hide = true, default_value_t = 0)]
    wait_us: u64,
    /// For how long it computes
    #[arg(long, hide = true, default_value_t = 0)]
    compute_us: u64,
    /// The port of the Redis that it asks
    #[arg(long, hide = true)]
    pub(crate) redis: Option<u16>,
    /// The program to become with `--serve exec`
    #[arg(hide = true, last = true)]
    pub(crate) command: Vec<String>,
}

/// A scenario and who takes part.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) scenario: Scenario,
    pub(crate) servers: Vec<&'static Contestant>,
}

impl Options {
    /// What was asked for; `None` if this program was started as a test.
    pub(crate) fn parse() -> Option<Self> {
        // `cargo test` passes what is none of this program's business.
        let knows = |arg: String| ["--bench", "--serve", "--help"].contains(&&*arg);
        env::args().any(knows).then(<Self as Parser>::parse)
    }

    /// For how long to measure each time.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.01, 60.0))
    }

    /// The scenarios asked for, each with who takes part.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let scenarios = match &*self.scenario {
            [] => scenario::all(),
            asked => asked.to_vec(),
        };
        let cells = scenarios.into_iter().map(|scenario| {
            let servers = contestant::ALL.iter();
            let servers = servers.filter(|one| self.wants(&scenario, one)).collect();
            Cell { scenario, servers }
        });
        cells.filter(|cell| !cell.servers.is_empty()).collect()
    }

    fn wants(&self, scenario: &Scenario, server: &Contestant) -> bool {
        let takes_part = match &*self.only {
            [] if self.publish => publish::shows(scenario, server),
            [] => server.takes_part(scenario),
            names => names.iter().any(|name| name == server.name) && server.is_able(scenario),
        };
        takes_part
            && (!self.targets || targets::need(scenario, server.name))
            && (self.before.is_some() || server.name != BEFORE)
    }

    /// What the handlers of the server to be do.
    pub(crate) fn work(&self) -> Work {
        Work {
            wait: Duration::from_micros(self.wait_us),
            compute: Duration::from_micros(self.compute_us),
        }
    }
}

fn servers() -> PossibleValuesParser {
    let servers = contestant::ALL.iter();
    let values = servers.map(|one| PossibleValue::new(one.name).help(one.what));
    PossibleValuesParser::new(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each scenario with the names of its servers.
    fn cells(args: &str) -> Result<Vec<(String, Vec<&'static str>)>, clap::Error> {
        let args = ["peers"].into_iter().chain(args.split_whitespace());
        let names = |cell: Cell| {
            let servers = cell.servers.iter().map(|one| one.name).collect();
            (cell.scenario.name, servers)
        };
        let cells = Options::try_parse_from(args)?.cells();
        Ok(cells.into_iter().map(names).collect())
    }

    #[test]
    fn what_is_asked_for_takes_part_and_nothing_else() {
        let everything = cells("").expect("nothing to refuse");
        assert_eq!(everything.len(), scenario::all().len());
        assert!(everything[0].1.contains(&"asyncio"));
        assert!(everything.iter().all(|(_, servers)| servers[0] == "ours"));
        assert!(everything.iter().all(|(_, servers)| servers[1] != BEFORE));
        let asked = cells("--only ours,c-mmsg --scenario 7x1-wait5ms,64x1-cpu20us");
        let expected = [("7x1-wait5ms", "ours c-mmsg"), ("64x1-cpu20us", "ours")];
        let expected = expected.map(|(name, servers)| (name.into(), servers.split(' ').collect()));
        assert_eq!(asked.expect("they exist"), expected, "C does not compute");
        let compared = cells("--targets --scenario 64x1,64@5000").expect("they exist");
        let [(_, servers)] = &*compared else {
            panic!("nothing is promised of 5,000 a second: {compared:?}");
        };
        assert!(servers.contains(&"c-mmsg") && !servers.contains(&"asyncio"));
        let before = cells("--before x --only ours,before --scenario 64x1").expect("they exist");
        assert_eq!(before[0].1, ["ours", BEFORE]);
        assert!(cells("--only ours,netty").is_err());
        assert!(cells("--scenario 64x1-wait5").is_err());
    }
}
