//! What was measured, and what is made of it.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use load_generator::Tally;

use crate::contestant::OURS;
use crate::process::Usage;

/// One figure of a server under a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Datagrams answered in a second.
    Rate,
    /// The share of datagrams lost, in per cent.
    Loss,
    /// The server's CPU time in microseconds for a datagram; without datagrams,
    /// for a second.
    Cpu,
    /// The median latency in microseconds; in a mix, of those that do not wait.
    P50,
    /// The latency that one in a hundred of these exceeds.
    P99,
    /// The threads of the server at the end.
    Threads,
    /// How often its threads were woken in a second.
    WakeUps,
}

impl Figure {
    /// With their units, in the order of the table's columns.
    pub(crate) const ALL: [(Self, &str); 7] = [
        (Self::Rate, "rate/s"),
        (Self::Loss, "lost %"),
        (Self::Cpu, "CPU µs"),
        (Self::P50, "p50 µs"),
        (Self::P99, "p99 µs"),
        (Self::Threads, "threads"),
        (Self::WakeUps, "wake-ups/s"),
    ];

    /// With its unit.
    pub(crate) fn title(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// All figures of one measurement, in the order of [`Figure::ALL`]; NaN if it
/// means nothing.
pub(crate) type Sample = [f64; 7];

/// From the load's counts, if there was a load, and what the server used in so
/// much time.
pub(crate) fn sample(tally: Option<&Tally>, time: Duration, used: Usage) -> Sample {
    let (cpu, seconds) = (used.cpu.as_secs_f64() * 1e6, time.as_secs_f64());
    let (threads, wake_ups) = (used.threads as f64, used.wake_ups as f64 / seconds);
    let none = f64::NAN;
    let Some(tally) = tally else {
        return [none, none, cpu / seconds, none, none, threads, wake_ups];
    };
    // With all of them marked as slow, there are no others to look at.
    let latency = match tally.latency.is_empty() {
        true => &tally.slow_latency,
        false => &tally.latency,
    };
    let micros = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    let (rate, loss) = (tally.rate(), 100.0 * tally.loss());
    let cpu = cpu / tally.answered.max(1) as f64;
    [
        rate,
        loss,
        cpu,
        micros(0.5),
        micros(0.99),
        threads,
        wake_ups,
    ]
}

/// All measurements of one server in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The server's name.
    pub(crate) server: &'static str,
    /// One for each round, or why there is none.
    pub(crate) rounds: Vec<Result<Sample, String>>,
}

impl Row {
    /// What the rounds say.
    pub(crate) fn of(&self, figure: Figure) -> Option<Spread> {
        let samples = self.rounds.iter().flatten();
        Spread::of(samples.map(|sample| sample[figure as usize]))
    }

    /// In comparison with another row, round by round: those of one round are
    /// measured one after another, so a machine that has slow minutes slows both
    /// sides of each ratio.
    pub(crate) fn ratio(&self, figure: Figure, to: &Self) -> Option<Spread> {
        let rounds = self.rounds.iter().zip(&to.rounds);
        Spread::of(rounds.filter_map(|(one, other)| {
            let [one, other] = [one, other].map(|round| round.as_ref().ok());
            Some(one?[figure as usize] / other?[figure as usize])
        }))
    }
}

/// What several rounds say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    /// The middle one, or what lies between the two there.
    pub(crate) median: f64,
    pub(crate) greatest: f64,
    /// How many there are.
    pub(crate) count: usize,
}

impl Spread {
    /// Of what is a number; `None` if nothing is.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let upper = values.get(count / 2)?;
        Some(Self {
            least: values[0],
            median: (values[(count - 1) / 2] + upper) / 2.0,
            greatest: values[count - 1],
            count,
        })
    }
}

/// The row of a server in a scenario, if it was measured.
pub(crate) fn find<'a>(rows: &'a [Row], scenario: &str, server: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.scenario == scenario && row.server == server)
}

