//! What was measured, and what is made of it.

use std::time::Duration;

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
        let sorted = self.sorted(figure);
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle)?;
        let lower = sorted[(sorted.len() - 1) / 2];
        Some((lower + upper) / 2.0)
    }

    /// From the least to the greatest of the repeats, as a share of the median;
    /// of one alone there is none.
    pub(crate) fn spread(&self, figure: Figure) -> Option<f64> {
        let sorted = self.sorted(figure);
        let [least, .., greatest] = &sorted[..] else {
            return None;
        };
        Some((greatest - least) / self.median(figure)?.max(f64::EPSILON))
    }

    /// In comparison with another row, if that is no division by nothing.
    pub(crate) fn ratio(&self, figure: Figure, to: &Self) -> Option<f64> {
        let base = to.median(figure).filter(|base| *base > 0.0)?;
        Some(self.median(figure)? / base)
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

/// The row that the others of its scenario are compared with, if it is there.
pub(crate) fn ours<'a>(rows: &'a [Row], scenario: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.scenario == scenario && row.contestant == crate::contestant::ALL[0].name)
}
