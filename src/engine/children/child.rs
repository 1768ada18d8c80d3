//! What a child does from its first step to its last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rows::{self, Leave, Row};
use super::{Children, Start};
use crate::contain::contain;
use crate::engine::fault::{AfterFault, FaultRun};
use crate::engine::handling::Handling;
use crate::engine::service::Upkeep;
use crate::engine::shared_socket::FIRST;
use crate::engine::solo::SOLO;
use crate::engine::{Engine, Executor};
use crate::logging::log_error;
use crate::stats::{Stats, bump};
use crate::sys::{self, ReceiveBlock, Waker};

/// What the first child needs is made before it is forked, and every other finds it
/// as it was.
pub(super) struct Equipment {
    pub(super) block: ReceiveBlock,
    /// Taken by the child.
    pub(super) executor: Option<Box<dyn Executor>>,
}

/// A child's counters: those of its row go on.
struct Books<'a> {
    engine: &'a Engine,
    children: &'a Children,
    row: Row<'a>,
    /// What the row had, less what this process inherited.
    start: Stats,
    inherited: Stats,
    /// What was moved here from where hooks are counted.
    beside: Stats,
}

impl Books<'_> {
    fn publish(&mut self) {
        self.children.counts.move_to(&mut self.beside);
        let mut stats = self.engine.counted();
        rows::subtract(&mut stats, self.inherited);
        rows::add(&mut stats, self.start);
        rows::add(&mut stats, self.beside);
        self.row.publish(&mut stats);
    }
}

impl Engine {
    /// A child's life.
    pub(super) fn live(self: &Arc<Self>, children: &Children, row: Row<'_>, role: Role<'_>) -> ! {
        let code = contain(|| self.live_contained(children, row, role));
        sys::leave(code.unwrap_or(PANICKED))
    }

    fn live_contained(self: &Arc<Self>, children: &Children, row: Row<'_>, role: Role<'_>) -> i32 {
        row.take_over();
        let inherited = self.counted();
        let mut books = Books {
            engine: self,
            children,
            row,
            start: row.read(),
            inherited,
            beside: Stats::default(),
        };
        let _ = children.inherited.set(inherited);
        children.counts.move_to(&mut Stats::default());
        if self
            .timers
            .let_go(matches!(role, Role::Service(_)))
            .is_err()
        {
            return NOT_STARTED;
        }
        if let Err(code) = self.start_child(&children.on_start) {
            return code;
        }
        let how = match role {
            Role::Worker(equipment) => self.work_alone(&mut books, equipment),
            Role::Service(upkeep) => self.keep_up(upkeep),
        };
        books.publish();
        row.say_leave(how);
        0
    }

    fn start_child(&self, on_start: &Option<Start>) -> Result<(), i32> {
        let Some(on_start) = on_start else {
            return Ok(());
        };
        let problem = match contain(on_start) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => format!("failed: {problem}"),
            Err(message) => format!("panicked: {message}"),
        };
        let (addr, unlogged) = (self.socket.local_addr(), self.config.unlogged);
        log_error!(unlogged, "{addr}: on_child_start {problem}");
        Err(NOT_STARTED)
    }

    /// Takes one datagram after the other, and nothing of the next before it is done
    /// with the last.
    fn work_alone(&self, books: &mut Books<'_>, equipment: &mut Equipment) -> Leave {
        let Equipment { block, executor } = equipment;
        let slot = self.slot(SOLO);
        let work = &self.work;
        let Some(executor) = executor.take() else {
            return Leave::Told;
        };
        let mut handling = Handling::new(slot, &work.pace, &work.looks, executor);
        let mut faults = FaultRun::default();
        let mut left = books.children.max_requests.unwrap_or(u64::MAX);
        while left > 0 {
            let received = match self.socket.borrow(FIRST) {
                Some(socket) => socket.receive_or_leave(block),
                None => return Leave::Told,
            };
            let count = match received {
                Ok(0) => return Leave::Told,
                Ok(count) => count as u64,
                Err(error) => match faults.after(error, self, FIRST, &slot.tally) {
                    AfterFault::Retry | AfterFault::Woken => continue,
                    AfterFault::Stop(_) => return Leave::Told,
                },
            };
            let bytes = block.filled_bytes();
            books.row.begin(count, bytes, self.life.began.elapsed());
            bump(&slot.tally.received, count);
            bump(&slot.tally.bytes_received, bytes);
            bump(&slot.tally.batches, 1);
            // More than one only if the socket receives GRO buffers.
            for index in 0..count as usize {
                handling.handle(&block.datagram(index));
            }
            handling.flush();
            books.publish();
            faults.end();
            left = left.saturating_sub(count);
        }
        Leave::Recycled
    }

    /// Runs what is due from time to time, and timers, until told to leave.
    fn keep_up(self: &Arc<Self>, upkeep: Option<&Upkeep>) -> Leave {
        let silent = self.socket.borrow(FIRST).map(|socket| Waker::new(&socket));
        if let Some(Ok(silent)) = &silent {
            sys::listen_to(silent);
        }
        let mut due = upkeep.and_then(|upkeep| upkeep.next_due(Instant::now()));
        while !sys::is_told_to_leave() {
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if let (Some(Duration::ZERO), Some(upkeep)) = (left, upkeep) {
                due = due.and_then(|due| upkeep.next_due(due));
                (upkeep.action)(Arc::clone(self));
            } else {
                sys::rest(left);
            }
        }
        self.stop_timers(self.drain_deadline());
        Leave::Told
    }
}

/// What a child is for.
pub(super) enum Role<'a> {
    Worker(&'a mut Equipment),
    /// What is due from time to time, and timers.
    Service(Option<&'a Upkeep>),
}

/// Exit codes: of a child whose start failed, and of one that panicked outside of
/// users' code, as Rust has it.
const NOT_STARTED: i32 = 1;
const PANICKED: i32 = 101;
