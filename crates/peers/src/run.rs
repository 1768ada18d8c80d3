//! The order in which all is measured.

use std::env;
use std::error::Error;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use load_generator::{Plan, Wish};

use crate::contestant::{BEFORE, Contestant, Tools};
use crate::options::{Cell, Options};
use crate::process::Server;
use crate::redis::Redis;
use crate::results::{Row, Sample, sample};
use crate::scenario::{Kind, Scenario};
use crate::{output, publish, serve, targets};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Does what the command line says.
///
/// # Errors
/// If nothing of what it asks for can be measured, or the result not be written.
pub fn main() -> Outcome {
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
    let (folder, mut cells) = (folder()?, options.cells());
    let redis = start_redis(&cells);
    let port = redis.as_ref().map(|redis| redis.port);
    let tools = Tools::find(&folder, options.before.clone(), port)?;
    leave_out(&mut cells, &tools);
    if cells.is_empty() {
        return Err("nothing to measure: no such server in such a scenario".into());
    }
    let load = output::load_average()?;
    let mut rows = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let measured = measure_in_turn(cell, &tools, &options);
        let name = &cell.scenario.name;
        println!("\n{name} ({} of {})", index + 1, cells.len());
        println!("{}", output::table(&measured));
        rows.extend(measured);
        fs::write(folder.join("peers.csv"), output::csv(&rows))?;
    }
    let (rounds, duration) = (options.rounds, options.duration());
    println!(
        "\nMedians of {rounds} × {duration:?}; × is the ratio to ours in the same round, ± half of \
         what these ratios span.\nLoad average {load} before and {} after.",
        output::load_average()?
    );
    if let Some(table) = targets::table(&rows) {
        println!("\nWhat this crate is held to:\n{table}");
    }
    if options.publish {
        publish::publish(&rows, rounds, duration)?;
    }
    Ok(())
}

/// `target/peers`, wherever `target` is.
fn folder() -> Outcome<PathBuf> {
    // The program is in target/release/deps.
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("not in a target folder")?;
    let folder = target.join("peers");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Only if it is needed; says why if it cannot be had.
fn start_redis(cells: &[Cell]) -> Option<Redis> {
    let is_needed = cells.iter().any(|cell| cell.scenario.redis);
    let failed = |error| eprintln!("peers: without Redis: is redis-server installed? {error}");
    is_needed.then(|| Redis::start().map_err(failed).ok())?
}

/// Leaves out what this machine lacks something for, and says so.
fn leave_out(cells: &mut Vec<Cell>, tools: &Tools) {
    let mut lacking = Vec::new();
    for Cell { scenario, servers } in &mut *cells {
        servers.retain(|one| {
            let can_be_had = one.command(tools, scenario).is_some();
            let is_known = lacking.contains(&one.name) || one.name == BEFORE || scenario.redis;
            if !can_be_had && !is_known {
                lacking.push(one.name);
            }
            can_be_had
        });
    }
    cells.retain(|cell| !cell.servers.is_empty());
    if !lacking.is_empty() {
        eprintln!("peers: without {}: not installed", lacking.join(", "));
    }
}

/// Measures each server in turn, as many rounds as were asked for.
fn measure_in_turn(cell: &Cell, tools: &Tools, options: &Options) -> Vec<Row> {
    let Cell { scenario, servers } = cell;
    let row = |server: &&'static Contestant| Row {
        scenario: scenario.name.clone(),
        server: server.name,
        rounds: Vec::new(),
    };
    let mut rows: Vec<Row> = servers.iter().map(row).collect();
    for round in 0..options.rounds {
        for place in 0..servers.len() {
            // Nobody is always the first.
            let place = (place + round) % servers.len();
            let result = measure(scenario, servers[place], tools, options.duration());
            let result = result.map_err(|error| error.to_string());
            rows[place].rounds.push(result);
        }
    }
    rows
}

/// Measures one server once.
fn measure(
    scenario: &Scenario,
    server: &Contestant,
    tools: &Tools,
    duration: Duration,
) -> Outcome<Sample> {
    let command = server.command(tools, scenario).ok_or("not installed")?;
    let server = Server::start(command)?;
    let plan = scenario.plan(server.addr, WARM_UP);
    if scenario.kind() == Kind::Quiet {
        return quiet(&plan, &server, duration.max(SHORTEST_SILENCE));
    }
    if load_generator::run(&plan, &mut |_| Wish::GoOn)?.answered == 0 {
        return Err("no reply".into());
    }
    let least = scenario.rate.map_or(0.0, |rate| FEWEST / rate);
    let duration = duration.max(Duration::from_secs_f64(least));
    let before = server.usage()?;
    let tally = load_generator::run(&Plan { duration, ..plan }, &mut |_| Wish::GoOn)?;
    let used = server.usage()?.since(before);
    let (wrong, duplicates) = (tally.wrong, tally.duplicates);
    match wrong + duplicates {
        0 => Ok(sample(Some(&tally), tally.sending, used)),
        _ => Err(format!("{wrong} wrong, {duplicates} duplicate replies").into()),
    }
}

/// Measures what a server does while nobody sends, after a single datagram,
/// which is either answered at once or not at all.
fn quiet(plan: &Plan, server: &Server, time: Duration) -> Outcome<Sample> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let is_slow = plan.slow_share > 0.0;
    socket.send_to(if is_slow { b"w" } else { b"g" }, server.addr)?;
    if !is_slow {
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.recv(&mut [0; 16])?;
    }
    thread::sleep(WARM_UP);
    let (start, before) = (Instant::now(), server.usage()?);
    thread::sleep(time);
    let used = server.usage()?.since(before);
    Ok(sample(None, start.elapsed(), used))
}

/// Time for a pool to grow, and for a server to settle.
const WARM_UP: Duration = Duration::from_millis(150);
/// Datagrams of an open loop.
const FEWEST: f64 = 100.0;
/// To count what is done five times a second.
const SHORTEST_SILENCE: Duration = Duration::from_secs(1);
