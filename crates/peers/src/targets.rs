//! What this crate is held to in comparison with others, and whether it is met.

use std::thread;

use crate::contestant::{ASYNC, BEFORE, FORKING, OURS, PER_FORK, POOLS, PROCESSES};
use crate::results::Figure::{self, Cpu, P50, P99, Rate, Threads, WakeUps};
use crate::results::{Row, Spread, empty_table, find};
use crate::scenario::{Kind, Scenario};

/// A scenario, a figure of one of our servers there, and where it should lie
/// after it was divided by that of the rival that answers most; or by nothing, if
/// there is none.
type Target = (&'static str, &'static str, Figure, Rivals, Bound);
type Rivals = &'static [&'static str];

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// Those of single scenarios; [`waiting`] has what is promised of many together.
fn all() -> Vec<Target> {
    let mut all: Vec<Target> = vec![
        ("64x1", OURS, Cpu, &["c-mmsg"], AtMost(1.05)),
        ("16x16", OURS, Cpu, &["c-mmsg"], AtMost(0.88)),
        ("1x1", OURS, P50, &["c-mmsg"], AtMost(1.1)),
        ("64x1", OURS, Rate, &["tokio-task"], AtLeast(1.15)),
        ("64x1", "ours-guarded", Rate, &[OURS], AtLeast(0.9)),
        ("500x1-wait1ms", OURS, Rate, &[BEFORE], AtLeast(5.0)),
        ("64x1", PROCESSES, Rate, PYTHON, AtLeast(100.0)),
        ("64x1", PROCESSES, Cpu, &[FORKING], AtMost(2.5)),
        ("64x1", PER_FORK, Rate, PYTHON, AtLeast(2.0)),
    ];
    for mix in ["64x1-wait1ms-10%", "64x1-wait10ms-10%", "64x1-wait100ms-1%"] {
        all.push((mix, OURS, P99, &["std-pool"], AtMost(1.0)));
    }
    for (awaiting, least) in [
        ("64x1", 1.2),
        ("64x1-wait1ms-10%", 1.0),
        ("500x1-wait1ms", 1.05),
    ] {
        all.push((awaiting, ASYNC, Rate, &["tokio-task"], AtLeast(least)));
        all.push((awaiting, ASYNC, Cpu, &["tokio-task"], AtMost(1.0)));
    }
    // Two workers more than processors, and the thread that looks after them.
    let threads = thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64) + 3.0;
    for computing in ["64x1-cpu20us", "64x1-cpu200us", "64x1-cpu2ms"] {
        all.push((computing, OURS, Rate, COMPUTING, AtLeast(1.0)));
        all.push((computing, OURS, Threads, &[], AtMost(threads)));
    }
    for light in ["64@100", "64@1000"] {
        all.push((light, OURS, Cpu, &["std-loop"], AtMost(1.5)));
        all.push((light, OURS, P99, &["std-loop"], AtMost(1.2)));
    }
    for ours in [OURS, FORKING] {
        all.push(("one-wait60s", ours, WakeUps, &[], AtMost(5.0)));
        // Microseconds in a second: a tick of the system's clock in a hundred.
        all.push(("idle", ours, Cpu, &[], AtMost(100.0)));
    }
    all
}

/// The one that forks for each datagram.
const PYTHON: Rivals = &["ForkingUDPServer"];

/// The rivals where handlers compute.
#[rustfmt::skip]
const COMPUTING: Rivals = &["std-loop", "std-pool", "std-threads", "mmsg-pool", "tokio-task"];

