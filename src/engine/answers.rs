//! Answers that are given after the handler has returned: how many are due, what
//! became of them, and how those that are ready together leave together.
//!
//! # Why nothing is left behind
//! All state of one door is behind one lock, and no system call is made under it.
//! - *The queue.* Who adds to it and finds nobody sending, sends: it takes the
//!   queue, lets go of the lock, sends, and looks again. It stops only when it
//!   sees, under the lock, that the queue is empty; who adds later finds nobody
//!   sending. So what is queued is always somebody's.
//! - *The count.* To answer is one step: the datagram is settled and its answer
//!   queued under one lock. So a shutdown that sees nothing due, nothing queued and
//!   nobody sending has seen all answers leave, and one that closes at its deadline
//!   decides, for each answer, whether it came before or after.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::outbox::refused;
use super::protocol::DoorId;
use super::shared_socket::{SEND_DEADLINE, SharedSocket};
use crate::error::SendError;
use crate::logging::log_warn;
use crate::stats::{Fate, Padded, ReplyTally, Stats};
use crate::sys::{Egress, Patience, QueueOptions, SendQueue, SendReport, same};

/// What deferred answers share: a desk for each door.
#[derive(Debug)]
pub(crate) struct Answers {
    desks: Box<[Padded<Desk>]>,
    /// Over all desks.
    due: AtomicUsize,
    /// The most that may be due.
    limit: usize,
    options: QueueOptions,
    tally: Padded<ReplyTally>,
}

#[derive(Debug, Default)]
struct Desk {
    state: Mutex<State>,
    /// Whoever sends has taken the queue: there is room again.
    has_room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Answers that somebody owes.
    due: usize,
    handled: u64,
    failed: u64,
    /// What is not answered by now is abandoned.
    is_closed: bool,
    /// Made with the first that is due.
    queues: Option<Queues<SendQueue>>,
}

/// Two queues in turn: one is filled while the other is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Queues<Q> {
    filling: Q,
    /// Empty; gone while somebody sends.
    spare: Option<Q>,
}

/// What can be filled and sent.
trait Queue {
    fn is_empty(&self) -> bool;
}

impl Queue for SendQueue {
    fn is_empty(&self) -> bool {
        SendQueue::is_empty(self)
    }
}

/// How far one deferred answer is. Changes under the lock of its desk.
#[derive(Debug, Default)]
pub(crate) struct Stage(AtomicU8);

impl Stage {
    /// The handler has not returned.
    const HANDLING: u8 = 0;
    /// It has, and the answer is due.
    const DUE: u8 = 1;
    /// It has not, and the answer was given.
    const ANSWERED: u8 = 2;
    /// It has not, and there will be none.
    const GIVEN_UP: u8 = 3;
    const SETTLED: u8 = 4;

    fn get(&self) -> u8 {
        self.0.load(Relaxed)
    }

    fn set(&self, stage: u8) {
        self.0.store(stage, Relaxed);
    }

    /// Whether the handler has not returned: a glance.
    pub(crate) fn is_handling(&self) -> bool {
        self.get() == Self::HANDLING
    }
}

impl Answers {
    pub(crate) fn new(doors: usize, limit: usize, options: QueueOptions) -> Self {
        Self {
            desks: (0..doors).map(|_| Padded::default()).collect(),
            due: AtomicUsize::new(0),
            limit,
            options,
            tally: Padded::default(),
        }
    }

