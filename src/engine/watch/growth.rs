//! When the pool grows, and when that it cannot is worth a warning.

use std::time::Duration;

use super::activity::Activity;
use super::{Decision, LOOKS_AFTER_FAILURE, MOST_THREADS, Pool, Sights, Watch};

#[derive(Debug, Clone, Copy)]
pub(super) struct Starvation {
    pub(super) since: Duration,
    pub(super) is_told: bool,
}

impl Watch {
    /// Starts more workers when there is work for them.
    pub(super) fn see_to_growth(&mut self, sights: &impl Sights, pool: Pool, has_work: bool) {
        if self.hold_off > 0 {
            self.hold_off -= 1;
            return;
        }
        if pool.is_short {
            self.hold_off = LOOKS_AFTER_FAILURE;
            self.decisions.push(Decision::Grow(1));
            return;
        }
        // Where handlers wait, the leader needs somebody to hand datagrams to: it
        // is too late when something waits for nobody.
        let has_no_helper = sights.is_dispatched() && pool.idle < FEWEST_IDLE;
        let is_wanted = pool.lacks && has_work || has_no_helper;
        if pool.is_full || !is_wanted {
            self.lacking = 0;
            // Nobody may be left to come to a door where nobody is.
            if pool.lacks && !pool.is_full && self.left_alone.is_some_and(|count| count > 0) {
                self.grow(1);
            }
            return;
        }
        self.lacking += 1;
        if self.count(|activity| activity == Activity::Prepares) > 0 {
            // Each one more would begin with the same. But it may hang.
            if self.lacking >= LOOKS_WHILE_PREPARING {
                self.grow(1);
            }
            return;
        }
        if self.lacking < LOOKS_BEFORE_GROWTH {
            return;
        }
        let waits = self.count(|activity| activity == Activity::Waits);
        let spins = self.count(|activity| activity == Activity::Spins);
        if sights.is_dispatched() {
            if self.most_wait(sights) {
                self.grow(if has_work {
                    pool.workers
                } else {
                    pool.workers / 4
                });
            }
        } else if waits >= pool.busy {
            self.grow(pool.workers);
        } else if waits + spins >= pool.busy
            || pool.workers < self.min + spins
            || self.has_core_for_one_more(pool)
        {
            self.grow(1);
        }
    }

    /// Whether one more worker is likely to find a free processor.
    fn has_core_for_one_more(&self, pool: Pool) -> bool {
        pool.workers < self.cores + 2
            && self.lacking >= PATIENT_LOOKS
            && self.count(Activity::wants_core) < self.cores
    }

    /// Whether most of those at work wait: some of them are asked.
    fn most_wait(&mut self, sights: &impl Sights) -> bool {
        let (mut asked, mut runs) = (0, 0);
        for _ in 0..self.seen.len() {
            let id = self.next % self.seen.len();
            self.next = id + 1;
            if self.seen[id].activity != Activity::Idle {
                asked += 1;
                runs += usize::from(sights.is_runnable(id));
            }
            if asked == MOST_THREADS {
                break;
            }
        }
        runs * 2 < asked
    }

    fn grow(&mut self, by: usize) {
        self.lacking = 0;
        let by = by.clamp(1, LARGEST_STEP);
        self.decisions.push(Decision::Grow(by));
    }

    /// Tells when all there may be are busy and nobody came for something for a
    /// second, and when that is over.
    pub(super) fn see_to_starvation(&mut self, sights: &impl Sights, pool: Pool, has_work: bool) {
        let nobody_came =
            self.waiting.count() > 0 || self.doors.iter().any(|door| door.count() > 0);
        let now = sights.now();
        if !(pool.is_full && pool.lacks && has_work && nobody_came) {
            if let Some(Starvation {
                since,
                is_told: true,
            }) = self.starvation.take()
            {
                let waited = now.saturating_sub(since);
                self.decisions.push(Decision::Relieved { waited });
            }
            return;
        }
        let starvation = self.starvation.get_or_insert(Starvation {
            since: now,
            is_told: false,
        });
        let waited = now.saturating_sub(starvation.since);
        if waited >= STARVED && !std::mem::replace(&mut starvation.is_told, waited >= STARVED) {
            let busy = pool.busy;
            self.decisions.push(Decision::Starved { busy, waited });
        }
    }
}

/// The most threads started at one look.
const LARGEST_STEP: usize = 64;
/// Looks in a row that find work undone before the pool grows.
const LOOKS_BEFORE_GROWTH: u32 = 2;
/// The same for one more that may find a free processor.
const PATIENT_LOOKS: u32 = 5;
/// The same while a handler instance is being made.
const LOOKS_WHILE_PREPARING: u32 = 1_000;
/// How long something waits before that is worth a warning.
const STARVED: Duration = Duration::from_secs(1);
/// Idle workers that there should be where handlers wait: one is woken, and one may
/// block before the next is started.
const FEWEST_IDLE: usize = 4;
