//! Which mode serves best: decided from samples of how long handlers compute and
//! how long they wait. Pure; [`Pace`] shares the estimate between workers.
//!
//! To hand a datagram on costs a wake-up, some 5 µs of processor time. To keep it
//! costs those behind it the time that its handler *waits*, at most until the
//! supervisor rescues them. So what decides is the expected wait of a datagram,
//! not the mean time that handlers take: one in ten that waits 1 ms is 100 µs, one
//! in a hundred that waits 100 ms is 10 µs, and computing for 20 µs is nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is known of a stretch of handling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Datagrams handled.
    pub(crate) count: usize,
    /// Wall time from the first to the end of the last.
    pub(crate) wall: Duration,
    /// How much of it handlers waited; `None` when it was slow and that was not asked.
    pub(crate) waited: Option<Duration>,
}

/// The moving averages, in nanoseconds for each datagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    wall: u64,
    wait: u64,
    is_dispatched: bool,
}

impl Estimate {
    /// The estimate after one more sample.
    #[must_use]
    pub(crate) fn learn(self, sample: Sample) -> Self {
        let Some(count) = u64::try_from(sample.count).ok().filter(|count| *count > 0) else {
            return self;
        };
        let each = |time: Duration| (time.as_nanos() / u128::from(count)) as u64;
        // One handler that hung for seconds must not make the next thousand look
        // slow.
        let wall = each(sample.wall).min(LONGEST_SAMPLE);
        // Down fast, up slowly: a thread that the system preempted for a while
        // looks like slow handlers once, slow handlers do every time.
        let wall = if wall < self.wall {
            (self.wall + wall) / 2
        } else {
            (self.wall * 7 + wall) / 8
        };
        let wait = match sample.waited {
            None => self.wait,
            Some(waited) => {
                let waited = each(waited).min(RESCUE);
                let weight = count.min(WINDOW);
                (self.wait * (WINDOW - weight) + waited * weight) / WINDOW
            }
        };
        Self { wall, ..self }.with_wait(wait)
    }

    /// The estimate after one datagram more that is known to wait, and not for how
    /// long: for those behind it that makes no difference.
    #[must_use]
    fn learn_of_wait(self) -> Self {
        self.with_wait((self.wait * (WINDOW - 1) + RESCUE) / WINDOW)
    }

    fn with_wait(self, wait: u64) -> Self {
        let wait = wait.min(LARGEST_WAIT);
        let limit = if self.is_dispatched { STAYS } else { ENTERS };
        Self {
            wait,
            is_dispatched: wait >= limit,
            ..self
        }
    }

    /// Whether handlers wait so much that datagrams are handed on.
    pub(crate) fn is_dispatched(self) -> bool {
        self.is_dispatched
    }

    /// Whether handling `count` datagrams takes longer than it costs to wake
    /// somebody who takes a part of them.
    pub(crate) fn is_worth_sharing(self, count: usize) -> bool {
        count > 1 && self.wall.saturating_mul(count as u64) >= SHARES
    }

    /// Whether handlers are so quick that a worker seen in the same one for a
    /// millisecond or two is more likely preempted than stuck.
    pub(crate) fn is_cheap(self) -> bool {
        self.wall < CHEAP
    }
}

/// The estimate that all workers share. A lost update does no harm.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    wall: AtomicU64,
    /// The lowest bit says whether datagrams are dispatched.
    wait: AtomicU64,
    /// Stretches to come of which it is asked how much they wait.
    attention: AtomicU32,
}

impl Pace {
    pub(crate) fn learn(&self, sample: Sample) {
        self.update(|old| old.learn(sample));
        let attention = self.attention.load(Relaxed);
        let next = match sample.waited {
            Some(Duration::ZERO) => attention.saturating_sub(1),
            _ => ATTENTION,
        };
        if next != attention {
            self.attention.store(next, Relaxed);
        }
    }

    /// A handler was seen to wait. Its worker will say so only when it has returned,
    /// long after those that came with it.
    pub(crate) fn learn_of_wait(&self) {
        self.update(Estimate::learn_of_wait);
    }

    fn update(&self, learn: impl FnOnce(Estimate) -> Estimate) {
        let old = self.estimate();
        let new = learn(old);
        // Others read these all the time: a line is taken from them only for news.
        if new.wall != old.wall {
            self.wall.store(new.wall, Relaxed);
        }
        if (new.wait, new.is_dispatched) != (old.wait, old.is_dispatched) {
            let flag = u64::from(new.is_dispatched);
            self.wait.store(new.wait << 1 | flag, Relaxed);
        }
    }

    /// Whether it is to be asked how much of the next stretch handlers wait.
    pub(crate) fn is_attentive(&self) -> bool {
        self.attention.load(Relaxed) > 0
    }

    pub(crate) fn estimate(&self) -> Estimate {
        let wait = self.wait.load(Relaxed);
        Estimate {
            wall: self.wall.load(Relaxed),
            wait: wait >> 1,
            is_dispatched: wait & 1 == 1,
        }
    }

    pub(crate) fn is_dispatched(&self) -> bool {
        self.wait.load(Relaxed) & 1 == 1
    }
}

