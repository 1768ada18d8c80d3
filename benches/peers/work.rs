//! What a handler does before it replies, besides turning its datagram to upper
//! case.

use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Done for each datagram that begins with `w`; the load generator says how
/// many do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// For how long the handler sleeps.
    pub(crate) block: Duration,
    /// For how long it computes.
    pub(crate) spin: Duration,
}

impl Work {
    /// Nothing at all.
    pub(crate) const NONE: Self = Self {
        block: Duration::ZERO,
        spin: Duration::ZERO,
    };

    /// Whether there is anything to do for this datagram.
    pub(crate) fn is_for(bytes: &[u8]) -> bool {
        bytes.first() == Some(&b'w')
    }

    /// Does it, if it is to be done for this datagram.
    pub(crate) fn work(self, bytes: &[u8]) {
        if !Self::is_for(bytes) {
            return;
        }
        if !self.block.is_zero() {
            thread::sleep(self.block);
        }
        self.compute();
    }

    /// Keeps the processor busy. The thread's own clock counts: time in which
    /// others have the processor does not pass for work done.
    pub(crate) fn compute(self) {
        if self.spin.is_zero() {
            return;
        }
        let end = thread_time() + self.spin;
        while thread_time() < end {
            std::hint::spin_loop();
        }
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has this clock"))
}
