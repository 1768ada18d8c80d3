//! How much the kernel may queue while datagrams are shed for their age.
//!
//! A full receive buffer lasts for longer than a datagram may wait: then all but
//! a few are too old when their turn comes, and to receive them takes the time
//! in which others could be handled. What the kernel drops for want of room
//! costs next to nothing. So while datagrams are shed, the buffer shrinks until
//! it holds about what is handled in time, and grows again once none is shed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::stats::Padded;

/// The size that receive buffers should have, found out while serving.
#[derive(Debug)]
pub(crate) struct QueueLimit {
    /// The buffer that was granted, in bytes.
    full: usize,
    /// How long one measurement takes, in nanoseconds.
    period: u64,
    /// The size at present.
    bytes: AtomicUsize,
    counts: Padded<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// When the measurement began, in nanoseconds since 1970.
    began: AtomicU64,
    stale: AtomicU64,
    fresh: AtomicU64,
}

impl QueueLimit {
    /// For a buffer of `full` bytes, whose datagrams may wait for `limit`.
    pub(crate) fn new(full: usize, limit: Duration) -> Self {
        let period = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Self {
            full,
            period: period.clamp(SHORTEST_PERIOD, LONGEST_PERIOD),
            bytes: AtomicUsize::new(full),
            counts: Padded::default(),
        }
    }

    /// A datagram was judged; the new size, if it is to change. One thread is
    /// told.
    pub(super) fn judged(&self, is_stale: bool, now: Duration) -> Option<usize> {
        let counts = &*self.counts;
        let counter = if is_stale {
            &counts.stale
        } else {
            &counts.fresh
        };
        counter.fetch_add(1, Relaxed);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let began = counts.began.load(Relaxed);
        // A clock that was set back begins anew.
        let age = now.checked_sub(began).unwrap_or(u64::MAX);
        let is_over = age >= self.period;
        let is_mine = || (counts.began).compare_exchange(began, now, Relaxed, Relaxed);
        if !is_over || is_mine().is_err() {
            return None;
        }
        let (stale, fresh) = (counts.stale.swap(0, Relaxed), counts.fresh.swap(0, Relaxed));
        let before = self.bytes.load(Relaxed);
        let is_recent = age < self.period.saturating_mul(8);
        let bytes = next(before, self.full, stale, fresh, is_recent);
        self.bytes.store(bytes, Relaxed);
        (bytes != before).then_some(bytes)
    }

    /// The size that was granted, if it is another at present.
    pub(crate) fn lifted(&self) -> Option<usize> {
        (self.bytes.swap(self.full, Relaxed) != self.full).then_some(self.full)
    }
}

/// The size after a measurement. One that lasted for long says that nearly
/// nothing came meanwhile, and what it began with is of a stall.
fn next(bytes: usize, full: usize, stale: u64, fresh: u64, is_recent: bool) -> usize {
    if !is_recent {
        full
    } else if stale > fresh / MANY {
        (bytes / 4 * 3).max(LEAST.min(full))
    } else if stale > 0 {
        bytes
    } else {
        (bytes / 4 * 5).min(full)
    }
}

/// As many times more datagrams in time than late ones are as good as it gets.
const MANY: u64 = 16;
/// Room for some 80 small datagrams, two batches.
const LEAST: usize = 64 << 10;
const SHORTEST_PERIOD: u64 = 5_000_000;
/// The buffer is back at its size a few seconds after an overload.
const LONGEST_PERIOD: u64 = 250_000_000;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FULL: usize = 4 << 20;
    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_measurement_decides() {
        for (bytes, stale, fresh, is_recent, expected) in [
            (FULL, 0, 1_000, true, FULL),
            (FULL, 10, 1_000, true, FULL),
            (FULL, 100, 1_000, true, FULL / 4 * 3),
            (FULL, 1, 0, true, FULL / 4 * 3),
            (FULL / 4 * 3, 10, 1_000, true, FULL / 4 * 3),
            (FULL / 2, 0, 1_000, true, FULL / 8 * 5),
            (FULL - 4, 0, 1_000, true, FULL),
            (FULL / 2, 0, 1, false, FULL),
            (FULL / 2, 5, 1, false, FULL),
            (LEAST, 1_000, 0, true, LEAST),
        ] {
            let found = next(bytes, FULL, stale, fresh, is_recent);
            assert_eq!(found, expected, "{bytes}: {stale} stale, {fresh} fresh");
        }
        assert_eq!(next(9_000, 9_000, 1, 0, true), 9_000, "small as it is");
    }

    /// A queue of a place for each 1,000 bytes, filled as soon as there is room:
    /// to receive a stale datagram takes 1/200 of a millisecond, to handle one
    /// 1/30. How many are handled in two seconds, of 60,000 that could be.
    fn handled(is_limited: bool) -> u64 {
        let limit = QueueLimit::new(FULL, 30 * MILLISECOND);
        let mut now = Duration::from_secs(1_000_000);
        let end = now + Duration::from_secs(2);
        let (mut places, mut handled) = (FULL / 1_000, 0);
        let mut queue = VecDeque::new();
        while now < end {
            while queue.len() < places {
                queue.push_back(now);
            }
            let stamp = queue.pop_front().expect("it was filled");
            let is_stale = now - stamp > 30 * MILLISECOND;
            now += MILLISECOND / if is_stale { 200 } else { 30 };
            handled += u64::from(!is_stale);
            if let Some(bytes) = limit.judged(is_stale, now).filter(|_| is_limited) {
                places = bytes / 1_000;
            }
        }
        handled
    }

    #[test]
    fn beyond_the_receive_capacity_most_of_what_can_be_handled_is() {
        let (without, with) = (handled(false), handled(true));
        assert!(without < 30_000, "{without}: the test shows nothing");
        assert!(with > 50_000, "{with}, and without a limit {without}");
    }

    #[test]
    fn after_an_overload_the_buffer_is_as_it_was() {
        let limit = QueueLimit::new(FULL, 30 * MILLISECOND);
        let mut now = Duration::from_secs(1_000_000);
        let mut last = FULL;
        for step in 0..2_000 {
            now += MILLISECOND;
            let changed = limit.judged(step < 1_000, now);
            last = changed.unwrap_or(last);
            assert!(step != 999 || last < FULL / 8, "{last}");
        }
        assert_eq!(last, FULL);
        assert_eq!(limit.lifted(), None);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_anew() {
        let limit = QueueLimit::new(FULL, 30 * MILLISECOND);
        let now = Duration::from_secs(1_000_000);
        assert!(limit.judged(true, now).is_none(), "nothing measured yet");
        assert!(limit.judged(true, now + 10 * MILLISECOND).is_none());
        assert!(limit.judged(true, now + 40 * MILLISECOND) < Some(FULL));
        let back = now / 2;
        assert_eq!(limit.judged(true, back), Some(FULL));
        assert!(limit.judged(true, back + MILLISECOND).is_none());
        assert!(limit.judged(true, back + 40 * MILLISECOND).is_some());
        assert_eq!(limit.lifted(), Some(FULL));
    }
}
