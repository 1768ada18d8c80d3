//! What a failed receive leads to.

use std::io;
use std::time::{Duration, Instant};

use super::Engine;
use super::protocol::DoorId;
use crate::error::ServeError;
use crate::stats::{WorkerTally, bump};
use crate::sys::ReceiveFault;

/// Errors of receive calls in a row, without a datagram between.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct FaultRun {
    /// Those that tell of somebody else.
    of_others: Run,
    /// Those of this host: shortages, and what nobody foresaw.
    own: Run,
    /// How many of the latter nobody foresaw.
    unforeseen: u32,
}

#[derive(Debug, Default, Clone, Copy)]
struct Run {
    length: u32,
    last: Option<Instant>,
}

impl Run {
    /// One more, now: how many it has.
    fn go_on(&mut self, now: Instant) -> u32 {
        let goes_on = |at| now.saturating_duration_since(at) < LONGEST_GAP;
        self.length = match self.last.replace(now) {
            Some(at) if goes_on(at) => self.length.saturating_add(1),
            _ => 1,
        };
        self.length
    }
}

/// What to do after a failed receive.
#[derive(Debug)]
pub(crate) enum AfterFault {
    /// Receive again.
    Retry,
    /// The waker rang meanwhile.
    Woken,
    /// Stop with this error.
    Stop(ServeError),
}

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Receive again at once.
    Retry,
    /// Receive again after this time.
    Pause(Duration),
    /// The error will not end: stop the server.
    Stop,
}

impl FaultRun {
    /// A receive went well.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// Counts and judges an error, and waits out a shortage. It can be woken.
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
        let addr = engine.socket.addr_at(door);
        if let Some(admitted) = engine.receive_errors.admit() {
            engine.warn(format!("{addr}: receive failed: {error}{admitted}"));
        }
        match self.judge(fault, Instant::now()) {
            Verdict::Retry => AfterFault::Retry,
            Verdict::Pause(length) => match engine.socket.borrow(door) {
                Some(socket) if !socket.waker().wait(length) => AfterFault::Retry,
                _ => AfterFault::Woken,
            },
            Verdict::Stop => AfterFault::Stop(ServeError::Receive { addr, cause: error }),
        }
    }

    /// An error that tells of somebody else is consumed by reading it, and the
    /// next receive may well succeed. A shortage, or what nobody foresaw, gets
    /// one more try at once and then pauses, short ones: datagrams may wait.
    /// Errors of two kinds that take turns are as long a run as those of one.
    fn judge(&mut self, fault: ReceiveFault, now: Instant) -> Verdict {
        match fault {
            ReceiveFault::Interrupted | ReceiveFault::WouldBlock => Verdict::Retry,
            ReceiveFault::PendingError => {
                let length = self.of_others.go_on(now);
                let is_flood = length > PENDING_ERRORS_WITHOUT_PAUSE;
                if is_flood && length % PENDING_ERRORS_PER_PAUSE == 0 {
                    Verdict::Pause(LONGEST_PAUSE)
                } else {
                    Verdict::Retry
                }
            }
            ReceiveFault::Exhausted | ReceiveFault::Unforeseen => {
                let length = self.own.go_on(now);
                if length == 1 {
                    self.unforeseen = 0;
                }
                self.unforeseen += u32::from(fault == ReceiveFault::Unforeseen);
                if self.unforeseen > MOST_UNFORESEEN {
                    Verdict::Stop
                } else {
                    back_off(length)
                }
            }
            ReceiveFault::Fatal => Verdict::Stop,
        }
    }
}

