//! The thread for users' code that is due once, after a while.
//!
//! It is started with the first timer and waits until the next one is due. What is
//! due runs while no lock is held, so that it may set and cancel others.

mod schedule;

use std::io;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::schedule::{Key, Schedule};
use super::Engine;
use crate::contain::contain;
use crate::error::ChangeError;

/// Code that is due once. Does not panic; what it captured may when it is dropped.
pub(crate) type Action = Box<dyn FnOnce() + Send>;

/// The timers of one server.
pub(crate) struct Timers {
    state: Mutex<State>,
    /// A timer was set that is due first, or the thread is to end.
    changed: Condvar,
    /// The thread is about to end.
    ended: Condvar,
    thread_name: String,
}

struct State {
    schedule: Schedule<Action>,
    /// From the first timer until somebody waits for its end.
    thread: Option<TimerThread>,
    /// They run in another process than the one that sets them.
    is_held: bool,
    is_stopped: bool,
    has_ended: bool,
    /// On a test bench there is no thread: time passes when the test says so.
    #[cfg(feature = "testing")]
    by_hand: Option<Instant>,
}

struct TimerThread {
    handle: JoinHandle<()>,
    /// The process that it is in: one that is forked off has none.
    process: u32,
}

/// One timer that was set: cancels it, if it is not due yet.
#[derive(Debug, Clone)]
pub(crate) struct TimerKey {
    key: Key,
    /// Gone with the server.
    timers: Weak<Timers>,
}

impl Engine {
    /// Has `action` run after `delay`, on the timers' thread.
    ///
    /// # Errors
    /// [`ChangeError::TooManyTimers`], [`ChangeError::StartTimers`], [`ChangeError::Closed`].
    pub(crate) fn set_timer(
        &self,
        delay: Duration,
        action: Action,
    ) -> Result<TimerKey, ChangeError> {
        match self.timers.set(delay, action) {
            Ok(key) => Ok(TimerKey {
                key,
                timers: Arc::downgrade(&self.timers),
            }),
            Err(NotSet::Stopped) => Err(ChangeError::Closed),
            Err(NotSet::Full) => Err(ChangeError::TooManyTimers { most: MOST_TIMERS }),
            Err(NotSet::NoThread(cause)) => Err(ChangeError::StartTimers {
                addr: self.socket.local_addr(),
                cause,
            }),
        }
    }

    /// Drops what is not due yet, and waits for what runs, at most to the deadline.
    pub(super) fn stop_timers(&self, deadline: Instant) {
        if !self.timers.stop(deadline) {
            let addr = self.socket.name();
            let line = format!("{addr}: a timer has not returned, and is left behind");
            self.warn(line).wait(GRACE);
        }
    }
}

impl TimerKey {
    /// Whether the timer was not due yet, and never will be.
    pub(crate) fn cancel(&self) -> bool {
        let cancelled = self
            .timers
            .upgrade()
            .and_then(|timers| timers.lock().schedule.remove(self.key));
        // What it captured is dropped here, when no lock is held.
        cancelled.is_some()
    }
}

/// Why a timer was not set.
enum NotSet {
    Stopped,
    Full,
    NoThread(io::Error),
}

impl Timers {
    pub(super) fn new(thread_name: &str) -> Self {
        Self {
            state: Mutex::new(State {
                schedule: Schedule::new(),
                thread: None,
                is_held: false,
                is_stopped: false,
                has_ended: false,
                #[cfg(feature = "testing")]
                by_hand: None,
            }),
            changed: Condvar::new(),
            ended: Condvar::new(),
            thread_name: format!("{thread_name}-timers"),
        }
    }

    fn set(self: &Arc<Self>, delay: Duration, action: Action) -> Result<Key, NotSet> {
        let mut state = self.lock();
        if state.is_stopped {
            return Err(NotSet::Stopped);
        }
        if state.schedule.len() >= MOST_TIMERS {
            return Err(NotSet::Full);
        }
        let now = state.now();
        if state.needs_thread() {
            self.start_thread(&mut state).map_err(NotSet::NoThread)?;
        }
        let due = now + delay.min(LONGEST_DELAY);
        let is_first = state.schedule.first_due().is_none_or(|first| due < first);
        let key = state.schedule.add(due, action);
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
        Ok(key)
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let timers = Arc::clone(self);
        let thread = thread::Builder::new().name(self.thread_name.clone());
        let started = TimerThread {
            handle: thread.spawn(move || timers.run())?,
            process: process::id(),
        };
        // The handle of another process's thread means nothing here.
        std::mem::forget(state.thread.replace(started));
        Ok(())
    }

