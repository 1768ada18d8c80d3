//! What is due without a datagram: ticks, the end of who is idle, the end of all.
//!
//! The *clock* is one thread, started with the first session. It knows when something
//! is due, and runs none of it: it calls a *runner*, a thread that takes one session
//! after the other out of the table. Nothing is handed over between the two but the
//! word that there is something to do, so whoever looks takes what is next.
//!
//! A session that hangs in a tick holds its runner. The clock looks every few
//! milliseconds while something is due: if no session was taken out between two looks,
//! it starts another runner, which goes on with who is next. So a hung session delays
//! nobody else by more than that, once. A session that hangs in a datagram is busy, and
//! passed over. Only when as many hang as there may be runners, the others' ticks wait.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::keeper::{Keeper, State, wait};
use super::table::Due;
use crate::contain::contain;
use crate::logging::log_warn;
use crate::server::ServerHandle;

/// The threads for what is due.
#[derive(Debug, Default)]
pub(super) struct Threads {
    is_closed: bool,
    has_clock: bool,
    runners: usize,
    /// Runners that wait to be called.
    resting: usize,
    /// Sessions that were taken out because something was due.
    begun: u64,
    /// When a tick is due next, while there are sessions.
    next_tick: Option<Instant>,
}

/// What the clock saw when it looked last and somebody had got on.
#[derive(Debug, Clone, Copy)]
struct Seen {
    begun: u64,
    at: Instant,
    /// Whether it was said that nobody can.
    is_told: bool,
}

impl Seen {
    fn now(begun: u64, at: Instant) -> Self {
        Self {
            begun,
            at,
            is_told: false,
        }
    }
}

impl Keeper {
    /// Starts the clock with the first session, or tells it that there is one again.
    pub(super) fn start_clock(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let is_first = state.table.len() == 1;
        if state.threads.has_clock {
            if is_first {
                self.clock_turn.notify_one();
            }
            return Ok(());
        }
        self.start("peers", Self::run_clock)?;
        state.threads.has_clock = true;
        Ok(())
    }

    /// The clock.
    fn run_clock(self: &Arc<Self>) {
        let mut state = self.lock();
        let mut seen = Seen::now(state.threads.begun, Instant::now());
        while !state.threads.is_closed {
            let now = Instant::now();
            state.tick_if_due(self.options.tick_every, now);
            let mut next = state.table.next_idle();
            if state.table.may_be_due(now) {
                if let Some(problem) = self.call_runner(&mut state, now, &mut seen) {
                    drop(state);
                    self.tell_of_no_runner(&problem);
                    state = self.lock();
                    continue;
                }
                next = Some(now + LOOK);
            }
            let tick = state.threads.next_tick;
            let next = [next, tick].into_iter().flatten().min();
            state = match next {
                None => wait(&self.clock_turn, state),
                Some(next) => wait_until(&self.clock_turn, state, next),
            };
        }
        state.threads.has_clock = false;
        self.ended.notify_all();
    }

    /// Something is due: sees to it that somebody comes for it. Says why nobody does,
    /// once.
    fn call_runner(
        self: &Arc<Self>,
        state: &mut State,
        now: Instant,
        seen: &mut Seen,
    ) -> Option<String> {
        let threads = &mut state.threads;
        if threads.resting > 0 {
            self.runner_turn.notify_one();
            return None;
        }
        if threads.begun != seen.begun || threads.runners == 0 && !seen.is_told {
            *seen = Seen::now(threads.begun, now);
        }
        let is_stuck = now.saturating_duration_since(seen.at) >= LOOK;
        if threads.runners > 0 && !is_stuck {
            return None;
        }
        seen.at = now;
        let problem = match threads.runners < MOST_RUNNERS {
            false => format!("{MOST_RUNNERS} sessions hang in a tick, or at their end"),
            true => match self.start("session", Self::run_due) {
                Ok(()) => {
                    threads.runners += 1;
                    return None;
                }
                Err(error) => format!("no thread for it: {error}"),
            },
        };
        let is_told = std::mem::replace(&mut seen.is_told, true);
        (!is_told).then_some(problem)
    }

    fn tell_of_no_runner(&self, problem: &str) {
        if let (Some(admitted), Some(server)) = (self.stuck_lines.admit(), self.server()) {
            let addr = server.local_addr();
            log_warn!("{addr}: ticks and ends of sessions have to wait: {problem}{admitted}");
        }
    }

    /// A runner: runs what is due, and rests while nothing is. One that rests is enough.
    fn run_due(self: &Arc<Self>) {
        let mut state = self.lock();
        loop {
            state = match self.run_next(state) {
                Ran::Something(state) => state,
                Ran::Nothing(mut state) => {
                    if state.threads.is_closed || state.threads.resting > 0 {
                        state.threads.runners -= 1;
                        self.ended.notify_all();
                        return;
                    }
                    state.threads.resting += 1;
                    let mut state = wait(&self.runner_turn, state);
                    state.threads.resting -= 1;
                    state
                }
            };
        }
    }

