//! The screen, written by a thread of its own.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use rustyline::ExternalPrinter;

/// Where any thread may show a line, without ever waiting for the screen.
///
/// A terminal can be slow or stopped (Ctrl-S), and a pipe can be full. So lines
/// stand in a bounded queue; when it is full a line is left out, and the screen
/// says how many were.
#[derive(Clone)]
pub struct Screen {
    /// Towards the writing thread.
    queue: SyncSender<Job>,
    /// How many lines found the queue full since the screen last said so.
    missed: Arc<AtomicU64>,
}

impl Screen {
    /// Starts the thread that writes to `sink`. It ends after
    /// [`finish`](Self::finish), or when writing fails.
    pub fn start(sink: Sink) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE_LINES);
        let thread = thread::Builder::new()
            .name("screen".into())
            .spawn(move || write(sink, &jobs))?;
        let screen = Self {
            queue,
            missed: Arc::default(),
        };
        Ok((screen, thread))
    }

    /// Shows a line, or counts it as missed.
    pub fn show(&self, line: impl Into<String>) {
        if !(self.tell_missed() && self.offer(line.into())) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the thread end once it has written what was shown before. Waits
    /// for room in the queue.
    pub fn finish(&self) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let note = (missed > 0).then(|| Job::Line(missed_note(missed)));
        for job in note.into_iter().chain([Job::Finish]) {
            // An error means that the thread has ended already.
            let _ = self.queue.send(job);
        }
    }

    /// Shows, where lines are missing, how many are. Tells whether there is
    /// room for more.
    fn tell_missed(&self) -> bool {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed == 0 || self.offer(missed_note(missed)) {
            return true;
        }
        self.missed.fetch_add(missed, Ordering::Relaxed);
        false
    }

    /// Queues a line; `false` if the queue is full.
    fn offer(&self, line: String) -> bool {
        // Without a writer there is no screen any more, and nothing to be done.
        !matches!(
            self.queue.try_send(Job::Line(line)),
            Err(TrySendError::Full(_))
        )
    }
}

/// Where lines end up.
pub enum Sink {
    /// Standard output.
    Plain,
    /// The terminal, above the line that is being edited.
    Above(Box<dyn ExternalPrinter + Send>),
}

impl Sink {
    /// Writes one line.
    fn write(&mut self, line: String) -> io::Result<()> {
        if let Self::Above(printer) = self {
            if printer.print(line.clone() + "\n").is_ok() {
                return Ok(());
            }
            // The keyboard was closed while the line waited: nothing is being
            // edited any more.
            *self = Self::Plain;
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }
}

/// What the writing thread is asked to do.
enum Job {
    /// Write a line.
    Line(String),
    /// End.
    Finish,
}

/// Writes what is asked until told to end, or until it cannot.
fn write(mut sink: Sink, jobs: &Receiver<Job>) {
    while let Ok(Job::Line(line)) = jobs.recv() {
        if let Err(error) = sink.write(line) {
            log::warn!("nothing more is shown: {error}");
            return;
        }
    }
}

/// Says how many lines are missing.
fn missed_note(missed: u64) -> String {
    format!("* {missed} lines were not shown")
}

/// How many lines may wait for the screen.
const QUEUE_LINES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Sender;

    /// A terminal that is stopped after its first line, until it may go on.
    struct Stopped {
        shown: Sender<String>,
        go_on: Receiver<()>,
    }

    impl ExternalPrinter for Stopped {
        fn print(&mut self, line: String) -> rustyline::Result<()> {
            self.shown.send(line).map_err(io::Error::other)?;
            // An error lets it go on for good.
            let _ = self.go_on.recv();
            Ok(())
        }
    }

    #[test]
    fn a_stopped_terminal_stops_nobody_and_says_what_it_missed() {
        let (shown, lines) = mpsc::channel();
        let (let_go, go_on) = mpsc::channel();
        let sink = Sink::Above(Box::new(Stopped { shown, go_on }));
        let (screen, writer) = Screen::start(sink).expect("a thread");
        screen.show("first");
        assert_eq!(lines.recv().as_deref(), Ok("first\n"));

        for number in 0..QUEUE_LINES + 100 {
            screen.show(number.to_string());
        }
        drop(let_go);
        screen.finish();
        writer.join().expect("no panic");

        let expected = (0..QUEUE_LINES).map(|number| format!("{number}\n"));
        let note = "* 100 lines were not shown\n".to_owned();
        assert!(lines.iter().eq(expected.chain([note])));
    }
}
