//! When the datagrams of an open loop are due.

/// A steady rate, from time 0 on. Times are in nanoseconds.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    taken: u64,
}

impl Pace {
    /// So many datagrams a second, which is more than 0.
    pub fn new(per_second: f64) -> Self {
        let taken = 0;
        Self { per_second, taken }
    }

    /// How many are due by `now` and not yet taken.
    pub fn due(&self, now: u64) -> u64 {
        let due_ever = (now as f64 * self.per_second / 1e9) as u64 + 1;
        due_ever.saturating_sub(self.taken)
    }

    /// Takes the next one: when it is due. Latency counts from then, also if it
    /// leaves late; else a generator that falls behind would flatter the server.
    pub fn take(&mut self) -> u64 {
        let due = self.next();
        self.taken += 1;
        due
    }

    /// When the next one is due.
    pub fn next(&self) -> u64 {
        (self.taken as f64 * 1e9 / self.per_second) as u64
    }

    /// Whether datagrams are so far apart that waiting for the last moment
    /// without sleeping takes at most a tenth of a processor.
    pub fn is_slow(&self) -> bool {
        self.per_second * SPIN_NS as f64 <= 1e8
    }
}

/// A sleep ends some tens of microseconds late. Where datagrams are far apart it
/// is meant to end so much too early, and the rest is waited for awake: else
/// latency would be about this program.
pub const SPIN_NS: u64 = 60_000;
/// Of a sleep: datagrams that are due closer together leave together.
pub const SHORTEST_SLEEP_NS: u64 = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_due_at_even_distances_and_counted_once() {
        let mut pace = Pace::new(1_000.0);
        assert_eq!(pace.due(0), 1, "the first at once");
        assert_eq!(pace.take(), 0);
        assert_eq!((pace.due(999_999), pace.next()), (0, 1_000_000));
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
    fn only_a_slow_pace_is_waited_for_awake() {
        let slow = [100.0, 1_000.0, 5_000.0].map(|rate| Pace::new(rate).is_slow());
        assert_eq!(slow, [true, true, false]);
    }
}
