//! Measures how long a worker's handlers compute and wait.

use std::time::{Duration, Instant};

use super::policy::Sample;
use crate::sys::ThreadUsage;

/// One worker's stop-watch, for one stretch of handling at a time.
///
/// The clock costs some 20 ns. What the thread used of a processor costs half a
/// microsecond to ask, so it is asked only for a while after a stretch was slow by
/// the clock, whoever's that was: a worker that waits is not the one who handles what
/// comes next.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    usage: Option<ThreadUsage>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            usage: None,
        }
    }

    /// A stretch begins; `asks` what of it the thread waits.
    pub(super) fn start(&mut self, asks: bool) {
        self.usage = asks.then(ThreadUsage::now);
        self.began = Instant::now();
    }

    /// The stretch ends, in which `count` datagrams were handled.
    pub(super) fn stop(&mut self, count: usize) -> Sample {
        let wall = self.began.elapsed();
        let is_slow = wall >= SLOW + SLOW_EACH * u32::try_from(count).unwrap_or(u32::MAX);
        let waited = if !is_slow {
            Some(Duration::ZERO)
        } else {
            self.usage.and_then(|before| before.waited_since(wall))
        };
        Sample {
            count,
            wall,
            waited,
        }
    }
}

/// From here on a stretch may have contained a wait: what it takes to begin after
/// a while of rest, with nothing in the processor's caches, and so much for each
/// datagram.
const SLOW: Duration = Duration::from_micros(35);
const SLOW_EACH: Duration = Duration::from_micros(10);
