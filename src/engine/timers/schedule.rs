//! What is due when: no clock, no threads.

use std::collections::BTreeMap;
use std::time::Instant;

/// Entries by the moment at which they are due, and by their age among those of
/// the same moment.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    entries: BTreeMap<Key, T>,
    next: u64,
}

/// Names an entry.
pub(super) type Key = (Instant, u64);

impl<T> Schedule<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn add(&mut self, due: Instant, entry: T) -> Key {
        let key = (due, self.next);
        self.next += 1;
        self.entries.insert(key, entry);
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.entries.remove(&key)
    }

    /// When the first one is due.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.entries.keys().next().map(|(due, _)| *due)
    }

    /// Takes the first one, if it is due by now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Takes all there are.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.entries).into_values()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_that_is_due_comes_first_and_equals_in_the_order_they_were_set() {
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        let mut schedule = Schedule::new();
        schedule.add(later(2), "c");
        schedule.add(later(1), "a");
        schedule.add(later(1), "b");
        assert_eq!(schedule.first_due(), Some(later(1)));
        assert_eq!(schedule.pop_due(now), None, "nothing is due yet");
        assert_eq!(schedule.pop_due(later(1)), Some("a"));
        assert_eq!(schedule.pop_due(later(1)), Some("b"));
        assert_eq!(schedule.pop_due(later(1)), None);
        assert_eq!(schedule.pop_due(later(5)), Some("c"));
        assert_eq!(schedule.first_due(), None);
    }

    #[test]
    fn what_was_removed_is_never_due() {
        let now = Instant::now();
        let mut schedule = Schedule::new();
        let first = schedule.add(now, 1);
        let second = schedule.add(now, 2);
        assert_eq!(schedule.remove(first), Some(1));
        assert_eq!(schedule.remove(first), None, "only once");
        assert_eq!(schedule.pop_due(now), Some(2));
        assert_eq!(schedule.remove(second), None, "it was due before");
        assert_eq!(schedule.len(), 0);
    }
}
