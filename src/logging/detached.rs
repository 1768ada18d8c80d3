//! Lines of a thread that must not wait for the logger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use log::Level;

use super::Unlogged;

/// Writes each line on a thread of its own, few at a time: what comes while all of
/// them are blocked is counted, and the next line says how many that were.
#[derive(Debug)]
pub(crate) struct DetachedLog {
    /// Where errors go without a logger.
    unlogged: Unlogged,
    blocked: Arc<AtomicUsize>,
    held_back: AtomicU64,
}

/// A line on its way to the log.
#[derive(Debug)]
pub(crate) struct UnderWay(Receiver<()>);

impl UnderWay {
    /// No line: nobody waits for it.
    fn nothing() -> Self {
        let (_, ended) = bounded(0);
        Self(ended)
    }

    /// Waits until it is written, at most so long.
    pub(crate) fn wait(self, most: Duration) {
        let _ = self.0.recv_timeout(most);
    }
}

impl DetachedLog {
    pub(crate) fn new(unlogged: Unlogged) -> Self {
        Self {
            unlogged,
            blocked: Arc::default(),
            held_back: AtomicU64::new(0),
        }
    }

    /// Writes a line. Where the system refuses a thread, the caller's has to do.
    pub(crate) fn write(&self, level: Level, module: &'static str, line: String) -> UnderWay {
        if !self.unlogged.wants(level) {
            return UnderWay::nothing();
        }
        if self.blocked.load(Relaxed) >= MOST_BLOCKED {
            self.held_back.fetch_add(1, Relaxed);
            return UnderWay::nothing();
        }
        let line = match self.held_back.swap(0, Relaxed) {
            0 => line,
            count => format!("{line} ({count} lines before were held back)"),
        };
        let (written, under_way) = bounded(1);
        let blocked = Arc::clone(&self.blocked);
        blocked.fetch_add(1, Relaxed);
        let line = Arc::new(line);
        let same = Arc::clone(&line);
        let unlogged = self.unlogged;
        let write = move || {
            super::write_any(unlogged, level, module, format_args!("{same}"));
            blocked.fetch_sub(1, Relaxed);
            let _ = written.send(());
        };
        let thread = thread::Builder::new().name("socketserver-log".to_owned());
        if thread.spawn(write).is_err() {
            self.blocked.fetch_sub(1, Relaxed);
            super::write_any(unlogged, level, module, format_args!("{line}"));
        }
        UnderWay(under_way)
    }
}

/// Threads that a logger may keep at the same time.
const MOST_BLOCKED: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn nobody_waits_for_a_line_that_is_held_back() {
        let log = DetachedLog::new(Unlogged::Dropped);
        log.blocked.store(MOST_BLOCKED, Relaxed);
        let (began, long) = (Instant::now(), Duration::from_secs(60));
        log.write(Level::Error, module_path!(), "held back".to_owned())
            .wait(long);
        assert!(began.elapsed() < long / 2);
    }
}
