//! Judges who is stuck, and what follows: values in, decisions out.
//!
//! It knows workers, doors and threads only as [`Sights`] shows them, and no
//! clock. What it decides is carried out by `rounds.rs`, and the tests show it
//! traces.
//!
//! A worker seen in the same step at two looks waits, computes, or lacks a
//! processor. To find out costs a system call or two, so it is asked only when
//! something is left undone. Who *waits* is stuck at once. Who *computes* is stuck
//! when it has used 20 ms of a processor: below that, others would
//! only take the processor from it, unless one is free. Who *lacks* a processor is
//! not stuck: to wake others would not give it one.

mod activity;
mod growth;
mod repeats;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::protocol::{DoorId, WorkerId};
use activity::{Activity, LOOKS, Seen, patience};
use growth::Starvation;
use repeats::Repeats;

/// What can be seen of the engine at one look.
pub(super) trait Sights {
    /// Time since the server began.
    fn now(&self) -> Duration;
    /// The place of this worker, if it is busy.
    fn worker(&self, id: WorkerId) -> Option<Step>;
    /// The processor time that its thread has used, where the system tells.
    fn cpu_time(&self, id: WorkerId) -> Option<Duration>;
    /// Whether its thread runs or would, were a processor free.
    fn is_runnable(&self, id: WorkerId) -> bool;
    /// The batch that it has for itself, by address and filling, if something of it
    /// is unclaimed.
    fn unclaimed(&self, id: WorkerId) -> Option<(usize, u64)>;
    /// Which opening of this door this is, while nobody is there.
    fn open_since(&self, door: DoorId) -> Option<u64>;
    /// Whether something waits at the socket of this door.
    fn has_pending(&self, door: DoorId) -> bool;
    /// How many jobs were ever taken, while one waits.
    fn waiting_since(&self) -> Option<u64>;
    /// How many workers there are.
    fn pool(&self) -> Pool;
    /// Whether a worker that has a handler instance is idle, or waits at a door.
    fn has_free_instance(&self) -> bool;
    /// Whether handlers wait so much that datagrams are handed on.
    fn is_dispatched(&self) -> bool;
    /// Whether handlers are quick.
    fn is_cheap(&self) -> bool;
}

/// Where a busy worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) number: u64,
    /// Its handler instance is being made.
    pub(super) is_preparing: bool,
}

/// The workers, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pool {
    pub(super) workers: usize,
    pub(super) busy: usize,
    pub(super) idle: usize,
    /// There are as many as there may be.
    pub(super) is_full: bool,
    /// There are fewer than the least there should be.
    pub(super) is_short: bool,
    /// Nobody is idle, and there is a job or a door that nobody is at.
    pub(super) lacks: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// This step of a worker is new.
    Saw(WorkerId, u64),
    /// This worker's handler waits.
    Waits(WorkerId),
    /// Send the replies of this worker for it.
    Send(WorkerId),
    /// The same, and let it send each at once from now on: nobody looks after it.
    LeaveAlone(WorkerId),
    /// Give its batch to another worker.
    Rescue(WorkerId),
    /// Send an idle worker to this door.
    FillDoor(DoorId),
    /// Call one from another door to this one.
    Summon(DoorId),
    /// Call somebody for a job that waits.
    HandOut,
    /// Start so many workers more.
    Grow(usize),
    /// All workers there may be are busy, and something has waited for so long.
    Starved { busy: usize, waited: Duration },
    /// That is over, after so long.
    Relieved { waited: Duration },
}

/// What the last looks saw. Nothing is judged by one look: that can be mere
/// preemption.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Vec<Seen>,
    /// How long each door has been open.
    doors: Vec<Repeats<u64>>,
    /// How long jobs have waited for a worker.
    waiting: Repeats<u64>,
    /// Looks in a row that found work for a worker that does not exist.
    lacking: u32,
    /// Looks to let pass after a thread was refused or replaced.
    hold_off: u32,
    /// Looks in a row that found nobody stuck and nobody who could be helped.
    calm: u32,
    /// All workers there may be are busy, and more waits.
    is_beyond_help: bool,
    /// How many are busy, if all of them are left alone.
    left_alone: Option<usize>,
    starvation: Option<Starvation>,
    /// Processors to run on.
    cores: usize,
    /// The least workers there should be.
    min: usize,
    /// The worker whose thread is looked at first.
    next: WorkerId,
    /// Workers that stayed where they were, and do not compute.
    stuck: usize,
    decisions: Vec<Decision>,
}

