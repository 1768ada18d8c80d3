//! The engine's counters at one moment.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Engine;
use super::slot::Slot;
use crate::stats::{ReceiveBuffer, Stats};
use crate::sys::Socket;

impl Engine {
    /// Workers that are not waiting for anything to do.
    pub(crate) fn busy_workers(&self) -> usize {
        match &self.children {
            Some(children) => children.busy(),
            None => self.protocol().busy(),
        }
    }

    /// A snapshot; the last one, once the server is closed.
    pub(crate) fn stats(&self) -> Stats {
        let closing_stats = &self.life.closing_stats;
        closing_stats
            .get()
            .copied()
            .unwrap_or_else(|| self.current_stats())
    }

    /// What this process has counted.
    pub(super) fn counted(&self) -> Stats {
        let mut stats = Stats::default();
        for slot in self.work.slots() {
            slot.tally.add_fates(&mut stats);
        }
        self.socket.answers().add_to(&mut stats);
        for slot in self.work.slots() {
            slot.tally.add_received(&mut stats);
            slot.outbox.tally().add_to(&mut stats.replies);
        }
        self.unsolicited.tally().add_to(&mut stats.replies);
        stats
    }

    pub(super) fn current_stats(&self) -> Stats {
        let mut stats = self.counted();
        stats.in_flight = stats.received.saturating_sub(stats.settled());
        {
            let protocol = self.protocol();
            stats.workers = protocol.workers();
            stats.busy_workers = protocol.busy();
        }
        stats.max_workers = self.config.max_workers;
        stats.oldest_in_flight = self.oldest().0;
        stats.waiting_bytes = self.socket.sum(Socket::unread_bytes);
        let peak = self.threads.peak.load(Relaxed) as usize;
        stats.peak_workers = peak.max(stats.workers);
        stats.failed_worker_starts = self.threads.failed_starts.load(Relaxed);
        stats.kernel_drops = self.socket.sum(Socket::kernel_drops);
        stats.receive_buffer = ReceiveBuffer {
            asked: self.config.receive_buffer_asked,
            granted: self.granted_receive_buffer,
        };
        stats.uptime = self.life.began.elapsed();
        match &self.children {
            Some(children) => children.complete(stats),
            None => stats,
        }
    }

    /// How long the oldest datagram has been in its handler, as far as the
    /// supervisor has seen, and whose it is.
    pub(super) fn oldest(&self) -> (Duration, Option<&Slot>) {
        let now = self.life.began.elapsed();
        let ages = self.work.slots().filter_map(|slot| {
            let age = slot.progress().age(now)?;
            Some((age, slot))
        });
        match ages.max_by_key(|(age, _)| *age) {
            Some((age, slot)) => (age, Some(slot)),
            None => (Duration::ZERO, None),
        }
    }
}
