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
//! | `policy` | which mode serves best: decided from samples |
//! | `watch` | who is stuck, and what follows: decided from what is seen |
//! | `executor` | what the engine calls for each datagram |
//! | `work` | what workers share |
//! | `batch` | received datagrams that any number of workers claim from |
//! | `lanes` | order per peer or key: received datagrams that one worker at a time handles |
//! | `job` | what a worker is called for: a batch or a lane |
//! | `handling` | what it means to handle a datagram |
//! | `meter` | how long handlers compute and wait |
//! | `outbox` | datagrams on their way out |
//! | `answers` | what is answered after the handler has returned |
//! | `unsolicited` | what the server sends of its own accord |
//! | `shared_socket` | the sockets, until closed |
//! | `explain` | errors that name a Unix socket's address |
//! | `fault` | what a failed receive leads to |
//! | `mailbox` | where a worker waits for what it is told |
//! | `slot` | what one worker shares with the others |
//! | `worker` | one worker's loop |
//! | `lane_work` | the part of it that works lanes |
//! | `threads` | starts workers |
//! | `solo` | one datagram on the calling thread, without workers |
//! | `supervisor` | the thread that called `serve_forever`: starts, sleeps, drains, closes |
//! | `rounds` | its looks: shows the watch what there is, and does what it decides |
//! | `children` | the same with processes, each of which takes one datagram after the other |
//! | `service` | the thread for the hook that is due from time to time |
//! | `timers` | the thread for what is due once, after a while |
//! | `bench` | an engine without sockets and threads, for tests of handlers |
//! | `config` | what the engine has to be told |
//! | `snapshot` | its counters at one moment |
//! | `life` | when it began, and why it ended |

mod answers;
mod batch;
#[cfg(feature = "testing")]
mod bench;
mod children;
mod config;
mod executor;
mod explain;
mod fault;
mod handling;
mod job;
mod lane_work;
mod lanes;
mod life;
mod mailbox;
mod meter;
#[cfg(test)]
mod model;
mod outbox;
mod policy;
mod protocol;
mod rounds;
mod service;
mod shared_socket;
mod slot;
mod snapshot;
mod solo;
mod supervisor;
mod threads;
mod timers;
mod unsolicited;
mod watch;
mod work;
mod worker;

pub(crate) use answers::{Answer, Stage};
#[cfg(feature = "testing")]
pub(crate) use bench::Recorder;
pub use children::{ChildEnd, ChildExit};
pub(crate) use children::{Children, OnExit, Start};
pub(crate) use config::{EngineConfig, Order};
pub(crate) use executor::{Executor, ExecutorFactory};
pub(crate) use outbox::Outbox;
pub(crate) use protocol::DoorId;
pub(crate) use service::Upkeep;
pub(crate) use shared_socket::{SendDefaults, SendGuard, SharedSocket};
pub(crate) use slot::Progress;
pub(crate) use solo::{Solo, SoloEnd};
pub(crate) use supervisor::Closing;
pub(crate) use timers::TimerKey;
pub use unsolicited::SentToAll;
pub(crate) use unsolicited::{Unsolicited, Way};

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use log::Level;

use crate::contain::contain;
use crate::error::ServeError;
use crate::logging::{DetachedLog, LogLimit, UnderWay, Unlogged, log_error};
use crate::sys::{Alarm, BlockShape, Socket, UnixAddr};
use answers::Answers;
use batch::BatchPool;
use job::Job;
use lanes::Lanes;
use life::Life;
use protocol::{Calls, Protocol, WakeDoors, WorkerId};
use slot::Slot;
use threads::Threads;
use timers::Timers;
use work::Work;

/// What the engine is made for.
struct Shape {
    /// Sockets.
    doors: usize,
    /// Several datagrams may arrive as one.
    gro: bool,
    /// The one socket is a Unix socket.
    unix: bool,
    granted_receive_buffer: usize,
}

/// What the supervisor, the workers and the handles share, by who may touch it.
pub(crate) struct Engine {
    config: EngineConfig,
    /// Everyone, for a call.
    socket: Arc<SharedSocket>,
    /// Everyone, for a transition.
    protocol: Mutex<Protocol<Job>>,
    /// Workers; the supervisor, to look.
    work: Work,
    /// The supervisor, when the pool grows; workers, when they leave.
    threads: Threads,
    /// Workers, once each.
    executors: Mutex<Option<Arc<dyn ExecutorFactory>>>,
    /// Where the supervisor waits; made when serving begins, so that processes
    /// that were forked before share none.
    alarm: RwLock<Option<Alarm>>,
    life: Life,
    /// Handles, from any thread.
    unsolicited: Unsolicited,
    timers: Arc<Timers>,
    /// Processes that handle datagrams, in place of workers.
    children: Option<Children>,
    /// Processors to run on.
    cores: usize,
    granted_receive_buffer: usize,
    receive_errors: LogLimit,
    shortages: LogLimit,
    slow_keys: LogLimit,
    /// For the supervisor and whoever is at a door, whom no logger may hold up.
    log: DetachedLog,
}

