//! What the guards write to the log.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, TryLockError};

use crate::guard::{Moment, Offenders, Prefix, Summary};
use crate::logging::log_warn;

/// A line when somebody is refused for the first time in a period, and a
/// summary when the period is over: few lines and fixed memory, whatever comes.
///
/// Nothing is locked unless something is refused, and then nobody waits: who
/// finds the lock taken only counts.
#[derive(Debug)]
pub(super) struct Journal {
    server: SocketAddr,
    pages: [Page; Topic::ALL.len()],
    /// When the first period that is under way ends, in nanoseconds. Asking
    /// costs a load; `u64::MAX` if none is.
    next_summary: AtomicU64,
}

/// What somebody was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    ResponderPort,
    Denied,
    NotAllowed,
    ReplyLoop,
    RateLimited,
    WouldBeRateLimited,
    Withheld,
}

#[derive(Debug, Default)]
struct Page {
    offenders: Mutex<Offenders>,
    /// Refusals that found the lock taken.
    missed: AtomicU64,
}

impl Topic {
    const ALL: [Self; 7] = [
        Self::ResponderPort,
        Self::Denied,
        Self::NotAllowed,
        Self::ReplyLoop,
        Self::RateLimited,
        Self::WouldBeRateLimited,
        Self::Withheld,
    ];

    /// What happened, and why.
    fn words(self) -> (&'static str, &'static str) {
        let from = "refused datagrams from";
        match self {
            Self::ResponderPort => (from, "the port of a service that answers anything"),
            Self::Denied => (from, "denied by deny_networks"),
            Self::NotAllowed => (from, "not among allow_networks"),
            Self::ReplyLoop => (from, "a loop of replies"),
            Self::RateLimited => (from, "more than rate_limit allows"),
            Self::WouldBeRateLimited => (
                "would have refused datagrams from",
                "more than rate_limit allows",
            ),
            Self::Withheld => (
                "withheld replies to",
                "more than amplification_limit allows",
            ),
        }
    }
}

impl Journal {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            pages: Default::default(),
            next_summary: AtomicU64::new(u64::MAX),
        }
    }

    /// Somebody was refused.
    #[cold]
    pub(super) fn note(&self, topic: Topic, who: Prefix, now: Moment) {
        let page = &self.pages[topic as usize];
        let mut offenders = match page.offenders.try_lock() {
            Ok(offenders) => offenders,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                page.missed.fetch_add(1, Relaxed);
                return;
            }
        };
        let summary = offenders.sum_up(now);
        let is_first = offenders.note(who, now);
        self.expect_summary(&offenders);
        drop(offenders);
        if let Some(summary) = summary {
            self.write(topic, &summary);
        }
        if is_first {
            let (what, why) = topic.words();
            log_warn!("{}: {what} {who}: {why}", self.server);
        }
    }

    /// Writes the summaries that are due.
    pub(super) fn catch_up(&self, now: Moment) {
        if now.nanos() >= self.next_summary.load(Relaxed) {
            self.sum_up(|offenders| offenders.sum_up(now));
        }
    }

    /// Writes all summaries, due or not.
    pub(super) fn close(&self, now: Moment) {
        self.sum_up(|offenders| Some(offenders.end(now)));
    }

    #[cold]
    fn sum_up(&self, take: impl Fn(&mut Offenders) -> Option<Summary>) {
        self.next_summary.store(u64::MAX, Relaxed);
        for topic in Topic::ALL {
            let page = &self.pages[topic as usize];
            let mut offenders = page
                .offenders
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            offenders.note_unknown(page.missed.swap(0, Relaxed));
            let summary = take(&mut offenders);
            self.expect_summary(&offenders);
            drop(offenders);
            if let Some(summary) = summary {
                self.write(topic, &summary);
            }
        }
    }

    /// Remembers when the period under way ends, if that is before all others.
    fn expect_summary(&self, offenders: &Offenders) {
        if let Some(due) = offenders.due() {
            self.next_summary.fetch_min(due.nanos(), Relaxed);
        }
    }

    fn write(&self, topic: Topic, summary: &Summary) {
        let (server, (what, why)) = (self.server, topic.words());
        let seconds = summary.seconds;
        for (who, count) in summary.repeated() {
            log_warn!("{server}: {what} {who}, {count} more in {seconds} s: {why}");
        }
        if summary.others > 0 {
            let count = summary.others;
            log_warn!("{server}: {what} others, {count} in {seconds} s: {why}");
        }
    }
}
