//! What one worker does, as far as it is known.

use std::time::Duration;

use super::Sights;
use super::repeats::Repeats;
use crate::engine::protocol::WorkerId;

/// One worker, as the last looks saw it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) step: Repeats<u64>,
    pub(super) activity: Activity,
    /// When its thread was first and last looked at in this step, and what it
    /// had used of a processor.
    pub(super) first: Option<Usage>,
    pub(super) last: Option<Usage>,
    pub(super) batch: Repeats<(usize, u64)>,
    pub(super) is_left_alone: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) at: Duration,
    pub(super) cpu: Duration,
}

/// What a worker does, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Activity {
    /// Parks, or waits at a door.
    #[default]
    Idle,
    /// Gets on.
    Moves,
    /// Makes its handler instance.
    Prepares,
    /// Stays in its step; nobody has asked why.
    Stays,
    /// Stays there and runs.
    Computes,
    /// Stays there and would run, were a processor free.
    Starves,
    /// Stays there and waits.
    Waits,
    /// Has computed there for long.
    Spins,
}

impl Activity {
    pub(super) fn is_stuck(self) -> bool {
        matches!(self, Self::Waits | Self::Spins)
    }

    pub(super) fn stays(self) -> bool {
        !matches!(self, Self::Idle | Self::Moves | Self::Prepares)
    }

    pub(super) fn wants_core(self) -> bool {
        matches!(
            self,
            Self::Moves | Self::Computes | Self::Starves | Self::Spins
        )
    }
}

impl Seen {
    /// Finds out why the worker stays in its step; whether the system says that it
    /// waits there.
    pub(super) fn look_at_thread(&mut self, sights: &impl Sights, id: WorkerId) -> bool {
        let Some(cpu) = sights.cpu_time(id) else {
            // The system does not say. Quick handlers are more likely preempted.
            if self.step.count() >= patience(sights) {
                self.activity = Activity::Waits;
            }
            return false;
        };
        let now = Usage {
            at: sights.now(),
            cpu,
        };
        let first = *self.first.get_or_insert(now);
        let last = self.last.replace(now);
        let has_spun = cpu.saturating_sub(first.cpu) >= LONGEST_COMPUTING;
        self.activity = if !sights.is_runnable(id) {
            Activity::Waits
        } else if has_spun {
            Activity::Spins
        } else if last.is_some_and(|last| now.has_run_since(last)) {
            Activity::Computes
        } else if self.step.count() >= LOOKS_WHEN_CHEAP {
            // It would run, and nobody knows whether it will.
            Activity::Computes
        } else {
            Activity::Starves
        };
        self.activity == Activity::Waits
    }
}

impl Usage {
    /// Whether the thread had a processor for most of the time.
    fn has_run_since(self, earlier: Self) -> bool {
        let used = self.cpu.saturating_sub(earlier.cpu);
        used * 2 >= self.at.saturating_sub(earlier.at)
    }
}

/// Looks in a row, after the first, that must see the same where nobody knows why.
pub(super) fn patience(sights: &impl Sights) -> u32 {
    if sights.is_cheap() {
        LOOKS_WHEN_CHEAP
    } else {
        LOOKS
    }
}

/// Looks in a row, after the first, that must see the same.
pub(super) const LOOKS: u32 = 1;
/// The same, when handlers are known to be quick: longer than the slices in
/// which the system shares out its processors.
const LOOKS_WHEN_CHEAP: u32 = 5;
/// From here on a handler that computes is like one that hangs.
const LONGEST_COMPUTING: Duration = Duration::from_millis(20);