/// Whether any target is about this server in this scenario.
pub(crate) fn need(scenario: &Scenario, server: &str) -> bool {
    let of_waiting = POOLS.iter().chain(&[OURS, FORKING, BEFORE]);
    if scenario.kind() == Kind::Waiting && of_waiting.into_iter().any(|one| *one == server) {
        return true;
    }
    let server = if server == BEFORE { OURS } else { server };
    all().iter().any(|(name, ours, _, rivals, _)| {
        *name == scenario.name && (*ours == server || rivals.contains(&server))
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
        let (holds, bound) = match bound {
            AtMost(most) => (measured.median <= most, format!("≤ {most:.2}")),
            AtLeast(least) => (measured.median >= least, format!("≥ {least:.2}")),
        };
        let met = match (measured.count, holds) {
            (..2, _) => "?",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        let [measured, from, to] =
            [measured.median, measured.least, measured.greatest].map(|value| format!("{value:.2}"));
        table.add_row([scenario, &what, &measured, &from, &to, &bound, met]);
    };
    for (scenario, ours, figure, rivals, bound) in all() {
        if let Some((servers, measured)) = compare(rows, scenario, ours, figure, rivals) {
            add(
                scenario,
                format!("{}: {servers}", figure.title()),
                measured,
                bound,
            );
        }
    }
    let mut cells = empty_table(&["scenario", "measured is", "rate", "CPU", "p99"], 2);
    for ours in [OURS, FORKING] {
        let waiting: Vec<_> = waiting(rows, ours).collect();
        for (scenario, what, spreads) in &waiting {
            let [rate, cpu, p99] = spreads.map(|spread| format!("×{:.2}", spread.median));
            cells.add_row([*scenario, what, &rate, &cpu, &p99]);
        }
        let together = |figure: usize| {
            let spreads = waiting.iter().map(|(_, _, spreads)| spreads[figure]);
            let count = spreads.clone().map(|spread| spread.count).min()?;
            let spread = Spread::of(spreads.map(|spread| spread.median))?;
            Some(Spread { count, ..spread })
        };
        if let (Some(rate), Some(cpu)) = (together(0), together(1)) {
            let mut add = |what, measured, bound| {
                let name = format!("all {} that wait", waiting.len());
                add(
                    &name,
                    format!("{what}: {ours} / best pool"),
                    measured,
                    bound,
                );
            };
            let median = rate.least;
            add("rate/s", rate, AtLeast(1.0));
            add("least rate/s", Spread { median, ..rate }, AtLeast(0.95));
            add("CPU µs", cpu, AtMost(1.0));
        }
    }
    match (cells.row_count(), table.row_count()) {
        (_, 0) => None,
        (0, _) => Some(table.to_string()),
        _ => Some(format!("{cells}\n\n{table}")),
    }
}

/// The scenarios in which handlers wait: what is compared, and rate, CPU time
/// and p99 over those of the best pool there.
fn waiting<'a>(
    rows: &'a [Row],
    ours: &'a str,
) -> impl Iterator<Item = (&'a str, String, [Spread; 3])> {
    let rows_of_ours = rows.iter().filter(move |row| row.server == ours);
    rows_of_ours.filter_map(move |row| {
        let scenario: Scenario = row.scenario.parse().ok()?;
        let ratio = |figure| compare(rows, &row.scenario, ours, figure, POOLS);
        let ((servers, rate), (_, cpu), (_, p99)) = (ratio(Rate)?, ratio(Cpu)?, ratio(P99)?);
        let is_one = scenario.kind() == Kind::Waiting;
        is_one.then(|| (&*row.scenario, servers, [rate, cpu, p99]))
    })
}

/// Who is compared, and the figure over that of the rival that answers most, if
/// both were measured.
fn compare(
    rows: &[Row],
    scenario: &str,
    ours: &str,
    figure: Figure,
    rivals: &[&str],
) -> Option<(String, Spread)> {
    let row = find(rows, scenario, ours)?;
    if rivals.is_empty() {
        return Some((ours.to_owned(), row.of(figure)?));
    }
    let rivals = rivals
        .iter()
        .filter_map(|rival| find(rows, scenario, rival));
    let rates = rivals.filter_map(|row| Some((row, row.of(Rate)?.median)));
    let (best, _) = rates.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((
        format!("{ours} / {}", best.server),
        row.ratio(figure, best)?,
    ))
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
        for (name, ours, _, rivals, _) in all() {
            let scenario = scenarios.iter().find(|one| one.name == name);
            let scenario = scenario.expect("a scenario that is measured");
            for server in rivals.iter().chain([&ours]) {
                let one = contestant::find(server).expect("a server that exists");
                assert!(
                    one.takes_part(scenario) && need(scenario, server),
                    "{server} in {name}"
                );
            }
        }
    }

    /// The verdict in the line that has all of these parts.
    fn verdict<'a>(table: &'a str, parts: &[&str]) -> &'a str {
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        let line = table.lines().find(has_all);
        let line = line.unwrap_or_else(|| panic!("{parts:?} in\n{table}"));
        line.trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim()
    }

    #[test]
    fn table_tells_met_from_missed_and_from_unknown() {
        let rows = [
            row("64x1", OURS, &[230.0, 200.0, 210.0], 4.0),
            row("64x1", "tokio-task", &[200.0, 100.0, 100.0], 4.0),
            row("64x1", "c-mmsg", &[200.0, 100.0, 100.0], 3.0),
            row("one-wait60s", OURS, &[0.0], 3.0),
        ];
        let table = table(&rows).expect("three targets");
        let rate = ["rate/s: ours / tokio-task", " 2.10 ", " 1.15 ", "≥ 1.15"];
        assert_eq!(verdict(&table, &rate), "yes");
        assert_eq!(
            verdict(&table, &["CPU µs: ours / c-mmsg", " 1.33 ", "≤ 1.05"]),
            "NO"
        );
        assert_eq!(verdict(&table, &["wake-ups/s: ours", " 5.00 "]), "?");
        assert_eq!(super::table(&[]), None);
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
        verdict(
            &table,
            &["64x1-wait1ms ", "ours / std-pool", "×0.90 ", "×0.50 "],
        );
        verdict(&table, &["64x1-wait3ms-10%", "ours / mmsg-pool", "×1.30 "]);
        let all = |parts: [&str; 2]| verdict(&table, &["all 2 that wait", parts[0], parts[1]]);
        assert_eq!(all([" rate/s: ours", " 1.10 "]), "yes");
        assert_eq!(all(["least rate", " 0.90 "]), "NO");
        assert_eq!(all(["CPU µs: ours", " 0.75 "]), "yes");
    }
}
