//! One worker's loop.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::fault::{AfterFault, FaultRun};
use super::job::Job;
use super::lane_work::{Shift, sort};
use super::lanes::{LaneId, Lanes, Parcels};
use super::protocol::{Assistance, DoorId, Order, WorkerId};
use super::slot::Slot;
use super::{Engine, Executor};
use crate::contain::contain;
use crate::logging::{log_debug, log_error};
use crate::stats::{Fate, WorkerTally, bump};
use crate::sys::{Datagram, Received, name_thread};

/// Works until told to leave.
///
/// Executors contain what users' code does. Should anything panic all the same
/// (the program's logger may), it must not leave the job, which would cost the
/// pool a thread: the worker leaves as if it had been told to.
pub(super) fn run(engine: &Engine, me: WorkerId) {
    if let Err(message) = contain(|| work_until_told(engine, me)) {
        log_error!("a worker panicked and leaves: {message}");
    }
}

fn work_until_told(engine: &Engine, me: WorkerId) {
    name_thread(&format!("{}-{me}", engine.config.thread_name));
    let mut departure = Departure {
        engine,
        me,
        retired: false,
    };
    let slot = engine.slot(me);
    slot.thread.watch_current();
    let Some(executor) = engine.executor(slot) else {
        return;
    };
    let mut worker = Worker {
        engine,
        me,
        slot,
        door: me % engine.doors().len(),
        own: engine.batches.take(),
        in_own: false,
        ready: Vec::new(),
        parcels: Parcels::default(),
        busy: false,
        look: 0,
        faults: FaultRun::default(),
        executor,
    };
    let mut order = worker.next();
    loop {
        order = match order {
            Order::Receive(door) => worker.receive(door),
            Order::Work(Job::Batch(batch)) => worker.help(&batch),
            Order::Work(Job::Lane(id)) => worker.work_lane(id),
            Order::Park => worker.park(&mut departure.retired),
            Order::Leave => break,
        };
    }
    worker.set_busy(true);
    worker.executor.finish();
    worker.set_busy(false);
    slot.enter(None);
    engine.batches.put(worker.own);
}

/// Tells the others that the worker is gone, whichever way it goes.
struct Departure<'a> {
    engine: &'a Engine,
    me: WorkerId,
    retired: bool,
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        let slot = self.engine.slot(self.me);
        slot.progress().rest();
        // It sends, and what cannot be sent may be logged.
        let _ = contain(|| self.engine.let_go_for(slot));
        if self.retired {
            self.engine.crew.release_one();
        }
        self.engine
            .transit(|protocol| ((), protocol.gone(self.me, self.retired)));
        if self.retired {
            log_debug!(
                "{}: worker {} was idle and left",
                self.engine.socket.local_addr(),
                self.me
            );
        }
    }
}

struct Worker<'a> {
    engine: &'a Engine,
    me: WorkerId,
    slot: &'a Slot,
    /// The door where this worker was last.
    door: DoorId,
    /// The batch this worker receives into.
    own: Arc<Batch>,
    /// Whether the slot says that the worker is in its own batch.
    in_own: bool,
    /// Lanes to be handed on as jobs.
    ready: Vec<Job>,
    /// Room for the datagrams of a lane.
    parcels: Parcels,
    busy: bool,
    /// The supervisor's look at which the outbox was last flushed.
    look: u64,
    faults: FaultRun,
    executor: Box<dyn Executor>,
}

