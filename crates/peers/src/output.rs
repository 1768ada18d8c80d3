//! The tables, the file of figures, and what they were measured on.

use std::fmt::Write as _;
use std::{fs, io, thread};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::contestant::{self, OURS};
use crate::results::{Figure, Row};
use crate::scenario;

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
pub(crate) fn table(rows: &[Row]) -> String {
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
    table.to_string()
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

/// A line for each server in each scenario and round.
pub(crate) fn csv(rows: &[Row]) -> String {
    let titles = Figure::ALL.map(|(_, title)| title);
    let mut csv = format!("scenario,server,round,{}\n", titles.join(","));
    for row in rows {
        for (round, sample) in row.rounds.iter().enumerate() {
            let values = sample.as_ref().unwrap_or(&[f64::NAN; 7]);
            let values = values.map(|value| format!("{value:.3}")).join(",");
            let _ = writeln!(csv, "{},{},{round},{values}", row.scenario, row.server);
        }
    }
    csv
}

/// What servers and scenarios there are.
pub(crate) fn legend() -> String {
    let mut text = "Servers:\n".to_owned();
    for one in contestant::ALL {
        let _ = writeln!(text, "  {:<20}{}", one.name, one.what);
    }
    let names: Vec<_> = scenario::all().into_iter().map(|one| one.name).collect();
    format!(
        "{text}Scenarios, and others like them:\n  {}\n",
        names.join("\n  ")
    )
}

/// The system's load over the last minute: what else the machine had to do.
pub(crate) fn load_average() -> io::Result<String> {
    let all = fs::read_to_string("/proc/loadavg")?;
    Ok(all.split(' ').next().unwrap_or_default().to_owned())
}

/// In a few words: how many CPUs of which kind, and which kernel.
pub(crate) fn machine() -> io::Result<String> {
    let cpus = thread::available_parallelism()?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let mut lines = cpuinfo.lines();
    // Not all architectures tell.
    let model = lines.find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let model = model.replace("(R)", "").replace("(TM)", "");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version: Vec<&str> = release.trim().splitn(3, '.').take(2).collect();
    Ok(format!(
        "{cpus} CPUs ({model}), Linux {}",
        version.join(".")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::row;

    #[test]
    fn table_has_medians_ratios_and_spreads() {
        let mut failed = row("64x1", "asyncio", &[], 0.0);
        failed.rounds.push(Err("no reply".to_owned()));
        let rows = [
            row("64x1", OURS, &[1_000.0, 1_100.0, 900.0], 4.0),
            row("64x1", "c-mmsg", &[500.0, 660.0, 450.0], 8.0),
            failed,
        ];
        let (table, csv) = (table(&rows), csv(&rows));
        for part in [
            "1000 ×1.00 ± 0%",
            "500 ×0.50 ±10%",
            "8.00 ×2.00",
            "no reply",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
        let mut fields = csv.lines().map(|line| line.split(',').count());
        assert!(fields.all(|count| count == 3 + 7), "{csv}");
        let machine = machine().expect("proc is mounted");
        assert!(machine.contains("CPUs (") && machine.contains("Linux "));
    }
}
