//! Lines of a thread that must not wait for the logger.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use log::Level;

use super::Unlogged;

/// Writes each line on a thread of its own, few at a time: what comes while all of
/// them are blocked is counted, and the next line says how many that were. What the
/// system has no thread for is written by the next thread that it has, or by a worker
/// that has nothing in hand ([`catch_up`](Self::catch_up)).
#[derive(Debug)]
pub(crate) struct DetachedLog {
    /// Where errors go without a logger.
    unlogged: Unlogged,
    blocked: Arc<AtomicUsize>,
    held_back: AtomicU64,
    waiting: Arc<Waiting>,
    /// Of the threads; `None` for the usual one.
    stack_size: Option<usize>,
}

/// Lines that wait for a thread.
#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<VecDeque<Line>>,
    /// How many they are, for who looks often.
    count: AtomicUsize,
}

type Line = (Level, &'static str, String);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one more; whether the oldest had to go for it.
    fn push(&self, line: Line) -> bool {
        let mut lines = self.lock();
        let is_full = lines.len() == MOST_WAITING;
        if is_full {
            lines.pop_front();
        }
        lines.push_back(line);
        self.count.store(lines.len(), Relaxed);
        is_full
    }

    fn next(&self) -> Option<Line> {
        let mut lines = self.lock();
        let line = lines.pop_front();
        self.count.store(lines.len(), Relaxed);
        line
    }

    /// Writes all of them, with no lock held.
    fn write(&self, unlogged: Unlogged) {
        while let Some((level, module, line)) = self.next() {
            super::write_any(unlogged, level, module, format_args!("{line}"));
        }
    }
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
            waiting: Arc::default(),
            stack_size: None,
        }
    }

    /// Writes a line.
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
        if self.waiting.push((level, module, line)) {
            self.held_back.fetch_add(1, Relaxed);
        }
        let waiting = Arc::clone(&self.waiting);
        let unlogged = self.unlogged;
        let write = move || {
            waiting.write(unlogged);
            blocked.fetch_sub(1, Relaxed);
            let _ = written.send(());
        };
        let mut thread = thread::Builder::new().name("socketserver-log".to_owned());
        if let Some(bytes) = self.stack_size {
            thread = thread.stack_size(bytes);
        }
        if thread.spawn(write).is_err() {
            self.blocked.fetch_sub(1, Relaxed);
            return UnderWay::nothing();
        }
        UnderWay(under_way)
    }

    /// Writes what waits for a thread, on this one: for who may wait for the logger.
    pub(crate) fn catch_up(&self) {
        if self.waiting.count.load(Relaxed) > 0 {
            self.waiting.write(self.unlogged);
        }
    }
}

/// Threads that a logger may keep at the same time.
const MOST_BLOCKED: usize = 4;

/// Lines that wait for a thread: the youngest.
const MOST_WAITING: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_the_system_has_no_thread_for_is_written_by_the_next_that_it_has() {
        let mut log = DetachedLog::new(Unlogged::ToStderr);
        let long = Duration::from_secs(60);
        log.stack_size = Some(1 << 60);
        log.write(Level::Error, module_path!(), "no thread".to_owned())
            .wait(long);
        assert_eq!(log.waiting.lock().len(), 1, "this one has not written it");
        log.stack_size = None;
        log.write(Level::Error, module_path!(), "a thread".to_owned())
            .wait(long);
        assert!(log.waiting.lock().is_empty());
    }

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
