//! What was measured, and what is made of it.

use std::time::Duration;

use crate::contestant::OURS;
use crate::load::Tally;

/// One figure of a server under a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Datagrams answered in a second.
    Rate,
    /// The share of datagrams lost, in per cent.
    Loss,
    /// The server's CPU time in microseconds for a datagram.
    Cpu,
    /// The median latency in microseconds.
    P50,
    /// The latency that one in a hundred exceeds.
    P99,
    /// The latency that one in a thousand exceeds.
    P999,
}

impl Figure {
    /// In the order of the table's columns.
    pub(crate) const ALL: [Self; 6] = [
        Self::Rate,
        Self::Loss,
        Self::Cpu,
        Self::P50,
        Self::P99,
        Self::P999,
    ];

    /// With its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate/s",
            Self::Loss => "lost %",
            Self::Cpu => "CPU µs",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
        }
    }
}

/// All figures of one measurement, in the order of [`Figure::ALL`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample([f64; 6]);

impl Sample {
    /// From the load's counts and the CPU time the server took meanwhile.
    pub(crate) fn new(tally: &Tally, cpu: Duration) -> Self {
        // With all of them marked as slow, there are no others to look at.
        let latency = if tally.latency.is_empty() {
            &tally.slow_latency
        } else {
            &tally.latency
        };
        let micros = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        Self([
            tally.rate(),
            100.0 * tally.loss(),
            cpu.as_secs_f64() * 1e6 / tally.answered.max(1) as f64,
            micros(0.5),
            micros(0.99),
            micros(0.999),
        ])
    }

    fn get(&self, figure: Figure) -> f64 {
        self.0[figure as usize]
    }
}

/// All measurements of one server in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// The server's name.
    pub(crate) contestant: &'static str,
    /// One for each repeat that worked.
    pub(crate) samples: Vec<Sample>,
    /// Why one did not.
    pub(crate) problem: Option<String>,
}

impl Row {
    /// The middle one of the repeats.
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        middle(&self.sorted(figure))
    }

    /// The least and the greatest of the repeats; of one alone there are none.
    pub(crate) fn range(&self, figure: Figure) -> Option<[f64; 2]> {
        ends(&self.sorted(figure))
    }

    /// From the least to the greatest of the repeats, as a share of the median.
    pub(crate) fn spread(&self, figure: Figure) -> Option<f64> {
        let [least, greatest] = self.range(figure)?;
        Some((greatest - least) / self.median(figure)?.max(f64::EPSILON))
    }

    /// In comparison with another row, if that is no division by nothing: the
    /// middle one of what the single repeats say. Those of one round are
    /// measured one after another, so a machine that has slow minutes slows
    /// both sides of each ratio.
    pub(crate) fn ratio(&self, figure: Figure, to: &Self) -> Option<f64> {
        middle(&self.ratios(figure, to))
    }

    /// The least and the greatest of the ratios of single repeats; of one alone
    /// there are none.
    pub(crate) fn ratio_range(&self, figure: Figure, to: &Self) -> Option<[f64; 2]> {
        ends(&self.ratios(figure, to))
    }

    /// The ratios of single repeats, sorted. Repeats of two servers belong
    /// together by their order.
    fn ratios(&self, figure: Figure, to: &Self) -> Vec<f64> {
        let pairs = self.samples.iter().zip(&to.samples);
        let mut ratios: Vec<f64> = pairs
            .map(|(ours, base)| ours.get(figure) / base.get(figure))
            .filter(|ratio| ratio.is_finite())
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    fn sorted(&self, figure: Figure) -> Vec<f64> {
        let mut values: Vec<f64> = self
            .samples
            .iter()
            .map(|sample| sample.get(figure))
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// The one in the middle, or what lies between the two there.
fn middle(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// The first and the last, if they are two.
fn ends(sorted: &[f64]) -> Option<[f64; 2]> {
    match *sorted {
        [first, .., last] => Some([first, last]),
        _ => None,
    }
}

/// The row that the others of its scenario are compared with, if it is there.
pub(crate) fn ours<'a>(rows: &'a [Row], scenario: &str) -> Option<&'a Row> {
    find(rows, scenario, OURS)
}

/// The row of a server in a scenario, if it was measured.
pub(crate) fn find<'a>(rows: &'a [Row], scenario: &str, contestant: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.scenario == scenario && row.contestant == contestant)
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
pub(crate) mod tests {
    use super::*;

