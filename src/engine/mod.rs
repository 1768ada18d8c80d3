//! The engine under both servers: moves datagrams from the socket to workers
//! and replies back. It knows no handler type; see [`Executor`].
//!
//! ```text
//!  socket ──receive──▶ Batch ──claim──▶ worker: Executor ──▶ Outbox ──flush──▶ socket
//!                        ▲                 │
//!          one worker    │ at the door     │ stuck in a handler
//!                        └── supervisor: gives its batch to another worker,
//!                            flushes its outbox, sends someone to the door,
//!                            grows the pool
//! ```
//!
//! | room | what it holds |
//! |---|---|
//! | `protocol` | who does what next; no sockets, no threads, model-checked |
//! | `batch` | received datagrams that any number of workers claim from |
//! | `lanes` | order per peer: received datagrams that one worker at a time handles |
//! | `job` | what a worker is called for: a batch or a lane |
//! | `outbox` | datagrams on their way out |
//! | `shared_socket` | the sockets, until closed |
//! | `pace` | how long handlers take |
//! | `fault` | what a failed receive leads to |
//! | `mailbox` | where a thread waits for what it is told |
//! | `crew` | the threads |
//! | `slot` | what one worker shares with the others |
//! | `worker` | one worker's loop |
//! | `lane_work` | the part of it that works lanes |
//! | `solo` | one datagram on the calling thread, without workers |
//! | `supervisor` | the thread that called `serve_forever`: starts, sleeps, drains, closes |
//! | `watch` | its looks: finds who is stuck, rescues, grows |

mod batch;
mod crew;
mod fault;
mod job;
mod lane_work;
mod lanes;
mod mailbox;
#[cfg(test)]
mod model;
mod outbox;
mod pace;
mod protocol;
mod shared_socket;
mod slot;
mod solo;
mod supervisor;
mod watch;
mod worker;

pub(crate) use outbox::Outbox;
pub(crate) use shared_socket::{SendGuard, SharedSocket};
pub(crate) use solo::{SoloEnd, SoloKey};
pub(crate) use supervisor::{Closing, Upkeep};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::contain::contain;
use crate::error::Error;
use crate::logging::{LogLimit, log_error};
use crate::stats::{Fate, Padded, ReceiveBuffer, Stats};
use crate::sys::{BlockShape, Datagram, SendOptions, Socket};
use batch::BatchPool;
use crew::Crew;
use job::Job;
use lanes::Lanes;
use mailbox::Mailbox;
use pace::Pace;
use protocol::{Bell, Calls, DoorId, Order, Protocol, WorkerId};
use slot::Slot;

/// What one worker does with datagrams. Made, used and dropped on its thread.
/// No method panics.
pub(crate) trait Executor {
    /// Deals with one datagram.
    fn execute(&mut self, datagram: &Datagram<'_>) -> Fate;

    /// The worker leaves.
    fn finish(&mut self);
}

/// Makes each worker its executor.
pub(crate) trait ExecutorFactory: Send + Sync {
    /// An executor whose replies go to `outbox`.
    fn executor(&self, outbox: &Arc<Outbox>) -> Box<dyn Executor>;
}

/// What the engine has to be told.
#[derive(Debug, Clone)]
pub(crate) struct EngineConfig {
    pub(crate) min_workers: usize,
    pub(crate) max_workers: usize,
    pub(crate) batch_size: usize,
    pub(crate) max_packet_size: usize,
    /// The datagrams of one peer are handled one after another.
    pub(crate) ordered: bool,
    pub(crate) drain_timeout: Duration,
    pub(crate) send: SendOptions,
    pub(crate) thread_name: String,
    pub(crate) stack_size: Option<usize>,
    /// What was asked of the socket, for the stats.
    pub(crate) receive_buffer_asked: Option<usize>,
}

/// What the supervisor, the workers and the handles share.
pub(crate) struct Engine {
    config: EngineConfig,
    socket: Arc<SharedSocket>,
    protocol: Mutex<Protocol<Job>>,
    /// One place for each worker there may be, filled when first needed.
    slots: Box<[OnceLock<Box<Slot>>]>,
    batches: BatchPool,
    /// Where datagrams keep their order, if they shall.
    lanes: Option<Lanes>,
    crew: Crew,
    /// Gone once the server is closed, with all that users' code captured.
    executors: Mutex<Option<Arc<dyn ExecutorFactory>>>,
    supervisor: Mailbox<()>,
    /// The supervisor's looks, counted: a clock of about a millisecond that
    /// costs a load.
    looks: Padded<AtomicU64>,
    pace: Padded<Pace>,
    /// For each door, whether the last look found the kernel's queue filling up.
    backlogged: Box<[AtomicBool]>,
    /// Set by the first `stop`, so that the door need not ask the protocol.
    stopping: AtomicBool,
    /// The error that made the engine stop by itself.
    fatal: Mutex<Option<Error>>,
    peak_workers: AtomicU64,
    failed_worker_starts: AtomicU64,
    granted_receive_buffer: usize,
    began: Instant,
    /// The last snapshot, from when the server was closed.
    closing_stats: OnceLock<Stats>,
    receive_errors: LogLimit,
}

impl Engine {
    pub(crate) fn new(
        config: EngineConfig,
        sockets: Vec<Arc<Socket>>,
        executors: Arc<dyn ExecutorFactory>,
    ) -> std::io::Result<Self> {
        let slots = (0..config.max_workers).map(|_| OnceLock::new()).collect();
        Ok(Self {
            protocol: Mutex::new(Protocol::new(
                sockets.len(),
                config.min_workers,
                config.max_workers,
            )),
            slots,
            batches: BatchPool::new(BlockShape {
                slots: config.batch_size,
                max_packet_size: config.max_packet_size,
                trains: sockets.iter().any(|socket| socket.receives_trains()),
            }),
            lanes: config.ordered.then(Lanes::new),
            crew: Crew::new(config.thread_name.clone(), config.stack_size),
            executors: Mutex::new(Some(executors)),
            supervisor: Mailbox::new(),
            looks: Padded::default(),
            pace: Padded::default(),
            backlogged: sockets.iter().map(|_| AtomicBool::new(false)).collect(),
            stopping: AtomicBool::new(false),
            fatal: Mutex::new(None),
            peak_workers: AtomicU64::new(0),
            failed_worker_starts: AtomicU64::new(0),
            granted_receive_buffer: sockets[0].granted_receive_buffer(),
            began: Instant::now(),
            closing_stats: OnceLock::new(),
            receive_errors: LogLimit::new(),
            socket: Arc::new(SharedSocket::new(sockets)?),
            config,
        })
    }

