//! Something seen again and again.

/// Something, and for how many looks in a row it has been the same.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Repeats<T> {
    last: Option<T>,
    count: u32,
}

impl<T: PartialEq> Repeats<T> {
    /// Takes note; returns how often it was seen before in a row.
    pub(super) fn see(&mut self, now: Option<T>) -> u32 {
        self.count = if now.is_some() && now == self.last {
            self.count.saturating_add(1)
        } else {
            0
        };
        self.last = now;
        self.count
    }

    /// How often it had been seen before.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether there was something to be seen.
    pub(super) fn is_there(&self) -> bool {
        self.last.is_some()
    }
}
