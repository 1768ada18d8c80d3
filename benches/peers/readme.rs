//! The README's picture and table: ratios to this crate, no absolute figures,
//! which would be about the machine.

use std::fmt::Write as _;

use crate::contestant::OURS;
use crate::results::{Figure, Row, find};
use crate::scenario;

/// Where the picture is, in the package.
pub(crate) const PICTURE: &str = "assets/peers.svg";

/// Where the section begins and ends, in the README.
const BEGIN: &str = "<!-- peers: `cargo bench --bench peers -- --publish` writes what follows -->";
const END: &str = "<!-- peers: up to here -->";

/// The servers shown, and what they are called in public.
const SERVERS: [(&str, &str); 7] = [
    (OURS, "this crate"),
    ("ours-forking", "this crate, forking style"),
    ("c-mmsg", "C, loop over recvmmsg"),
    ("std-pool", "std, channel to 256 threads"),
    ("tokio-task", "tokio, task per datagram"),
    ("py-threading", "Python, ThreadingUDPServer"),
    ("py-asyncio", "Python, asyncio"),
];

/// What the picture compares: rates, so that longer is better throughout.
const PANELS: [Panel; 3] = [
    Panel {
        scenario: "64x1",
        title: ["64 clients,", "quick handler"],
    },
    Panel {
        scenario: "1000-block10",
        title: ["1,000 clients,", "every handler blocks 10 ms"],
    },
    Panel {
        scenario: "64x1-block1%",
        title: ["64 clients,", "1 % of handlers block 100 ms"],
    },
];

/// A column of bars.
struct Panel {
    scenario: &'static str,
    /// In two lines.
    title: [&'static str; 2],
}

/// A column of the table.
const COLUMNS: [(&str, Figure, &str); 4] = [
    ("64x1", Figure::Rate, "rate, quick handler ↑"),
    ("64x1", Figure::Cpu, "CPU per datagram ↓"),
    ("1000-block10", Figure::Rate, "rate, all block 10 ms ↑"),
    (
        "64x1-block1%",
        Figure::P99,
        "p99 of the others, 1 % block 100 ms ↓",
    ),
];

/// The picture, as SVG. Fails if something it compares was not measured.
pub(crate) fn picture(rows: &[Row]) -> Result<String, String> {
    let height = HEAD + SERVERS.len() as u32 * LINE + FOOT;
    let width = NAMES + PANELS.len() as u32 * PANEL + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Datagrams answered per second, as a multiple of this crate's</title>\n{STYLE}\n"
    );
    for (line, (_, name)) in SERVERS.iter().enumerate() {
        text(&mut svg, 0, middle(line), "", name);
    }
    for (column, panel) in PANELS.iter().enumerate() {
        let left = NAMES + column as u32 * PANEL;
        text(&mut svg, left, 14, "title", panel.title[0]);
        text(&mut svg, left, 30, "title", panel.title[1]);
        let ratios = SERVERS.map(|(server, _)| ratio(rows, panel.scenario, server, Figure::Rate));
        let mut longest = 1.0_f64;
        for ratio in &ratios {
            longest = longest.max(ratio.clone()?.unwrap_or(0.0));
        }
        for (line, ratio) in ratios.into_iter().enumerate() {
            let Some(ratio) = ratio? else {
                text(&mut svg, left, middle(line), "", NOT_IN_IT);
                continue;
            };
            let length = (ratio / longest * f64::from(BAR)).max(1.0);
            let class = if SERVERS[line].0.starts_with(OURS) {
                "ours"
            } else {
                "other"
            };
            let top = HEAD + line as u32 * LINE + 3;
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{length:.1}\" height=\"{}\"/>",
                LINE - 6
            );
            let after = left + length.ceil() as u32 + 5;
            text(&mut svg, after, middle(line), "", &short(ratio));
        }
    }
    let note = "Datagrams answered per second, as a multiple of this crate's; longer is better.";
    text(&mut svg, 0, height - 6, "", note);
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// The section between the two marks. Fails if something was not measured.
pub(crate) fn section(rows: &[Row], how: &str) -> Result<String, String> {
    let mut text = format!(
        "![Datagrams answered per second, as a multiple of this crate's]({PICTURE})\n\n\
         | as a multiple of this crate's |"
    );
    for (_, _, title) in COLUMNS {
        let _ = write!(text, " {title} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(COLUMNS.len()));
    for (server, name) in SERVERS.iter().skip(1) {
        let _ = write!(text, "\n| {name} |");
        for (scenario, figure, _) in COLUMNS {
            let ratio = ratio(rows, scenario, server, figure)?;
            let ratio = ratio.map_or(NOT_IN_IT.to_owned(), short);
            let _ = write!(text, " {ratio} |");
        }
    }
    let _ = write!(text, "\n\n{how}\n");
    Ok(text)
}

/// The README with another section. Fails if it has no place for it.
pub(crate) fn replace(readme: &str, section: &str) -> Result<String, String> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| format!("the README lacks\n{BEGIN}\nor, after it,\n{END}"))?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

/// `None` for a server that does not take part. Fails if one that does was not
/// measured.
fn ratio(
    rows: &[Row],
    scenario: &str,
    server: &str,
    figure: Figure,
) -> Result<Option<f64>, String> {
    let mut scenarios = scenario::ALL.iter();
    if !scenarios.any(|one| one.name == scenario && one.has(server)) {
        return Ok(None);
    }
    let measured = || {
        let ours = find(rows, scenario, OURS)?;
        find(rows, scenario, server)?.ratio(figure, ours)
    };
    match measured() {
        Some(ratio) => Ok(Some(ratio)),
        None => Err(format!("{server} was not measured in {scenario}")),
    }
}

/// In place of a ratio.
const NOT_IN_IT: &str = "–";

/// A ratio to two figures or so.
fn short(ratio: f64) -> String {
    match ratio {
        10.0.. => format!("{ratio:.0}"),
        0.1.. => format!("{ratio:.2}"),
        _ => format!("{ratio:.3}"),
    }
}

fn text(svg: &mut String, x: u32, y: u32, class: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"
    );
}

