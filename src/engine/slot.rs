//! What one worker shares with the supervisor and its colleagues.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::batch::Batch;
use super::job::Job;
use super::lanes::LaneId;
use super::mailbox::Mailbox;
use super::outbox::Outbox;
use super::protocol::Order;
use super::shared_socket::SharedSocket;
use crate::stats::{Padded, WorkerTally};
use crate::sys::{SendOptions, ThreadProbe};

/// A worker's place. It outlives the worker: the next one hired takes it over,
/// and its counters go on.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Orders for a parked worker. One place is enough: who writes has taken the
    /// worker off the stack of idle ones before.
    mailbox: Mailbox<Order<Job>>,
    progress: Padded<Progress>,
    pub(crate) thread: ThreadProbe,
    /// The batch the worker is in, for a supervisor that has to give it away.
    batch: Mutex<Option<Arc<Batch>>>,
    /// Lanes that the worker has emptied and not let go of yet.
    lanes: Mutex<Vec<LaneId>>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) tally: Padded<WorkerTally>,
}

impl Slot {
    pub(crate) fn new(socket: &Arc<SharedSocket>, options: SendOptions) -> Self {
        Self {
            mailbox: Mailbox::new(),
            progress: Padded::default(),
            thread: ThreadProbe::default(),
            batch: Mutex::new(None),
            lanes: Mutex::default(),
            outbox: Arc::new(Outbox::new(Arc::clone(socket), options)),
            tally: Padded::default(),
        }
    }

    pub(crate) fn deliver(&self, order: Order<Job>) {
        let delivered = self.mailbox.put(order);
        debug_assert!(delivered, "a mailbox never overflows");
    }

    /// Waits for an order, at most this long or for ever.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Option<Order<Job>> {
        self.mailbox.wait(timeout)
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The batch the worker is in.
    pub(crate) fn batch(&self) -> Option<Arc<Batch>> {
        self.current().clone()
    }

    /// Says which batch the worker is in.
    pub(crate) fn enter(&self, batch: Option<Arc<Batch>>) {
        *self.current() = batch;
    }

    /// The lanes that the worker has emptied and not let go of yet.
    pub(crate) fn lanes(&self) -> MutexGuard<'_, Vec<LaneId>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Batch>>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A count that changes with every step of a worker, odd while it is busy. The
/// worker alone writes; the supervisor compares what it read at two looks.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU64);

impl Progress {
    /// From idle to busy.
    pub(crate) fn begin(&self) {
        self.advance(1);
    }

    /// From one datagram to the next, busy.
    pub(crate) fn step(&self) {
        self.advance(2);
    }

    /// From busy to idle.
    pub(crate) fn end(&self) {
        self.advance(1);
    }

    /// To idle, wherever it was.
    pub(crate) fn rest(&self) {
        if self.busy_at().is_some() {
            self.end();
        }
    }

    /// Where the worker is, if it is busy.
    pub(crate) fn busy_at(&self) -> Option<u64> {
        let count = self.0.load(Relaxed);
        (count % 2 == 1).then_some(count)
    }

    fn advance(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }
}
