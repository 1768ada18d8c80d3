//! The supervisor's looks: finds who is stuck, and sees that nothing waits behind them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Engine;
use super::job::Job;
use super::protocol::DoorId;
use super::slot::Slot;
use super::supervisor::Start;
use crate::logging::{log_debug, log_warn};

/// What the last looks saw. Nothing is judged by one look: that can be mere
/// preemption.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Vec<Sight>,
    /// How long each door has been open.
    doors: Vec<Repeats<u64>>,
    /// How long jobs have waited for a worker.
    waiting: Repeats<u64>,
    /// Looks in a row at which nobody busy had got any further.
    settled: u32,
    /// Looks in a row that found work for a worker that does not exist.
    lacking: u32,
    /// Looks to let pass after the system refused a thread.
    hold_off: u32,
    /// Looks in a row that found handlers quick and nobody stuck.
    calm: u32,
    /// Looks still to come in quick succession, as somebody got stuck lately.
    alert: u32,
    /// Processors to run on.
    cores: usize,
    /// What the first look that panicked said.
    panic: Option<String>,
}

/// One worker, as the last looks saw it.
#[derive(Debug, Clone, Copy, Default)]
struct Sight {
    step: Repeats<u64>,
    /// What was made of that.
    is_stuck: bool,
    /// Which batch it is in, by address and filling.
    batch: Repeats<(usize, u64)>,
}

/// Something, and for how many looks in a row it has been the same.
#[derive(Debug, Clone, Copy, Default)]
struct Repeats<T> {
    last: Option<T>,
    count: u32,
}

impl<T: PartialEq> Repeats<T> {
    /// Takes note; returns how often it was seen before in a row.
    fn see(&mut self, now: Option<T>) -> u32 {
        self.count = if now.is_some() && now == self.last {
            self.count.saturating_add(1)
        } else {
            0
        };
        self.last = now;
        self.count
    }
}

impl Watch {
    pub(super) fn new(engine: &Engine) -> Self {
        Self {
            seen: vec![Sight::default(); engine.slots.len()],
            doors: vec![Repeats::default(); engine.doors().len()],
            waiting: Repeats::default(),
            settled: 0,
            lacking: 0,
            hold_off: 0,
            calm: 0,
            alert: 0,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            panic: None,
        }
    }

    /// One look at everyone.
    pub(super) fn look(&mut self, engine: &Arc<Engine>) {
        self.alert = self.alert.saturating_sub(1);
        if self.alert % QUICK_LOOKS == 0 {
            engine.looks.fetch_add(1, Relaxed);
        }
        let patience = match (engine.pace.is_cheap(), self.alert) {
            (true, 0) => LOOKS_WHEN_CHEAP,
            (true, _) => LOOKS_WHEN_CHEAP * QUICK_LOOKS,
            (false, _) => LOOKS,
        };
        let (mut stuck, mut moved, mut is_news) = (0, false, false);
        for (slot, seen) in engine.slots.iter().zip(&mut self.seen) {
            if let Some(slot) = slot.get() {
                let before = seen.step.last;
                let was_stuck = std::mem::replace(&mut seen.is_stuck, false);
                seen.is_stuck = Self::look_at(engine, slot, seen, patience);
                stuck += usize::from(seen.is_stuck);
                is_news |= seen.is_stuck && !was_stuck;
                moved |= seen.step.last != before;
            }
        }
        let is_cheap = engine.pace.is_cheap();
        if is_news && is_cheap {
            self.alert = LOOKS_OF_ALERT;
        }
        self.calm = if is_cheap && stuck == 0 {
            self.calm.saturating_add(1)
        } else {
            0
        };
        self.settled = if moved {
            0
        } else {
            self.settled.saturating_add(1)
        };
        for door in engine.doors() {
            let socket = engine.socket.borrow(door);
            let backlogged = socket.is_some_and(|socket| socket.is_backlogged());
            engine.backlogged[door].store(backlogged, Relaxed);
            self.see_to_the_door(engine, door, stuck, patience);
        }
        self.see_to_the_jobs(engine, stuck, patience);
        self.see_to_growth(engine, stuck);
    }

