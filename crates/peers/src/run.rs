//! The order in which all is measured.

use std::env;
use std::error::Error;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use load_generator::{Progress, Wish};

use crate::contestant::{BEFORE, Contestant, Tools};
use crate::options::{Cell, Options};
use crate::process::Server;
use crate::redis::Redis;
use crate::results::{Row, Sample};
use crate::scenario::{Load, Scenario};
use crate::{output, publish, serve, targets};

/// Does what the command line says.
///
/// # Errors
/// If it asks for what there is not, or if nothing can be measured.
pub fn main() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::parse() else {
        return Ok(());
    };
    if let Some(name) = &options.serve {
        return serve::serve(name, options.job(), &options.command);
    }
    if options.list {
        print!("{}", output::legend());
        return Ok(());
    }
    let folder = folder()?;
    let before = output::load_average()?;
    let mut session = Session::new(&options, &folder)?;
    let cells = session.possible(options.cells()?);
    let rows = session.measure_all(&cells)?;
    let (rounds, duration) = (options.rounds(), options.duration());
    let after = output::load_average()?;
    println!(
        "\nMedians of {rounds} × {duration:?}; × is the ratio to ours in the same round, ± half of \
         what these ratios span.\nLoad average {before} before and {after} after."
    );
    if let Some(table) = targets::table(&rows) {
        println!("\nWhat this crate is held to:\n{table}");
    }
    fs::write(folder.join("peers.csv"), output::csv(&rows))?;
    if options.publish {
        publish::publish(&rows, rounds, duration)?;
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
    options: &'a Options,
    tools: Tools,
    redis: Option<Redis>,
    /// Ctrl-C was pressed.
    interrupted: Arc<AtomicBool>,
}

impl<'a> Session<'a> {
    fn new(options: &'a Options, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
        Ok(Self {
            options,
            tools: Tools::find(folder, options.before.clone())?,
            redis: None,
            interrupted,
        })
    }

    /// Without what this machine lacks something for, of which it tells.
    fn possible(&mut self, mut cells: Vec<Cell>) -> Vec<Cell> {
        if cells.iter().any(|cell| cell.scenario.redis) {
            match Redis::start() {
                Ok(redis) => self.redis = Some(redis),
                Err(error) => {
                    eprintln!("peers: without Redis, is redis-server installed? {error}");
                    cells.retain(|cell| !cell.scenario.redis);
                }
            }
        }
        let mut lacking = Vec::new();
        for Cell { scenario, servers } in &mut cells {
            servers.retain(|one| {
                let is_possible = one.command(&self.tools, scenario, None).is_some();
                if !is_possible && !lacking.contains(&one.name) {
                    lacking.push(one.name);
                }
                is_possible
            });
        }
        cells.retain(|cell| !cell.servers.is_empty());
        lacking.retain(|name| *name != BEFORE);
        if !lacking.is_empty() {
            eprintln!("peers: without {}: it is not installed", lacking.join(", "));
        }
        cells
    }

    /// Measures each server in turn, as many rounds as were asked for, for each
    /// scenario; what there is until then if it is interrupted.
    fn measure_all(&self, cells: &[Cell]) -> Result<Vec<Row>, Box<dyn Error>> {
        if cells.is_empty() {
            return Err("nothing to measure: no such server in such a scenario".into());
        }
        let mut rows = Vec::new();
        for (index, Cell { scenario, servers }) in cells.iter().enumerate() {
            let mut cell: Vec<Row> = servers
                .iter()
                .map(|server| Row::new(&scenario.name, server.name))
                .collect();
            for round in 0..self.options.rounds() {
                // Nobody is always the first.
                for place in 0..servers.len() {
                    let place = (place + round) % servers.len();
                    let result = self.measure(scenario, servers[place]);
                    if self.interrupted.load(Ordering::Relaxed) {
                        eprintln!("peers: interrupted; this is what there is");
                        return Ok(rows);
                    }
                    cell[place].take(result);
                }
            }
            println!(
                "\n{}: {scenario} ({} of {})",
                scenario.name,
                index + 1,
                cells.len()
            );
            println!("{}", output::table(&cell));
            rows.extend(cell);
        }
        Ok(rows)
    }

    /// Measures one server once.
    fn measure(&self, scenario: &Scenario, server: &Contestant) -> Result<Sample, Box<dyn Error>> {
        let redis = self.redis.as_ref().filter(|_| scenario.redis);
        let command = server
            .command(&self.tools, scenario, redis.map(|redis| redis.port))
            .ok_or("not installed")?;
        let server = Server::start(command)?;
        let duration = self.duration(scenario);
        let Some(warm_up) = scenario.plan(server.addr, WARM_UP) else {
            return quiet(scenario, &server, duration);
        };
        let mut watch = |_: &Progress<'_>| match self.interrupted.load(Ordering::Relaxed) {
            true => Wish::End,
            false => Wish::GoOn,
        };
        if load_generator::run(&warm_up, &mut watch)?.answered == 0 {
            return Err("no reply".into());
        }
        let before = server.usage()?;
        let plan = load_generator::Plan {
            duration,
            ..warm_up
        };
        let tally = load_generator::run(&plan, &mut watch)?;
        let after = server.usage()?;
        let (wrong, duplicates) = (tally.wrong, tally.duplicates);
        match wrong + duplicates {
            0 => Ok(Sample::loaded(&tally, before, after)),
            _ => Err(format!("{wrong} wrong, {duplicates} duplicate replies").into()),
        }
    }

    /// As asked for, but long enough for a few datagrams.
    fn duration(&self, scenario: &Scenario) -> Duration {
        let least = match scenario.load {
            Load::Open { rate, .. } => Duration::from_secs_f64(FEWEST / rate),
            Load::Closed { .. } => Duration::ZERO,
            Load::One | Load::Idle => SHORTEST_SILENCE,
        };
        self.options.duration().max(least)
    }
}

/// Measures what a server does while nobody sends.
fn quiet(scenario: &Scenario, server: &Server, time: Duration) -> Result<Sample, Box<dyn Error>> {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    match scenario.load {
        Load::One => drop(socket.send_to(b"wait", server.addr)?),
        _ => {
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.send_to(b"go", server.addr)?;
            socket.recv(&mut [0; 16])?;
        }
    }
    thread::sleep(WARM_UP);
    let (start, before) = (Instant::now(), server.usage()?);
    thread::sleep(time);
    Ok(Sample::quiet(start.elapsed(), before, server.usage()?))
}

impl Row {
    fn new(scenario: &str, contestant: &'static str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            contestant,
            samples: Vec::new(),
            problem: None,
        }
    }

    fn take(&mut self, result: Result<Sample, Box<dyn Error>>) {
        if let Err(error) = &result {
            self.problem = Some(error.to_string());
        }
        self.samples.push(result.ok());
    }
}

/// Time for a pool to grow, and for a server to settle.
const WARM_UP: Duration = Duration::from_millis(150);
/// Datagrams of an open loop.
const FEWEST: f64 = 100.0;
/// To count what is done five times a second.
const SHORTEST_SILENCE: Duration = Duration::from_secs(1);
