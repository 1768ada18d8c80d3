//! How long handlers take, and what follows for how a batch is received.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A moving average of the time one datagram takes to be handled. Shared by all
/// workers, written once per batch; a lost update does no harm.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    nanos: AtomicU64,
}

impl Pace {
    /// Learns that a worker handled `count` datagrams in `time`.
    pub(crate) fn learn(&self, time: Duration, count: usize) {
        let Some(each) = u32::try_from(count)
            .ok()
            .and_then(|count| time.checked_div(count))
        else {
            return;
        };
        // One handler that hung for seconds must not make the pace of the next
        // thousand look slow.
        let sample = each.min(LONGEST_SAMPLE).as_nanos() as u64;
        let old = self.nanos.load(Relaxed);
        // Down fast, up slowly: a thread that the system preempted for a while
        // looks like slow handlers once, slow handlers do every time.
        let new = if sample < old {
            (old + sample) / 2
        } else {
            (old * 7 + sample) / 8
        };
        self.nanos.store(new, Relaxed);
    }

    /// Whether handlers take so long that a batch should hold just one datagram
    /// and the door be handed over before the handler runs.
    pub(crate) fn is_slow(&self) -> bool {
        self.nanos.load(Relaxed) >= SLOW.as_nanos() as u64
    }

    /// Whether handlers are so quick that a worker seen in the same one for a
    /// millisecond or two is more likely preempted than stuck.
    pub(crate) fn is_cheap(&self) -> bool {
        self.nanos.load(Relaxed) < CHEAP.as_nanos() as u64
    }

    /// Whether handling `count` datagrams takes longer than it costs to wake
    /// somebody who takes a part of them.
    pub(crate) fn is_worth_sharing(&self, count: usize) -> bool {
        count > 1 && self.nanos.load(Relaxed) * count as u64 >= SHARE.as_nanos() as u64
    }
}

/// From here on a handler counts as one that blocks.
const SLOW: Duration = Duration::from_micros(500);
const CHEAP: Duration = Duration::from_micros(50);
/// A few times the price of a wake-up.
const SHARE: Duration = Duration::from_micros(200);
const LONGEST_SAMPLE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hanging_handler_is_forgotten_within_ten_datagrams() {
        let pace = Pace::default();
        pace.learn(Duration::from_secs(5), 1);
        assert!(pace.is_slow());
        for _ in 0..10 {
            pace.learn(Duration::from_micros(1), 1);
        }
        assert!(!pace.is_slow());
    }

    #[test]
    fn handlers_that_block_are_noticed_at_once_and_cheap_ones_never() {
        let pace = Pace::default();
        pace.learn(Duration::from_micros(40), 32);
        assert!(!pace.is_slow() && !pace.is_worth_sharing(32));
        pace.learn(Duration::from_millis(5), 1);
        assert!(pace.is_slow());
    }

    #[test]
    fn a_batch_is_shared_when_its_rest_is_worth_more_than_a_wake_up() {
        let pace = Pace::default();
        for _ in 0..20 {
            pace.learn(Duration::from_micros(20 * 8), 8);
        }
        assert!(pace.is_worth_sharing(16), "16 times 20 µs");
        assert!(!pace.is_worth_sharing(4), "4 times 20 µs");
        assert!(!pace.is_worth_sharing(1), "one datagram cannot be shared");
    }
}