impl Engine {
    pub(crate) fn new(
        config: EngineConfig,
        sockets: Vec<Arc<Socket>>,
        executors: Arc<dyn ExecutorFactory>,
        children: Option<Children>,
    ) -> Self {
        let shape = Shape {
            doors: sockets.len(),
            gro: sockets.iter().any(|socket| socket.receives_gro()),
            unix: sockets[0].unix_addr().is_some(),
            granted_receive_buffer: sockets[0].granted_receive_buffer(),
        };
        let answers = Answers::new(shape.doors, config.max_deferred, config.send);
        let socket = SharedSocket::new(sockets, answers, config.send_defaults);
        let mut engine = Self::assemble(config, shape, socket, Some(executors));
        if children.is_some() {
            engine.timers.hold();
        }
        engine.children = children;
        engine
    }

    fn assemble(
        config: EngineConfig,
        shape: Shape,
        socket: SharedSocket,
        executors: Option<Arc<dyn ExecutorFactory>>,
    ) -> Self {
        let Shape {
            doors,
            gro,
            unix,
            granted_receive_buffer,
        } = shape;
        let batches = BatchPool::new(BlockShape {
            slots: config.batch_size,
            max_packet_size: config.max_packet_size,
            gro,
            unix,
        });
        let socket = Arc::new(socket);
        let longest_name = if unix { UnixAddr::MOST } else { 0 };
        let longest = config.max_packet_size + longest_name;
        let lanes = (config.order).map(|order| Lanes::new(order, longest));
        Self {
            protocol: Mutex::new(Protocol::new(doors, config.min_workers, config.max_workers)),
            work: Work::new(config.max_workers, doors, batches, lanes),
            threads: Threads::new(config.thread_name.clone(), config.stack_size),
            executors: Mutex::new(executors),
            alarm: RwLock::new(None),
            children: None,
            life: Life::new(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            granted_receive_buffer,
            receive_errors: LogLimit::new(),
            shortages: LogLimit::new(),
            slow_keys: LogLimit::new(),
            log: DetachedLog::new(config.unlogged),
            unsolicited: Unsolicited::new(&socket),
            timers: Arc::new(Timers::new(&config.thread_name)),
            socket,
            config,
        }
    }

    /// What its threads are called.
    pub(crate) fn thread_name(&self) -> &str {
        &self.config.thread_name
    }

    pub(crate) fn socket(&self) -> &Arc<SharedSocket> {
        &self.socket
    }

    /// Sends of the server's own accord.
    pub(crate) fn unsolicited(&self) -> &Unsolicited {
        &self.unsolicited
    }

    /// Makes what wakes those who wait at the sockets. A `stop` before is not
    /// lost: whoever comes to a socket asks the protocol first, under its lock.
    fn make_wakers(&self) -> Result<(), ServeError> {
        let addr = self.socket.local_addr();
        let failed = |cause| ServeError::Begin { addr, cause };
        self.socket.make_wakers().map_err(failed)
    }

    /// Stops receiving; what was received is still handled. Never blocks.
    pub(crate) fn stop(&self) {
        self.life.is_stopping.store(true, Relaxed);
        if let Some(children) = &self.children {
            children.stop();
        }
        self.transit(|protocol| ((), protocol.stop()));
    }

    /// Closes a server that was never served, or does nothing.
    pub(crate) fn discard(&self) {
        if let Some(children) = &self.children {
            self.close_with_children(children);
            return;
        }
        self.stop();
        self.socket.answers().close();
        let deadline = self.drain_deadline();
        self.stop_timers(deadline);
        self.end_what_is_kept(deadline);
        self.life.closing_stats.get_or_init(|| self.current_stats());
        self.close_socket();
        drop_executors(self.let_go(), self.config.unlogged);
    }

    /// Closes the sockets. Returns the bytes that waited unread, where that is known.
    fn close_socket(&self) -> Option<u64> {
        let executors = self.executors().clone();
        if let Some(executors) = executors {
            executors.leave(&self.socket);
        }
        self.socket.close()
    }

    /// Lets go of what only serving needs: handles live on with the last stats,
    /// and hold neither memory for datagrams nor what users' code captured, which
    /// is returned.
    #[must_use = "dropping it is users' code: see `drop_executors`"]
    fn let_go(&self) -> Option<Arc<dyn ExecutorFactory>> {
        self.work.batches.close();
        self.unsolicited.close();
        for slot in self.work.slots() {
            slot.outbox.close();
        }
        self.executors().take()
    }

    /// An executor for one worker; `None` once the server is closed.
    fn executor(&self, slot: &Slot) -> Option<Box<dyn Executor>> {
        let factory = self.executors().clone()?;
        Some(factory.executor(&slot.outbox, slot.progress()))
    }

    fn executors(&self) -> MutexGuard<'_, Option<Arc<dyn ExecutorFactory>>> {
        self.executors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.protocol().is_stopping()
    }