    pub(crate) fn socket(&self) -> &Arc<SharedSocket> {
        &self.socket
    }

    /// Stops receiving; what was received is still handled. Never blocks.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.transit(|protocol| ((), protocol.stop()));
    }

    /// Closes a server that was never served, or does nothing.
    pub(crate) fn discard(&self) {
        self.stop();
        self.closing_stats.get_or_init(|| self.current_stats());
        self.socket.close();
        self.let_go();
    }

    /// Lets go of what only serving needs: handles live on with the last stats,
    /// and hold neither memory for datagrams nor what users' code captured.
    fn let_go(&self) {
        let executors = self.executors().take();
        // Users' code: what they captured may panic when dropped.
        if let Err(message) = contain(|| drop(executors)) {
            log_error!("dropping the factory panicked: {message}");
        }
        self.batches.close();
        for slot in self.slots.iter().filter_map(OnceLock::get) {
            slot.outbox.close();
        }
    }

    /// An executor for one worker; `None` once the server is closed.
    fn executor(&self, slot: &Slot) -> Option<Box<dyn Executor>> {
        let factory = self.executors().clone()?;
        Some(factory.executor(&slot.outbox))
    }

    fn executors(&self) -> MutexGuard<'_, Option<Arc<dyn ExecutorFactory>>> {
        self.executors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.protocol().is_stopping()
    }

    /// Workers that are not waiting for anything to do.
    pub(crate) fn busy_workers(&self) -> usize {
        self.protocol().busy()
    }

    /// A snapshot; the last one, once the server is closed.
    pub(crate) fn stats(&self) -> Stats {
        self.closing_stats
            .get()
            .copied()
            .unwrap_or_else(|| self.current_stats())
    }

    fn current_stats(&self) -> Stats {
        let mut stats = Stats::default();
        let slots = || self.slots.iter().filter_map(OnceLock::get);
        for slot in slots() {
            slot.tally.add_fates(&mut stats);
        }
        for slot in slots() {
            slot.tally.add_received(&mut stats);
            slot.outbox.tally().add_to(&mut stats.replies);
        }
        stats.in_flight = stats.received.saturating_sub(stats.settled());
        stats.workers = self.protocol().workers();
        stats.peak_workers = self.peak_workers.load(Relaxed) as usize;
        stats.failed_worker_starts = self.failed_worker_starts.load(Relaxed);
        stats.kernel_drops = self.socket.sum(Socket::kernel_drops);
        stats.receive_buffer = ReceiveBuffer {
            asked: self.config.receive_buffer_asked,
            granted: self.granted_receive_buffer,
        };
        stats.uptime = self.began.elapsed();
        stats
    }

    /// How many sockets there are, each with a door.
    fn doors(&self) -> std::ops::Range<DoorId> {
        0..self.backlogged.len()
    }

    fn slot(&self, worker: WorkerId) -> &Slot {
        self.slots[worker].get_or_init(|| Box::new(Slot::new(&self.socket, self.config.send)))
    }

    /// Makes one transition of the protocol and carries out its calls.
    fn transit<T>(&self, transition: impl FnOnce(&mut Protocol<Job>) -> (T, Calls<Job>)) -> T {
        let (result, calls) = transition(&mut self.protocol());
        if let Some((worker, order)) = calls.wake {
            self.slot(worker).deliver(order);
        }
        if calls.supervisor {
            self.tell_supervisor();
        }
        match calls.bell {
            Bell::Silent => {}
            Bell::At(door) => self.socket.ring(door),
            Bell::AtAll => self.socket.ring_all(),
        }
        result
    }

    /// Wakes the supervisor, now or at its next wait. One token is enough,
    /// however many tell it.
    fn tell_supervisor(&self) {
        let _ = self.supervisor.put(());
    }

    fn protocol(&self) -> MutexGuard<'_, Protocol<Job>> {
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("local_addr", &self.socket.local_addr())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