    /// A row with these rates; each datagram costs `cpu` µs, and p99 is 1 ms.
    pub(crate) fn row(
        scenario: &'static str,
        contestant: &'static str,
        rates: &[f64],
        cpu: f64,
    ) -> Row {
        let sample = |&rate| Sample([rate, 0.0, cpu, 100.0, 1_000.0, 2_000.0]);
        Row {
            scenario,
            contestant,
            samples: rates.iter().map(sample).collect(),
            problem: None,
        }
    }

    #[test]
    fn median_is_the_middle_or_between_the_two_middles() {
        let median = |rates: &[f64]| row("s", "x", rates, 1.0).median(Figure::Rate);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0), "in any order");
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn spread_is_a_share_of_the_median() {
        let spread = |rates: &[f64]| row("s", "x", rates, 1.0).spread(Figure::Rate);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7.0]), None, "one alone has none");
        assert_eq!(spread(&[90.0, 120.0, 100.0]), Some(0.3));
    }

    #[test]
    fn ratio_is_the_middle_one_of_the_rounds() {
        let ours = row("s", OURS, &[10.0, 20.0, 30.0], 2.0);
        let other = row("s", "x", &[5.0, 5.0, 30.0], 3.0);
        let ratio = |figure| other.ratio(figure, &ours);
        assert_eq!(ratio(Figure::Rate), Some(0.5), "not that of the medians");
        assert_eq!(ratio(Figure::Cpu), Some(1.5));
        assert_eq!(ratio(Figure::Loss), None, "nothing was lost");
        let failed = row("s", "y", &[], 0.0);
        assert_eq!(failed.ratio(Figure::Rate, &ours), None);
        assert_eq!(ours.ratio(Figure::Rate, &failed), None);
    }

    #[test]
    fn ratios_of_repeats_belong_together_by_their_order() {
        let ours = row("s", OURS, &[10.0, 20.0, 40.0], 1.0);
        let other = row("s", "x", &[10.0, 10.0, 10.0], 1.0);
        let range = |figure, to| ours.ratio_range(figure, to);
        assert_eq!(range(Figure::Rate, &other), Some([1.0, 4.0]));
        let brief = row("s", "y", &[10.0], 1.0);
        assert_eq!(range(Figure::Rate, &brief), None, "only one pair");
        assert_eq!(range(Figure::Loss, &other), None, "nothing was lost");
    }

    #[test]
    fn rows_are_found_by_scenario_and_server() {
        let rows = [row("a", "x", &[], 0.0), row("b", OURS, &[], 0.0)];
        assert!(find(&rows, "a", "x").is_some());
        assert!(find(&rows, "b", "x").is_none());
        assert!(ours(&rows, "a").is_none());
        assert!(ours(&rows, "b").is_some());
    }

    #[test]
    fn sample_looks_at_slow_datagrams_only_if_there_are_no_others() {
        let mut tally = Tally::new();
        tally.sent = 4;
        tally.answered = 4;
        tally.answered_sending = 4;
        tally.sending = Duration::from_secs(2);
        tally.slow_latency.record(10_000_000).expect("in bounds");
        let cpu = Duration::from_micros(12);
        let slow = Sample::new(&tally, cpu);
        assert_eq!(slow.get(Figure::Rate), 2.0);
        assert_eq!(slow.get(Figure::Cpu), 3.0);
        assert!((slow.get(Figure::P50) - 10_000.0).abs() < 100.0);
        tally.latency.record(50_000).expect("in bounds");
        let mixed = Sample::new(&tally, cpu);
        assert!((mixed.get(Figure::P99) - 50.0).abs() < 1.0);
    }
}
