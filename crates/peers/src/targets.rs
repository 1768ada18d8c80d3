//! What this crate is held to in comparison with others, and whether it is met.

use std::thread;

use crate::contestant::{BEFORE, FORKING, OURS, POOLS};
use crate::output::empty_table;
use crate::results::Figure::{self, Cpu, P50, P99, Rate, Threads, WakeUps};
use crate::results::{Row, Spread, find};
use crate::scenario::{Kind, Scenario};

/// A figure of one of our servers in a scenario, compared with something.
struct Target {
    scenario: &'static str,
    ours: &'static str,
    figure: Figure,
    to: To,
    bound: Bound,
}

/// What the figure is divided by.
#[derive(Debug, Clone, Copy)]
enum To {
    /// The same figure of another server.
    Server(&'static str),
    /// The same of the one of them that answers most.
    Best(&'static [&'static str]),
    /// Nothing.
    Itself,
}

/// Where it should lie.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};
use To::{Best, Itself, Server};

/// Those of single scenarios; [`waiting`] has what is promised of many together.
fn all() -> Vec<Target> {
    let cpus = thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
    let target = |scenario, ours, figure, to, bound| Target {
        scenario,
        ours,
        figure,
        to,
        bound,
    };
    let mut all = vec![
        target("64x1", OURS, Cpu, Server("c-mmsg"), AtMost(1.05)),
        target("16x16", OURS, Cpu, Server("c-mmsg"), AtMost(0.88)),
        target("64x1", OURS, Rate, Server("tokio-task"), AtLeast(1.15)),
        target("64x1", "ours-guarded", Rate, Server(OURS), AtLeast(0.9)),
        target("1x1", OURS, P50, Server("c-mmsg"), AtMost(1.1)),
        target("500x1-wait1ms", OURS, Rate, Server(BEFORE), AtLeast(5.0)),
    ];
    for mix in ["64x1-wait1ms-10%", "64x1-wait10ms-10%", "64x1-wait100ms-1%"] {
        all.push(target(mix, OURS, P99, Server("std-pool"), AtMost(1.0)));
    }
    for computing in ["64x1-cpu20us", "64x1-cpu200us", "64x1-cpu2ms"] {
        all.push(target(computing, OURS, Rate, Best(COMPUTING), AtLeast(1.0)));
        // Two workers more than processors, and the thread that looks after them.
        all.push(target(computing, OURS, Threads, Itself, AtMost(cpus + 3.0)));
    }
    for light in ["64@100", "64@1000"] {
        all.push(target(light, OURS, Cpu, Server("std-loop"), AtMost(1.5)));
        all.push(target(light, OURS, P99, Server("std-loop"), AtMost(1.2)));
    }
    for ours in [OURS, FORKING] {
        all.push(target("one-wait60s", ours, WakeUps, Itself, AtMost(5.0)));
        // Microseconds in a second: a tick of the system's clock in a hundred.
        all.push(target("idle", ours, Cpu, Itself, AtMost(100.0)));
    }
    all
}

/// The rivals where handlers compute.
const COMPUTING: &[&str] = &[
    "std-loop",
    "std-pool",
    "std-threads",
    "mmsg-pool",
    "tokio-task",
];

/// Whether any target is about this server in this scenario.
pub(crate) fn need(scenario: &Scenario, contestant: &str) -> bool {
    let contestant = match contestant {
        BEFORE => OURS,
        other => other,
    };
    if scenario.kind() == Kind::Waiting {
        return POOLS.contains(&contestant) || [OURS, FORKING].contains(&contestant);
    }
    all().iter().any(|target| {
        let is_rival = match target.to {
            Server(other) => other == contestant,
            Best(others) => others.contains(&contestant),
            Itself => false,
        };
        target.scenario == scenario.name && (is_rival || target.ours == contestant)
    })
}

