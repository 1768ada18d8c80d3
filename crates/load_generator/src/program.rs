//! The example `udp_load`: what is seen of a load, the warning, the progress
//! bar, the counts.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use nix::errno::Errno;

use crate::options::Options;
use crate::{Plan, Progress, Tally, Wish, report};

/// The program: success if there was a reply and none was wrong.
pub fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(tally) if tally.answered > 0 && tally.wrong == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("udp_load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says, and shows it.
fn run(options: &Options) -> Result<Tally, Box<dyn Error>> {
    let plan = options.plan()?;
    if !plan.server.ip().is_loopback() {
        eprintln!(
            "udp_load: warning: {} is not on this machine; put load only on what is yours, \
             and mind the network between",
            plan.server
        );
    }
    let signals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&signals);
    ctrlc::set_handler(move || {
        count.fetch_add(1, Ordering::Relaxed);
    })?;
    let bar = if options.quiet || options.json {
        ProgressBar::hidden()
    } else {
        bar(&plan)
    };
    let mut rate = Rate::default();
    let tally = crate::run(&plan, &mut |progress| {
        bar.set_position(progress.elapsed.as_millis() as u64);
        bar.set_message(rate.message(progress));
        match signals.load(Ordering::Relaxed) {
            0 => Wish::GoOn,
            1 => Wish::WindUp,
            _ => Wish::End,
        }
    })
    .map_err(|error| explain(error, &plan))?;
    bar.finish_and_clear();
    if options.json {
        println!("{}", report::json(&plan, &tally));
    } else {
        print!("{}", report::text(&plan, &tally));
    }
    for warning in report::warnings(&plan, &tally) {
        eprintln!("udp_load: {warning}");
    }
    Ok(tally)
}

/// Says which option asked for more than there is.
fn explain(error: io::Error, plan: &Plan) -> Box<dyn Error> {
    if error.raw_os_error() == Some(Errno::EMFILE as i32) {
        let peers = plan.peers;
        return format!(
            "{error}: --peers {peers} needs a socket for each; ask for fewer, or allow more \
             (ulimit -n)"
        )
        .into();
    }
    error.into()
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
