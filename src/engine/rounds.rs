//! The supervisor's rounds: shows the engine to the watch, and carries out what
//! it decides.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use log::Level;

use super::Engine;
use super::job::Job;
use super::protocol::{DoorId, WorkerId};
use super::threads::Start;
use super::watch::{Decision, Pool, Sights, Step, Watch};

/// How a decision was carried out.
enum Outcome {
    Done,
    /// The system refused what was decided.
    Refused,
    /// What this worker had to send found no room.
    Unsent(WorkerId),
}

impl Sights for Engine {
    fn now(&self) -> Duration {
        self.life.began.elapsed()
    }

    fn worker(&self, id: WorkerId) -> Option<Step> {
        let progress = self.work.slots[id].get()?.progress();
        Some(Step {
            number: progress.busy_at()?,
            is_preparing: progress.is_preparing(),
        })
    }

    fn cpu_time(&self, id: WorkerId) -> Option<Duration> {
        self.work.slots[id].get()?.thread.cpu_time()
    }

    fn is_runnable(&self, id: WorkerId) -> bool {
        let slot = self.work.slots[id].get();
        slot.is_some_and(|slot| slot.thread.is_runnable())
    }

    fn unclaimed(&self, id: WorkerId) -> Option<(usize, u64)> {
        let batch = self.work.slots[id].get()?.batch()?;
        (batch.unclaimed() > 0).then(|| (Arc::as_ptr(&batch) as usize, batch.filling()))
    }

    fn open_since(&self, door: DoorId) -> Option<u64> {
        self.protocol().open_since(door)
    }

    fn has_pending(&self, door: DoorId) -> bool {
        let socket = self.socket.borrow(door);
        socket.is_some_and(|socket| socket.has_pending())
    }

    fn waiting_since(&self) -> Option<u64> {
        self.protocol().waiting_since()
    }

    fn pool(&self) -> Pool {
        let protocol = self.protocol();
        Pool {
            workers: protocol.workers(),
            busy: protocol.busy(),
            idle: protocol.idle(),
            is_full: protocol.is_full(),
            is_short: protocol.is_short(),
            lacks: protocol.lacks_workers(),
        }
    }

    fn has_free_instance(&self) -> bool {
        self.protocol().has_free(|id| self.is_ready(id))
    }

    fn is_dispatched(&self) -> bool {
        self.work.pace.is_dispatched()
    }

    fn is_cheap(&self) -> bool {
        self.work.pace.estimate().is_cheap()
    }
}

impl Engine {
    /// One look, and what follows from it.
    pub(super) fn make_round(self: &Arc<Self>, watch: &mut Watch) {
        self.work.looks.fetch_add(1, Relaxed);
        for door in self.doors() {
            let socket = self.socket.borrow(door);
            let is_backlogged = socket.is_some_and(|socket| socket.is_backlogged());
            self.work.backlogged[door].store(is_backlogged, Relaxed);
        }
        self.protocol().begin_look();
        let mut was_refused = false;
        // Few, as a rule none.
        let mut unsent = Vec::new();
        for decision in watch.look(&**self) {
            match self.carry_out(*decision) {
                Outcome::Done => {}
                Outcome::Refused => was_refused = true,
                Outcome::Unsent(id) => unsent.push(id),
            }
        }
        if was_refused {
            watch.hold_off();
        }
        for id in unsent {
            watch.look_after(id);
        }
        self.work.stuck.store(watch.stuck(), Relaxed);
    }

    /// Whether this worker has a handler instance.
    fn is_ready(&self, id: WorkerId) -> bool {
        self.slot(id).progress().is_ready()
    }

    fn carry_out(self: &Arc<Self>, decision: Decision) -> Outcome {
        let addr = self.socket.name();
        match decision {
            Decision::Saw(id, step) => {
                let now = self.life.began.elapsed();
                self.slot(id).progress().saw(step, now);
            }
            Decision::Waits(_) => self.work.pace.learn_of_wait(),
            Decision::Send(id) => {
                let slot = self.slot(id);
                if slot.outbox.has_queued() || self.work.lanes.is_some() {
                    self.send_for(slot);
                }
            }
            Decision::LeaveAlone(id) => {
                let slot = self.slot(id);
                slot.outbox.set_eager(true);
                if !self.send_for(slot) {
                    return Outcome::Unsent(id);
                }
            }
            Decision::Rescue(id) => {
                if let Some(batch) = self.slot(id).batch() {
                    let job = Job::Batch(batch);
                    self.transit(|protocol| ((), protocol.assist(job, |id| self.is_ready(id))));
                }
            }
            Decision::FillDoor(door) => self.transit(|protocol| ((), protocol.fill_door(door))),
            Decision::Summon(door) => self.transit(|protocol| ((), protocol.summon(door))),
            Decision::HandOut => self.transit(|protocol| ((), protocol.hand_out())),
            Decision::Grow(by) => return self.grow(by),
            Decision::Starved { busy, waited } => {
                let (age, slot) = self.oldest();
                let peer = slot.and_then(|slot| slot.peer());
                let peer = peer.map_or(String::new(), |peer| format!(", for {peer}"));
                self.warn(format!(
                    "{addr}: all {busy} workers there may be are busy, and nobody has come for \
                     what waits for {waited:.1?}; the oldest has been in its handler for \
                     {age:.1?}{peer}",
                ));
            }
            Decision::Relieved { waited } => {
                self.warn(format!(
                    "{addr}: a worker is free again, after {waited:.1?}"
                ));
            }
        }
        Outcome::Done
    }

    fn grow(self: &Arc<Self>, by: usize) -> Outcome {
        let addr = self.socket.name();
        let mut started = 0;
        let mut outcome = Outcome::Done;
        for _ in 0..by {
            match self.start_worker() {
                Start::Started => started += 1,
                Start::Full => break,
                Start::Refused(cause) => {
                    self.threads.failed_starts.fetch_add(1, Relaxed);
                    self.warn(format!(
                        "{addr}: the system did not start another worker thread: {cause}"
                    ));
                    outcome = Outcome::Refused;
                    break;
                }
            }
        }
        if started > 0 {
            let workers = self.protocol().workers();
            self.log.write(
                Level::Debug,
                module_path!(),
                format!("{addr}: grew by {started} to {workers} workers"),
            );
        }
        outcome
    }
}
