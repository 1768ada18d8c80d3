//! The thread that called `serve_forever`: starts the workers, looks after
//! them, and closes the server.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::protocol::Rest;
use super::slot::Slot;
use super::watch::Watch;
use super::{Engine, worker};
use crate::contain::contain;
use crate::error::Error;
use crate::logging::{log_error, log_warn};
use crate::stats::Stats;
use crate::sys::Socket;

/// Something to do from time to time on the supervisor's thread. Does not panic.
pub(crate) struct Upkeep {
    pub(crate) interval: Duration,
    pub(crate) action: Box<dyn Fn(&Stats) + Send + Sync>,
}

impl Upkeep {
    /// Now and an interval; `None` when no clock reaches that far.
    fn next_due(&self) -> Option<Instant> {
        Instant::now().checked_add(self.interval)
    }
}

/// How the server ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    pub(crate) stats: Stats,
    /// Worker threads left behind in handlers that did not return.
    pub(crate) abandoned_threads: usize,
    /// What waited in the kernel, in bytes.
    pub(crate) unread_bytes: Option<u64>,
}

/// How starting one more worker ended.
#[derive(Debug)]
pub(super) enum Start {
    Started,
    /// There are as many as there may be.
    Full,
    /// The system did not start the thread, and said this.
    Refused(io::Error),
}

impl Engine {
    /// Serves until stopped, then drains and closes.
    ///
    /// # Panics
    /// If a look panicked (the program's logger may do that): then the server
    /// stops and closes as ever, and the panic goes on to the caller.
    pub(crate) fn serve(self: &Arc<Self>, upkeep: Option<&Upkeep>) -> Result<Closing, Error> {
        if self.is_stopping() {
            return Ok(self.close(Instant::now()));
        }
        let mut watch = Watch::new(self);
        match self.start_workers() {
            Ok(()) => self.supervise(&mut watch, upkeep),
            Err(error) => self.fail(error),
        }
        let deadline = self.drain(&mut watch);
        let closing = self.close(deadline);
        if let Some(message) = watch.take_panic() {
            // The panic hook has told of it already.
            resume_unwind(Box::new(message));
        }
        match self.take_fatal() {
            Some(error) => Err(error),
            None => Ok(closing),
        }
    }

    /// Stops by itself, for a reason that `serve` will return.
    pub(super) fn fail(&self, error: Error) {
        let line = format!("{error}; the server stops");
        self.fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.stop();
        log_error!("{line}");
    }

