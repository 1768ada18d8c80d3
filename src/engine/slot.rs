//! What one worker shares with the supervisor and its colleagues.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::batch::Batch;
use super::job::Job;
use super::lanes::LaneId;
use super::mailbox::Mailbox;
use super::outbox::Outbox;
use super::protocol::Command;
use super::shared_socket::SharedSocket;
use crate::stats::{Padded, WorkerTally};
use crate::sys::{Datagram, QueueOptions, ThreadProbe, UnixAddr};

/// A worker's place. It outlives the worker: the next one hired takes it over,
/// and its counters go on.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Commands for a parked worker. One place is enough: who writes has taken
    /// the worker off the stack of idle ones before.
    mailbox: Mailbox<Command<Job>>,
    progress: Arc<Padded<Progress>>,
    pub(crate) thread: ThreadProbe,
    /// The batch the worker is in.
    batch: Mutex<Option<Arc<Batch>>>,
    /// Which datagram of it the worker claimed last.
    at: AtomicUsize,
    /// The peer of the datagram from a lane that the worker handles.
    peer: Mutex<Named>,
    /// Lanes that the worker has emptied and not let go of yet.
    lanes: Mutex<Vec<LaneId>>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) tally: Padded<WorkerTally>,
}

/// A sender, for the log.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    ip: Option<SocketAddr>,
    unix: Option<UnixAddr>,
}

impl Named {
    fn of(datagram: &Datagram<'_>) -> Self {
        let name = datagram.name;
        Self {
            ip: datagram.meta.peer,
            unix: (!name.is_empty()).then(|| UnixAddr::from_name(name)),
        }
    }

    fn name(&self) -> Option<String> {
        let ip = self.ip.map(|addr| addr.to_string());
        ip.or_else(|| self.unix.map(|addr| addr.to_string()))
    }
}

impl Slot {
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(socket: &Arc<SharedSocket>, options: QueueOptions) -> io::Result<Self> {
        Ok(Self {
            mailbox: Mailbox::new(),
            progress: Arc::default(),
            thread: ThreadProbe::default(),
            batch: Mutex::new(None),
            at: AtomicUsize::new(0),
            peer: Mutex::default(),
            lanes: Mutex::default(),
            outbox: Arc::new(Outbox::new(Arc::clone(socket), options)?),
            tally: Padded::default(),
        })
    }

    pub(crate) fn deliver(&self, command: Command<Job>) {
        let delivered = self.mailbox.put(command);
        debug_assert!(delivered, "a mailbox never overflows");
    }

    /// Waits for a command, at most this long or for ever.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Option<Command<Job>> {
        self.mailbox.wait(timeout)
    }

    pub(crate) fn progress(&self) -> &Arc<Padded<Progress>> {
        &self.progress
    }

    /// The batch the worker is in.
    pub(crate) fn batch(&self) -> Option<Arc<Batch>> {
        self.current().clone()
    }

    /// Says which batch the worker is in.
    pub(crate) fn enter(&self, batch: Option<Arc<Batch>>) {
        self.at.store(usize::MAX, Relaxed);
        *self.current() = batch;
    }

    /// Says which datagram of its batch the worker handles.
    pub(crate) fn is_at(&self, index: usize) {
        self.at.store(index, Relaxed);
    }

    /// Says whose datagram, from a lane, the worker handles.
    pub(crate) fn name_peer(&self, datagram: Option<&Datagram<'_>>) {
        let mut named = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        named.ip = datagram.and_then(|datagram| datagram.meta.peer);
        match datagram.map_or(&[][..], |datagram| datagram.name) {
            [] if named.unix.is_none() => {}
            [] => named.unix = None,
            name => named.unix = Some(UnixAddr::from_name(name)),
        }
    }

    /// Whose datagram the worker handles: a glance.
    pub(crate) fn peer(&self) -> Option<String> {
        let from_lane = *self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        from_lane.name().or_else(|| {
            let batch = self.batch()?;
            let open = batch.open()?;
            Named::of(&open.datagram(self.at.load(Relaxed))?).name()
        })
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
pub(crate) struct Progress {
    step: AtomicU64,
    is_preparing: AtomicBool,
    /// Whether the worker has a handler instance that lives on.
    is_ready: AtomicBool,
    /// When the supervisor first saw the step `seen_step`, in ns since the server
    /// began. Written by the supervisor alone.
    seen_step: AtomicU64,
    seen_at: AtomicU64,
}

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
        let count = self.step.load(Relaxed);
        (count % 2 == 1).then_some(count)
    }

    /// Runs what makes the worker's handler instance. Nobody without one is called
    /// in for what waits meanwhile: each would begin with the same.
    pub(crate) fn prepare<T>(&self, make: impl FnOnce() -> T) -> T {
        struct Preparing<'a>(&'a AtomicBool);
        impl Drop for Preparing<'_> {
            fn drop(&mut self) {
                self.0.store(false, Relaxed);
            }
        }
        self.is_preparing.store(true, Relaxed);
        let _until_made = Preparing(&self.is_preparing);
        make()
    }

    /// Whether the worker's handler instance is being made.
    pub(crate) fn is_preparing(&self) -> bool {
        self.is_preparing.load(Relaxed)
    }

    /// The worker has a handler instance that lives on, or has it no more.
    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Relaxed);
    }

    /// Whether it has one: then it handles at once what it is given.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }

    /// The supervisor sees a step for the first time, so long after the server
    /// began.
    pub(crate) fn saw(&self, step: u64, at: Duration) {
        self.seen_at.store(at.as_nanos() as u64, Relaxed);
        self.seen_step.store(step, Relaxed);
    }

    /// How long the worker has been in its step, `now` being counted from when
    /// the server began; zero if the supervisor has not looked since.
    pub(crate) fn age(&self, now: Duration) -> Option<Duration> {
        let step = self.busy_at()?;
        if self.seen_step.load(Relaxed) != step {
            return Some(Duration::ZERO);
        }
        Some(now.saturating_sub(Duration::from_nanos(self.seen_at.load(Relaxed))))
    }

    fn advance(&self, by: u64) {
        let step = self.step.load(Relaxed).wrapping_add(by);
        self.step.store(step, Relaxed);
    }
}