    /// A look has panicked with this message.
    pub(super) fn keep_panic(&mut self, message: String) {
        self.panic.get_or_insert(message);
    }

    /// What the first look that panicked said, if one has.
    pub(super) fn take_panic(&mut self) -> Option<String> {
        self.panic.take()
    }

    /// How long to wait until the next look while there is traffic.
    ///
    /// A handler that blocks among many that are quick is likely to be followed
    /// by another: for a while that is found out sooner. When none has for a
    /// while, later: each look takes the processor from somebody.
    pub(super) fn interval(&self) -> Duration {
        if self.alert > 0 {
            LOOK_INTERVAL / QUICK_LOOKS
        } else if self.calm > LOOKS_UNTIL_CALM {
            LOOK_INTERVAL * 2
        } else {
            LOOK_INTERVAL
        }
    }

    /// Whether everyone busy has been in the same handler for some time.
    pub(super) fn is_settled(&self) -> bool {
        self.settled >= LOOKS_UNTIL_SETTLED
    }

    /// Looks at one worker; whether it is stuck.
    ///
    /// In the same handler at two looks in a row it is, unless handlers are
    /// known to be quick and its thread is not waiting for anything: then it
    /// lacks a processor, which waking others would not give it. It is believed
    /// for some looks.
    fn look_at(engine: &Engine, slot: &Slot, seen: &mut Sight, patience: u32) -> bool {
        let step = slot.progress().busy_at();
        if step.is_none() {
            *seen = Sight::default();
            return false;
        }
        let same_step = seen.step.see(step);
        let is_stuck = same_step >= patience || (same_step >= LOOKS && !slot.thread.is_runnable());
        if let Some(batch) = slot.batch() {
            let filling = (Arc::as_ptr(&batch) as usize, batch.filling());
            let is_overdue = seen.batch.see(Some(filling)) >= patience;
            if (is_stuck || is_overdue) && batch.unclaimed() > 0 {
                engine.transit(|protocol| ((), protocol.assist(Job::Batch(batch))));
            }
        }
        if is_stuck {
            engine.send_for(slot);
        }
        is_stuck
    }

    /// Whoever opened the door is not back yet: sends an idle worker, or one
    /// who waits elsewhere in vain.
    fn see_to_the_door(&mut self, engine: &Engine, door: DoorId, stuck: usize, patience: u32) {
        let same_opening = self.doors[door].see(engine.protocol().open_since(door));
        if same_opening >= patience || (same_opening >= LOOKS && stuck > 0) {
            if engine.doors().len() > 1 && has_pending(engine, door) {
                engine.transit(|protocol| ((), protocol.summon(door)));
            } else {
                engine.transit(|protocol| ((), protocol.fill_door(door)));
            }
        }
    }

    /// Jobs wait, and nobody has taken one for some time: sends whom there is.
    fn see_to_the_jobs(&mut self, engine: &Engine, stuck: usize, patience: u32) {
        let same_jobs = self.waiting.see(engine.protocol().waiting_since());
        if same_jobs >= patience || (same_jobs >= LOOKS && stuck > 0) {
            while engine.transit(|protocol| {
                let calls = protocol.hand_out();
                (calls.wake.is_some(), calls)
            }) {}
        }
    }