    fn take_fatal(&self) -> Option<Error> {
        self.fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn start_workers(self: &Arc<Self>) -> Result<(), Error> {
        let wanted = self.config.min_workers;
        for started in 0..wanted {
            if let Start::Refused(cause) = self.start_worker() {
                let addr = self.socket.local_addr();
                return Err(Error::StartWorkers {
                    addr,
                    started,
                    wanted,
                    cause,
                });
            }
        }
        Ok(())
    }

    /// Starts one more worker, if there may be one more.
    pub(super) fn start_worker(self: &Arc<Self>) -> Start {
        let Some(id) = self.protocol().hire() else {
            return Start::Full;
        };
        let engine = Arc::clone(self);
        if let Err(cause) = self.crew.start(move || worker::run(&engine, id)) {
            self.transit(|protocol| ((), protocol.gone(id, false)));
            return Start::Refused(cause);
        }
        let workers = self.protocol().workers() as u64;
        self.peak_workers.fetch_max(workers, Relaxed);
        Start::Started
    }

    /// Looks after the workers while there is traffic; sleeps while there is none.
    ///
    /// Sleeping is a handshake: `doze` raises a flag only when nobody is busy, or
    /// nobody but who has long been stuck, under the lock under which the next
    /// batch to be received will find that flag and send the token that ends
    /// the wait below.
    fn supervise(self: &Arc<Self>, watch: &mut Watch, upkeep: Option<&Upkeep>) {
        let mut due = upkeep.and_then(Upkeep::next_due);
        while !self.is_stopping() {
            let rest = self.protocol().doze(watch.is_settled());
            let until_due = due.map(|due| due.saturating_duration_since(Instant::now()));
            let until_look = match rest {
                // Nobody is at some door, and nobody can be hired for it.
                Rest::None if watch.is_settled() && self.protocol().is_full() => Some(LIGHT_REST),
                Rest::None => Some(watch.interval()),
                Rest::Light => Some(LIGHT_REST),
                Rest::Deep => None,
            };
            let wait = match (until_look, until_due) {
                (Some(look), Some(due)) => Some(look.min(due)),
                (look, due) => look.or(due),
            };
            self.wait_for_token(wait);
            self.protocol().awake();
            if let (Some(upkeep), Some(at)) = (upkeep, due) {
                if Instant::now() >= at {
                    (upkeep.action)(&self.stats());
                    due = upkeep.next_due();
                }
            }
            self.look(watch);
        }
    }

    /// One look; should it panic, the server stops.
    fn look(self: &Arc<Self>, watch: &mut Watch) {
        if let Err(message) = contain(|| watch.look(self)) {
            watch.keep_panic(message);
            self.stop();
        }
    }

    /// Nothing is received any more: waits until what was received is dealt
    /// with. The deadline is for handlers; that the doors are left is waited for
    /// in any case: the bells have rung, and nothing there blocks.
    /// Returns the deadline.
    fn drain(self: &Arc<Self>, watch: &mut Watch) -> Instant {
        let now = Instant::now();
        let timeout = self.config.drain_timeout.min(LONGEST_DRAIN);
        let deadline = now.checked_add(timeout).unwrap_or(now);
        while !self.protocol().is_drained() {
            if Instant::now() >= deadline && self.protocol().doors_are_closed() {
                break;
            }
            self.wait_for_token(Some(watch.interval()));
            self.look(watch);
        }
        deadline
    }

    /// Sends everyone home and closes the socket. What is still in a handler is
    /// abandoned: its thread ends when the handler returns.
    fn close(&self, deadline: Instant) -> Closing {
        let parked = self.protocol().close();
        for worker in parked {
            self.slot(worker).deliver(super::Order::Leave);
        }
        self.crew.dismiss();
        if let Some(lanes) = &self.lanes {
            lanes.abandon();
        }
        for slot in self.slots.iter().filter_map(|slot| slot.get()) {
            if let Some(batch) = slot.batch() {
                batch.abandon();
            }
        }
        self.wait_for_departures(deadline);
        let kernel_drops = self.socket.sum(Socket::kernel_drops);
        let unread_bytes = self.socket.close();
        self.let_go();
        let mut stats = self.current_stats();
        stats.kernel_drops = kernel_drops;
        stats.abandoned = std::mem::take(&mut stats.in_flight);
        let abandoned_threads = stats.workers;
        if abandoned_threads > 0 {
            self.name_the_abandoned();
        }
        Closing {
            stats: *self.closing_stats.get_or_init(|| stats),
            abandoned_threads,
            unread_bytes,
        }
    }

    /// Waits until all threads are gone, at most to the deadline: `finish` may
    /// take its time. After the deadline only those that are not in users' code
    /// are worth a moment.
    fn wait_for_departures(&self, deadline: Instant) {
        let deadline = deadline.max(Instant::now() + DEPARTURE_GRACE);
        while self.protocol().workers() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait_for_token(Some(left));
        }
    }

    fn name_the_abandoned(&self) {
        let is_busy = |slot: &Slot| slot.progress().busy_at().is_some();
        let busy = self.slots.iter().enumerate();
        let busy = busy.filter(|(_, slot)| slot.get().is_some_and(|slot| is_busy(slot)));
        let names: Vec<String> = busy
            .map(|(id, _)| format!("{}-{id}", self.config.thread_name))
            .collect();
        log_warn!(
            "{}: abandoned, as their handlers did not return within {:?} (drain_timeout): threads {}",
            self.socket.local_addr(),
            self.config.drain_timeout,
            names.join(", "),
        );
    }

    fn wait_for_token(&self, timeout: Option<Duration>) {
        // Woken or not, the supervisor looks for itself.
        let _ = self.supervisor.wait(timeout);
    }
}

/// The same while nothing is received and everyone busy has been so for a while:
/// all that can happen is that a stuck handler replies, or that something comes
/// to a socket where nobody is and nobody more can be hired.
const LIGHT_REST: Duration = Duration::from_millis(4);

/// Longer than any machine runs, and short enough to add to any moment.
const LONGEST_DRAIN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// For threads that have been told to leave.
const DEPARTURE_GRACE: Duration = Duration::from_millis(100);
