//! When the datagrams of an open loop are due.

/// A steady rate, from time 0 on. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    taken: u64,
}

impl Pace {
    /// So many datagrams a second, which is more than 0.
    pub(crate) fn new(per_second: f64) -> Self {
        let taken = 0;
        Self { per_second, taken }
    }

    /// How many are due by `now` and not yet taken.
    pub(crate) fn due(&self, now: u64) -> u64 {
        let due_ever = (now as f64 * self.per_second / 1e9) as u64 + 1;
        due_ever.saturating_sub(self.taken)
    }

    /// Takes the next one: when it is due. Latency counts from then, also if it
    /// leaves late; else a generator that falls behind would flatter the server.
    pub(crate) fn take(&mut self) -> u64 {
        let due = self.taken as f64 * 1e9 / self.per_second;
        self.taken += 1;
        due as u64
    }

    /// How often to look: each datagram singly, within reason.
    pub(crate) fn tick(&self) -> u64 {
        ((1e9 / self.per_second) as u64).clamp(FINEST_TICK, COARSEST_TICK)
    }
}

const FINEST_TICK: u64 = 100_000;
const COARSEST_TICK: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_due_at_even_distances_and_counted_once() {
        let mut pace = Pace::new(1_000.0);
        assert_eq!(pace.due(0), 1, "the first at once");
        assert_eq!(pace.take(), 0);
        assert_eq!(pace.due(999_999), 0);
        assert_eq!(pace.due(3_000_000), 3);
        let taken: Vec<u64> = (0..3).map(|_| pace.take()).collect();
        assert_eq!(taken, [1_000_000, 2_000_000, 3_000_000]);
        assert_eq!(pace.due(3_000_000), 0);
    }

    #[test]
    fn an_hour_adds_up() {
        let pace = Pace::new(333.3);
        assert_eq!(pace.due(3_600 * 1_000_000_000), 1_199_881);
    }

    #[test]
    fn ticks_stay_within_reason() {
        let ticks = [0.1, 1_000.0, 1e6].map(|rate| Pace::new(rate).tick());
        assert_eq!(ticks, [COARSEST_TICK, 1_000_000, FINEST_TICK]);
    }
}
