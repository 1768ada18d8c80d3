//! What is counted beside the law of conservation, and not by the engine.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Stats;
use crate::contain::contain;
use crate::logging::{LogLimit, Unlogged, log_error};

/// Panics of hooks, timers and `finish`, and what a dry run would have refused.
#[derive(Debug)]
pub(crate) struct SideCounts {
    hook_panics: AtomicU64,
    hook_panic_lines: LogLimit,
    would_be_rate_limited: AtomicU64,
    unlogged: Unlogged,
}

impl SideCounts {
    pub(crate) const fn new(unlogged: Unlogged) -> Self {
        Self {
            hook_panics: AtomicU64::new(0),
            hook_panic_lines: LogLimit::new(),
            would_be_rate_limited: AtomicU64::new(0),
            unlogged,
        }
    }

    /// Where the server's errors go without a logger.
    pub(crate) fn unlogged(&self) -> Unlogged {
        self.unlogged
    }

    /// Completes a snapshot of the engine's counters.
    pub(crate) fn complete(&self, stats: &mut Stats) {
        stats.hook_panics += self.hook_panics.load(Relaxed);
        stats.would_be_rate_limited += self.would_be_rate_limited.load(Relaxed);
    }

    /// Moves what was counted to where a child process keeps it.
    pub(crate) fn move_to(&self, stats: &mut Stats) {
        self.complete(stats);
        self.hook_panics.store(0, Relaxed);
        self.would_be_rate_limited.store(0, Relaxed);
    }

    /// Runs a hook; a panic is counted and logged. Whether it returned.
    pub(crate) fn contain(&self, name: &str, hook: impl FnOnce()) -> bool {
        let ended = contain(hook);
        if let Err(message) = &ended {
            self.hook_panics.fetch_add(1, Relaxed);
            if let Some(admitted) = self.hook_panic_lines.admit() {
                log_error!(self.unlogged, "{name} panicked: {message}{admitted}");
            }
        }
        ended.is_ok()
    }

    /// A dry run has let something pass.
    pub(crate) fn would_be_rate_limited(&self) {
        self.would_be_rate_limited.fetch_add(1, Relaxed);
    }
}
