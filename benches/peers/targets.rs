//! What this crate is held to in comparison with others, and whether it is met.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::results::{Figure, Row, find};

/// A figure of one of our servers, compared with something, within a bound.
#[derive(Debug)]
pub(crate) struct Target {
    scenario: &'static str,
    figure: Figure,
    ours: &'static str,
    to: To,
    bound: Bound,
}

/// What the figure is divided by.
#[derive(Debug)]
enum To {
    /// The same figure of another server.
    Server(&'static str),
    /// A number that means something.
    Number(f64, &'static str),
}

/// Where the ratio should lie.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};
use Figure::{Cpu, P50, P99, Rate};
use To::{Number, Server};

/// All of them.
pub(crate) const ALL: [Target; 15] = [
    target("64x1-pinned", Cpu, "ours", Server("c-mmsg"), AtMost(1.10)),
    target("64x1", Cpu, "ours", Server("c-mmsg"), AtMost(1.10)),
    target("16x16", Cpu, "ours", Server("c-mmsg"), AtMost(0.90)),
    target("64x1", Rate, "ours", Server("tokio-task"), AtLeast(1.15)),
    target("64x1", Cpu, "ours", Server("tokio-task"), AtMost(0.85)),
    target("64x1", Rate, "ours", Server("py-threading"), AtLeast(20.0)),
    target(
        "64x1",
        Rate,
        "ours-forking",
        Server("py-forking"),
        AtLeast(100.0),
    ),
    target("1x1", P50, "ours", Server("c-mmsg"), AtMost(1.10)),
    target("1x1", Cpu, "ours", Server("c-mmsg"), AtMost(1.25)),
    target("1x1-pinned", Cpu, "ours", Server("c-mmsg"), AtMost(1.25)),
    target(
        "64x1-guarded",
        Rate,
        "ours-guarded",
        Server("ours"),
        AtLeast(0.9),
    ),
    target("64x1-cpu20", Rate, "ours", Server("ours-1"), AtLeast(1.4)),
    target(
        "1000-block10",
        Rate,
        "ours",
        Server("py-threading"),
        AtLeast(4.0),
    ),
    target("1000-block10", Rate, "ours", IDEAL, AtLeast(0.7)),
    target(
        "64x1-block1%",
        P99,
        "ours",
        Number(1_000.0, "1 ms"),
        AtMost(5.0),
    ),
];

/// What 256 handlers of 10 ms at a time could do if nothing else took time.
const IDEAL: To = Number(25_600.0, "256 at once / 10 ms");

const fn target(
    scenario: &'static str,
    figure: Figure,
    ours: &'static str,
    to: To,
    bound: Bound,
) -> Target {
    Target {
        scenario,
        figure,
        ours,
        to,
        bound,
    }
}

/// Whether any target is about this server in this scenario.
pub(crate) fn need(scenario: &str, contestant: &str) -> bool {
    ALL.iter().any(|target| {
        target.scenario == scenario
            && (target.ours == contestant
                || matches!(target.to, Server(other) if other == contestant))
    })
}

/// A line for each target that something was measured for, if there is any. One
/// repeat alone judges nothing: then there is no verdict, but a question mark.
pub(crate) fn table(rows: &[Row]) -> Option<String> {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["scenario", "figure", "measured", "repeats", "target", "met"]);
    for column in [2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for target in &ALL {
        let Some(ratio) = target.measure(rows) else {
            continue;
        };
        let range = target.range(rows);
        let range = range.map(|[least, greatest]| format!("{least:.2} to {greatest:.2}"));
        let met = match (&range, target.bound.holds(ratio)) {
            (None, _) => "?",
            (Some(_), true) => "yes",
            (Some(_), false) => "NO",
        };
        table.add_row([
            target.scenario.to_owned(),
            target.to_string(),
            format!("{ratio:.2}"),
            range.unwrap_or_else(|| "-".to_owned()),
            target.bound.to_string(),
            met.to_owned(),
        ]);
    }
    (table.row_count() > 0).then(|| table.to_string())
}

impl Target {
    /// The ratio, if both sides of it were measured.
    fn measure(&self, rows: &[Row]) -> Option<f64> {
        let ours = find(rows, self.scenario, self.ours)?;
        match self.to {
            Server(other) => ours.ratio(self.figure, find(rows, self.scenario, other)?),
            Number(number, _) => Some(ours.median(self.figure)? / number),
        }
    }

    /// The ratios of the single repeats, from the least to the greatest.
    fn range(&self, rows: &[Row]) -> Option<[f64; 2]> {
        let ours = find(rows, self.scenario, self.ours)?;
        match self.to {
            Server(other) => ours.ratio_range(self.figure, find(rows, self.scenario, other)?),
            Number(number, _) => Some(ours.range(self.figure)?.map(|value| value / number)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = match self.figure {
            Cpu => "CPU per datagram",
            Rate => "rate",
            P50 => "p50",
            other => other.title(),
        };
        let (Server(to) | Number(_, to)) = self.to;
        write!(f, "{figure}: {} / {to}", self.ours)
    }
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            AtMost(most) => ratio <= most,
            AtLeast(least) => ratio >= least,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtMost(most) => write!(f, "≤ {most:.2}"),
            AtLeast(least) => write!(f, "≥ {least:.2}"),
        }
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
mod tests {
    use super::*;
    use crate::results::tests::row;
    use crate::scenario;

    #[test]
    fn every_target_can_be_measured() {
        for target in &ALL {
            let mut scenarios = scenario::ALL.iter();
            let scenario = scenarios.find(|one| one.name == target.scenario);
            let scenario = scenario.unwrap_or_else(|| panic!("no scenario for {target}"));
            assert!(scenario.has(target.ours), "{target}");
            if let Server(other) = target.to {
                assert!(scenario.has(other), "{target}");
            }
        }
    }

    #[test]
    fn what_targets_need_is_both_sides() {
        assert!(need("64x1", "ours-forking"));
        assert!(need("64x1", "py-forking"));
        assert!(!need("64x1", "std-loop"));
        assert!(!need("16x16", "py-forking"));
    }

    #[test]
    fn table_tells_met_from_missed() {
        let rows = [
            row("64x1", "ours", &[230.0, 200.0, 210.0], 4.0),
            row("64x1", "tokio-task", &[200.0, 100.0, 100.0], 4.0),
        ];
        let table = table(&rows).expect("two targets");
        let lines: Vec<&str> = table.lines().skip(2).collect();
        let [rate, cpu] = lines[..] else {
            panic!("two targets in\n{table}");
        };
        for part in [
            "rate: ours / tokio-task",
            " 2.10 ",
            "1.15 to 2.10",
            "≥ 1.15",
            "yes",
        ] {
            assert!(rate.contains(part), "{part} in\n{table}");
        }
        for part in [
            "CPU per datagram: ours / tokio-task",
            " 1.00 ",
            "≤ 0.85",
            "NO",
        ] {
            assert!(cpu.contains(part), "{part} in\n{table}");
        }
    }

    #[test]
    fn one_repeat_alone_is_no_verdict() {
        let rows = [
            row("64x1", "ours", &[1.0], 4.0),
            row("64x1", "tokio-task", &[200.0], 4.0),
        ];
        let table = table(&rows).expect("two targets");
        assert_eq!(table.matches("| ?").count(), 2, "{table}");
        assert!(!table.contains("NO"), "{table}");
    }

    #[test]
    fn numbers_are_compared_with_as_they_are() {
        let rows = [
            row("64x1-block1%", "ours", &[1.0], 1.0),
            row("1000-block10", "ours", &[12_800.0, 25_600.0, 19_200.0], 1.0),
        ];
        let table = table(&rows).expect("two targets");
        let has = |parts: [&str; 2]| {
            let mut lines = table.lines();
            lines.any(|line| parts.iter().all(|part| line.contains(part)))
        };
        assert!(has(["ours / 1 ms", " 1.00 "]), "{table}");
        assert!(has(["at once", "0.50 to 1.00"]), "{table}");
        assert!(has(["at once", " 0.75 "]), "{table}");
    }

    #[test]
    fn nothing_measured_is_no_table() {
        assert_eq!(table(&[]), None);
        let failed = [
            row("64x1", "ours", &[], 0.0),
            row("64x1", "c-mmsg", &[], 0.0),
        ];
        assert_eq!(table(&failed), None);
    }
}
