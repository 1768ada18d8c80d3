//! What processes share of their counters: a row for each child there may be, in
//! memory that all of them see. A row has one writer at a time: its child, and once
//! that is dead the parent.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use crate::stats::Stats;
use crate::sys::SharedWords;

/// All rows, and a few words of the parent's.
#[derive(Debug)]
pub(super) struct Rows {
    words: SharedWords,
    counters: usize,
    stride: usize,
}

/// One child's row, which outlives it: the next one goes on with the counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// In the order of [`Stats::counters`]: what was received comes last, so that
    /// who reads all of it in this order never sees more settled than received.
    counters: &'a [AtomicU64],
    /// Since when the child is in a handler, in ns and one more; 0 at rest.
    since: &'a AtomicU64,
    /// How it leaves of its own accord.
    leaving: &'a AtomicU64,
}

/// How a child leaves of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It was told to.
    Told = 1,
    /// It has dealt with as many datagrams as it may.
    Recycled = 2,
}

impl Rows {
    pub(super) fn new(rows: usize) -> io::Result<Self> {
        let counters = Stats::counter_count();
        // Whole pairs of cache lines for each.
        let stride = (counters + 2).next_multiple_of(LINE_PAIR);
        Ok(Self {
            words: SharedWords::new(LINE_PAIR + rows * stride)?,
            counters,
            stride,
        })
    }

    pub(super) fn row(&self, at: usize) -> Row<'_> {
        let start = LINE_PAIR + at * self.stride;
        let words = &self.words.all()[start..start + self.stride];
        Row {
            counters: &words[..self.counters],
            since: &words[self.counters],
            leaving: &words[self.counters + 1],
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let count = (self.words.all().len() - LINE_PAIR) / self.stride;
        (0..count).map(|at| self.row(at))
    }

    /// Tells all processes that the server is to stop.
    pub(super) fn stop(&self) {
        self.words.all()[STOP].store(1, Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.words.all()[STOP].load(Relaxed) != 0
    }

    /// The parent says how many children there are.
    pub(super) fn set_children(&self, count: usize) {
        let words = self.words.all();
        words[CHILDREN].store(count as u64, Relaxed);
        words[PEAK].fetch_max(count as u64, Relaxed);
    }

    /// Children that are in a handler.
    pub(super) fn busy(&self) -> usize {
        self.rows().filter(|row| row.busy_since().is_some()).count()
    }

    /// Adds all rows to a snapshot.
    pub(super) fn add_to(&self, stats: &mut Stats) {
        stats.busy_workers = 0;
        for row in self.rows() {
            let mut own = row.read();
            // Only once all fates of all rows are read: see `WorkerTally::add_fates`.
            own.received = 0;
            add(stats, own);
            if let Some(since) = row.busy_since() {
                let age = stats.uptime.saturating_sub(since);
                stats.oldest_in_flight = stats.oldest_in_flight.max(age);
                stats.busy_workers += 1;
            }
        }
        stats.received += self.rows().map(|row| row.received()).sum::<u64>();
        let words = self.words.all();
        stats.workers = words[CHILDREN].load(Relaxed) as usize;
        stats.peak_workers = words[PEAK].load(Relaxed) as usize;
    }
}

impl Row<'_> {
    /// A child's first step.
    pub(super) fn take_over(&self) {
        self.leaving.store(0, Relaxed);
        self.since.store(0, Relaxed);
    }

    /// A child has received so many of so many bytes with one call, and begins to handle
    /// them at this time.
    pub(super) fn begin(&self, count: u64, bytes: u64, now: Duration) {
        let last = self.counters.len() - 3;
        for (word, by) in self.counters[last..].iter().zip([1, bytes, count]) {
            word.store(word.load(Relaxed) + by, Release);
        }
        self.since.store(now.as_nanos() as u64 + 1, Relaxed);
    }

    /// Writes the counters of a child, at rest.
    pub(super) fn publish(&self, stats: &mut Stats) {
        for (word, count) in self.counters.iter().zip(stats.counters()) {
            word.store(*count, Release);
        }
        self.since.store(0, Release);
    }

    pub(super) fn read(&self) -> Stats {
        let mut stats = Stats::default();
        for (word, count) in self.counters.iter().zip(stats.counters()) {
            *count = word.load(Acquire);
        }
        stats
    }

    pub(super) fn received(&self) -> u64 {
        self.counters[self.counters.len() - 1].load(Acquire)
    }

    /// Since when the child is in a handler.
    pub(super) fn busy_since(&self) -> Option<Duration> {
        let since = self.since.load(Acquire).checked_sub(1)?;
        Some(Duration::from_nanos(since))
    }

    pub(super) fn say_leave(&self, how: Leave) {
        self.leaving.store(how as u64, Relaxed);
    }

    pub(super) fn leave_said(&self) -> Option<Leave> {
        [Leave::Told, Leave::Recycled]
            .into_iter()
            .find(|how| *how as u64 == self.leaving.load(Relaxed))
    }

    /// The child is dead: what it had received and not settled is lost, and counted
    /// where `cause` says. Returns the row's counters.
    pub(super) fn close(&self, cause: impl FnOnce(&mut Stats) -> &mut u64) -> Stats {
        let mut stats = self.read();
        let lost = stats.received.saturating_sub(stats.settled());
        *cause(&mut stats) += lost;
        self.publish(&mut stats);
        stats
    }
}

/// Adds what was counted elsewhere.
pub(super) fn add(stats: &mut Stats, mut other: Stats) {
    for (sum, count) in stats.counters().zip(other.counters()) {
        *sum += *count;
    }
}

/// Takes off what was there before.
pub(super) fn subtract(stats: &mut Stats, mut before: Stats) {
    for (rest, count) in stats.counters().zip(before.counters()) {
        *rest = rest.saturating_sub(*count);
    }
}

/// 128 bytes, as processors fetch lines in pairs.
const LINE_PAIR: usize = 16;
const STOP: usize = 0;
const CHILDREN: usize = 1;
const PEAK: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows, where there can be any.
    fn rows(count: usize) -> Option<Rows> {
        crate::sys::PROCESSES.then(|| Rows::new(count).expect("a page"))
    }

    #[test]
    fn every_counter_has_a_word_and_what_was_received_has_the_last() {
        let Some(rows) = rows(2) else { return };
        let mut stats = Stats::default();
        for (count, counter) in (1..).zip(stats.counters()) {
            *counter = count;
        }
        rows.row(1).publish(&mut stats);
        assert_eq!(rows.row(1).read(), stats);
        assert_eq!(rows.row(1).received(), stats.received);
        let mut sum = Stats::default();
        rows.row(0).publish(&mut stats);
        rows.add_to(&mut sum);
        let mut twice = stats;
        twice.counters().for_each(|count| *count *= 2);
        assert_eq!(sum, twice);
    }

    #[test]
    fn what_a_dead_child_had_in_hand_is_lost_once_and_for_its_cause() {
        let Some(rows) = rows(1) else { return };
        let row = rows.row(0);
        row.begin(1, 7, Duration::from_secs(1));
        assert_eq!(row.busy_since(), Some(Duration::from_secs(1)));
        row.close(|stats| &mut stats.lost_with_child.signalled);
        assert_eq!(row.busy_since(), None);
        row.take_over();
        let stats = row.close(|stats| &mut stats.lost_with_child.exited);
        assert_eq!((stats.received, stats.settled()), (1, 1));
        assert_eq!((stats.batches, stats.bytes_received), (1, 7));
        assert_eq!(stats.lost_with_child.signalled, 1);
        assert_eq!(stats.lost_with_child.exited, 0);
    }
}
