//! Keeps a flood of errors from flooding the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets the first few lines of each period pass and counts the rest. One for
/// each kind of message, so that one kind cannot silence another.
#[derive(Debug)]
pub(crate) struct LogLimit {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

/// Leave to write one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Lines of this kind that were held back since the last one written.
    suppressed: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self {
            window: Mutex::new(Window {
                began: None,
                lines: 0,
                suppressed: 0,
            }),
        }
    }

    /// Asks whether a line may be written now; otherwise it is counted.
    pub(crate) fn admit(&self) -> Option<Admitted> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<Admitted> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = window
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= PERIOD);
        if fresh {
            window.began = Some(now);
            window.lines = 0;
        }
        if window.lines == LINES_PER_PERIOD {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(Admitted {
            suppressed: std::mem::take(&mut window.suppressed),
        })
    }
}

impl std::fmt::Display for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.suppressed {
            0 => Ok(()),
            count => write!(f, " ({count} more of this kind were not logged)"),
        }
    }
}

/// Lines of one kind that pass in each period.
const LINES_PER_PERIOD: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_then_summed_up() {
        let limit = LogLimit::new();
        let start = Instant::now();
        let passed = (0..1_000).filter(|_| limit.admit_at(start).is_some());
        assert_eq!(passed.count(), LINES_PER_PERIOD as usize);
        let next = limit.admit_at(start + PERIOD).expect("a new period");
        assert_eq!(next.suppressed, 990, "nothing is held back uncounted");
        assert_eq!(next.to_string(), " (990 more of this kind were not logged)");
        assert_eq!(
            limit.admit_at(start + PERIOD).map(|a| a.suppressed),
            Some(0)
        );
    }
}
