//! The command line: what to measure.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use load_generator::Work;

use crate::contestant::{self, Contestant};
use crate::scenario::{self, Scenario};
use crate::serve::Job;
use crate::{publish, targets};

/// Measures this crate's servers and others, side by side.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// One brief round
    #[arg(long)]
    quick: bool,
    /// What the targets compare, and whether they are met
    #[arg(long)]
    pub(crate) targets: bool,
    /// What README shows, which is written anew
    #[arg(long)]
    pub(crate) publish: bool,
    /// These servers, separated by commas, wherever they are able
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// These scenarios, separated by commas; also others than are listed
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// How often each server is measured in each scenario
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds each time
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Another build of this program, whose `ours` takes part as `before`
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) before: Option<PathBuf>,
    /// Say what there is to measure, and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Only scenarios whose name contains this
    filter: Option<String>,
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
    redis: Option<u16>,
    /// The program to become with `--serve exec`
    #[arg(hide = true, last = true)]
    pub(crate) command: Vec<String>,
}

impl Options {
    /// What was asked for; `None` if this program was started as a test.
    pub(crate) fn parse() -> Option<Self> {
        // `cargo test` passes what is none of this program's business.
        let knows = |arg: String| ["--bench", "--serve", "--list", "--help"].contains(&&*arg);
        env::args().any(knows).then(<Self as Parser>::parse)
    }

    /// How often each server is measured in each scenario.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    /// For how long each time.
    pub(crate) fn duration(&self) -> Duration {
        let seconds = if self.quick { 0.1 } else { self.seconds };
        Duration::from_secs_f64(seconds.clamp(0.01, 60.0))
    }

    /// The scenarios asked for, each with who takes part.
    pub(crate) fn cells(&self) -> Result<Vec<Cell>, String> {
        for name in &self.only {
            if contestant::find(name).is_none() {
                let all: Vec<_> = contestant::ALL.iter().map(|one| one.name).collect();
                return Err(format!(
                    "no server called {name}; there are {}",
                    all.join(", ")
                ));
            }
        }
        let scenarios = match &*self.scenario {
            [] => scenario::all(),
            asked => asked.to_vec(),
        };
        let cells = scenarios.into_iter().map(|scenario| {
            let servers = contestant::ALL.iter();
            let servers = servers.filter(|one| self.wants(&scenario, one)).collect();
            Cell { scenario, servers }
        });
        let filter = self.filter.as_deref().unwrap_or_default();
        let wanted = |cell: &Cell| cell.scenario.name.contains(filter) && !cell.servers.is_empty();
        Ok(cells.filter(wanted).collect())
    }

    fn wants(&self, scenario: &Scenario, server: &Contestant) -> bool {
        let takes_part = match &*self.only {
            [] if self.publish => publish::shows(scenario, server),
            [] => server.takes_part(scenario),
            names => names.iter().any(|name| name == server.name) && server.is_able(scenario),
        };
        takes_part && (!self.targets || targets::need(scenario, server.name))
    }

    /// What the handlers of the server to be do.
    pub(crate) fn job(&self) -> Job {
        Job {
            work: Work {
                wait: Duration::from_micros(self.wait_us),
                compute: Duration::from_micros(self.compute_us),
            },
            redis: self.redis,
        }
    }
}

/// A scenario and who takes part.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) scenario: Scenario,
    pub(crate) servers: Vec<&'static Contestant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each scenario with the names of its servers.
    fn cells(args: &str) -> Result<Vec<(String, Vec<&'static str>)>, String> {
        let options = Options::try_parse_from(["peers"].into_iter().chain(args.split_whitespace()));
        let cells = options.map_err(|error| error.to_string())?.cells()?;
        let names = |cell: Cell| {
            let servers = cell.servers.iter().map(|one| one.name).collect();
            (cell.scenario.name, servers)
        };
        Ok(cells.into_iter().map(names).collect())
    }

    #[test]
    fn without_arguments_everything_is_wanted() {
        let cells = cells("").expect("nothing to refuse");
        assert_eq!(cells.len(), scenario::all().len());
        assert!(cells[0].1.contains(&"py-asyncio"));
        assert!(
            cells
                .iter()
                .all(|(_, servers)| servers[0] == contestant::OURS)
        );
    }

    #[test]
    fn who_is_named_takes_part_wherever_it_is_able() {
        let asked = "--only ours,c-mmsg --scenario 7x1-wait5ms,64x1-cpu20us,16x16 x1-";
        let expected = [
            ("7x1-wait5ms".to_owned(), vec!["ours", "c-mmsg"]),
            ("64x1-cpu20us".to_owned(), vec!["ours"]),
            ("16x16".to_owned(), vec!["ours", "c-mmsg"]),
        ];
        assert_eq!(cells(asked).as_deref(), Ok(&expected[..2]), "x1- is in two");
    }

    #[test]
    fn targets_leave_out_what_they_do_not_compare() {
        let cells = cells("--targets --scenario 64x1,64@5000").expect("they exist");
        let [(_, servers)] = &*cells else {
            panic!("nothing is promised of 5,000 a second: {cells:?}");
        };
        assert!(
            servers.contains(&"c-mmsg") && !servers.contains(&"tokio-loop"),
            "{servers:?}"
        );
    }

    #[test]
    fn names_that_nobody_has_are_refused() {
        let server = cells("--only ours,netty");
        assert!(server.is_err_and(|why| why.contains("no server called netty; there are ours")));
        let scenario = cells("--scenario 64x1-wait5");
        assert!(scenario.is_err_and(|why| why.contains("no scenario: 64x1-wait5")));
    }

    #[test]
    fn work_is_passed_on_in_its_units() {
        let options = ["peers", "--wait-us", "10", "--compute-us", "20"];
        let work = Options::parse_from(options).job().work;
        assert_eq!(work.wait, Duration::from_micros(10));
        assert_eq!(work.compute, Duration::from_micros(20));
    }
}
