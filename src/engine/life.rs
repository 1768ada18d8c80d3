//! What is known of a server's life: when it began, why it ended, what was left.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::error::ServeError;
use crate::stats::Stats;

#[derive(Debug)]
pub(super) struct Life {
    pub(super) began: Instant,
    /// The server was told to stop.
    pub(super) is_stopping: AtomicBool,
    /// The error that made the engine stop by itself.
    fatal: Mutex<Option<ServeError>>,
    /// The last snapshot, from when the server was closed.
    pub(super) closing_stats: OnceLock<Stats>,
}

impl Life {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            is_stopping: AtomicBool::new(false),
            fatal: Mutex::new(None),
            closing_stats: OnceLock::new(),
        }
    }

    /// The engine stops for this reason, unless it had one before.
    pub(super) fn fail(&self, error: ServeError) {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.get_or_insert(error);
    }

    pub(super) fn take_fatal(&self) -> Option<ServeError> {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.take()
    }
}
