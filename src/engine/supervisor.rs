//! The thread that called `serve_forever`: starts the workers, looks after
//! them, and closes the server.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use log::Level;

use super::job::Job;
use super::protocol::{Command, Rest};
use super::service::{Service, Upkeep};
use super::slot::Slot;
use super::threads::Start;
use super::watch::Watch;
use super::{Engine, ExecutorFactory, OFTEN, drop_executors};
use crate::contain::contain;
use crate::error::ServeError;
use crate::logging::log_error;
use crate::stats::Stats;
use crate::sys::{Alarm, Socket};

/// How the server ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    pub(crate) stats: Stats,
    /// Worker threads left behind in handlers that did not return.
    pub(crate) abandoned_threads: usize,
    /// What waited in the kernel, in bytes.
    pub(crate) unread_bytes: Option<u64>,
}

impl Engine {
    /// Serves until stopped, then drains and closes.
    ///
    /// # Panics
    /// If a look panicked, which is a bug: then the server stops and closes as
    /// ever, and the panic goes on to the caller.
    pub(crate) fn serve(self: &Arc<Self>, upkeep: Option<Upkeep>) -> Result<Closing, ServeError> {
        if self.is_stopping() {
            return Ok(self.close(self.drain_deadline()));
        }
        let mut watch = Watch::new(
            self.work.slots.len(),
            self.config.min_workers,
            self.doors().len(),
            self.cores,
        );
        let mut panic = None;
        let mut service = None;
        match self.make_wakers().and_then(|()| self.start(upkeep)) {
            Ok(started) => {
                service = started;
                self.supervise(&mut watch, &mut panic);
            }
            Err(error) => self.fail(error),
        }
        let deadline = self.drain(&mut watch, &mut panic);
        if let Some(service) = service {
            service.stop(self, deadline);
        }
        let closing = self.close(deadline);
        if let Some(message) = panic {
            // The panic hook has told of it already.
            resume_unwind(Box::new(message));
        }
        match self.life.take_fatal() {
            Some(error) => Err(error),
            None => Ok(closing),
        }
    }

    /// Stops by itself, for a reason that `serve` will return.
    pub(super) fn fail(&self, error: ServeError) {
        let error = self.socket.explain(error);
        let line = format!("{error}; the server stops");
        self.life.fail(error);
        self.stop();
        let under_way = self.log.write(Level::Error, module_path!(), line);
        // The program may well end with this error.
        under_way.wait(DEPARTURE_GRACE);
    }

    /// Starts all threads there should be.
    fn start(self: &Arc<Self>, upkeep: Option<Upkeep>) -> Result<Option<Service>, ServeError> {
        let addr = self.socket.local_addr();
        self.make_alarm()
            .map_err(|cause| ServeError::Begin { addr, cause })?;
        let wanted = self.config.min_workers;
        for started in 0..wanted {
            if self.is_stopping() {
                return Ok(None);
            }
            if let Start::Refused(cause) = self.start_worker() {
                return Err(ServeError::StartWorkers {
                    addr,
                    started,
                    wanted,
                    cause,
                });
            }
        }
        upkeep
            .map(|upkeep| Service::start(self, upkeep))
            .transpose()
    }

    /// Looks after the workers while there is traffic; sleeps while there is none.
    ///
    /// Sleeping is a handshake: `doze` leaves a mark only when there is nothing
    /// to look after, under the lock under which the next batch to be received
    /// will find that mark, and ends the wait below or arms its timer.
    fn supervise(self: &Arc<Self>, watch: &mut Watch, panic: &mut Option<String>) {
        while !self.is_stopping() {
            let few = watch.interval().as_nanos() / OFTEN.as_nanos();
            let rest = self.protocol().doze(few as u32, watch.left_alone());
            let until_look = match rest {
                Rest::Short => Some(watch.interval()),
                Rest::Long => Some(LONG_REST),
                // Its end is to be told when it comes, and not with the next datagram.
                Rest::Deep if watch.is_starving() => Some(watch.interval()),
                Rest::Deep => None,
            };
            self.wait_for_alarm(until_look);
            self.protocol().awake();
            self.look(watch, panic);
        }
    }

    /// One look; should it panic, the server stops.
    fn look(self: &Arc<Self>, watch: &mut Watch, panic: &mut Option<String>) {
        if let Err(message) = contain(|| self.make_round(watch)) {
            panic.get_or_insert(message);
            self.stop();
        }
    }