/// Expected wait, in ns, from which on datagrams are handed on: what a wake-up costs.
const ENTERS: u64 = 5_000;
/// And below which that ends.
const STAYS: u64 = 1_500;
/// The longest that a wait counts for, in ns: those behind it are rescued by then.
const RESCUE: u64 = 1_000_000;
/// No mean counts for more, so that handlers that wait no more are noticed soon.
const LARGEST_WAIT: u64 = 64_000;
/// Datagrams that the mean of waits looks back on.
const WINDOW: u64 = 256;
/// Stretches after one that was slow or waited, of which it is asked.
const ATTENTION: u32 = 64;
/// A few times the price of a wake-up, in ns.
const SHARES: u64 = 200_000;
const CHEAP: u64 = 50_000;
const LONGEST_SAMPLE: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// `count` datagrams of `wall` µs each, of which they wait `waited` µs.
    fn sample(count: usize, wall: u64, waited: u64) -> Sample {
        let all = count as u64;
        Sample {
            count,
            wall: micros(wall * all),
            waited: Some(micros(waited * all)),
        }
    }

    /// The estimates along a trace: samples in turn, so many rounds of them.
    fn trace(rounds: usize, samples: &[Sample]) -> Vec<Estimate> {
        let mut estimate = Estimate::default();
        let turns = std::iter::repeat_n(samples, rounds).flatten();
        turns
            .map(|sample| {
                estimate = estimate.learn(*sample);
                estimate
            })
            .collect()
    }

    #[track_caller]
    fn ends_dispatched(rounds: usize, samples: &[Sample]) -> bool {
        let ends = trace(rounds, samples);
        ends.last().expect("there are samples").is_dispatched()
    }

    #[test]
    fn only_expected_wait_decides_whether_datagrams_are_handed_on() {
        for (what, samples, dispatched) in [
            ("cheap", vec![sample(32, 1, 0)], false),
            ("computes 20 µs", vec![sample(16, 20, 0)], false),
            ("computes 5 ms", vec![sample(1, 5_000, 0)], false),
            ("waits 200 µs", vec![sample(1, 205, 200)], true),
            ("waits 10 ms", vec![sample(1, 10_000, 10_000)], true),
            ("waits 3 µs", vec![sample(8, 5, 3)], false),
            (
                "one in ten waits 1 ms",
                vec![sample(9, 2, 0), sample(1, 1_000, 1_000)],
                true,
            ),
            (
                "one in a hundred waits 100 ms",
                vec![sample(99, 2, 0), sample(1, 100_000, 100_000)],
                true,
            ),
            (
                "one in a thousand waits 1 ms",
                vec![
                    sample(499, 2, 0),
                    sample(1, 1_000, 1_000),
                    sample(500, 2, 0),
                ],
                false,
            ),
        ] {
            assert_eq!(ends_dispatched(64, &samples), dispatched, "{what}");
        }
    }

    #[test]
    fn modes_change_within_few_datagrams_both_ways_and_not_back_at_once() {
        let waits = trace(4, &[sample(1, 1_000, 1_000)]);
        assert!(waits[1].is_dispatched(), "the second one says it");
        let mut estimate = *trace(64, &[sample(1, 1_000, 1_000)]).last().expect("64");
        let mut quick = 0;
        while estimate.is_dispatched() {
            estimate = estimate.learn(sample(1, 2, 0));
            quick += 1;
        }
        // From the largest mean there may be down to where the mode ends.
        assert!((900..1_050).contains(&quick), "left after {quick}");
        estimate = estimate.learn(sample(1, 4, 2));
        assert!(
            !estimate.is_dispatched(),
            "what is below the limit is not back"
        );
    }

    /// In a burst of 64 datagrams one in four waits for 100 ms, so that no worker
    /// tells before the burst is long over.
    #[test]
    fn what_is_seen_to_wait_counts_while_it_does() {
        let pace = Pace::default();
        for _ in 0..16 {
            pace.learn(sample(3, 2, 0));
            pace.learn_of_wait();
        }
        assert!(pace.is_dispatched());
        let once = Pace::default();
        once.learn_of_wait();
        assert!(!once.is_dispatched(), "one alone may hang");
    }

    #[test]
    fn who_was_not_asked_changes_nothing() {
        let slow = Sample {
            count: 1,
            wall: micros(900),
            waited: None,
        };
        let all = trace(64, &[slow]);
        assert!(all.iter().all(|estimate| !estimate.is_dispatched()));
    }

    #[test]
    fn after_a_slow_stretch_those_that_follow_are_asked_whoevers_they_are() {
        let pace = Pace::default();
        pace.learn(sample(1, 2, 0));
        assert!(!pace.is_attentive(), "quick ones are not asked");
        pace.learn(Sample {
            waited: None,
            ..sample(1, 100_000, 0)
        });
        for _ in 0..ATTENTION {
            assert!(pace.is_attentive());
            pace.learn(sample(1, 2, 0));
        }
        assert!(!pace.is_attentive(), "nothing was slow again");
    }

    #[test]
    fn one_hanging_handler_is_forgotten_within_ten_datagrams() {
        let hung = Estimate::default().learn(sample(1, 5_000_000, 0));
        assert!(!hung.is_cheap());
        let after = (0..10).fold(hung, |estimate, _| estimate.learn(sample(1, 1, 0)));
        assert!(after.is_cheap());
    }

    #[test]
    fn a_batch_is_shared_when_its_rest_is_worth_more_than_a_wake_up() {
        let computes = *trace(20, &[sample(8, 20, 0)]).last().expect("20");
        assert!(computes.is_worth_sharing(16), "16 times 20 µs");
        assert!(!computes.is_worth_sharing(4), "4 times 20 µs");
        let slow = *trace(20, &[sample(1, 5_000, 0)]).last().expect("20");
        assert!(slow.is_worth_sharing(2), "twice 5 ms");
        assert!(!slow.is_worth_sharing(1), "one datagram cannot be shared");
    }
}
