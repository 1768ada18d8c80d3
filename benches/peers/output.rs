//! The table and the file of figures.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::results::{Figure, Row, ours};
use crate::{contestant, scenario};

/// The medians of one scenario, each with its ratio to ours.
pub(crate) fn table(scenario: &str, rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    let titles = Figure::ALL.map(Figure::title);
    table.set_header(["server"].iter().chain(&titles).chain(&["spread"]));
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
            let spread = row.spread(Figure::Rate);
            cells.push(spread.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share)));
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
    match ours.and_then(|ours| row.ratio(figure, ours)) {
        Some(ratio) if figure != Figure::Loss => format!("{value} {:>7}", format!("×{ratio:.2}")),
        _ => value,
    }
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
