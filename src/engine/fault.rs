//! What a failed receive leads to.

use std::io;
use std::time::Duration;

use super::Engine;
use super::protocol::DoorId;
use crate::error::Error;
use crate::logging::log_warn;
use crate::stats::{WorkerTally, bump};
use crate::sys::ReceiveFault;

/// Errors of receive calls in a row.
#[derive(Debug, Default)]
pub(crate) struct FaultRun {
    length: u32,
}

/// What to do after a failed receive.
#[derive(Debug)]
pub(crate) enum AfterFault {
    /// Receive again.
    Retry,
    /// The bell rang meanwhile.
    Rung,
    /// Stop with this error.
    Stop(Error),
}

impl FaultRun {
    /// A receive went well.
    pub(crate) fn end(&mut self) {
        self.length = 0;
    }

    /// Counts and judges an error, and waits out a shortage. The wait hears the bell.
    pub(crate) fn after(
        &mut self,
        error: io::Error,
        engine: &Engine,
        door: DoorId,
        tally: &WorkerTally,
    ) -> AfterFault {
        let fault = ReceiveFault::of(&error);
        if matches!(fault, ReceiveFault::Interrupted | ReceiveFault::WouldBlock) {
            return AfterFault::Retry;
        }
        bump(&tally.receive_errors, 1);
        let addr = engine.socket.local_addr();
        if let Some(admitted) = engine.receive_errors.admit() {
            log_warn!("{addr}: receive failed: {error}{admitted}");
        }
        if fault == ReceiveFault::Fatal {
            let cause = error;
            return AfterFault::Stop(Error::Receive { addr, cause });
        }
        self.length = self.length.saturating_add(1);
        let Some(pause) = self.pause(fault) else {
            return AfterFault::Retry;
        };
        let Some(socket) = engine.socket.borrow(door) else {
            return AfterFault::Rung;
        };
        match socket.bell().wait(pause) {
            Ok(false) => AfterFault::Retry,
            Ok(true) => AfterFault::Rung,
            Err(cause) => AfterFault::Stop(Error::Receive { addr, cause }),
        }
    }

    /// Late news is consumed by reading it: the next receive may well succeed.
    /// Only a long run of it is slowed down, lest it spin.
    fn pause(&self, fault: ReceiveFault) -> Option<Duration> {
        let free = match fault {
            ReceiveFault::LateNews => LATE_NEWS_WITHOUT_PAUSE,
            _ => 0,
        };
        let step = self.length.checked_sub(free + 1)?;
        Some(
            FIRST_PAUSE
                .saturating_mul(1 << step.min(7))
                .min(LONGEST_PAUSE),
        )
    }
}

const LATE_NEWS_WITHOUT_PAUSE: u32 = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn pause(length: u32, fault: ReceiveFault) -> Option<u128> {
        let run = FaultRun { length };
        run.pause(fault).map(|pause| pause.as_millis())
    }

    #[test]
    fn a_shortage_backs_off_from_one_to_a_hundred_milliseconds() {
        assert_eq!(pause(1, ReceiveFault::Exhausted), Some(1));
        assert_eq!(pause(2, ReceiveFault::Exhausted), Some(2));
        assert_eq!(pause(7, ReceiveFault::Exhausted), Some(64));
        assert_eq!(pause(8, ReceiveFault::Exhausted), Some(100));
        assert_eq!(pause(u32::MAX, ReceiveFault::Exhausted), Some(100));
    }

    #[test]
    fn late_news_does_not_slow_receiving_until_there_is_a_flood_of_it() {
        assert_eq!(pause(1, ReceiveFault::LateNews), None);
        assert_eq!(pause(64, ReceiveFault::LateNews), None);
        assert_eq!(pause(65, ReceiveFault::LateNews), Some(1));
    }
}