    /// Runs what is due next, if anything is.
    fn run_next<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Ran<'a> {
        match state.table.due(Instant::now()) {
            Due::Tick(id, peer, session, missed) => {
                state.threads.begun += 1;
                drop(state);
                if let Some(session) = self.tick(id, &peer, session, missed) {
                    self.give_back(id, &peer, session, true);
                }
            }
            Due::End(id, peer, session, reason) => {
                state.threads.begun += 1;
                drop(state);
                self.conclude(id, &peer, session, reason);
            }
            Due::LookAgain => drop(state),
            Due::Nothing => return Ran::Nothing(state),
        }
        Ran::Something(self.lock())
    }

    /// The server has drained, and can still send: tells every session that it is
    /// over. Returns when all that rested are, and all threads have ended.
    pub(super) fn end_all(self: &Arc<Self>) {
        let mut state = self.lock();
        state.threads.is_closed = true;
        state.table.close();
        self.release_all();
        self.clock_turn.notify_all();
        self.runner_turn.notify_all();
        let mut seen = Seen::now(state.threads.begun, Instant::now());
        loop {
            let now = Instant::now();
            if state.table.may_be_due(now) {
                // Whoever waits for this says so if it takes too long.
                let _problem = self.call_runner(&mut state, now, &mut seen);
                if state.threads.runners == 0 {
                    // The system has no thread for it.
                    let (Ran::Something(next) | Ran::Nothing(next)) = self.run_next(state);
                    state = next;
                } else {
                    state = wait_until(&self.ended, state, now + LOOK);
                }
            } else if state.threads.has_clock || state.threads.runners > 0 {
                state = wait(&self.ended, state);
            } else {
                return;
            }
        }
    }

    fn start(self: &Arc<Self>, name: &str, run: fn(&Arc<Self>)) -> io::Result<()> {
        let keeper = Arc::clone(self);
        let own = self
            .server()
            .map_or("socketserver", ServerHandle::thread_name);
        let thread = thread::Builder::new().name(format!("{own}-{name}"));
        // What is dropped last, on whatever thread, may be what users' code captured.
        let run = move || {
            let _ = contain(move || run(&keeper));
        };
        thread.spawn(run).map(drop)
    }
}

/// What came of a look for something to run.
enum Ran<'a> {
    Something(MutexGuard<'a, State>),
    Nothing(MutexGuard<'a, State>),
}

impl State {
    /// Counts the ticks that are due by now. The grid of time stands, however late
    /// anybody is; without sessions there is none.
    fn tick_if_due(&mut self, every: Option<Duration>, now: Instant) {
        let Some(every) = every.filter(|_| self.table.len() > 0) else {
            self.threads.next_tick = None;
            return;
        };
        let due = match self.threads.next_tick {
            Some(due) if due <= now => due,
            Some(_) => return,
            None => {
                self.threads.next_tick = now.checked_add(every);
                return;
            }
        };
        let (ticks, next) = ticks_by(due, every, now);
        self.threads.next_tick = next;
        self.table.tick(ticks);
    }
}

/// How many ticks are due, of which the first was at `due`, and when the next is.
fn ticks_by(due: Instant, every: Duration, now: Instant) -> (u64, Option<Instant>) {
    let late = now.saturating_duration_since(due).as_nanos();
    let every = every.as_nanos().max(1);
    let ahead = u64::try_from(every - late % every).unwrap_or(u64::MAX);
    let next = now.checked_add(Duration::from_nanos(ahead));
    ((1 + late / every).try_into().unwrap_or(u64::MAX), next)
}

fn wait_until<'a>(
    turn: &std::sync::Condvar,
    state: MutexGuard<'a, State>,
    until: Instant,
) -> MutexGuard<'a, State> {
    let left = until.saturating_duration_since(Instant::now());
    let (state, _) = turn
        .wait_timeout(state, left)
        .unwrap_or_else(PoisonError::into_inner);
    state
}

/// How often the clock looks whether somebody gets on with what is due.
const LOOK: Duration = Duration::from_millis(5);

/// Sessions that may hang in a tick, or at their end, while others' ticks go on.
const MOST_RUNNERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_of_ticks_stands_and_what_was_missed_is_counted() {
        let every = Duration::from_millis(50);
        let due = Instant::now();
        let late = |millis| {
            let now = due + Duration::from_millis(millis);
            let (ticks, next) = ticks_by(due, every, now);
            (ticks, next.expect("clocks reach that far") - due)
        };
        assert_eq!(late(0), (1, every));
        assert_eq!(late(49), (1, every));
        assert_eq!(late(50), (2, 2 * every));
        assert_eq!(late(174), (4, 4 * every));
    }
}
