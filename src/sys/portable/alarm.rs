//! Where the supervisor waits.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A flag with a condition variable, and the time at which a timer fires.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_woken: bool,
    /// When the timer fires.
    due: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Ends the wait, or the next.
    pub(crate) fn wake(&self) {
        self.state().is_woken = true;
        self.changed.notify_one();
    }

    /// Sets the timer to fire once after this long, or stops it, as `wanted`
    /// says under the timer's lock.
    pub(crate) fn set_timer(&self, after: Duration, wanted: impl FnOnce() -> bool) {
        let mut state = self.state();
        let due = wanted().then(|| Instant::now() + after);
        if due.is_some() == state.due.is_some() {
            return;
        }
        state.due = due;
        drop(state);
        if due.is_some() {
            // Who waits has to learn until when.
            self.changed.notify_one();
        }
    }

    /// Waits until woken, until the timer fires, or at most this long.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let fires = state.due.is_some_and(|due| due <= now);
            if state.is_woken || fires || end.is_some_and(|end| end <= now) {
                break;
            }
            let next = state.due.into_iter().chain(end).min();
            state = match next {
                Some(next) => {
                    let left = next - now;
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        state.is_woken = false;
        if state.due.is_some_and(|due| due <= Instant::now()) {
            state.due = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
