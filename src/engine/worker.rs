//! One worker's loop.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::fault::{AfterFault, FaultRun};
use super::handling::Handling;
use super::job::Job;
use super::lane_work::{Shift, Sorting};
use super::lanes::{LaneId, Lanes, OwnedDatagrams};
use super::protocol::{Command, DoorId, Plan, WorkerId};
use super::slot::Slot;
use super::{Engine, OFTEN};
use crate::contain::contain;
use crate::logging::{log_debug, log_error};
use crate::stats::{WorkerTally, bump};
use crate::sys::{ReceiveBlock, Received, name_thread};

/// Works until told to leave. `first` is the batch that it receives into.
///
/// Executors contain what users' code does. Should anything panic all the same,
/// it must not leave the job, which would cost the pool a thread: the worker
/// leaves as if it had been told to.
pub(super) fn run(engine: &Engine, me: WorkerId, first: Arc<Batch>) {
    if let Err(message) = contain(|| work_until_told(engine, me, first)) {
        log_error!(
            engine.config.unlogged,
            "a worker panicked and leaves: {message}"
        );
    }
}

fn work_until_told(engine: &Engine, me: WorkerId, first: Arc<Batch>) {
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
        own: Some(first),
        ready: Vec::new(),
        owned: OwnedDatagrams::default(),
        busy: false,
        received_at: Instant::now(),
        faults: FaultRun::default(),
        handling: Handling::new(slot, &engine.work.pace, &engine.work.looks, executor),
    };
    let mut command = Command::Search;
    loop {
        command = match command {
            Command::Search => worker.next(),
            Command::Receive(door) => worker.receive(door),
            Command::Work(Job::Batch(batch)) => worker.work_batch(&batch),
            Command::Work(Job::Lane(id)) => worker.work_lane(id),
            Command::Park => worker.park(&mut departure.retired),
            Command::Leave => break,
        };
    }
    worker.set_busy(true);
    worker.handling.finish();
    worker.set_busy(false);
    if let Some(batch) = worker.own.take() {
        engine.work.batches.put(batch);
    }
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
        slot.outbox.set_eager(false);
        slot.name_peer(None);
        let batch = slot.batch();
        slot.enter(None);
        self.engine.let_go_for(slot);
        if self.retired {
            log_debug!(
                "{}: worker {} was idle and leaves",
                self.engine.socket.name(),
                self.me
            );
        }
        self.engine.threads.release_one();
        let job = batch.map(Job::Batch);
        self.engine
            .transit(|protocol| ((), protocol.gone(self.me, self.retired, job)));
    }
}

struct Worker<'a> {
    engine: &'a Engine,
    me: WorkerId,
    slot: &'a Slot,
    /// The door where this worker was last.
    door: DoorId,
    /// The batch this worker receives into, unless it has handed it out.
    own: Option<Arc<Batch>>,
    /// Room for lanes that become jobs.
    ready: Vec<Job>,
    /// Room for the datagrams of a lane.
    owned: OwnedDatagrams,
    busy: bool,
    /// When this worker last received anything.
    received_at: Instant,
    faults: FaultRun,
    handling: Handling<'a>,
}