    /// Nobody is idle and there is something to do: hires.
    ///
    /// When everyone is stuck, the pool doubles. When some only take long, it
    /// grows slowly and not far, and not at all while those at work want all the
    /// processors: more threads would only take them from each other, and from
    /// whoever waits for the replies.
    fn see_to_growth(&mut self, engine: &Arc<Engine>, stuck: usize) {
        self.hold_off = self.hold_off.saturating_sub(1);
        let (lacks, has_waiting, busy, workers) = {
            let protocol = engine.protocol();
            (
                protocol.lacks_workers(),
                protocol.has_waiting(),
                protocol.busy(),
                protocol.workers(),
            )
        };
        let has_work = || has_waiting || engine.doors().any(|door| is_wanted(engine, door));
        if !lacks || self.hold_off > 0 || !has_work() {
            self.lacking = 0;
            return;
        }
        self.lacking += 1;
        let step = if stuck >= busy {
            workers.clamp(1, LARGEST_STEP)
        } else if self.has_room_for_one(engine, workers) {
            1
        } else {
            return;
        };
        self.lacking = 0;
        self.grow(engine, step);
    }

    /// Whether there is a processor for one more worker, by what some looks in a
    /// row saw: at a single one, somebody may just be being woken.
    fn has_room_for_one(&mut self, engine: &Engine, workers: usize) -> bool {
        let is_far = workers >= self.cores * EAGER_WORKERS_PER_CORE;
        if is_far || self.lacking < LOOKS_BEFORE_ASKING {
            return false;
        }
        if Self::runnable_workers(engine) >= self.cores {
            self.lacking = 0;
            return false;
        }
        self.lacking >= PATIENT_LOOKS
    }

    /// How many workers have a processor, or would if one were free.
    fn runnable_workers(engine: &Engine) -> usize {
        let slots = engine.slots.iter().filter_map(|slot| slot.get());
        let busy = slots.filter(|slot| slot.progress().busy_at().is_some());
        busy.filter(|slot| slot.thread.is_runnable()).count()
    }

    fn grow(&mut self, engine: &Arc<Engine>, step: usize) {
        let addr = engine.socket.local_addr();
        let mut started = 0;
        for _ in 0..step {
            match engine.start_worker() {
                Start::Started => started += 1,
                Start::Full => break,
                Start::Refused(cause) => {
                    engine.failed_worker_starts.fetch_add(1, Relaxed);
                    self.hold_off = LOOKS_AFTER_FAILURE;
                    log_warn!("{addr}: the system did not start another worker thread: {cause}");
                    break;
                }
            }
        }
        if started > 0 {
            let workers = engine.protocol().workers();
            log_debug!("{addr}: grew by {started} to {workers} workers");
        }
    }
}

/// Whether something waits at a door where nobody is.
fn is_wanted(engine: &Engine, door: DoorId) -> bool {
    engine.protocol().open_since(door).is_some() && has_pending(engine, door)
}

fn has_pending(engine: &Engine, door: DoorId) -> bool {
    let socket = engine.socket.borrow(door);
    socket.is_some_and(|socket| socket.has_pending())
}

/// Between two looks at workers while there is traffic, as a rule. A worker seen
/// in the same handler at two looks in a row is stuck.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Looks in a row without cause before they come half as often.
const LOOKS_UNTIL_CALM: u32 = 100;
/// Looks within that time when somebody got stuck lately.
const QUICK_LOOKS: u32 = 4;
/// For how many looks that counts as lately: a tenth of a second.
const LOOKS_OF_ALERT: u32 = 100 * QUICK_LOOKS;
/// Looks in a row, after the first, that must see the same.
const LOOKS: u32 = 1;
/// The same, when handlers are known to be quick: longer than the slices in
/// which the system shares out its processors.
const LOOKS_WHEN_CHEAP: u32 = 5;
/// Longer than anything waits that a look could do something about.
const LOOKS_UNTIL_SETTLED: u32 = 32;
/// The most threads started at one look.
const LARGEST_STEP: usize = 64;
/// Looks in a row that find work undone before the pool grows slowly.
const PATIENT_LOOKS: u32 = 5;
/// From which of them on the system is asked who wants a processor.
const LOOKS_BEFORE_ASKING: u32 = 3;
/// Up to how many workers it grows slowly.
const EAGER_WORKERS_PER_CORE: usize = 8;
/// Looks without another try after the system refused a thread.
const LOOKS_AFTER_FAILURE: u32 = 100;