impl Watch {
    pub(super) fn new(workers: usize, min: usize, doors: usize, cores: usize) -> Self {
        Self {
            seen: vec![Seen::default(); workers],
            doors: vec![Repeats::default(); doors],
            waiting: Repeats::default(),
            lacking: 0,
            hold_off: 0,
            calm: 0,
            is_beyond_help: false,
            left_alone: None,
            starvation: None,
            cores,
            min,
            next: 0,
            stuck: 0,
            decisions: Vec::with_capacity(3 * workers + 2 * doors + 4),
        }
    }

    /// One look at everyone.
    pub(super) fn look(&mut self, sights: &impl Sights) -> &[Decision] {
        self.decisions.clear();
        let pool = sights.pool();
        for id in 0..self.seen.len() {
            self.see_worker(sights, id);
        }
        for (door, seen) in self.doors.iter_mut().enumerate() {
            seen.see(sights.open_since(door));
        }
        self.waiting.see(sights.waiting_since());
        let has_work = self.waiting.is_there()
            || (0..self.doors.len())
                .any(|door| self.doors[door].is_there() && sights.has_pending(door));
        self.is_beyond_help = pool.is_full && pool.lacks && pool.busy == pool.workers;
        if sights.is_dispatched() {
            self.take_stays_for_waits();
        }
        if self.is_anything_undone() && !self.is_beyond_help {
            self.look_at_threads(sights);
        }
        let has_free_core = self.count(Activity::wants_core) < self.cores;
        for id in 0..self.seen.len() {
            self.see_to_its_batch(sights, id, has_free_core);
        }
        // Where handlers wait, nobody is behind one that does; without a free
        // processor, nobody could help.
        let is_quick = sights.is_dispatched() && pool.idle > 0
            || (sights.is_cheap() || !has_free_core) && self.count(Activity::is_stuck) == 0;
        self.calm = if is_quick { self.calm + 1 } else { 0 }.min(LOOKS_UNTIL_CALM);
        self.stuck = self.count(|activity| activity.is_stuck() || activity == Activity::Stays);
        let mut busy = self
            .seen
            .iter()
            .filter(|seen| seen.activity != Activity::Idle);
        let count = busy.clone().count();
        let are_left_alone = busy.all(|seen| seen.is_left_alone && !seen.batch.is_there());
        self.left_alone = are_left_alone.then_some(count);
        let patience = patience(sights);
        for door in 0..self.doors.len() {
            self.see_to_the_door(sights, door, has_free_core, patience);
        }
        let is_due = self.waiting.count() >= patience || self.count(Activity::is_stuck) > 0;
        if self.waiting.count() >= LOOKS && is_due {
            self.decisions.push(Decision::HandOut);
        }
        self.see_to_growth(sights, pool, has_work);
        self.see_to_starvation(sights, pool, has_work);
        &self.decisions
    }

    /// How long to wait until the next look while there is traffic. Later when
    /// nobody was stuck for a while, and when all a look could do is to send what is
    /// queued: each takes the processor from somebody.
    pub(super) fn interval(&self) -> Duration {
        if self.is_beyond_help {
            LOOK_INTERVAL * 4
        } else if self.calm == LOOKS_UNTIL_CALM {
            LOOK_INTERVAL * 2
        } else {
            LOOK_INTERVAL
        }
    }

    /// How many workers are busy, if each has been in the same handler for so long
    /// that it is left alone.
    pub(super) fn left_alone(&self) -> Option<usize> {
        self.left_alone
    }

    /// Whether the last look found all workers busy and something that waits.
    pub(super) fn is_starving(&self) -> bool {
        self.starvation.is_some()
    }

    /// Workers that stayed where they were at the last look, and do not compute.
    pub(super) fn stuck(&self) -> usize {
        self.stuck
    }

    /// What this worker had to send found no room: it is looked after for longer.
    pub(super) fn look_after(&mut self, id: WorkerId) {
        self.seen[id].is_left_alone = false;
        self.left_alone = None;
    }

    /// The system refused a thread: not another for a while.
    pub(super) fn hold_off(&mut self) {
        self.hold_off = LOOKS_AFTER_FAILURE;
    }

    fn count(&self, is_meant: impl Fn(Activity) -> bool) -> usize {
        let activities = self.seen.iter().map(|seen| seen.activity);
        activities.filter(|activity| is_meant(*activity)).count()
    }

