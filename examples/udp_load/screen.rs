//! What is seen of a load: the warning, the progress bar, the counts.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::{self, Plan, Progress, Tally};
use crate::options::Options;
use crate::report;

/// Does what the command line says, and shows it.
pub(crate) fn run(options: &Options) -> Result<Tally, Box<dyn Error>> {
    let plan = options.plan()?;
    if !plan.server.ip().is_loopback() {
        eprintln!(
            "udp_load: warning: {} is not on this machine; put load only on what is yours, \
             and mind the network between",
            plan.server
        );
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    let bar = if options.quiet || options.json {
        ProgressBar::hidden()
    } else {
        bar(&plan)
    };
    let mut rate = Rate::default();
    let tally = load::run(&plan, &mut |progress| {
        bar.set_position(progress.elapsed.as_millis() as u64);
        bar.set_message(rate.message(progress));
        !interrupted.load(Ordering::Relaxed)
    })?;
    bar.finish_and_clear();
    if options.json {
        println!("{}", report::json(&plan, &tally));
    } else {
        print!("{}", report::text(&plan, &tally));
        if let Some(hint) = report::hint(&plan, &tally) {
            println!("{hint}");
        }
    }
    Ok(tally)
}

fn bar(plan: &Plan) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}")
        .expect("a template that makes sense")
        .progress_chars("=> ");
    ProgressBar::new(plan.duration.as_millis() as u64).with_style(style)
}

/// The rate since the last look.
#[derive(Debug, Default)]
struct Rate {
    answered: u64,
    at: Duration,
}

impl Rate {
    fn message(&mut self, progress: &Progress<'_>) -> String {
        let tally = progress.tally;
        let elapsed = progress.elapsed.saturating_sub(self.at).as_secs_f64();
        let rate = (tally.answered - self.answered) as f64 / elapsed.max(0.001);
        self.answered = tally.answered;
        self.at = progress.elapsed;
        format!(
            "{rate:.0}/s, lost {}, duplicates {}, wrong {}",
            tally.lost, tally.duplicates, tally.wrong
        )
    }
}
