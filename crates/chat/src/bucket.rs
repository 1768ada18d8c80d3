//! Token buckets, one for each of many.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A bucket for each key: it holds so many tokens, is full to begin with, and
/// fills up again within a given time. Who is not in the table has a full one.
#[derive(Clone, Debug)]
pub struct Buckets<K> {
    /// When each bucket is full again. That is all there is to know of it: the
    /// generic cell rate algorithm (ITU-T I.371).
    full_at: HashMap<K, Instant>,
    /// How long an empty bucket takes to be full.
    fill: Duration,
    /// How long one token takes.
    token: Duration,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// Buckets of `tokens`, at least one, that are full again after `fill`.
    pub fn new(tokens: u32, fill: Duration) -> Self {
        Self {
            full_at: HashMap::new(),
            fill,
            token: fill / tokens.max(1),
        }
    }

    /// Whether there is a token left.
    pub fn has(&self, now: Instant, key: K) -> bool {
        self.missing(now, key) + self.token <= self.fill
    }

    /// Takes a token; `false` if there is none.
    pub fn take(&mut self, now: Instant, key: K) -> bool {
        if !self.has(now, key) {
            return false;
        }
        let full_at = now + self.missing(now, key) + self.token;
        if !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        self.full_at.insert(key, full_at);
        true
    }

    /// Forgets the buckets that are full again.
    pub fn forget_full(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
    }

    /// How long the bucket takes from now on until it is full.
    fn missing(&self, now: Instant, key: K) -> Duration {
        self.full_at
            .get(&key)
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// In a full table, forgets the bucket that is full again soonest: its owner
    /// gains the least by that.
    fn make_room(&mut self, now: Instant) {
        if self.full_at.len() < MAX_BUCKETS {
            return;
        }
        self.forget_full(now);
        if self.full_at.len() < MAX_BUCKETS {
            return;
        }
        let soonest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
        if let Some(key) = soonest.map(|(key, _)| *key) {
            self.full_at.remove(&key);
        }
    }
}

/// How many buckets are remembered.
const MAX_BUCKETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_as_it_fills() {
        let now = Instant::now();
        let mut buckets = Buckets::new(5, SECOND * 10);
        let taken = |buckets: &mut Buckets<u8>, key, now| {
            (0..100).filter(|_| buckets.take(now, key)).count()
        };
        assert_eq!(taken(&mut buckets, 1, now), 5);
        assert!(!buckets.has(now, 1));
        assert_eq!(taken(&mut buckets, 2, now), 5, "another's is full");
        assert_eq!(taken(&mut buckets, 1, now + SECOND), 0);
        assert_eq!(taken(&mut buckets, 1, now + SECOND * 4), 2);
        assert_eq!(taken(&mut buckets, 1, now + SECOND * 100), 5, "not more");
    }

    #[test]
    fn one_of_three_tokens_comes_after_a_third_of_the_time() {
        let now = Instant::now();
        let mut buckets = Buckets::new(3, SECOND * 10);
        assert_eq!((0..9).filter(|_| buckets.take(now, 1)).count(), 3);
        assert!(!buckets.has(now + Duration::from_millis(3_333), 1));
        assert!(buckets.has(now + Duration::from_millis(3_334), 1));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_emptiest() {
        let now = Instant::now();
        let mut buckets = Buckets::new(2, SECOND);
        assert!(buckets.take(now, 0) && buckets.take(now, 0));
        for key in 1..=5 * MAX_BUCKETS {
            assert!(buckets.take(now, key));
        }
        assert_eq!(buckets.full_at.len(), MAX_BUCKETS);
        assert!(!buckets.has(now, 0), "who has none left is remembered");
        buckets.forget_full(now + SECOND);
        assert!(buckets.full_at.is_empty());
    }
}