    /// Looks where a worker is. Replies of one that stays there are sent for it.
    fn see_worker(&mut self, sights: &impl Sights, id: WorkerId) {
        let seen = &mut self.seen[id];
        let Some(step) = sights.worker(id) else {
            *seen = Seen::default();
            return;
        };
        let looks = seen.step.see(Some(step.number));
        seen.batch.see(sights.unclaimed(id));
        if looks == 0 {
            (seen.first, seen.last, seen.is_left_alone) = (None, None, false);
            self.decisions.push(Decision::Saw(id, step.number));
        }
        seen.activity = match seen.activity {
            _ if step.is_preparing => Activity::Prepares,
            _ if looks < LOOKS => Activity::Moves,
            Activity::Idle | Activity::Moves | Activity::Prepares => Activity::Stays,
            known => known,
        };
        if looks >= LOOKS && !seen.is_left_alone {
            seen.is_left_alone = looks >= LOOKS_UNTIL_SETTLED;
            self.decisions.push(if seen.is_left_alone {
                Decision::LeaveAlone(id)
            } else {
                Decision::Send(id)
            });
        }
    }

    /// Whether there is a job or a batch that nobody gets to, or a door where
    /// nobody is.
    fn is_anything_undone(&self) -> bool {
        let has_batch = |seen: &Seen| seen.batch.is_there() && seen.activity.stays();
        self.waiting.is_there()
            || self.doors.iter().any(Repeats::is_there)
            || self.seen.iter().any(has_batch)
    }

    /// Where handlers are known to wait, nobody asks whether one does.
    fn take_stays_for_waits(&mut self) {
        for (id, seen) in self.seen.iter_mut().enumerate() {
            if seen.activity == Activity::Stays {
                seen.activity = Activity::Waits;
                self.decisions.push(Decision::Waits(id));
            }
        }
    }

    /// Looks at threads of workers that stay where they are, some each time.
    fn look_at_threads(&mut self, sights: &impl Sights) {
        let count = self.seen.len();
        let mut left = MOST_THREADS;
        for id in (self.next..self.next + count).map(|id| id % count) {
            if left == 0 {
                self.next = id;
                return;
            }
            let seen = &mut self.seen[id];
            // Who waits goes on to wait, until it moves.
            if seen.activity.stays() && seen.activity != Activity::Waits {
                left -= 1;
                if seen.look_at_thread(sights, id) {
                    self.decisions.push(Decision::Waits(id));
                }
            }
        }
    }

    /// Gives a batch away that its worker does not get on with. Where that makes its
    /// handler instance, only to one that has an instance: another would begin with
    /// the same.
    fn see_to_its_batch(&mut self, sights: &impl Sights, id: WorkerId, has_free_core: bool) {
        let seen = &mut self.seen[id];
        if seen.activity == Activity::Idle {
            return;
        }
        let is_overdue = seen.batch.count() >= patience(sights)
            && has_free_core
            && seen.activity != Activity::Prepares;
        let is_stuck = match seen.activity {
            Activity::Waits | Activity::Spins => true,
            Activity::Prepares => seen.batch.count() >= LOOKS && sights.has_free_instance(),
            Activity::Computes => has_free_core,
            _ => false,
        };
        if seen.batch.is_there() && (is_stuck || is_overdue) {
            self.decisions.push(Decision::Rescue(id));
        }
    }

    /// Whoever left the door is not back yet: sends an idle worker, or one who
    /// waits elsewhere in vain.
    fn see_to_the_door(
        &mut self,
        sights: &impl Sights,
        door: DoorId,
        has_free_core: bool,
        patience: u32,
    ) {
        let seen = &self.doors[door];
        if !seen.is_there() {
            return;
        }
        let is_stuck = self.count(Activity::is_stuck) > 0
            || (has_free_core && self.count(|activity| activity == Activity::Computes) > 0);
        let is_due = seen.count() >= LOOKS && is_stuck;
        if is_due || (seen.count() >= patience && has_free_core) {
            let is_wanted = self.doors.len() > 1 && sights.has_pending(door);
            self.decisions.push(if is_wanted {
                Decision::Summon(door)
            } else {
                Decision::FillDoor(door)
            });
        }
    }
}

/// Between two looks at workers while there is traffic, as a rule.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Looks in a row without cause before they come half as often.
const LOOKS_UNTIL_CALM: u32 = 100;
/// Longer than anything waits that a look could do something about.
const LOOKS_UNTIL_SETTLED: u32 = 32;
/// Threads that one look asks the system about: each takes some microseconds.
const MOST_THREADS: usize = 8;
/// Looks without another try after the system refused a thread, or one was replaced.
const LOOKS_AFTER_FAILURE: u32 = 100;