impl Worker<'_> {
    /// Asks what to do.
    ///
    /// Where handlers wait, something is likely to come soon, and to sleep and be
    /// woken costs more than to let others run for a moment and to look again.
    fn next(&mut self) -> Command<Job> {
        // While it is known to be busy: then the supervisor sees whether it is stuck there.
        self.engine.log.catch_up();
        if self.engine.work.pace.is_dispatched() {
            for _ in 0..YIELDS {
                if self.engine.protocol().has_work() {
                    break;
                }
                thread::yield_now();
            }
        }
        let busy = self.engine.most_helpers();
        self.engine
            .transit(|protocol| protocol.next(self.me, self.door, busy))
    }

    /// Leaves the door, and asks what to do instead.
    fn leave_door(&mut self) -> Command<Job> {
        let busy = self.engine.most_helpers();
        self.engine
            .transit(|protocol| protocol.leave_door(self.me, self.door, busy))
    }

    /// Waits at the door for a batch.
    fn receive(&mut self, door: DoorId) -> Command<Job> {
        let engine = self.engine;
        self.door = door;
        self.set_busy(false);
        loop {
            let Some(socket) = engine.socket.borrow(door) else {
                return self.leave_door();
            };
            let own = match self.own_batch() {
                Ok(batch) => batch,
                Err(cause) => {
                    drop(socket);
                    engine.tell_of_no_memory(&cause);
                    if let Some(socket) = engine.socket.borrow(door) {
                        socket.waker().wait(WITHOUT_MEMORY);
                    }
                    return self.leave_door();
                }
            };
            let Some(mut block) = own.begin() else {
                // A helper is still in it.
                self.own = None;
                engine.work.batches.put(own);
                continue;
            };
            let limit = engine.config.batch_size;
            match socket.receive(&mut block, limit, socket.waker(), None) {
                Ok(Received::Datagrams(count)) => {
                    drop(socket);
                    self.faults.end();
                    let catch = Catch::of(&block, count);
                    catch.count_in(&self.slot.tally);
                    let Some(lanes) = &engine.work.lanes else {
                        own.fill(&mut block, count);
                        drop(block);
                        let plan = self.plan(&catch);
                        if plan == Plan::Dispatched {
                            self.own = None;
                            engine.work.batches.put(Arc::clone(&own));
                        }
                        return self.hand_out(plan, Some(Job::Batch(own)));
                    };
                    own.fill(&mut block, count);
                    drop(block);
                    let mut ready = std::mem::take(&mut self.ready);
                    self.sort(&own, lanes, &mut ready);
                    let plan = self.plan(&catch);
                    let command = self.hand_out(plan, ready.drain(..));
                    self.ready = ready;
                    return command;
                }
                Ok(Received::Woken) => {
                    drop(block);
                    drop(socket);
                    return self.leave_door();
                }
                Ok(Received::TimedOut) => {}
                Ok(Received::Degraded(news)) => {
                    drop(block);
                    drop(socket);
                    engine.warn(format!("{}: {news}", engine.socket.name_at(door)));
                }
                Err(error) => {
                    drop(block);
                    drop(socket);
                    match self.faults.after(error, engine, door, &self.slot.tally) {
                        AfterFault::Retry => {}
                        AfterFault::Woken => return self.leave_door(),
                        AfterFault::Stop(error) => {
                            engine.fail(error);
                            return self.leave_door();
                        }
                    }
                }
            }
        }
    }

    /// Puts the datagrams of its own batch, which nobody else knows, into lanes.
    fn sort(&self, own: &Batch, lanes: &Lanes, ready: &mut Vec<Job>) {
        let sorting = Sorting {
            engine: self.engine,
            lanes,
            slot: self.slot,
            executor: self.handling.executor(),
        };
        if let Some(open) = own.open() {
            sorting.sort(&open, ready);
        }
        // Nothing of it is left to claim.
        own.abandon();
    }

    /// The batch to receive into: its own, or another that becomes its own.
    fn own_batch(&mut self) -> io::Result<Arc<Batch>> {
        let batch = match self.own.take() {
            Some(batch) => batch,
            None => self.engine.work.batches.take()?,
        };
        self.own = Some(Arc::clone(&batch));
        Ok(batch)
    }

    /// These jobs were received: leaves the door and works, or stays there and
    /// leaves them to others.
    fn hand_out(&mut self, plan: Plan, jobs: impl IntoIterator<Item = Job>) -> Command<Job> {
        let now = Instant::now();
        let often = now.saturating_duration_since(self.received_at) < OFTEN;
        self.received_at = now;
        let (me, door) = (self.me, self.door);
        self.engine
            .transit(|protocol| protocol.received(me, door, jobs, plan, often))
    }

    /// Others are woken only when it pays: one worker with all the caches warm
    /// serves cheap handlers with the least work for each datagram, until the
    /// kernel's queue grows all the same.
    fn plan(&self, catch: &Catch) -> Plan {
        let work = &self.engine.work;
        let pace = work.pace.estimate();
        if pace.is_dispatched() {
            Plan::Dispatched
        } else if pace.is_worth_sharing(catch.count) {
            Plan::Shared {
                busy: self.engine.most_helpers(),
            }
        } else if catch.is_full && work.is_backlogged(self.door) {
            Plan::Relayed
        } else {
            Plan::Inline
        }
    }

    /// Works on a batch.
    fn work_batch(&mut self, batch: &Arc<Batch>) -> Command<Job> {
        self.set_busy(true);
        self.slot.outbox.set_eager(false);
        self.slot.enter(Some(Arc::clone(batch)));
        self.handling.work_batch(batch);
        self.slot.enter(None);
        self.next()
    }

    /// Works a lane, and what else waits.
    fn work_lane(&mut self, id: LaneId) -> Command<Job> {
        self.set_busy(true);
        if let Some(lanes) = &self.engine.work.lanes {
            let shift = Shift {
                engine: self.engine,
                lanes,
                slot: self.slot,
                handling: &mut self.handling,
                owned: &mut self.owned,
            };
            shift.work(id);
        }
        self.next()
    }

    /// Waits at the mailbox.
    ///
    /// Whoever waits here stands on the stack of idle workers; whoever takes it
    /// off there writes to the mailbox. So when the wait for a reason to stay
    /// ends without a message, the protocol is asked, and a "no" means that a
    /// message is on its way, or that this worker is one of those to stay.
    fn park(&mut self, retired: &mut bool) -> Command<Job> {
        self.set_busy(false);
        if self.engine.protocol().has_spare() {
            if let Some(command) = self.slot.wait(Some(IDLE_BEFORE_LEAVING)) {
                return command;
            }
            if self.engine.protocol().retire(self.me) {
                *retired = true;
                return Command::Leave;
            }
        }
        self.slot.wait(None).unwrap_or(Command::Leave)
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
    fn of(block: &ReceiveBlock, count: usize) -> Self {
        Self {
            count,
            bytes: block.filled_bytes(),
            is_full: block.is_full(),
        }
    }

    fn count_in(&self, tally: &WorkerTally) {
        bump(&tally.received, self.count as u64);
        bump(&tally.bytes_received, self.bytes);
        bump(&tally.batches, 1);
    }
}

/// How long a worker that finds no memory for another batch waits until it asks again.
const WITHOUT_MEMORY: Duration = Duration::from_millis(5);

/// How long a worker beyond the minimum stays without work.
const IDLE_BEFORE_LEAVING: Duration = Duration::from_secs(10);

/// How often a worker without work lets others run before it goes to sleep.
const YIELDS: u32 = 3;