/// The base line of a line's text.
fn middle(line: usize) -> u32 {
    HEAD + line as u32 * LINE + LINE / 2 + 4
}

/// Colours that show on white and on black: what surrounds the picture is not
/// known to it, and what the system prefers may be something else.
const STYLE: &str = "<style>\n\
    text { font: 12px system-ui, sans-serif; fill: #6e7781 }\n\
    .title { font-weight: 600 }\n\
    .ours { fill: #d95f02 }\n\
    .other { fill: #8094c4 }\n\
    </style>";

/// Lengths in pixels. For the servers' names.
const NAMES: u32 = 180;
/// A panel, with the space after it.
const PANEL: u32 = 200;
/// For a title in a wider font.
const MARGIN: u32 = 20;
/// The longest bar; its figure comes after it.
const BAR: u32 = 150;
/// A bar with the space around it.
const LINE: u32 = 22;
/// Above the first bar.
const HEAD: u32 = 42;
/// Below the last one.
const FOOT: u32 = 28;

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
mod tests {
    use super::*;
    use crate::results::tests::row;

    fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for Panel { scenario, .. } in PANELS {
            let mut all = scenario::ALL.iter();
            let taking_part = all.find(|one| one.name == scenario).expect("it exists");
            for (index, (server, _)) in SERVERS.iter().enumerate() {
                if !taking_part.has(server) {
                    continue;
                }
                let rate = 1_000.0 / (index + 1) as f64;
                rows.push(row(scenario, server, &[rate], (index + 1) as f64));
            }
        }
        rows
    }

    #[test]
    fn everything_shown_is_measured_in_a_full_run() {
        for Panel { scenario, .. } in PANELS {
            assert!(scenario::ALL.iter().any(|one| one.name == scenario));
        }
        for (scenario, ..) in COLUMNS {
            assert!(PANELS.iter().any(|panel| panel.scenario == scenario));
        }
    }

    #[test]
    fn picture_has_a_bar_for_whoever_takes_part() {
        let svg = picture(&rows()).expect("all was measured");
        assert_eq!(svg.matches("<rect").count(), rows().len());
        assert!(
            svg.contains(&format!("width=\"{BAR}.0\"")),
            "the longest\n{svg}"
        );
        assert!(svg.contains(">0.50<"), "half of ours\n{svg}");
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
    }

    #[test]
    fn bars_longer_than_ours_still_fit() {
        let mut rows = rows();
        for row in &mut rows {
            if row.contestant == "tokio-task" {
                *row = self::row(row.scenario, "tokio-task", &[4_000.0], 1.0);
            }
        }
        let svg = picture(&rows).expect("all was measured");
        assert!(
            svg.contains(&format!("width=\"{BAR}.0\"")),
            "tokio's\n{svg}"
        );
        let ours = f64::from(BAR) / 4.0;
        assert!(svg.contains(&format!("width=\"{ours:.1}\"")), "ours\n{svg}");
    }

    #[test]
    fn what_was_not_measured_is_not_published() {
        let mut rows = rows();
        rows.pop();
        let why = "py-asyncio was not measured in 64x1-block1%";
        assert_eq!(picture(&rows), Err(why.to_owned()));
        assert_eq!(section(&rows, ""), Err(why.to_owned()));
    }

    #[test]
    fn who_takes_no_part_has_a_dash_and_no_bar() {
        let svg = picture(&rows()).expect("all was measured");
        assert_eq!(
            svg.matches(">–<").count(),
            1,
            "the loop where all block\n{svg}"
        );
    }

    #[test]
    fn table_has_ratios_and_no_rates() {
        let section = section(&rows(), "On this machine.").expect("all was measured");
        let line = "| C, loop over recvmmsg | 0.33 | 3.00 | – | 1.00 |";
        assert!(section.contains(line), "{section}");
        assert!(!section.contains("1000"), "{section}");
        assert!(section.ends_with("\n\nOn this machine.\n"), "{section}");
    }

    #[test]
    fn the_rest_of_the_readme_stays_as_it_is() {
        let before = format!("# Title\n{BEGIN}\nold\n{END}\n## Next\n");
        let after = replace(&before, "new\n").expect("it has the marks");
        assert_eq!(after, format!("# Title\n{BEGIN}\nnew\n{END}\n## Next\n"));
        assert_eq!(replace(&after, "new\n").as_deref(), Ok(&*after), "again");
        assert!(replace("# Title\n", "new\n").is_err());
        assert!(replace(&format!("{END}\n{BEGIN}"), "new\n").is_err());
    }

    #[test]
    fn the_readme_has_a_place_for_it() {
        let readme = include_str!("../../README.md");
        assert!(replace(readme, "").is_ok());
    }

    #[test]
    fn ratios_are_short() {
        let texts = [0.004, 0.25, 1.0, 9.994, 123.4].map(short);
        assert_eq!(texts, ["0.004", "0.25", "1.00", "9.99", "123"]);
    }
}