impl Worker<'_> {
    /// Asks what to do.
    fn next(&mut self) -> Order<Job> {
        self.engine
            .transit(|protocol| protocol.next(self.me, self.door))
    }

    /// Leaves the door, and asks what to do instead.
    fn leave_door(&mut self) -> Order<Job> {
        self.engine
            .transit(|protocol| protocol.leave_door(self.me, self.door))
    }

    /// Waits at the door for a batch, and works on it.
    fn receive(&mut self, door: DoorId) -> Order<Job> {
        let engine = self.engine;
        self.door = door;
        self.slot.outbox.turn_to(door);
        self.set_busy(false);
        loop {
            if engine.stopping.load(Relaxed) {
                return self.leave_door();
            }
            let Some(socket) = engine.socket.borrow(door) else {
                return self.leave_door();
            };
            let Some(mut block) = self.own.begin() else {
                // A helper is still in it.
                engine
                    .batches
                    .put(std::mem::replace(&mut self.own, engine.batches.take()));
                self.in_own = false;
                continue;
            };
            let limit = if engine.pace.is_slow() {
                1
            } else {
                engine.config.batch_size
            };
            match socket.receive(&mut block, limit, socket.bell(), None) {
                Ok(Received::Datagrams(count)) => {
                    let catch = Catch {
                        count,
                        bytes: block.filled_bytes(),
                        is_full: block.is_full(),
                    };
                    self.faults.end();
                    catch.count_in(&self.slot.tally);
                    if let Some(lanes) = &engine.lanes {
                        let full = sort(&block, count, lanes, &mut self.ready);
                        drop(block);
                        drop(socket);
                        self.open_lanes(lanes, &catch, full);
                    } else {
                        self.own.fill(&mut block, count);
                        drop(block);
                        drop(socket);
                        self.open_batch(&catch);
                    }
                    return self.next();
                }
                Ok(Received::Rung) => {
                    drop(block);
                    return self.leave_door();
                }
                Ok(Received::TimedOut) => {}
                Err(error) => {
                    drop(block);
                    drop(socket);
                    match self.faults.after(error, engine, door, &self.slot.tally) {
                        AfterFault::Retry => {}
                        AfterFault::Rung => return self.leave_door(),
                        AfterFault::Stop(error) => {
                            engine.fail(error);
                            return self.leave_door();
                        }
                    }
                }
            }
        }
    }

    /// Opens the door again, calls in whoever is needed, and works.
    fn open_batch(&mut self, catch: &Catch) {
        if !self.in_own {
            self.slot.enter(Some(Arc::clone(&self.own)));
            self.in_own = true;
        }
        self.set_busy(true);
        let assistance = self.assistance(catch, Assistance::WithBatch);
        self.engine
            .transit(|protocol| ((), protocol.received(self.me, self.door, assistance)));
        work(
            self.engine,
            self.slot,
            &mut *self.executor,
            &mut self.look,
            &self.own,
        );
    }

    /// Opens the door again, now that what was received stands in lanes, calls
    /// in whoever is needed, and works.
    fn open_lanes(&mut self, lanes: &Lanes, catch: &Catch, full: usize) {
        for _ in 0..full {
            self.slot.tally.settle(Fate::LaneFull);
        }
        self.set_busy(true);
        let assistance = self.assistance(catch, |_| Assistance::WithJobs);
        let ready = self.ready.drain(..);
        self.engine.transit(|protocol| {
            protocol.enqueue(ready);
            ((), protocol.received(self.me, self.door, assistance))
        });
        self.work_lanes(lanes, None);
    }

    /// Others are woken only when it pays: one worker with all the caches warm
    /// serves cheap handlers with the least work for each datagram, until the
    /// kernel's queue grows all the same.
    fn assistance(
        &self,
        catch: &Catch,
        share: impl FnOnce(Job) -> Assistance<Job>,
    ) -> Assistance<Job> {
        let pace = &self.engine.pace;
        let is_backlogged = || self.engine.backlogged[self.door].load(Relaxed);
        if pace.is_slow() || (catch.is_full && is_backlogged()) {
            Assistance::AtTheDoor
        } else if pace.is_worth_sharing(catch.count) {
            share(Job::Batch(Arc::clone(&self.own)))
        } else {
            Assistance::Nobody
        }
    }

    /// Works a lane, and what else waits.
    fn work_lane(&mut self, id: LaneId) -> Order<Job> {
        self.set_busy(true);
        if let Some(lanes) = &self.engine.lanes {
            self.work_lanes(lanes, Some(id));
        }
        self.next()
    }

    fn work_lanes(&mut self, lanes: &Lanes, first: Option<LaneId>) {
        let shift = Shift {
            engine: self.engine,
            lanes,
            slot: self.slot,
            executor: &mut *self.executor,
            look: &mut self.look,
            parcels: &mut self.parcels,
            began: Instant::now(),
            handled: 0,
        };
        shift.work(first);
    }

    /// Works on somebody else's batch.
    fn help(&mut self, batch: &Arc<Batch>) -> Order<Job> {
        self.set_busy(true);
        self.slot.enter(Some(Arc::clone(batch)));
        self.in_own = false;
        work(
            self.engine,
            self.slot,
            &mut *self.executor,
            &mut self.look,
            batch,
        );
        self.slot.enter(None);
        self.next()
    }

    /// Waits at the mailbox.
    ///
    /// Whoever waits here stands on the stack of idle workers; whoever takes it
    /// off there writes to the mailbox. So when the wait for a reason to stay
    /// ends without a message, the protocol is asked, and a "no" means that a
    /// message is on its way, or that this worker is one of those to stay.
    fn park(&mut self, retired: &mut bool) -> Order<Job> {
        self.set_busy(false);
        if self.engine.protocol().has_spare() {
            if let Some(order) = self.slot.wait(Some(IDLE_BEFORE_LEAVING)) {
                return order;
            }
            if self.engine.protocol().retire(self.me) {
                *retired = true;
                return Order::Leave;
            }
        }
        self.slot.wait(None).unwrap_or(Order::Leave)
    }

    fn set_busy(&mut self, busy: bool) {
        if busy != self.busy {
            self.busy = busy;
            let progress = self.slot.progress();
            if busy {
                progress.begin();
            } else {
                progress.end();
            }
        }
    }
}

/// What one receive brought.
struct Catch {
    count: usize,
    bytes: u64,
    is_full: bool,
}

impl Catch {
    fn count_in(&self, tally: &WorkerTally) {
        bump(&tally.received, self.count as u64);
        bump(&tally.bytes_received, self.bytes);
        bump(&tally.batches, 1);
    }
}

/// Claims and handles datagrams of `batch` until none is left, then sends the replies.
///
/// The clock is read twice per batch. In between the supervisor's looks, a
/// millisecond apart, say when replies have waited long enough: the load of a
/// counter that rarely changes.
fn work(engine: &Engine, slot: &Slot, executor: &mut dyn Executor, look: &mut u64, batch: &Batch) {
    let Some(open) = batch.open() else {
        return;
    };
    let began = Instant::now();
    let mut handled = 0;
    while let Some(datagram) = open.claim() {
        slot.progress().step();
        slot.tally.settle(settled(executor, &datagram));
        handled += 1;
        let now = engine.looks.load(Relaxed);
        if now != *look {
            *look = now;
            slot.outbox.flush();
        }
    }
    drop(open);
    engine.pace.learn(began.elapsed(), handled);
    slot.progress().step();
    slot.outbox.flush();
}

/// The fate of one datagram, which it gets whatever happens.
pub(super) fn settled(executor: &mut dyn Executor, datagram: &Datagram<'_>) -> Fate {
    contain(|| executor.execute(datagram)).unwrap_or(Fate::Panicked)
}

/// How long a worker beyond the minimum stays without work.
const IDLE_BEFORE_LEAVING: Duration = Duration::from_secs(10);