fn back_off(length: u32) -> Verdict {
    match length.checked_sub(2) {
        None => Verdict::Retry,
        Some(step) => {
            let pause = FIRST_PAUSE.saturating_mul(1 << step.min(8));
            Verdict::Pause(pause.min(LONGEST_PAUSE))
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// A datagram that waits meanwhile is as late.
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

/// Errors further apart than this, which is more than a pause and the time to
/// be scheduled, belong to different runs.
const LONGEST_GAP: Duration = Duration::from_millis(100);

/// More pending socket errors than come one for each receive without a datagram
/// or a wait between, unless something is wrong. Anyone can forge them: so they
/// never end a server, and beyond this they only must not take all its time.
const PENDING_ERRORS_WITHOUT_PAUSE: u32 = 1_024;
/// Receives between two pauses: often enough that a forger must be much quicker
/// than this server to let none of them succeed.
const PENDING_ERRORS_PER_PAUSE: u32 = 16;

/// With pauses, about a second of nothing else.
const MOST_UNFORESEEN: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts on so many errors in a row, a millisecond apart.
    fn verdicts(fault: ReceiveFault, count: u32) -> Vec<Verdict> {
        let (mut run, start) = (FaultRun::default(), Instant::now());
        (0..count)
            .map(|number| run.judge(fault, start + number * Duration::from_millis(1)))
            .collect()
    }

    const fn pause(millis: u64) -> Verdict {
        Verdict::Pause(Duration::from_millis(millis))
    }

    #[test]
    fn a_shortage_that_repeats_pauses_for_a_few_milliseconds_at_most() {
        let verdicts = verdicts(ReceiveFault::Exhausted, 10_000);
        let first = [Verdict::Retry, pause(1), pause(2), pause(4), pause(4)];
        assert_eq!(verdicts[..5], first);
        assert!(verdicts[5..].iter().all(|verdict| *verdict == pause(4)));
    }

    #[test]
    fn an_error_that_tells_of_somebody_else_costs_nobody_a_pause() {
        let verdicts = verdicts(ReceiveFault::PendingError, 1_024);
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Retry));
    }

    #[test]
    fn a_flood_of_them_does_not_spin_and_leaves_most_receives_without_a_pause() {
        let verdicts = &verdicts(ReceiveFault::PendingError, 10_000)[1_024..];
        let pauses = verdicts.iter().filter(|verdict| **verdict == pause(4));
        assert_eq!(pauses.count(), verdicts.len() / 16);
        assert!(!verdicts.contains(&Verdict::Stop), "anyone can forge them");
    }

    #[test]
    fn an_unforeseen_error_that_does_not_end_stops_the_server_after_a_second() {
        let verdicts = verdicts(ReceiveFault::Unforeseen, 251);
        assert_eq!(verdicts[0], Verdict::Retry, "it may be over");
        let paused: Duration = verdicts[1..250]
            .iter()
            .map(|verdict| match verdict {
                Verdict::Pause(length) => *length,
                other => panic!("{other:?}: it has not gone on for long"),
            })
            .sum();
        assert!(paused > Duration::from_millis(900), "{paused:?}");
        assert_eq!(verdicts[250], Verdict::Stop);
    }

    #[test]
    fn a_lost_socket_stops_the_server_at_once() {
        assert_eq!(verdicts(ReceiveFault::Fatal, 1), [Verdict::Stop]);
    }

    #[test]
    fn a_datagram_or_a_wait_begins_a_new_run() {
        let (mut run, now) = (FaultRun::default(), Instant::now());
        for _ in 0..MOST_UNFORESEEN {
            run.judge(ReceiveFault::Unforeseen, now);
        }
        let mut by_datagram = run;
        by_datagram.end();
        let verdict = by_datagram.judge(ReceiveFault::Unforeseen, now);
        assert_eq!(verdict, Verdict::Retry);

        let later = now + LONGEST_GAP;
        let verdict = run.judge(ReceiveFault::Unforeseen, later);
        assert_eq!(verdict, Verdict::Retry);
    }

    #[test]
    fn errors_that_take_turns_pause_and_end_as_those_of_one_kind_do() {
        for other in [ReceiveFault::Exhausted, ReceiveFault::PendingError] {
            let (mut run, now) = (FaultRun::default(), Instant::now());
            for count in 1..=MOST_UNFORESEEN {
                let verdict = run.judge(ReceiveFault::Unforeseen, now);
                let is_paused = matches!(verdict, Verdict::Pause(_));
                assert_eq!(is_paused, count > 1, "{count} beside {other:?}");
                run.judge(other, now);
            }
            let verdict = run.judge(ReceiveFault::Unforeseen, now);
            assert_eq!(verdict, Verdict::Stop, "beside {other:?}");
        }
    }
}