    /// One more answer is due, for a datagram that came in by `door`.
    pub(crate) fn defer(&self, door: DoorId, sockets: &SharedSocket) -> Result<Stage, SendError> {
        let limit = self.limit;
        let one_more = |due| (due < limit).then_some(due + 1);
        if self.due.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            return Err(SendError::Busy { limit });
        }
        let mut state = self.lock(door);
        let is_open = match (state.is_closed, &state.queues) {
            (true, _) => Err(SendError::Closed),
            (false, Some(_)) => Ok(()),
            // Sent one by one: see `send_at_once`.
            (false, None) if sockets.unix_addr().is_some() => Ok(()),
            (false, None) => {
                let queue = || SendQueue::new(sockets.addr_at(door), self.options);
                let queues = queue().and_then(|filling| {
                    let spare = Some(queue()?);
                    Ok(Queues { filling, spare })
                });
                // No room for any answer is like too many of them.
                queues
                    .map(|queues| state.queues = Some(queues))
                    .map_err(|_| SendError::Busy { limit })
            }
        };
        match is_open {
            Ok(()) => state.due += 1,
            Err(_) => drop(self.due.fetch_sub(1, Relaxed)),
        }
        is_open.map(|()| Stage::default())
    }

    /// The handler has returned well: what is to be counted of the datagram now.
    pub(crate) fn release(&self, door: DoorId, stage: &Stage) -> Fate {
        let mut state = self.lock(door);
        match stage.get() {
            Stage::HANDLING => {
                stage.set(Stage::DUE);
                Fate::Deferred
            }
            Stage::ANSWERED => self.settle(&mut state, stage, Fate::Handled),
            _ => self.settle(&mut state, stage, Fate::Failed),
        }
    }

    /// The handler has failed, which decides.
    pub(crate) fn revoke(&self, door: DoorId, stage: &Stage) {
        self.settle(&mut self.lock(door), stage, Fate::Failed);
    }

    fn settle(&self, state: &mut State, stage: &Stage, fate: Fate) -> Fate {
        stage.set(Stage::SETTLED);
        state.due -= 1;
        self.due.fetch_sub(1, Relaxed);
        fate
    }

    /// Nothing more is sent for it: counts the datagram, unless its handler will.
    pub(crate) fn end(&self, door: DoorId, stage: &Stage, fate: Fate) -> Result<(), SendError> {
        self.end_locked(&mut self.lock(door), stage, fate)
    }

    fn end_locked(&self, state: &mut State, stage: &Stage, fate: Fate) -> Result<(), SendError> {
        check(state, stage)?;
        let is_answered = fate == Fate::Handled;
        if stage.get() == Stage::HANDLING {
            stage.set(if is_answered {
                Stage::ANSWERED
            } else {
                Stage::GIVEN_UP
            });
            return Ok(());
        }
        self.settle(state, stage, fate);
        if is_answered {
            state.handled += 1;
        } else {
            state.failed += 1;
        }
        Ok(())
    }

    /// Queues a datagram that was judged, and sees that it is sent: by whoever is
    /// sending, or by this thread. Waits for room up to [`SEND_DEADLINE`]. With
    /// `is_last`, the answer is given with it.
    pub(crate) fn send(
        &self,
        sockets: &SharedSocket,
        door: DoorId,
        stage: &Stage,
        answer: Answer<'_>,
        is_last: bool,
    ) -> Result<(), SendError> {
        let Answer { bytes, to, egress } = answer;
        let deadline = Instant::now() + SEND_DEADLINE;
        let mut state = self.lock(door);
        loop {
            if let Err(error) = check(&state, stage) {
                drop(state);
                self.tally.refused(&error);
                return Err(error);
            }
            let queues = state.queues.as_ref();
            if queues.is_some_and(|queues| queues.filling.has_room(bytes.len())) {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let cause = std::io::ErrorKind::WouldBlock.into();
                drop(state);
                self.tally.failed(&cause);
                let len = bytes.len();
                return Err(SendError::Refused { len, to, cause });
            }
            let waited = self.desks[door].has_room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_last {
            self.end_locked(&mut state, stage, Fate::Handled)?;
        }
        #[cfg(feature = "testing")]
        if sockets.is_on_bench() {
            drop(state);
            self.tally.sent(1, bytes.len() as u64, 1);
            return sockets.send_without_socket(bytes, to, &egress);
        }
        if let Some(queues) = &mut state.queues {
            queues.filling.push(bytes, to, &egress);
        }
        self.send_queued(sockets, door, state);
        Ok(())
    }

    /// Sends an answer past the queue, with a call that waits for nothing: that of a Unix
    /// socket. So it is made under the lock, and if the answer is the last, and is sent,
    /// it is given with it.
    #[cfg(unix)]
    pub(crate) fn send_at_once(
        &self,
        door: DoorId,
        stage: &Stage,
        is_last: bool,
        send: impl FnOnce() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let mut state = self.lock(door);
        if let Err(error) = check(&state, stage) {
            self.tally.refused(&error);
            return Err(error);
        }
        let sent = send();
        if is_last && sent.is_ok() {
            self.end_locked(&mut state, stage, Fate::Handled)?;
        }
        sent
    }

    /// Sends what is queued, unless somebody does. What failed is logged last: while
    /// the logger has this thread, others send.
    fn send_queued<'a>(
        &'a self,
        sockets: &SharedSocket,
        door: DoorId,
        mut state: MutexGuard<'a, State>,
    ) {
        let mut lines = Vec::new();
        while let Some(mut sending) = state.queues.as_mut().and_then(Queues::take) {
            drop(state);
            self.desks[door].has_room.notify_all();
            let mut report = Report {
                answers: self,
                sockets,
                door,
                lines: &mut lines,
            };
            match sockets.borrow(door) {
                Some(socket) => {
                    let patience = Patience::Until(Instant::now() + SEND_DEADLINE);
                    sending.flush(&socket, patience, &mut report);
                }
                None => self.tally.closed(sending.discard() as u64),
            }
            state = self.lock(door);
            if let Some(queues) = &mut state.queues {
                queues.put_back(sending);
            }
        }
        drop(state);
        for line in lines {
            log_warn!("{line}");
        }
    }

    /// Whether none is due, queued or being sent.
    pub(crate) fn are_idle(&self) -> bool {
        (0..self.desks.len()).all(|door| {
            let state = self.lock(door);
            state.due == 0 && state.queues.as_ref().is_none_or(Queues::are_idle)
        })
    }

    /// From now on nothing is answered any more. Handles live on, and hold no memory
    /// for datagrams.
    pub(crate) fn close(&self) {
        for (door, desk) in self.desks.iter().enumerate() {
            let mut state = self.lock(door);
            state.is_closed = true;
            if let Some(mut queues) = state.queues.take() {
                self.tally.closed(queues.filling.discard() as u64);
            }
            desk.has_room.notify_all();
        }
    }

    /// Adds what has been answered to a snapshot: before what was received is
    /// added, as for the fates that workers count.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        for door in 0..self.desks.len() {
            let state = self.lock(door);
            stats.handled += state.handled;
            stats.failed += state.failed;
            stats.deferred += state.due;
        }
        self.tally.add_to(&mut stats.replies);
    }

    /// A datagram was judged not to be sent.
    pub(crate) fn refused(&self, error: &SendError) {
        self.tally.refused(error);
    }

    fn lock(&self, door: DoorId) -> MutexGuard<'_, State> {
        let state = &self.desks[door].state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Queue> Queues<Q> {
    /// What is queued, if there is any and nobody sends.
    fn take(&mut self) -> Option<Q> {
        if self.filling.is_empty() {
            return None;
        }
        let spare = self.spare.take()?;
        Some(std::mem::replace(&mut self.filling, spare))
    }

    /// It was sent.
    fn put_back(&mut self, sent: Q) {
        self.spare = Some(sent);
    }

    /// Whether nothing is queued, and nobody sends.
    fn are_idle(&self) -> bool {
        self.spare.is_some() && self.filling.is_empty()
    }
}

/// A datagram on its way to a peer, and how it leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) to: SocketAddr,
    pub(crate) egress: Egress,
}

/// Whether an answer can still be given.
fn check(state: &State, stage: &Stage) -> Result<(), SendError> {
    match stage.get() {
        _ if state.is_closed => Err(SendError::Closed),
        Stage::HANDLING | Stage::DUE => Ok(()),
        _ => Err(SendError::Settled),
    }
}

/// Counts what is sent, and notes what is to be logged.
struct Report<'a> {
    answers: &'a Answers,
    sockets: &'a SharedSocket,
    door: DoorId,
    lines: &'a mut Vec<String>,
}

impl SendReport for Report<'_> {
    fn called(&mut self, sent: u64, bytes: u64) {
        self.answers.tally.sent(sent, bytes, 1);
    }

    fn failed(&mut self, len: usize, to: SocketAddr, error: &std::io::Error) {
        self.answers.tally.failed(error);
        if let Some(admitted) = self.sockets.admit_failed_send() {
            let from = self.sockets.addr_at(self.door);
            let error = refused(len, to, same(error));
            self.lines.push(format!("{from}: {error}{admitted}"));
        }
    }
}
