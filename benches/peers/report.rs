//! What is shown and written when all is measured.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::contestant::OURS;
use crate::results::Row;
use crate::{chart, machine, output, readme, scenario, targets};

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) rows: &'a [Row],
    /// How often each server was measured in each scenario.
    pub(crate) repeats: usize,
    /// For how long each time.
    pub(crate) duration: Duration,
    /// The load average before and after.
    pub(crate) load: [String; 2],
}

impl Report<'_> {
    /// Prints the tables.
    pub(crate) fn print(&self) {
        for scenario in &scenario::ALL {
            if self.rows.iter().any(|row| row.scenario == scenario.name) {
                println!("\n{}: {}", scenario.name, scenario.what);
                println!("{}", output::table(scenario.name, self.rows));
            }
        }
        let [before, after] = &self.load;
        println!(
            "\nMedians of {} × {:.1?}; × is the ratio to {OURS} in the same round, ± half of what the repeats span.\n\
             Load average {before} before and {after} after.",
            self.repeats, self.duration,
        );
        if let Some(table) = targets::table(self.rows) {
            println!("\nWhat this crate is held to:\n{table}");
            if self.repeats < 2 {
                println!(
                    "? stands for no verdict: one repeat, and a brief one, means nothing here."
                );
            }
        }
    }

    /// Writes figures and pictures into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        if self.rows.iter().all(|row| row.samples.is_empty()) {
            return Ok(());
        }
        let (csv, svg) = (folder.join("peers.csv"), folder.join("peers.svg"));
        fs::write(&csv, output::csv(self.rows))?;
        chart::draw(&svg, self.rows)?;
        println!("{}\n{}", csv.display(), svg.display());
        if let Ok(picture) = readme::picture(self.rows) {
            let path = folder.join("readme.svg");
            fs::write(&path, picture)?;
            println!("{}", path.display());
        }
        Ok(())
    }

    /// Writes the README's picture and table anew, in the package itself.
    pub(crate) fn publish(&self) -> Result<(), Box<dyn Error>> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = package.join("README.md");
        let how = format!(
            "Medians of {} × {:.1} s, one datagram in flight per client. Server and load share {}.\n\
             Where handlers block, tokio and asyncio wait without a thread; a loop does not keep up (–).",
            self.repeats,
            self.duration.as_secs_f64(),
            machine::describe()?
        );
        let section = readme::section(self.rows, &how)?;
        let text = readme::replace(&fs::read_to_string(&path)?, &section)?;
        fs::write(package.join(readme::PICTURE), readme::picture(self.rows)?)?;
        fs::write(&path, text)?;
        println!("{} and {}", path.display(), readme::PICTURE);
        Ok(())
    }
}