/// A line for each target that something was measured for, if there is any.
/// One round alone judges nothing: then there is no verdict, but a question mark.
pub(crate) fn table(rows: &[Row]) -> Option<String> {
    let titles = [
        "scenario",
        "measured is",
        "measured",
        "from",
        "to",
        "to reach",
        "met",
    ];
    let mut table = empty_table(&titles, 2);
    let mut add = |scenario: &str, what: String, measured: Spread, bound: Bound| {
        let met = match (measured.count, bound.holds(measured.median)) {
            (..2, _) => "?",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        let bound = match bound {
            AtMost(most) => format!("≤ {most:.2}"),
            AtLeast(least) => format!("≥ {least:.2}"),
        };
        let [measured, from, to] =
            [measured.median, measured.least, measured.greatest].map(|value| format!("{value:.2}"));
        table.add_row([scenario, &what, &measured, &from, &to, &bound, met]);
    };
    for Target {
        scenario,
        ours,
        figure,
        to,
        bound,
    } in all()
    {
        if let Some((rival, measured)) = compare(rows, scenario, ours, figure, to) {
            let over = rival.map_or(String::new(), |rival| format!(" / {rival}"));
            add(
                scenario,
                format!("{}: {ours}{over}", figure.title()),
                measured,
                bound,
            );
        }
    }
    for ours in [OURS, FORKING] {
        let cells: Vec<_> = waiting(rows, ours).collect();
        let name = format!("{} that wait", cells.len());
        let rounds = cells.iter().map(|cell| cell.rounds).min();
        let of = |ratio: fn(&Waiting) -> f64| {
            let spread = Spread::of(cells.iter().map(ratio))?;
            let count = rounds.unwrap_or(0);
            Some(Spread { count, ..spread })
        };
        if let (Some(rate), Some(cpu)) = (of(|cell| cell.rate), of(|cell| cell.cpu)) {
            let what = |what: &str| format!("{what}: {ours} / best pool");
            add(&name, what("rate/s"), rate, AtLeast(1.0));
            let worst = Spread {
                median: rate.least,
                ..rate
            };
            add(&name, what("the least rate/s"), worst, AtLeast(0.95));
            add(&name, what("CPU µs"), cpu, AtMost(1.0));
        }
    }
    let text = (table.row_count() > 0).then(|| table.to_string())?;
    Some(match waiting_table(rows) {
        Some(cells) => format!("{cells}\n\n{text}"),
        None => text,
    })
}

/// A scenario in which handlers wait, in comparison with the best pool there.
struct Waiting<'a> {
    scenario: &'a str,
    rival: &'a str,
    rate: f64,
    cpu: f64,
    p99: f64,
    rounds: usize,
}

/// All of them that were measured.
fn waiting<'a>(rows: &'a [Row], ours: &'a str) -> impl Iterator<Item = Waiting<'a>> {
    let of_ours = rows.iter().filter(move |row| row.contestant == ours);
    of_ours.filter_map(|row| {
        let scenario = &row.scenario;
        let parsed = scenario.parse::<Scenario>().ok()?;
        let ratio = |figure| compare(rows, scenario, row.contestant, figure, Best(&POOLS));
        let (rival, rate) = ratio(Rate)?;
        let ((_, cpu), (_, p99)) = (ratio(Cpu)?, ratio(P99)?);
        (parsed.kind() == Kind::Waiting).then_some(Waiting {
            scenario,
            rival: rival?,
            rate: rate.median,
            cpu: cpu.median,
            p99: p99.median,
            rounds: rate.count,
        })
    })
}

/// What the targets about many scenarios are made of.
fn waiting_table(rows: &[Row]) -> Option<String> {
    let titles = [
        "handlers that wait",
        "best pool",
        "measured is",
        "rate ×",
        "CPU ×",
        "p99 ×",
    ];
    let mut table = empty_table(&titles, 3);
    for ours in [OURS, FORKING] {
        for Waiting {
            scenario,
            rival,
            rate,
            cpu,
            p99,
            ..
        } in waiting(rows, ours)
        {
            let [rate, cpu, p99] = [rate, cpu, p99].map(|ratio| format!("{ratio:.2}"));
            table.add_row([scenario, rival, ours, &rate, &cpu, &p99]);
        }
    }
    (table.row_count() > 0).then(|| table.to_string())
}