    /// The same at a glance, for who asks often.
    pub(crate) fn was_told_to_stop(&self) -> bool {
        self.life.is_stopping.load(Relaxed)
            || self.children.as_ref().is_some_and(Children::is_stopping)
    }

    /// Whether processes handle the datagrams.
    pub(crate) fn has_children(&self) -> bool {
        self.children.is_some()
    }

    /// When what is under way now is given up.
    fn drain_deadline(&self) -> Instant {
        Instant::now() + self.config.drain_timeout.min(LONGEST_DRAIN)
    }

    /// How many sockets there are, each with a door.
    fn doors(&self) -> std::ops::Range<DoorId> {
        0..self.work.backlogged.len()
    }

    fn slot(&self, worker: WorkerId) -> &Slot {
        let slot = self.work.slots[worker].get();
        slot.expect("made before its first worker was started")
    }

    /// # Errors
    /// When there is no memory for it.
    fn make_slot(&self, worker: WorkerId) -> io::Result<()> {
        let place = &self.work.slots[worker];
        if place.get().is_none() {
            let slot = Slot::new(&self.socket, self.config.send)?;
            place.get_or_init(|| Box::new(slot));
        }
        Ok(())
    }

    /// Up to how many busy workers another is woken for what waits: as many as
    /// there are processors beside those that are stuck, and all of them where
    /// handlers wait.
    fn most_helpers(&self) -> usize {
        if self.work.pace.is_dispatched() {
            usize::MAX
        } else {
            self.cores + self.work.stuck.load(Relaxed)
        }
    }

    fn tell_of_no_memory(&self, cause: &io::Error) {
        if let Some(admitted) = self.shortages.admit() {
            let addr = self.socket.name();
            self.warn(format!(
                "{addr}: no room to receive into for now: {cause}{admitted}"
            ));
        }
    }

    /// Writes a line to the log, and does not wait for the logger.
    fn warn(&self, line: String) -> UnderWay {
        self.log.write(Level::Warn, module_path!(), line)
    }

    /// Makes one transition of the protocol and carries out its calls.
    fn transit<T>(&self, transition: impl FnOnce(&mut Protocol<Job>) -> (T, Calls<Job>)) -> T {
        let (result, calls) = transition(&mut self.protocol());
        if let Some((worker, command)) = calls.wake {
            self.slot(worker).deliver(command);
        }
        if calls.supervisor {
            self.wake_supervisor();
        }
        if calls.timer {
            if let Some(alarm) = &*self.alarm() {
                alarm.set_timer(FIRST_LOOK, || self.protocol().wants_timer());
            }
        }
        match calls.doors {
            WakeDoors::None => {}
            WakeDoors::At(door) => self.socket.wake(door),
            WakeDoors::All => self.socket.wake_all(),
        }
        result
    }

    fn protocol(&self) -> MutexGuard<'_, Protocol<Job>> {
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Users' code: what they captured may panic when it is dropped.
fn drop_executors(executors: Option<Arc<dyn ExecutorFactory>>, unlogged: Unlogged) {
    if let Err(message) = contain(|| drop(executors)) {
        log_error!(unlogged, "dropping the factory panicked: {message}");
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

/// Batches that come closer to one another than this are worth a supervisor that
/// stays awake: to arm its timer for each costs more.
const OFTEN: Duration = Duration::from_micros(500);

/// How long handlers may take before the supervisor looks at them, where it
/// sleeps otherwise. A timer that comes before the kernel's next tick, every 4 ms
/// where it has 250 a second, costs three times as much to set.
const FIRST_LOOK: Duration = Duration::from_millis(4);

/// Longer than any machine runs, and short enough to add to any moment.
const LONGEST_DRAIN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
