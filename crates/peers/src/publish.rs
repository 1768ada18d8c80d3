//! The README's picture and table: ratios to this crate, no absolute figures,
//! which would be about the machine.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{env, fs, thread};

use procfs::sys::kernel::Version;
use procfs::{CpuInfo, Current as _};

use crate::contestant::{ASYNC, Contestant, FORKING, OURS};
use crate::results::{Figure, Row, find};
use crate::scenario::Scenario;

/// Where the picture is, in the package.
const PICTURE: &str = "assets/peers.svg";
/// Where the section begins and ends, in the README.
const BEGIN: &str = "<!-- peers: `cargo bench --bench peers -- --publish` writes what follows -->";
const END: &str = "<!-- peers: up to here -->";

/// The servers shown, and what they are called in public.
const SERVERS: [(&str, &str); 9] = [
    (OURS, "this crate"),
    (FORKING, "this crate, forking style"),
    (ASYNC, "this crate, tasks on tokio"),
    ("c-mmsg", "C, loop over recvmmsg"),
    ("std-pool", "std, channel to 256 threads"),
    ("std-threads", "std, 256 threads in recv_from"),
    ("tokio-task", "tokio, task per datagram"),
    ("ThreadingUDPServer", "Python, ThreadingUDPServer"),
    ("asyncio", "Python, asyncio"),
];

/// What the picture compares, each title in two lines: rates, so that longer is
/// better throughout.
const PANELS: [(&str, [&str; 2]); 3] = [
    ("64x1", ["64 clients,", "quick handler"]),
    (
        "500x1-wait1ms",
        ["500 clients,", "every handler waits 1 ms"],
    ),
    (
        "64x1-wait10ms-10%",
        ["64 clients,", "one handler in ten waits 10 ms"],
    ),
];

/// The columns of the table.
const COLUMNS: [(&str, Figure, &str); 5] = [
    ("64x1", Figure::Rate, "rate, quick handler ↑"),
    ("64x1", Figure::Cpu, "CPU per datagram ↓"),
    ("500x1-wait1ms", Figure::Rate, "rate, all wait 1 ms ↑"),
    (
        "64x1-wait10ms-10%",
        Figure::Rate,
        "rate, one in ten waits 10 ms ↑",
    ),
    ("64x1-wait10ms-10%", Figure::P99, "p99 of the others ↓"),
];

/// Whether a server has to be measured in a scenario.
pub(crate) fn shows(scenario: &Scenario, server: &Contestant) -> bool {
    PANELS.iter().any(|(name, _)| *name == scenario.name)
        && SERVERS.iter().any(|(name, _)| *name == server.name)
}

/// Writes the README's picture and table anew, in the package itself.
pub(crate) fn publish(
    rows: &[Row],
    rounds: usize,
    duration: Duration,
) -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = package.join("README.md");
    let how = format!(
        "Medians of {rounds} × {duration:?}, one datagram in flight per client. Server and load \
         share {}.\nWhere handlers wait, tokio and asyncio wait without a thread.",
        machine()?
    );
    let text = replace(&fs::read_to_string(&path)?, &section(rows, &how)?)?;
    fs::write(package.join(PICTURE), picture(rows)?)?;
    fs::write(&path, text)?;
    println!("README.md and {PICTURE} are written anew");
    Ok(())
}

/// In a few words: how many CPUs of which kind, and which kernel.
fn machine() -> Result<String, Box<dyn Error>> {
    let cpus = thread::available_parallelism()?;
    let cpu = CpuInfo::current()?;
    // Not all architectures tell.
    let model = cpu.model_name(0).unwrap_or(env::consts::ARCH);
    let model = model.replace("(R)", "").replace("(TM)", "");
    let Version { major, minor, .. } = Version::current()?;
    Ok(format!("{cpus} CPUs ({model}), Linux {major}.{minor}"))
}

/// The picture, as SVG. Fails if something it compares was not measured.
fn picture(rows: &[Row]) -> Result<String, String> {
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
    for (column, (scenario, title)) in PANELS.iter().enumerate() {
        let left = NAMES + column as u32 * PANEL;
        text(&mut svg, left, 14, "title", title[0]);
        text(&mut svg, left, 30, "title", title[1]);
        let ratios = SERVERS.map(|(server, _)| ratio(rows, scenario, server, Figure::Rate));
        let ratios: Vec<f64> = ratios.into_iter().collect::<Result<_, _>>()?;
        let longest = ratios.iter().copied().fold(1.0, f64::max);
        for (line, ratio) in ratios.into_iter().enumerate() {
            let length = (ratio / longest * f64::from(BAR)).max(1.0);
            let is_ours = SERVERS[line].0.starts_with(OURS);
            let class = if is_ours { "ours" } else { "other" };
            let (top, height) = (HEAD + line as u32 * LINE + 3, LINE - 6);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{length:.1}\" \
                 height=\"{height}\"/>"
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
fn section(rows: &[Row], how: &str) -> Result<String, String> {
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
            let _ = write!(text, " {} |", short(ratio(rows, scenario, server, figure)?));
        }
    }
    let _ = write!(text, "\n\n{how}\n");
    Ok(text)
}

/// The README with another section. Fails if it has no place for it.
fn replace(readme: &str, section: &str) -> Result<String, String> {
    let place = || {
        let (before, rest) = readme.split_once(BEGIN)?;
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}\n{section}{END}{after}"))
    };
    place().ok_or_else(|| format!("the README lacks\n{BEGIN}\nor, after it,\n{END}"))
}