/// The figure over the rival's, if both were measured, and who the rival is.
fn compare<'a>(
    rows: &'a [Row],
    scenario: &str,
    ours: &str,
    figure: Figure,
    to: To,
) -> Option<(Option<&'a str>, Spread)> {
    let ours = find(rows, scenario, ours)?;
    let rival = match to {
        Itself => return Some((None, ours.over(figure, 1.0)?)),
        Server(other) => find(rows, scenario, other)?,
        Best(others) => {
            let others = others
                .iter()
                .filter_map(|other| find(rows, scenario, other));
            let rates = others.filter_map(|row| Some((row, row.median(Rate)?)));
            rates.max_by(|a, b| a.1.total_cmp(&b.1))?.0
        }
    };
    Some((Some(rival.contestant), ours.ratio(figure, rival)?))
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            AtMost(most) => value <= most,
            AtLeast(least) => value >= least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant;
    use crate::results::tests::row;
    use crate::scenario;

    #[test]
    fn every_target_can_be_measured() {
        let scenarios = scenario::all();
        for Target {
            scenario, ours, to, ..
        } in all()
        {
            let scenario = scenarios.iter().find(|one| one.name == scenario);
            let scenario = scenario.expect("a scenario that is measured");
            let rivals = match &to {
                Server(other) => std::slice::from_ref(other),
                Best(others) => *others,
                Itself => &[],
            };
            for name in rivals.iter().chain([&ours]) {
                let server = contestant::find(name).expect("a server that exists");
                assert!(server.takes_part(scenario), "{name} in {}", scenario.name);
                assert!(need(scenario, name), "{name} in {}", scenario.name);
            }
        }
    }

    /// The line that has all of these parts.
    fn line<'a>(table: &'a str, parts: &[&str]) -> &'a str {
        let mut lines = table.lines();
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        lines
            .find(has_all)
            .unwrap_or_else(|| panic!("{parts:?} in\n{table}"))
    }

    #[test]
    fn table_tells_met_from_missed_and_from_unknown() {
        let mut rows = vec![
            row("64x1", OURS, &[230.0, 200.0, 210.0], 4.0),
            row("64x1", "tokio-task", &[200.0, 100.0, 100.0], 4.0),
            row("64x1", "c-mmsg", &[200.0, 100.0, 100.0], 3.0),
            row("one-wait60s", OURS, &[0.0], 3.0),
        ];
        let table = table(&rows).expect("four targets");
        let rate = line(
            &table,
            &["rate/s: ours / tokio-task", " 2.10 ", " 1.15 ", "≥ 1.15"],
        );
        assert!(rate.ends_with("| yes |"), "{table}");
        let cpu = line(&table, &["CPU µs: ours / c-mmsg", " 1.33 ", "≤ 1.05"]);
        assert!(cpu.ends_with("|  NO |"), "{table}");
        let wake_ups = line(&table, &["wake-ups/s: ours", " 5.00 "]);
        assert!(wake_ups.ends_with("|   ? |"), "{table}");
        rows.clear();
        assert_eq!(super::table(&rows), None);
    }

    #[test]
    fn what_waits_is_compared_with_the_best_pool_of_each_scenario() {
        let rows = [
            row("64x1-wait1ms", OURS, &[90.0, 90.0], 2.0),
            row("64x1-wait1ms", "std-pool", &[100.0, 100.0], 4.0),
            row("64x1-wait1ms", "std-threads", &[50.0, 50.0], 1.0),
            row("64x1-wait3ms-10%", OURS, &[130.0, 130.0], 1.0),
            row("64x1-wait3ms-10%", "mmsg-pool", &[100.0, 100.0], 1.0),
            row("64x1", OURS, &[1.0, 1.0], 1.0),
            row("64x1", "std-pool", &[100.0, 100.0], 1.0),
        ];
        let table = table(&rows).expect("some targets");
        line(
            &table,
            &["64x1-wait1ms ", " std-pool ", " ours ", " 0.90 ", " 0.50 "],
        );
        line(&table, &["64x1-wait3ms-10%", " mmsg-pool ", " 1.30 "]);
        assert!(line(&table, &["2 that wait", " rate/s: ours", " 1.10 "]).contains("yes"));
        assert!(line(&table, &["2 that wait", "least rate", " 0.90 "]).contains("NO"));
        assert!(line(&table, &["2 that wait", "CPU µs: ours", " 0.75 "]).contains("yes"));
    }
}
