//! Points in time, small enough to be kept by the thousand.

use std::time::{Duration, Instant};

/// Turns readings of the monotonic clock into [`Timestamp`]s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    began: Instant,
}

impl Timeline {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began }
    }

    pub(crate) fn at(self, now: Instant) -> Timestamp {
        Timestamp::after(now.saturating_duration_since(self.began))
    }
}

/// Nanoseconds since the server was bound. They last for 584 years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    #[cfg(test)]
    pub(crate) const START: Self = Self(0);

    /// So long after the start.
    pub(crate) fn after(age: Duration) -> Self {
        Self(nanos(age))
    }

    pub(crate) fn nanos(self) -> u64 {
        self.0
    }

    /// So many nanoseconds later.
    pub(crate) fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds since an earlier moment; 0 for a later one, as two workers
    /// that read the clock in turn may see.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A length of time in nanoseconds.
pub(crate) fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
