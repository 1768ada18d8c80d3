//! Child processes that take datagrams from the one socket: the kernel's queue is
//! all that they share of the work, so there is nothing to recover when one dies.
//!
//! The parent handles no datagram and has no other threads, so that it may fork at
//! any time. It hears of what happens by descriptors, in one wait.
//!
//! | room | what it holds |
//! |---|---|
//! | `roster` | who is to be started, and when; no processes, no clock |
//! | `rows` | what processes share of their counters |
//! | `child` | what a child does |
//! | `family` | what the parent does |
//! | `exit` | how a child has ended |

mod child;
mod exit;
mod family;
mod roster;
mod rows;

use std::io;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use self::child::Equipment;
pub use self::exit::{ChildEnd, ChildExit};
use self::family::{Family, Term};
use self::roster::Roster;
use self::rows::Rows;
use super::service::Upkeep;
use super::shared_socket::FIRST;
use super::supervisor::Closing;
use super::{Engine, drop_executors};
use crate::contain::contain;
use crate::error::ServeError;
use crate::logging::{LogLimit, log_error};
use crate::stats::{SideCounts, Stats};
use crate::sys::{self, BlockShape, Parent, ReceiveBlock, Socket, Waker};

/// Runs in a child first of all; an error in words.
pub(crate) type Start = Box<dyn Fn() -> Result<(), String> + Send + Sync>;
pub(crate) type OnExit = Box<dyn Fn(&ChildExit) + Send + Sync>;

/// What is asked of children, and what they share.
pub(crate) struct Children {
    pub(crate) max_requests: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_start: Option<Start>,
    pub(crate) on_exit: Option<OnExit>,
    /// Where hooks are counted.
    pub(crate) counts: Arc<SideCounts>,
    most: usize,
    /// Gone once the server is closed, whoever still has a handle.
    shared: RwLock<Option<Shared>>,
    /// In a child: what the parent had counted.
    inherited: OnceLock<Stats>,
    deaths: LogLimit,
}

#[derive(Debug)]
struct Shared {
    rows: Rows,
    /// Wakes the parent, from any process.
    waker: Waker,
}

impl Children {
    /// The memory that they share is made here, so that every handle sees the same.
    pub(crate) fn new(most: usize, counts: Arc<SideCounts>, socket: &Socket) -> io::Result<Self> {
        let shared = Shared {
            // And one for the service child.
            rows: Rows::new(most + 1)?,
            waker: Waker::new(socket)?,
        };
        Ok(Self {
            max_requests: None,
            timeout: None,
            on_start: None,
            on_exit: None,
            counts,
            most,
            shared: RwLock::new(Some(shared)),
            inherited: OnceLock::new(),
            deaths: LogLimit::new(),
        })
    }

    /// Tells all processes to stop.
    pub(super) fn stop(&self) {
        self.with(|shared| {
            shared.rows.stop();
            shared.waker.wake();
        });
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.with(|shared| shared.rows.is_stopping()) == Some(true)
    }

    pub(super) fn busy(&self) -> usize {
        self.with(|shared| shared.rows.busy()).unwrap_or(0)
    }

    /// Completes a snapshot of what this process has counted.
    pub(super) fn complete(&self, mut stats: Stats) -> Stats {
        if let Some(inherited) = self.inherited.get() {
            // What a child counts is in its row.
            let own = stats;
            rows::subtract(&mut stats, own);
            rows::add(&mut stats, *inherited);
        }
        self.with(|shared| shared.rows.add_to(&mut stats));
        stats.in_flight = stats.received.saturating_sub(stats.settled());
        stats
    }

    fn with<T>(&self, act: impl FnOnce(&Shared) -> T) -> Option<T> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        shared.as_ref().map(act)
    }
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children")
            .field("most", &self.most)
            .field("max_requests", &self.max_requests)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Serves with processes until stopped, then drains and closes.
    pub(crate) fn serve_with_children(
        self: &Arc<Self>,
        upkeep: Option<Upkeep>,
    ) -> Result<Closing, ServeError> {
        let Some(children) = &self.children else {
            return self.serve(upkeep);
        };
        let served = match self.was_told_to_stop() {
            true => Ok(()),
            false => self.raise(children, upkeep.as_ref()),
        };
        let closing = self.close_with_children(children);
        drop_contained(self, upkeep);
        served.map(|()| closing)
    }

    fn raise(
        self: &Arc<Self>,
        children: &Children,
        upkeep: Option<&Upkeep>,
    ) -> Result<(), ServeError> {
        let addr = self.socket.local_addr();
        if sys::threads().is_some_and(|threads| threads > 1) {
            let problem = "this process has other threads: call serve_forever before they are \
                           started, or in a process of its own"
                .to_owned();
            return Err(ServeError::Isolation { addr, problem });
        }
        let begin = |cause| ServeError::Begin { addr, cause };
        self.make_wakers()?;
        let (outbox, progress) = self.solo_place()?;
        let factory = self.executors().clone().ok_or(ServeError::Closed)?;
        let shape = BlockShape {
            slots: 1,
            ..self.work.batches.shape()
        };
        let mut equipment = Equipment {
            block: ReceiveBlock::new(shape).map_err(begin)?,
            executor: Some(factory.executor(outbox, progress)),
        };
        let parent = {
            let socket = self.socket.borrow(FIRST).ok_or(ServeError::Closed)?;
            Parent::begin(&socket, self.config.drain_timeout).map_err(begin)?
        };
        // Its lock is held by nobody else who would wait.
        let shared = children.shared.read();
        let shared = shared.unwrap_or_else(PoisonError::into_inner);
        let mut family = Family {
            engine: self,
            children,
            shared: shared.as_ref().ok_or(ServeError::Closed)?,
            parent,
            upkeep,
            equipment: &mut equipment,
            has_service: upkeep.is_some() || self.timers.hold(),
            places: (0..=children.most).map(|_| None).collect(),
            terms: vec![Term::default(); children.most + 1],
            roster: Roster::new(children.most),
            service: Roster::new(1),
            last_cause: String::new(),
        };
        let served = family.serve();
        family.drain();
        served
    }

    pub(super) fn close_with_children(&self, children: &Children) -> Closing {
        self.stop();
        self.socket.answers().close();
        let kernel_drops = self.socket.sum(Socket::kernel_drops);
        let unread_bytes = self.close_socket();
        let executors = self.let_go();
        self.stop_timers(Instant::now());
        let mut stats = self.current_stats();
        stats.kernel_drops = kernel_drops;
        stats.abandoned += std::mem::take(&mut stats.in_flight);
        stats.workers = 0;
        let stats = *self.life.closing_stats.get_or_init(|| stats);
        let shared = &children.shared;
        drop(
            shared
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        drop_executors(executors, self.config.unlogged);
        Closing {
            stats,
            abandoned_threads: 0,
            unread_bytes,
        }
    }
}

fn drop_contained(engine: &Engine, upkeep: Option<Upkeep>) {
    if let Err(message) = contain(|| drop(upkeep)) {
        let unlogged = engine.config.unlogged;
        log_error!(unlogged, "dropping a hook panicked: {message}");
    }
}
