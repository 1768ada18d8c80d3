//! The command line: what to measure.

use std::env;
use std::time::Duration;

use clap::Parser;

use crate::work::Work;
use crate::{contestant, scenario, targets};

/// Measures this crate's servers and others, side by side.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Once and briefly: less than a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only what the targets compare, which leaves more time for each
    #[arg(long)]
    pub(crate) targets: bool,
    /// Write picture and table of this package's README anew
    #[arg(long)]
    pub(crate) publish: bool,
    /// Only these servers, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these scenarios, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Say what there is to measure, and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Only scenarios whose name contains this
    filter: Option<String>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Passed by test runners: nothing is measured
    #[arg(long, hide = true)]
    pub(crate) test: bool,
    /// Be one of the servers
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) serve: Option<String>,
    /// For how long a handler blocks on a datagram that begins with `w`
    #[arg(long, hide = true, default_value_t = 0)]
    block_ms: u64,
    /// For how long it computes
    #[arg(long, hide = true, default_value_t = 0)]
    spin_us: u64,
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

    /// Refuses names that nobody has.
    pub(crate) fn check_names(&self) -> Result<(), String> {
        check("server", &self.only, &contestant::ALL.map(|one| one.name))?;
        let scenarios = scenario::ALL.map(|one| one.name);
        check("scenario", &self.scenario, &scenarios)
    }

    /// Whether a server is to be measured in a scenario in which it takes part.
    pub(crate) fn want(&self, scenario: &str, contestant: &str) -> bool {
        let is_in =
            |names: &[String], name| names.is_empty() || names.iter().any(|one| one == name);
        is_in(&self.scenario, scenario)
            && is_in(&self.only, contestant)
            && self
                .filter
                .as_deref()
                .is_none_or(|part| scenario.contains(part))
            && (!self.targets || targets::need(scenario, contestant))
    }

    /// What the handlers of the server to be do.
    pub(crate) fn work(&self) -> Work {
        Work {
            block: Duration::from_millis(self.block_ms),
            spin: Duration::from_micros(self.spin_us),
        }
    }
}

fn check(what: &str, asked: &[String], known: &[&str]) -> Result<(), String> {
    match asked.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "no {what} called {name}; there are {}",
            known.join(", ")
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        let args = ["peers"].iter().chain(args);
        Options::try_parse_from(args).expect("a command line")
    }

    #[test]
    fn without_arguments_everything_is_wanted() {
        let options = options(&[]);
        assert!(options.want("64x1", "py-asyncio"));
        assert_eq!(options.check_names(), Ok(()));
    }

    #[test]
    fn what_is_wanted_satisfies_all_that_was_asked() {
        let options = options(&["--scenario", "64x1,16x16", "--only", "ours,c-mmsg", "64"]);
        assert!(options.want("64x1", "c-mmsg"));
        assert!(!options.want("64x1", "std-loop"), "not among the servers");
        assert!(!options.want("1x1", "ours"), "not among the scenarios");
        assert!(!options.want("16x16", "ours"), "the filter is not in it");
    }

    #[test]
    fn targets_leave_out_what_they_do_not_compare() {
        let options = options(&["--targets"]);
        assert!(options.want("64x1", "tokio-task"));
        assert!(!options.want("16x16", "tokio-task"));
    }

    #[test]
    fn names_that_nobody_has_are_refused() {
        let server = options(&["--only", "ours,netty"]).check_names();
        assert!(server.is_err_and(|why| why.contains("no server called netty; there are ours")));
        let scenario = options(&["--scenario", "64x2"]).check_names();
        assert!(scenario.is_err_and(|why| why.contains("no scenario called 64x2")));
    }

    #[test]
    fn work_is_passed_on_in_its_units() {
        let work = options(&["--block-ms", "10", "--spin-us", "20"]).work();
        assert_eq!(work.block, Duration::from_millis(10));
        assert_eq!(work.spin, Duration::from_micros(20));
    }
}
