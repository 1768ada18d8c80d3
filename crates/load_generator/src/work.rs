//! What a handler does before it replies, besides turning its datagram to upper
//! case.

use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Done for each datagram that is marked as slow: one that begins with `w`. A
/// [`Plan`](crate::Plan) says how many are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// For how long the handler sleeps.
    pub wait: Duration,
    /// For how long it computes.
    pub compute: Duration,
}

impl Work {
    /// Nothing at all.
    pub const NONE: Self = Self {
        wait: Duration::ZERO,
        compute: Duration::ZERO,
    };

    /// Whether there is anything to do for this datagram.
    pub fn is_for(bytes: &[u8]) -> bool {
        bytes.first() == Some(&b'w')
    }

    /// Does it, if it is to be done for this datagram.
    pub fn run(self, bytes: &[u8]) {
        if !Self::is_for(bytes) {
            return;
        }
        if !self.wait.is_zero() {
            thread::sleep(self.wait);
        }
        self.compute();
    }

    /// Keeps the processor busy. The thread's own clock counts: time in which
    /// others have the processor does not pass for work done.
    pub fn compute(self) {
        if self.compute.is_zero() {
            return;
        }
        let end = thread_time() + self.compute;
        while thread_time() < end {
            std::hint::spin_loop();
        }
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has this clock"))
}
