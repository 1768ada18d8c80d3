//! The table and the file of figures.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::results::{Figure, Row, ours};
use crate::{contestant, scenario};

/// The medians of one scenario, each with its ratio to ours and how far the
/// repeats lie apart.
pub(crate) fn table(scenario: &str, rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    let titles = Figure::ALL.map(Figure::title);
    table.set_header(["server"].iter().chain(&titles));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let ours = ours(rows, scenario);
    for row in rows.iter().filter(|row| row.scenario == scenario) {
        let mut cells = vec![row.contestant.to_owned()];
        if let Some(problem) = &row.problem {
            cells.push(problem.clone());
        } else {
            cells.extend(Figure::ALL.map(|figure| cell(row, figure, ours)));
        }
        table.add_row(cells);
    }
    table.to_string()
}

fn cell(row: &Row, figure: Figure, ours: Option<&Row>) -> String {
    let Some(median) = row.median(figure) else {
        return "-".to_owned();
    };
    let value = match figure {
        Figure::Rate => format!("{median:.0}"),
        Figure::Loss | Figure::Cpu => format!("{median:.2}"),
        Figure::P50 | Figure::P99 | Figure::P999 => format!("{median:.0}"),
    };
    // Mostly there is none, which nothing can be a ratio to.
    if figure == Figure::Loss {
        return value;
    }
    let ratio = ours.and_then(|ours| row.ratio(figure, ours));
    let ratio = ratio.map(|ratio| format!("×{ratio:.2}"));
    let spread = row.spread(figure);
    let spread = spread.map(|share| format!("±{:.0}%", 50.0 * share));
    let [ratio, spread] = [ratio, spread].map(Option::unwrap_or_default);
    format!("{value} {ratio:>7} {spread:>5}")
}

/// A line for each server in each scenario: medians, spreads and ratios to ours.
pub(crate) fn csv(rows: &[Row]) -> String {
    let mut csv = "scenario,server,repeats".to_owned();
    for name in NAMES {
        let _ = write!(csv, ",{name},{name}_spread,{name}_ratio");
    }
    csv.push('\n');
    for row in rows {
        let ours = ours(rows, row.scenario);
        let _ = write!(
            csv,
            "{},{},{}",
            row.scenario,
            row.contestant,
            row.samples.len()
        );
        for figure in Figure::ALL {
            let ratio = ours.and_then(|ours| row.ratio(figure, ours));
            for value in [row.median(figure), row.spread(figure), ratio] {
                let value = value.map(|value| format!("{value:.4}"));
                let _ = write!(csv, ",{}", value.unwrap_or_default());
            }
        }
        csv.push('\n');
    }
    csv
}

/// What the names of servers and scenarios stand for.
pub(crate) fn legend() -> String {
    let mut text = "Servers:\n".to_owned();
    for contestant in &contestant::ALL {
        let _ = writeln!(text, "  {:<14}{}", contestant.name, contestant.what);
    }
    text.push_str("Scenarios:\n");
    for scenario in &scenario::ALL {
        let _ = writeln!(text, "  {:<14}{}", scenario.name, scenario.what);
    }
    text
}

/// Of the figures, in the order of [`Figure::ALL`].
const NAMES: [&str; 6] = [
    "rate",
    "loss_percent",
    "cpu_us",
    "p50_us",
    "p99_us",
    "p999_us",
];

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
mod tests {
    use super::*;
    use crate::contestant::OURS;
    use crate::results::tests::row;

    fn rows() -> [Row; 3] {
        let mut failed = row("64x1", "py-udp", &[], 0.0);
        failed.problem = Some("no reply".to_owned());
        [
            row("64x1", OURS, &[1_000.0, 1_100.0, 900.0], 4.0),
            row("64x1", "c-mmsg", &[500.0], 8.0),
            failed,
        ]
    }

    #[test]
    fn table_has_medians_ratios_and_spreads() {
        let table = table("64x1", &rows());
        let line = |server: &str| {
            let mut lines = table.lines();
            let line = lines.find(|line| line.contains(server));
            line.unwrap_or_else(|| panic!("no {server} in\n{table}"))
        };
        assert!(line(OURS).contains("1000   ×1.00  ±10%"), "{table}");
        assert!(line("c-mmsg").contains("500   ×0.50"), "{table}");
        assert!(line("c-mmsg").contains("8.00   ×2.00"), "{table}");
        assert!(
            !line("c-mmsg").contains('±'),
            "one repeat has no spread\n{table}"
        );
        assert!(line("py-udp").contains("no reply"), "{table}");
    }

    #[test]
    fn table_has_only_its_scenario() {
        let elsewhere = [row("16x16", "std-loop", &[1.0], 1.0)];
        assert!(!table("64x1", &elsewhere).contains("std-loop"));
    }

    #[test]
    fn csv_has_as_many_fields_in_every_line() {
        let csv = csv(&rows());
        let fields = |line: &str| line.split(',').count();
        let mut lines = csv.lines();
        let head = lines.next().expect("a head");
        assert_eq!(fields(head), 3 + 3 * Figure::ALL.len());
        assert!(
            lines.clone().all(|line| fields(line) == fields(head)),
            "{csv}"
        );
        let ours = lines.next().expect("ours");
        assert!(
            ours.starts_with("64x1,ours,3,1000.0000,0.2000,1.0000,"),
            "{csv}"
        );
        let failed = lines.nth(1).expect("the one that failed");
        assert!(failed.starts_with("64x1,py-udp,0,,,"), "{csv}");
    }

    #[test]
    fn legend_names_everyone() {
        let legend = legend();
        for contestant in &contestant::ALL {
            assert!(legend.contains(contestant.name));
        }
        for scenario in &scenario::ALL {
            assert!(legend.contains(scenario.what));
        }
    }
}
