//! What was measured, and what is made of it.

use std::time::Duration;

use load_generator::Tally;

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
    /// In the order of the table's columns.
    pub(crate) const ALL: [Self; 7] = [
        Self::Rate,
        Self::Loss,
        Self::Cpu,
        Self::P50,
        Self::P99,
        Self::Threads,
        Self::WakeUps,
    ];

    /// With its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate/s",
            Self::Loss => "lost %",
            Self::Cpu => "CPU µs",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::Threads => "threads",
            Self::WakeUps => "wake-ups/s",
        }
    }
}

/// All figures of one measurement, in the order of [`Figure::ALL`]; those that
/// mean nothing are NaN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample(pub(crate) [f64; 7]);

impl Sample {
    /// From the load's counts, and what the server had used before and after.
    pub(crate) fn loaded(tally: &Tally, before: Usage, after: Usage) -> Self {
        // With all of them marked as slow, there are no others to look at.
        let latency = if tally.latency.is_empty() {
            &tally.slow_latency
        } else {
            &tally.latency
        };
        let micros = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        Self([
            tally.rate(),
            100.0 * tally.loss(),
            cpu * 1e6 / tally.answered.max(1) as f64,
            micros(0.5),
            micros(0.99),
            after.threads as f64,
            wake_ups(before, after, tally.sending),
        ])
    }

    /// Of a server that nobody sends to.
    pub(crate) fn quiet(time: Duration, before: Usage, after: Usage) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / time.as_secs_f64();
        let (threads, wake_ups) = (after.threads as f64, wake_ups(before, after, time));
        Self([
            f64::NAN,
            f64::NAN,
            cpu,
            f64::NAN,
            f64::NAN,
            threads,
            wake_ups,
        ])
    }

    pub(crate) fn get(&self, figure: Figure) -> f64 {
        self.0[figure as usize]
    }
}

/// In a second.
fn wake_ups(before: Usage, after: Usage, time: Duration) -> f64 {
    // Those of a thread that has ended are lost.
    after.wake_ups.saturating_sub(before.wake_ups) as f64 / time.as_secs_f64()
}

/// All measurements of one server in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The server's name.
    pub(crate) contestant: &'static str,
    /// One for each round; `None` for one that failed.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why.
    pub(crate) problem: Option<String>,
}

impl Row {
    /// The middle one of the rounds.
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        let values = self.samples.iter().flatten();
        Spread::of(values.map(|sample| sample.get(figure))).map(|spread| spread.median)
    }

    /// In comparison with another row, round by round: those of one round are
    /// measured one after another, so a machine that has slow minutes slows both
    /// sides of each ratio.
    pub(crate) fn ratio(&self, figure: Figure, to: &Self) -> Option<Spread> {
        let rounds = self.samples.iter().zip(&to.samples);
        Spread::of(rounds.filter_map(|pair| match pair {
            (Some(one), Some(other)) => Some(one.get(figure) / other.get(figure)),
            _ => None,
        }))
    }

    /// In comparison with a number.
    pub(crate) fn over(&self, figure: Figure, number: f64) -> Option<Spread> {
        let values = self.samples.iter().flatten();
        Spread::of(values.map(|sample| sample.get(figure) / number))
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
pub(crate) fn find<'a>(rows: &'a [Row], scenario: &str, contestant: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.scenario == scenario && row.contestant == contestant)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row with these rates; each datagram costs `cpu` µs, and p99 is 1 ms.
    pub(crate) fn row(scenario: &str, contestant: &'static str, rates: &[f64], cpu: f64) -> Row {
        let sample = |&rate| Some(Sample([rate, 0.0, cpu, 100.0, 1_000.0, 3.0, 5.0]));
        Row {
            scenario: scenario.to_owned(),
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
    fn ratios_are_taken_within_a_round() {
        let mut ours = row("s", "ours", &[10.0, 20.0, 30.0], 2.0);
        let other = row("s", "x", &[5.0, 5.0, 30.0], 3.0);
        let ratio = |ours: &Row, figure| other.ratio(figure, ours).map(|spread| spread.median);
        assert_eq!(
            ratio(&ours, Figure::Rate),
            Some(0.5),
            "not that of the medians"
        );
        assert_eq!(ratio(&ours, Figure::Cpu), Some(1.5));
        assert_eq!(ratio(&ours, Figure::Loss), None, "nothing was lost");
        ours.samples[1] = None;
        let spread = other.ratio(Figure::Rate, &ours).expect("two rounds");
        assert_eq!((spread.least, spread.greatest, spread.count), (0.5, 1.0, 2));
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
        let usage = |micros, wake_ups| Usage {
            cpu: Duration::from_micros(micros),
            threads: 9,
            wake_ups,
        };
        let (before, after) = (usage(100, 10), usage(112, 30));
        let slow = Sample::loaded(&tally, before, after);
        let [rate, _, cpu, p50, _, threads, wake_ups] = slow.0;
        assert_eq!([rate, cpu, threads, wake_ups], [2.0, 3.0, 9.0, 10.0]);
        assert!((p50 - 10_000.0).abs() < 100.0);
        tally.latency.record(50_000).expect("in bounds");
        let mixed = Sample::loaded(&tally, before, after);
        assert!((mixed.get(Figure::P99) - 50.0).abs() < 1.0);
    }
}
