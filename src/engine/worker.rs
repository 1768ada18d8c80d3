//! One worker's loop.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::fault::{AfterFault, FaultRun};
use super::protocol::{Assistance, Order, WorkerId};
use super::slot::Slot;
use super::{Engine, Executor};
use crate::contain::contain;
use crate::stats::{Fate, bump};
use crate::sys::{Datagram, Received, name_thread};

/// Works until told to leave.
///
/// Executors contain what users' code does. Should anything panic all the same
/// (the program's logger may), it must not leave the job, which would cost the
/// pool a thread: the worker leaves as if it had been told to.
pub(super) fn run(engine: &Engine, me: WorkerId) {
    if let Err(message) = contain(|| work_until_told(engine, me)) {
        // Nothing that could panic again.
        let _ = contain(|| log::error!("a worker panicked and leaves: {message}"));
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
        own: engine.batches.take(),
        in_own: false,
        busy: false,
        look: 0,
        faults: FaultRun::default(),
        executor,
    };
    let mut order = worker.next();
    loop {
        order = match order {
            Order::Receive => worker.receive(),
            Order::Work(batch) => worker.help(&batch),
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
        self.engine.slot(self.me).progress().rest();
        if self.retired {
            self.engine.crew.release_one();
            log::debug!(
                "{}: worker {} was idle and left",
                self.engine.socket.local_addr(),
                self.me
            );
        }
        self.engine
            .transit(|protocol| ((), protocol.gone(self.me, self.retired)));
    }
}

struct Worker<'a> {
    engine: &'a Engine,
    me: WorkerId,
    slot: &'a Slot,
    /// The batch this worker receives into.
    own: Arc<Batch>,
    /// Whether the slot says that the worker is in its own batch.
    in_own: bool,
    busy: bool,
    /// The supervisor's look at which the outbox was last flushed.
    look: u64,
    faults: FaultRun,
    executor: Box<dyn Executor>,
}

impl Worker<'_> {
    /// Asks what to do.
    fn next(&mut self) -> Order<Arc<Batch>> {
        self.engine.transit(|protocol| protocol.next(self.me))
    }

    /// Leaves the door, and asks what to do instead.
    fn leave_door(&mut self) -> Order<Arc<Batch>> {
        self.engine.transit(|protocol| protocol.leave_door(self.me))
    }

    /// Waits at the door for a batch, and works on it.
    fn receive(&mut self) -> Order<Arc<Batch>> {
        let engine = self.engine;
        self.set_busy(false);
        loop {
            if engine.stopping.load(Relaxed) {
                return self.leave_door();
            }
            let Some(socket) = engine.socket.borrow() else {
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
                    self.own.fill(&mut block, count);
                    let (bytes, is_full) = (block.filled_bytes(), block.is_full());
                    drop(block);
                    drop(socket);
                    self.open_batch(count, bytes, is_full);
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
                    match self.faults.after(error, engine, &self.slot.tally) {
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
    fn open_batch(&mut self, count: usize, bytes: u64, is_full: bool) {
        self.faults.end();
        let tally = &self.slot.tally;
        bump(&tally.received, count as u64);
        bump(&tally.bytes_received, bytes);
        bump(&tally.batches, 1);
        if !self.in_own {
            self.slot.enter(Some(Arc::clone(&self.own)));
            self.in_own = true;
        }
        self.set_busy(true);
        let assistance = self.assistance(count, is_full);
        self.engine
            .transit(|protocol| ((), protocol.received(self.me, assistance)));
        work(
            self.engine,
            self.slot,
            &mut *self.executor,
            &mut self.look,
            &self.own,
        );
    }

    /// Others are woken only when it pays: one worker with all the caches warm
    /// serves cheap handlers with the least work for each datagram, until the
    /// kernel's queue grows all the same.
    fn assistance(&self, count: usize, is_full: bool) -> Assistance<Arc<Batch>> {
        let pace = &self.engine.pace;
        if pace.is_slow() || (is_full && self.engine.backlogged.load(Relaxed)) {
            Assistance::AtTheDoor
        } else if pace.is_worth_sharing(count) {
            Assistance::WithBatch(Arc::clone(&self.own))
        } else {
            Assistance::Nobody
        }
    }

    /// Works on somebody else's batch.
    fn help(&mut self, batch: &Arc<Batch>) -> Order<Arc<Batch>> {
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
    fn park(&mut self, retired: &mut bool) -> Order<Arc<Batch>> {
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
