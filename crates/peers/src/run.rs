//! The order in which all is measured.

use std::error::Error;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use load_generator::{Plan, Wish};
use procfs::{Current as _, LoadAverage};

use crate::contestant::Contestant;
use crate::options::{Cell, Options};
use crate::process::Server;
use crate::redis::Redis;
use crate::results::{self, Row, Sample, sample};
use crate::scenario::{Kind, Scenario};
use crate::{publish, serve, targets};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Does what the command line says.
///
/// # Errors
/// If nothing of what it asks for can be measured, or the result not be written.
pub fn main() -> Outcome {
    let Some(mut options) = Options::parse() else {
        return Ok(());
    };
    if let Some(name) = options.serve.take() {
        return serve::serve(&name, options);
    }
    let cells = options.cells();
    if cells.is_empty() {
        return Err("nothing to measure: no such server in such a scenario".into());
    }
    let load = LoadAverage::current()?.one;
    let mut rows = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let name = &cell.scenario.name;
        println!("\n{name} ({} of {})", index + 1, cells.len());
        match measure_in_turn(cell, &options) {
            Ok(measured) => {
                println!("{}", results::table(&measured));
                rows.extend(measured);
            }
            Err(error) => println!("without Redis: is redis-server installed? {error}"),
        }
    }
    let (rounds, duration) = (options.rounds, options.duration());
    println!(
        "\nMedians of {rounds} × {duration:?}; × is the ratio to ours in the same round, ± half of \
         what these ratios span.\nLoad average {load} before and {} after.",
        LoadAverage::current()?.one
    );
    if let Some(table) = targets::table(&rows) {
        println!("\nWhat this crate is held to:\n{table}");
    }
    if options.publish {
        publish::publish(&rows, rounds, duration)?;
    }
    Ok(())
}

/// Measures each server in turn, as many rounds as were asked for. Fails if there
/// is no Redis for a scenario that needs one.
fn measure_in_turn(cell: &Cell, options: &Options) -> std::io::Result<Vec<Row>> {
    let Cell { scenario, servers } = cell;
    let redis = scenario.redis.then(Redis::start).transpose()?;
    let redis = redis.as_ref().map(|redis| redis.port);
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
            let result = measure(scenario, servers[place], redis, options);
            let result = result.map_err(|error| error.to_string());
            rows[place].rounds.push(result);
        }
    }
    Ok(rows)
}

/// Measures one server once.
fn measure(
    scenario: &Scenario,
    server: &Contestant,
    redis: Option<u16>,
    options: &Options,
) -> Outcome<Sample> {
    let command = server.command(scenario, options.before.as_deref(), redis)?;
    let (server, duration) = (Server::start(command)?, options.duration());
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