    /// From now on they wait for a process that is forked off; whether there are any.
    pub(super) fn hold(&self) -> bool {
        let mut state = self.lock();
        state.is_held = true;
        state.schedule.first_due().is_some()
    }

    /// In a process that was forked off: the timers are its own, or else only those
    /// that it sets itself.
    pub(super) fn let_go(self: &Arc<Self>, are_own: bool) -> io::Result<()> {
        let mut state = self.lock();
        state.is_held = false;
        if !are_own {
            // What they captured is dropped where they were set.
            std::mem::forget(std::mem::replace(&mut state.schedule, Schedule::new()));
        }
        match state.schedule.first_due() {
            Some(_) => self.start_thread(&mut state),
            None => Ok(()),
        }
    }

    /// Drops what is due by now: another process has seen to it.
    pub(super) fn skip_due(&self, now: Instant) {
        while let Some(action) = { self.lock().schedule.pop_due(now) } {
            drop_contained(action);
        }
    }

    /// The thread: until told to stop.
    fn run(&self) {
        let mut state = self.lock();
        while !state.is_stopped {
            let now = Instant::now();
            if let Some(action) = state.schedule.pop_due(now) {
                drop(state);
                let _ = contain(action);
                state = self.lock();
                continue;
            }
            state = match state.schedule.first_due() {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    self.changed
                        .wait_timeout(state, due - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        // What they captured is users' code, too: it ends before the server has
        // ended.
        let left = state.schedule.drain();
        drop(state);
        left.for_each(drop_contained);
        self.lock().has_ended = true;
        self.ended.notify_all();
    }

    /// Stops the thread, and waits until it has ended, at most to the deadline;
    /// whether it has. Only who stops it first waits, and never the thread itself.
    fn stop(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        state.is_stopped = true;
        self.changed.notify_all();
        let Some(thread) = state.thread.take() else {
            let left = state.schedule.drain();
            drop(state);
            left.for_each(drop_contained);
            return true;
        };
        let TimerThread { handle, process } = thread;
        if process != process::id() {
            std::mem::forget(handle);
            return true;
        }
        if handle.thread().id() == thread::current().id() {
            return true;
        }
        let deadline = deadline.max(Instant::now() + GRACE);
        while !state.has_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        // It has nothing left to do. It contains what users' code does.
        let _ = handle.join();
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[cfg(feature = "testing")]
    fn now(&self) -> Instant {
        self.by_hand.unwrap_or_else(Instant::now)
    }

    #[cfg(not(feature = "testing"))]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[cfg(feature = "testing")]
    fn needs_thread(&self) -> bool {
        self.by_hand.is_none() && !self.is_held && !self.has_thread()
    }

    #[cfg(not(feature = "testing"))]
    fn needs_thread(&self) -> bool {
        !self.is_held && !self.has_thread()
    }

    fn has_thread(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| thread.process == process::id())
    }
}

/// For a test bench.
#[cfg(feature = "testing")]
impl Timers {
    /// From now on time passes only with [`advance`](Self::advance).
    pub(super) fn stop_the_clock(&self) {
        self.lock().by_hand = Some(Instant::now());
    }

    /// Drops what is not due yet.
    pub(super) fn clear(&self) {
        let left = self.lock().schedule.drain();
        left.for_each(drop_contained);
    }

    /// Lets time pass; what becomes due runs here, in its order and at its time.
    /// What panics goes on to the caller.
    pub(crate) fn advance(&self, by: Duration) {
        let end = self.lock().now() + by.min(LONGEST_DELAY);
        loop {
            let mut state = self.lock();
            let due = state.schedule.first_due().filter(|due| *due <= end);
            state.by_hand = Some(due.unwrap_or(end));
            let action = state.schedule.pop_due(end);
            drop(state);
            match action {
                Some(action) => action(),
                None => return,
            }
        }
    }
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers")
            .field("thread_name", &self.thread_name)
            .finish_non_exhaustive()
    }
}

fn drop_contained(action: Action) {
    let _ = contain(|| drop(action));
}

/// Timers that may be set at the same time.
pub(crate) const MOST_TIMERS: usize = 65_536;

/// Longer than any machine runs, and short enough to add to any moment.
const LONGEST_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What a timer that is not hung gets at the deadline.
const GRACE: Duration = Duration::from_millis(100);
