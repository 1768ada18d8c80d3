//! The command line, and the order in which all is measured.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::contestant::{self, Contestant, Tools};
use crate::load;
use crate::process::Cpus;
use crate::results::{Row, Sample};
use crate::scenario::{self, Scenario};
use crate::{chart, output, serve};

/// Measures this crate's servers and others, side by side.
#[derive(Debug, Parser)]
struct Options {
    /// Once and briefly: less than a minute
    #[arg(long)]
    quick: bool,
    /// Only these servers, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these scenarios, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Say what there is to measure, and end
    #[arg(long)]
    list: bool,
    /// Only scenarios whose name contains this
    filter: Option<String>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Passed by test runners: nothing is measured
    #[arg(long, hide = true)]
    test: bool,
    /// Be one of the servers
    #[arg(long, hide = true, value_name = "NAME")]
    serve: Option<String>,
    /// For how long a handler blocks on a datagram that begins with `w`
    #[arg(long, hide = true, default_value_t = 0)]
    block_ms: u64,
    /// The program to become with `--serve exec`
    #[arg(hide = true, last = true)]
    command: Vec<String>,
}

/// Does what the command line says.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test` passes what is none of this program's business.
    let knows = |arg: String| ["--bench", "--serve", "--list", "--help"].contains(&&*arg);
    if !env::args().any(knows) {
        return Ok(());
    }
    let options = Options::parse();
    if let Some(name) = &options.serve {
        let block = Duration::from_millis(options.block_ms);
        return serve::serve(name, block, &options.command);
    }
    if options.list {
        print!("{}", output::legend());
        return Ok(());
    }
    if options.test {
        return Ok(());
    }
    check_names("server", &options.only, contestant::ALL.map(|one| one.name))?;
    check_names(
        "scenario",
        &options.scenario,
        scenario::ALL.map(|one| one.name),
    )?;
    let folder = folder()?;
    let session = Session::new(&options, &folder)?;
    let rows = session.measure_all()?;
    session.show(&rows, &folder)
}

fn check_names<const N: usize>(
    what: &str,
    asked: &[String],
    known: [&str; N],
) -> Result<(), String> {
    match asked.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "no {what} called {name}; there are {}",
            known.join(", ")
        )),
        None => Ok(()),
    }
}

/// `target/peers`, wherever `target` is.
fn folder() -> Result<PathBuf, Box<dyn Error>> {
    // The program is in target/release/deps.
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("not in a target folder")?;
    let folder = target.join("peers");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Over the last minute: what else the machine had to do.
fn load_average() -> io::Result<String> {
    let all = fs::read_to_string("/proc/loadavg")?;
    Ok(all.split(' ').next().unwrap_or_default().to_owned())
}

/// Everything that a run needs.
struct Session<'a> {
    /// Those asked for that this machine can do.
    scenarios: Vec<&'static Scenario>,
    /// The servers asked for; all if there are none.
    only: &'a [String],
    tools: Tools,
    cpus: Cpus,
    /// How often each server is measured in each scenario.
    repeats: usize,
    /// Of one measurement.
    duration: Duration,
    /// The load average when it began.
    load_before: String,
    bar: ProgressBar,
    /// Ctrl-C was pressed.
    interrupted: Arc<AtomicBool>,
}

impl<'a> Session<'a> {
    fn new(options: &'a Options, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let (tools, cpus) = (Tools::find(folder)?, Cpus::find()?);
        let scenarios = scenario::ALL
            .iter()
            .filter(|one| {
                options.scenario.is_empty() || options.scenario.iter().any(|name| name == one.name)
            })
            .filter(|one| {
                let filter = options.filter.as_deref();
                filter.is_none_or(|part| one.name.contains(part))
            })
            .filter(|one| {
                let possible = !one.pinned || cpus.can_pin();
                if !possible {
                    eprintln!("peers: {} is left out: it takes two CPUs", one.name);
                }
                possible
            })
            .collect();
        for contestant in &contestant::ALL {
            if contestant.command(&tools, Duration::ZERO).is_none() {
                eprintln!(
                    "peers: {} is left out: it takes what is not installed",
                    contestant.name
                );
            }
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
        let mut session = Self {
            scenarios,
            only: &options.only,
            tools,
            cpus,
            repeats: if options.quick { 1 } else { REPEATS },
            duration: Duration::ZERO,
            load_before: load_average()?,
            bar: ProgressBar::hidden(),
            interrupted,
        };
        let cells: usize = session
            .scenarios
            .iter()
            .map(|one| session.contestants(one).count())
            .sum();
        if cells == 0 {
            return Err("nothing to measure: no scenario and server of these names".into());
        }
        let cells = cells * session.repeats;
        let budget = if options.quick { QUICK_BUDGET } else { BUDGET };
        session.duration = (budget / cells as u32)
            .saturating_sub(OVERHEAD)
            .clamp(SHORTEST, LONGEST);
        let style =
            ProgressStyle::with_template("{elapsed:>4} of about {duration} [{bar:30}] {msg}")?
                .progress_chars("=> ");
        session.bar = ProgressBar::new(cells as u64).with_style(style);
        Ok(session)
    }

    /// Who takes part in a scenario.
    fn contestants(&self, scenario: &Scenario) -> impl Iterator<Item = &'static Contestant> {
        contestant::ALL
            .iter()
            .filter(|one| self.only.is_empty() || self.only.iter().any(|name| name == one.name))
            .filter(|one| scenario.has(one.name))
            .filter(|one| one.command(&self.tools, Duration::ZERO).is_some())
    }

