//! Live counters: one set per worker, each on cache lines of its own, added up
//! when somebody asks.

use std::io;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::failures::FailureTally;
use super::{Refusal, Replies, Stats};
use crate::error::SendError;
use crate::sys::SendFault;

/// How a datagram ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Handled,
    Failed,
    Panicked,
    Refused(Refusal),
    /// It had waited too long.
    Stale,
    /// Too many were waiting for the same peer.
    LaneFull,
    /// Not decided yet: somebody owes an answer.
    Deferred,
}

/// Keeps its content away from its neighbours' cache lines: two lines, since
/// processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Adds to a counter that one thread at a time writes, without the price of an
/// atomic read-modify-write.
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed) + by, Relaxed);
}

/// What one worker counts. Only that worker writes.
#[derive(Debug, Default)]
pub(crate) struct WorkerTally {
    pub(crate) received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) receive_errors: AtomicU64,
    handled: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    shed_stale: AtomicU64,
    shed_lane_full: AtomicU64,
}

impl WorkerTally {
    /// Counts the end of one datagram.
    pub(crate) fn settle(&self, fate: Fate) {
        let counter = match fate {
            Fate::Handled => &self.handled,
            Fate::Failed => &self.failed,
            Fate::Panicked => &self.panicked,
            Fate::Refused(refusal) => &self.refused[refusal as usize],
            Fate::Stale => &self.shed_stale,
            Fate::LaneFull => &self.shed_lane_full,
            Fate::Deferred => return,
        };
        counter.store(counter.load(Relaxed) + 1, Release);
    }

    /// Adds the fates to a snapshot.
    ///
    /// All fates of all workers are read before what was received is
    /// ([`add_received`](Self::add_received)): each datagram is received before
    /// it is settled, and who sees that it is settled sees that it was received
    /// (hence release and acquire), so a snapshot under load never shows more of
    /// them settled than received.
    pub(crate) fn add_fates(&self, stats: &mut Stats) {
        stats.handled += self.handled.load(Acquire);
        stats.failed += self.failed.load(Acquire);
        stats.panicked += self.panicked.load(Acquire);
        for (reason, count) in Refusal::ALL.iter().zip(&self.refused) {
            stats.refused.add(*reason, count.load(Acquire));
        }
        stats.shed.stale += self.shed_stale.load(Acquire);
        stats.shed.lane_full += self.shed_lane_full.load(Acquire);
    }

    /// Adds what was received to a snapshot.
    pub(crate) fn add_received(&self, stats: &mut Stats) {
        stats.received += self.received.load(Relaxed);
        stats.bytes_received += self.bytes_received.load(Relaxed);
        stats.batches += self.batches.load(Relaxed);
        stats.receive_errors += self.receive_errors.load(Relaxed);
    }
}

/// What became of what one worker's handlers sent. Shared by detached handles,
/// so it counts with atomic additions; an outbox does so once per system call.
#[derive(Debug, Default)]
pub(crate) struct ReplyTally {
    sent: AtomicU64,
    bytes_sent: AtomicU64,
    send_calls: AtomicU64,
    failed: FailureTally,
    withheld: AtomicU64,
}

impl ReplyTally {
    pub(crate) fn sent(&self, count: u64, bytes: u64, calls: u64) {
        self.sent.fetch_add(count, Relaxed);
        self.bytes_sent.fetch_add(bytes, Relaxed);
        self.send_calls.fetch_add(calls, Relaxed);
    }

    /// Counts a send that failed, by the reason that the error gives.
    pub(crate) fn failed(&self, error: &io::Error) {
        let counter = match SendFault::of(error) {
            SendFault::TooLong => &self.failed.too_long,
            SendFault::Unreachable => &self.failed.unreachable,
            SendFault::NotPermitted => &self.failed.not_permitted,
            SendFault::BadAddress => &self.failed.bad_address,
            SendFault::WouldBlock => &self.failed.no_room,
            SendFault::NoMemory => &self.failed.no_memory,
            SendFault::Interrupted | SendFault::Other => &self.failed.other,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a send that was refused before it was tried.
    pub(crate) fn refused(&self, error: &SendError) {
        let counter = match error {
            SendError::TooLong { .. } => &self.failed.too_long,
            SendError::PortZero { .. }
            | SendError::UnspecifiedAddress { .. }
            | SendError::AddressFamily { .. } => &self.failed.bad_address,
            #[cfg(unix)]
            SendError::Unnamed => &self.failed.bad_address,
            SendError::BroadcastNotAllowed { .. } => &self.failed.not_permitted,
            SendError::Withheld { .. } => &self.withheld,
            SendError::Closed => &self.failed.closed,
            _ => &self.failed.other,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self, count: u64) {
        self.failed.closed.fetch_add(count, Relaxed);
    }

    pub(crate) fn add_to(&self, replies: &mut Replies) {
        replies.sent += self.sent.load(Relaxed);
        replies.bytes_sent += self.bytes_sent.load(Relaxed);
        replies.send_calls += self.send_calls.load(Relaxed);
        replies.withheld += self.withheld.load(Relaxed);
        self.failed.add_to(&mut replies.failed);
    }
}