    /// Nothing is received any more: waits until what was received is dealt with,
    /// at most to the deadline, which it returns.
    ///
    /// Whoever is still at a door is woken again and again: nothing depends on one
    /// wake-up.
    fn drain(self: &Arc<Self>, watch: &mut Watch, panic: &mut Option<String>) -> Instant {
        let deadline = self.drain_deadline();
        while !self.protocol().is_drained() || !self.socket.answers().are_idle() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait_for_alarm(Some(watch.interval().min(left)));
            self.look(watch, panic);
            if !self.protocol().doors_are_closed() {
                self.socket.wake_all();
            }
        }
        // Whoever is at a door holds the socket, and leaves as soon as it hears.
        let grace = Instant::now() + DEPARTURE_GRACE;
        while !self.protocol().doors_are_closed() && Instant::now() < grace {
            self.socket.wake_all();
            self.wait_for_alarm(Some(watch.interval()));
        }
        deadline
    }

    /// Sends everyone home and closes the socket. What is still in a handler is
    /// abandoned: its thread ends when the handler returns.
    fn close(&self, deadline: Instant) -> Closing {
        self.stop_timers(deadline);
        let (parked, jobs) = self.protocol().close();
        for worker in parked {
            self.slot(worker).deliver(Command::Leave);
        }
        self.threads.dismiss();
        if let Some(lanes) = &self.work.lanes {
            lanes.abandon();
        }
        let given_up = jobs.into_iter().filter_map(|job| match job {
            Job::Batch(batch) => Some(batch),
            Job::Lane(_) => None,
        });
        let in_hand = self.work.slots().filter_map(Slot::batch);
        for batch in given_up.chain(in_hand) {
            batch.abandon();
        }
        self.wait_for_departures(deadline);
        self.end_what_is_kept(deadline);
        self.socket.answers().close();
        let kernel_drops = self.socket.sum(Socket::kernel_drops);
        let unread_bytes = self.close_socket();
        self.drop_alarm();
        let executors = self.let_go();
        let mut stats = self.current_stats();
        stats.kernel_drops = kernel_drops;
        stats.abandoned = std::mem::take(&mut stats.in_flight);
        stats.deferred = 0;
        let abandoned_threads = stats.workers;
        if abandoned_threads > 0 {
            self.name_the_abandoned();
        }
        let stats = *self.life.closing_stats.get_or_init(|| stats);
        self.drop_in_time(executors, deadline);
        Closing {
            stats,
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
            self.wait_for_alarm(Some(left));
        }
    }

    /// Drops what users' code captured, on a thread of its own: it may take as long
    /// as it likes, and is waited for to the deadline.
    fn drop_in_time(&self, executors: Option<Arc<dyn ExecutorFactory>>, deadline: Instant) {
        let unlogged = self.config.unlogged;
        let what = "what the handlers or hooks captured is still being dropped";
        self.run_in_time(what, deadline, move || drop_executors(executors, unlogged));
    }

    /// Has what handlers keep for the server end, as long as it can still send.
    pub(super) fn end_what_is_kept(&self, deadline: Instant) {
        let executors = self.executors().clone();
        if let Some(end) = executors.and_then(|executors| executors.at_end()) {
            self.run_in_time("a session has not ended", deadline, end);
        }
    }

    /// Runs users' code on a thread of its own, and waits for it, at most to the
    /// deadline.
    fn run_in_time(&self, what: &str, deadline: Instant, code: impl FnOnce() + Send + 'static) {
        let (end, ended) = bounded(1);
        let unlogged = self.config.unlogged;
        let run = move || {
            code();
            let _ = end.send(());
        };
        let thread = thread::Builder::new().name(format!("{}-end", self.config.thread_name));
        // Where the system refuses the thread, what it captured is dropped here: that
        // takes no longer than dropping it would have there, and running it might.
        if let Err(message) = contain(|| thread.spawn(run)) {
            log_error!(unlogged, "dropping the factory panicked: {message}");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let end = ended.recv_timeout(left.max(DEPARTURE_GRACE));
        if end == Err(RecvTimeoutError::Timeout) {
            let addr = self.socket.name();
            let line = format!("{addr}: {what}, and is left behind");
            self.warn(line).wait(DEPARTURE_GRACE);
        }
    }

    fn name_the_abandoned(&self) {
        let slots = self.work.slots.iter().enumerate();
        let names: Vec<String> = slots
            .filter(|(_, slot)| {
                slot.get()
                    .is_some_and(|slot| slot.progress().busy_at().is_some())
            })
            .map(|(id, _)| format!("{}-{id}", self.config.thread_name))
            .collect();
        let line = format!(
            "{}: abandoned, as their handlers did not return within {:?} (drain_timeout): threads {}",
            self.socket.name(),
            self.config.drain_timeout,
            names.join(", "),
        );
        self.warn(line).wait(DEPARTURE_GRACE);
    }
}

/// Where the supervisor waits.
impl Engine {
    pub(super) fn make_alarm(&self) -> io::Result<()> {
        let alarm = Alarm::new()?;
        *self.alarm.write().unwrap_or_else(PoisonError::into_inner) = Some(alarm);
        Ok(())
    }

    /// The supervisor waits no more: handles live on, and hold no descriptor.
    pub(super) fn drop_alarm(&self) {
        self.alarm
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    pub(super) fn alarm(&self) -> RwLockReadGuard<'_, Option<Alarm>> {
        self.alarm.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the supervisor, now or at its next wait; before there is one, it
    /// will see for itself.
    pub(super) fn wake_supervisor(&self) {
        if let Some(alarm) = &*self.alarm() {
            alarm.wake();
        }
    }

    /// Waits until the supervisor is wanted, at most this long. Woken or not, it
    /// looks for itself.
    pub(super) fn wait_for_alarm(&self, timeout: Option<Duration>) {
        if let Some(alarm) = &*self.alarm() {
            alarm.wait(timeout);
        }
    }
}

/// How long the supervisor waits when all workers there may be have long been in
/// their handlers: all it does then is to warn.
const LONG_REST: Duration = Duration::from_millis(250);

/// For threads that have been told to leave.
const DEPARTURE_GRACE: Duration = Duration::from_millis(100);