/// Fails if it was not measured.
fn ratio(rows: &[Row], scenario: &str, server: &str, figure: Figure) -> Result<f64, String> {
    let measured = || {
        let ours = find(rows, scenario, OURS)?;
        find(rows, scenario, server)?.ratio(figure, ours)
    };
    let ratio = measured().map(|ratio| ratio.median);
    ratio.ok_or_else(|| format!("{server} was not measured in {scenario}"))
}

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

/// Lengths in pixels: for the servers' names, of a panel with the space after it,
/// for a title in a wider font, of the longest bar, of a bar with the space
/// around it, above the first bar, and below the last one.
const NAMES: u32 = 190;
const PANEL: u32 = 200;
const MARGIN: u32 = 20;
const BAR: u32 = 150;
const LINE: u32 = 22;
const HEAD: u32 = 42;
const FOOT: u32 = 28;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant;
    use crate::results::tests::row;
    use crate::scenario;

    /// Everyone half as quick as the one before, and ours in the beginning.
    fn rows() -> Vec<Row> {
        let cells = PANELS.iter().flat_map(|(scenario, _)| {
            let servers = SERVERS.iter().enumerate();
            servers.map(|(index, (server, _))| {
                let rate = 1_000.0 / (index + 1) as f64;
                row(scenario, server, &[rate], (index + 1) as f64)
            })
        });
        cells.collect()
    }

    #[test]
    fn what_is_shown_can_be_measured() {
        for (name, _) in PANELS {
            let scenario = scenario::all().into_iter().find(|one| one.name == name);
            let scenario = scenario.expect("a scenario that is measured");
            for (server, _) in SERVERS {
                let server = contestant::find(server).expect("a server that exists");
                assert!(shows(&scenario, server) && server.is_able(&scenario));
            }
        }
        for (scenario, ..) in COLUMNS {
            assert!(PANELS.iter().any(|(panel, _)| *panel == scenario));
        }
    }

    #[test]
    fn picture_has_bars_that_fit() {
        let mut rows = rows();
        let svg = picture(&rows).expect("all was measured");
        assert_eq!(svg.matches("<rect").count(), rows.len());
        assert!(svg.contains(&format!("width=\"{BAR}.0\"")), "ours\n{svg}");
        assert!(svg.contains(">0.50<"), "half of ours\n{svg}");
        rows[6] = row("64x1", "tokio-task", &[4_000.0], 1.0);
        let svg = picture(&rows).expect("all was measured");
        let ours = f64::from(BAR) / 4.0;
        assert!(svg.contains(&format!("width=\"{ours:.1}\"")), "ours\n{svg}");
    }

    #[test]
    fn table_has_ratios_and_no_rates() {
        let mut rows = rows();
        let section = section(&rows, "On this machine.").expect("all was measured");
        let line = "| C, loop over recvmmsg | 0.25 | 4.00 | 0.25 | 0.25 | 1.00 |";
        assert!(section.contains(line), "{section}");
        assert!(section.ends_with("\n\nOn this machine.\n"), "{section}");
        let machine = machine().expect("proc is mounted");
        assert!(machine.contains("CPUs (") && machine.contains("Linux "));
        rows.pop();
        let why = "asyncio was not measured in 64x1-wait10ms-10%";
        assert_eq!(picture(&rows), Err(why.to_owned()));
        assert_eq!(super::section(&rows, ""), Err(why.to_owned()));
        let texts = [0.004, 0.25, 9.994, 123.4].map(short);
        assert_eq!(texts, ["0.004", "0.25", "9.99", "123"]);
    }

    #[test]
    fn the_rest_of_the_readme_stays_as_it_is() {
        let before = format!("# Title\n{BEGIN}\nold\n{END}\n## Next\n");
        let after = replace(&before, "new\n").expect("it has the marks");
        assert_eq!(after, format!("# Title\n{BEGIN}\nnew\n{END}\n## Next\n"));
        assert!(replace("# Title\n", "new\n").is_err());
        assert!(replace(include_str!("../../../README.md"), "").is_ok());
    }
}