    /// Measures each server in turn, as often as there are repeats, for each
    /// scenario; what there is until then if it is interrupted.
    fn measure_all(&self) -> Result<Vec<Row>, Box<dyn Error>> {
        let mut rows = Vec::new();
        for scenario in &self.scenarios {
            let first = rows.len();
            rows.extend(self.contestants(scenario).map(|contestant| Row {
                scenario: scenario.name,
                contestant: contestant.name,
                samples: Vec::new(),
                problem: None,
            }));
            for _ in 0..self.repeats {
                for (row, contestant) in rows[first..].iter_mut().zip(self.contestants(scenario)) {
                    if self.interrupted.load(Ordering::Relaxed) {
                        self.bar.finish_and_clear();
                        eprintln!("peers: interrupted; this is what there is");
                        return Ok(rows);
                    }
                    self.bar
                        .set_message(format!("{}: {}", scenario.name, contestant.name));
                    match self.measure(scenario, contestant) {
                        // Cut short, it would not compare.
                        _ if self.interrupted.load(Ordering::Relaxed) => continue,
                        Ok(sample) => row.samples.push(sample),
                        Err(error) => row.problem = Some(error.to_string()),
                    }
                    self.bar.inc(1);
                }
            }
        }
        self.bar.finish_and_clear();
        Ok(rows)
    }

    /// Measures one server once.
    fn measure(
        &self,
        scenario: &Scenario,
        contestant: &Contestant,
    ) -> Result<Sample, Box<dyn Error>> {
        let command = contestant
            .command(&self.tools, scenario.block)
            .ok_or("not installed")?;
        let server = self.cpus.start(command, scenario.pinned)?;
        let mut watch = |_: &load::Progress<'_>| {
            self.bar.tick();
            !self.interrupted.load(Ordering::Relaxed)
        };
        let warm_up = load::run(&scenario.plan(server.addr, WARM_UP), &mut watch)?;
        if warm_up.answered == 0 {
            return Err("no reply".into());
        }
        let before = server.cpu_time()?;
        let tally = load::run(&scenario.plan(server.addr, self.duration), &mut watch)?;
        let cpu = server.cpu_time()?.saturating_sub(before);
        if tally.wrong + tally.duplicates > 0 {
            let (wrong, duplicates) = (tally.wrong, tally.duplicates);
            return Err(format!("{wrong} wrong, {duplicates} duplicate replies").into());
        }
        Ok(Sample::new(&tally, cpu))
    }

    /// Prints the tables, and writes the files.
    fn show(&self, rows: &[Row], folder: &Path) -> Result<(), Box<dyn Error>> {
        if rows
            .iter()
            .all(|row| row.samples.is_empty() && row.problem.is_none())
        {
            return Ok(());
        }
        for scenario in &self.scenarios {
            if !rows.iter().any(|row| row.scenario == scenario.name) {
                continue;
            }
            println!("\n{}: {}", scenario.name, scenario.what);
            println!("{}", output::table(scenario.name, rows));
        }
        println!(
            "\nMedians of {} × {:.1?}; × is the ratio to {}; the spread is that of the rate.",
            self.repeats,
            self.duration,
            contestant::ALL[0].name
        );
        let cpus = std::thread::available_parallelism()?;
        let [before, after] = [&self.load_before, &load_average()?];
        println!("{cpus} CPUs; load average {before} before and {after} after.");
        let (csv, svg) = (folder.join("peers.csv"), folder.join("peers.svg"));
        fs::write(&csv, output::csv(rows))?;
        chart::draw(&svg, rows)?;
        println!("{}\n{}", csv.display(), svg.display());
        Ok(())
    }
}

/// The default; once with `--quick`.
const REPEATS: usize = 3;
/// For all measurements together, with time to spare for what is lost on the way.
const BUDGET: Duration = Duration::from_secs(240);
/// The same with `--quick`.
const QUICK_BUDGET: Duration = Duration::from_secs(45);
/// Of one measurement: starting, warming up, waiting for the last replies.
const OVERHEAD: Duration = Duration::from_millis(450);
/// Time for a pool to grow.
const WARM_UP: Duration = Duration::from_millis(150);
/// Less says nothing.
const SHORTEST: Duration = Duration::from_millis(200);
/// More says nothing new.
const LONGEST: Duration = Duration::from_secs(3);
