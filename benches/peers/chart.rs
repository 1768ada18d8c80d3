//! The figures as a picture: for each scenario how many datagrams a second, and
//! what one costs the server.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::results::{Figure, Row};
use crate::scenario;

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Writes the picture.
pub(crate) fn draw(path: &Path, rows: &[Row]) -> Drawn {
    let scenarios: Vec<_> = scenario::ALL
        .iter()
        .filter(|scenario| rows.iter().any(|row| row.scenario == scenario.name))
        .collect();
    let height_of = |name: &str| {
        let count = rows.iter().filter(|row| row.scenario == name).count() as i32;
        HEAD + count * LINE + FOOT
    };
    let height: i32 = scenarios
        .iter()
        .map(|scenario| height_of(scenario.name))
        .sum();
    let root = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut top = 0;
    for scenario in scenarios {
        let rows: Vec<&Row> = rows
            .iter()
            .filter(|row| row.scenario == scenario.name)
            .collect();
        write(&root, (PAD, top + 16), 14, HPos::Left, scenario.what)?;
        panel(
            &root,
            top,
            NAMES,
            "answered per second",
            Figure::Rate,
            &rows,
        )?;
        let middle = NAMES + BARS + GAP;
        panel(
            &root,
            top,
            middle,
            "CPU µs per datagram",
            Figure::Cpu,
            &rows,
        )?;
        for (index, row) in rows.iter().enumerate() {
            let y = line_top(top, index) + LINE / 2;
            write(&root, (NAMES - PAD, y), 12, HPos::Right, row.contestant)?;
        }
        top += height_of(scenario.name);
    }
    root.present()?;
    Ok(())
}

/// A bar for each server, the longest as long as there is room. Costs beyond
/// [`CUT`] times the least are cut and marked; else the others would not show.
fn panel(
    root: &Area<'_>,
    top: i32,
    left: i32,
    title: &str,
    figure: Figure,
    rows: &[&Row],
) -> Drawn {
    let values = || rows.iter().filter_map(|row| row.median(figure));
    let mut longest = values().fold(f64::EPSILON, f64::max);
    if figure == Figure::Cpu {
        longest = longest.min(CUT * values().fold(f64::INFINITY, f64::min));
    }
    write(root, (left, top + 36), 12, HPos::Left, title)?;
    for (index, row) in rows.iter().enumerate() {
        let Some(value) = row.median(figure) else {
            continue;
        };
        let y = line_top(top, index);
        let share = (value / longest).min(1.0);
        let right = left + ((share * f64::from(BARS - FIGURES)) as i32).max(1);
        let color = if row.contestant.starts_with("ours") {
            OURS
        } else {
            OTHERS
        };
        let corners = [(left, y + 2), (right, y + LINE - 2)];
        root.draw(&Rectangle::new(corners, color.filled()))?;
        let text = match figure {
            Figure::Rate => format!("{value:.0}"),
            _ if value > longest => format!("» {value:.0}"),
            _ => format!("{value:.2}"),
        };
        write(root, (right + 5, y + LINE / 2), 12, HPos::Left, &text)?;
    }
    Ok(())
}

fn line_top(top: i32, index: usize) -> i32 {
    top + HEAD + index as i32 * LINE
}

/// Writes text whose middle is at the height given.
fn write(root: &Area<'_>, at: (i32, i32), size: i32, side: HPos, text: &str) -> Drawn {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .pos(Pos::new(side, VPos::Center))
        .color(&BLACK);
    root.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// How many times the least cost has room.
const CUT: f64 = 12.0;
/// The colour of this crate's bars.
const OURS: RGBColor = RGBColor(0xD9, 0x5F, 0x02);
/// The colour of the others'.
const OTHERS: RGBColor = RGBColor(0x8D, 0xA0, 0xCB);
/// Lengths in pixels.
const WIDTH: i32 = NAMES + 2 * BARS + GAP + PAD;
const PAD: i32 = 8;
/// Where the names end and the bars begin.
const NAMES: i32 = 120;
/// The width of a panel.
const BARS: i32 = 380;
/// The part of a panel kept for the figure after the longest bar.
const FIGURES: i32 = 70;
/// Between the two panels.
const GAP: i32 = 20;
/// The height of a bar with the space around it.
const LINE: i32 = 18;
/// Above the first bar.
const HEAD: i32 = 48;
/// Below the last one.
const FOOT: i32 = 16;