/// A table with these titles, columns from the `right`th on aligned right.
pub(crate) fn empty_table(titles: &[&str], right: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(titles);
    for column in table.column_iter_mut().skip(right) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The medians of one scenario, each with its ratio to ours and how far the
/// rounds lie apart.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut titles = vec!["server"];
    titles.extend(Figure::ALL.map(|(_, title)| title));
    let mut table = empty_table(&titles, 1);
    let ours = rows.iter().find(|row| row.server == OURS);
    for row in rows {
        let mut cells = vec![row.server.to_owned()];
        match row.rounds.iter().find_map(|round| round.as_ref().err()) {
            Some(problem) => cells.push(problem.clone()),
            None => cells.extend(Figure::ALL.map(|(figure, _)| cell(row, figure, ours))),
        }
        table.add_row(cells);
    }
    table
}

fn cell(row: &Row, figure: Figure, ours: Option<&Row>) -> String {
    let Some(median) = row.of(figure).map(|spread| spread.median) else {
        return "-".to_owned();
    };
    let value = match figure {
        Figure::Loss | Figure::Cpu => format!("{median:.2}"),
        _ => format!("{median:.0}"),
    };
    match ours.and_then(|ours| row.ratio(figure, ours)) {
        Some(ratio) if figure != Figure::Threads && figure != Figure::WakeUps => {
            let span = ratio.greatest - ratio.least;
            let half = 50.0 * span / ratio.median.max(f64::EPSILON);
            format!("{value} ×{:<5.2}±{half:>2.0}%", ratio.median)
        }
        _ => value,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row with these rates; each datagram costs `cpu` µs, and p99 is 1 ms.
    pub(crate) fn row(scenario: &str, server: &'static str, rates: &[f64], cpu: f64) -> Row {
        let sample = |&rate| Ok([rate, 0.0, cpu, 100.0, 1_000.0, 3.0, 5.0]);
        Row {
            scenario: scenario.to_owned(),
            server,
            rounds: rates.iter().map(sample).collect(),
        }
    }

    #[test]
    fn median_is_the_middle_or_between_the_two_middles() {
        let of = |rates: &[f64]| row("s", "x", rates, 1.0).of(Figure::Rate);
        let median = |rates| of(rates).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0), "in any order");
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut ours = row("s", "ours", &[10.0, 20.0, 30.0], 2.0);
        let other = row("s", "x", &[5.0, 5.0, 30.0], 3.0);
        let ratio = |ours: &Row, figure| other.ratio(figure, ours).map(|spread| spread.median);
        assert_eq!(ratio(&ours, Figure::Rate), Some(0.5), "no medians' ratio");
        assert_eq!(ratio(&ours, Figure::Loss), None, "nothing was lost");
        ours.rounds[1] = Err("no reply".to_owned());
        let spread = other.ratio(Figure::Rate, &ours).expect("two rounds");
        assert_eq!([spread.least, spread.greatest], [0.5, 1.0]);
    }

    #[test]
    fn sample_looks_at_slow_datagrams_only_if_there_are_no_others() {
        let mut tally = Tally {
            answered: 4,
            answered_sending: 4,
            sending: Duration::from_secs(2),
            ..Tally::default()
        };
        tally.slow_latency.record(10_000_000).expect("in bounds");
        let used = Usage {
            cpu: Duration::from_micros(12),
            threads: 9,
            wake_ups: 20,
        };
        let [rate, _, cpu, p50, _, threads, wake_ups] = sample(Some(&tally), tally.sending, used);
        assert_eq!([rate, cpu, threads, wake_ups], [2.0, 3.0, 9.0, 10.0]);
        assert!((p50 - 10_000.0).abs() < 100.0);
        tally.latency.record(50_000).expect("in bounds");
        let mixed = sample(Some(&tally), tally.sending, used);
        assert!((mixed[Figure::P99 as usize] - 50.0).abs() < 1.0);
    }

    #[test]
    fn table_has_medians_ratios_and_spreads() {
        let mut failed = row("64x1", "asyncio", &[], 0.0);
        failed.rounds.push(Err("no reply".to_owned()));
        let rows = [
            row("64x1", OURS, &[1_000.0, 1_100.0, 900.0], 4.0),
            row("64x1", "c-mmsg", &[500.0, 660.0, 450.0], 8.0),
            failed,
        ];
        let table = table(&rows).to_string();
        for part in [
            "1000 ×1.00 ± 0%",
            "500 ×0.50 ±10%",
            "8.00 ×2.00",
            "no reply",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }
}
