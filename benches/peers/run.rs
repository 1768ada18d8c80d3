//! The order in which all is measured.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::command_line::Options;
use crate::contestant::{self, Contestant, Tools};
use crate::process::Cpus;
use crate::report::Report;
use crate::results::{Row, Sample};
use crate::scenario::{self, Scenario};
use crate::work::Work;
use crate::{load, machine, output, serve};

/// Does what the command line says.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::parse() else {
        return Ok(());
    };
    if let Some(name) = &options.serve {
        return serve::serve(name, options.work(), &options.command);
    }
    if options.list {
        print!("{}", output::legend());
        return Ok(());
    }
    if options.test {
        return Ok(());
    }
    options.check_names()?;
    let folder = folder()?;
    let session = Session::new(&options, &folder)?;
    let load_before = machine::load_average()?;
    let rows = session.measure_all()?;
    let report = Report {
        rows: &rows,
        repeats: session.repeats,
        duration: session.duration,
        load: [load_before, machine::load_average()?],
    };
    report.print();
    report.write(&folder)?;
    if options.publish {
        report.publish()?;
    }
    Ok(())
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

/// Everything that a run needs.
struct Session<'a> {
    /// Those asked for that this machine can do.
    scenarios: Vec<&'static Scenario>,
    options: &'a Options,
    tools: Tools,
    cpus: Cpus,
    /// How often each server is measured in each scenario.
    repeats: usize,
    /// Of one measurement.
    duration: Duration,
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
                let mut names = contestant::ALL.iter().map(|server| server.name);
                names.any(|name| one.has(name) && options.want(one.name, name))
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
            if contestant.command(&tools, Work::NONE).is_none() {
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
            options,
            tools,
            cpus,
            repeats: match (options.quick, options.targets) {
                (true, _) => 1,
                (false, true) => REPEATS_FOR_TARGETS,
                (false, false) => REPEATS,
            },
            duration: Duration::ZERO,
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
            .filter(|one| scenario.has(one.name))
            .filter(|one| self.options.want(scenario.name, one.name))
            .filter(|one| one.command(&self.tools, Work::NONE).is_some())
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
            .command(&self.tools, scenario.work)
            .ok_or("not installed")?;
        let server = self.cpus.start(command, scenario.pinned)?;
        let mut watch = |_: &load::Progress<'_>| {
            self.bar.tick();
            if self.interrupted.load(Ordering::Relaxed) {
                load::Wish::End
            } else {
                load::Wish::GoOn
            }
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
}

/// The default; once with `--quick`.
const REPEATS: usize = 5;
/// Shorter ones, and more of them: what is judged by a few per cent must not
/// depend on one bad moment of the machine.
const REPEATS_FOR_TARGETS: usize = 9;
/// For all measurements together, with time to spare for what is lost on the way.
const BUDGET: Duration = Duration::from_secs(240);
/// The same with `--quick`.
const QUICK_BUDGET: Duration = Duration::from_secs(45);
/// Of one measurement: starting, warming up, waiting for the last replies.
const OVERHEAD: Duration = Duration::from_millis(300);
/// Time for a pool to grow.
const WARM_UP: Duration = Duration::from_millis(150);
/// Less says nothing.
const SHORTEST: Duration = Duration::from_millis(200);
/// More says nothing new.
const LONGEST: Duration = Duration::from_secs(3);
