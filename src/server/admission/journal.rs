//! What the guards write to the log.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, TryLockError};

use crate::guard::{Offenders, Prefix, Summary, Timestamp};
use crate::logging::log_warn;
use crate::stats::Refusal;

/// A line when somebody is refused for the first time in a period, and a
/// summary when the period is over: few lines and fixed memory, whatever comes.
///
/// Nothing is locked unless something is refused, and then nobody waits: who
/// finds the lock taken only counts.
#[derive(Debug)]
pub(super) struct Journal {
    server: SocketAddr,
    pages: [Page; Topic::COUNT],
    /// When the first period that is under way ends, in nanoseconds. Asking
    /// costs a load; `u64::MAX` if none is.
    next_summary: AtomicU64,
}

/// What is logged by source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Refused(Refusal),
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
    const COUNT: usize = Refusal::ALL.len() + 2;

    fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.iter().copied().map(Self::Refused);
        refused.chain([Self::WouldBeRateLimited, Self::Withheld])
    }

    fn index(self) -> usize {
        match self {
            Self::Refused(refusal) => refusal as usize,
            Self::WouldBeRateLimited => Self::COUNT - 2,
            Self::Withheld => Self::COUNT - 1,
        }
    }

    /// What happened.
    fn what(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused datagrams from",
            Self::WouldBeRateLimited => "would have refused datagrams from",
            Self::Withheld => "withheld replies to",
        }
    }
}

/// Why it happened.
impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::WouldBeRateLimited => Refusal::RateLimited.fmt(f),
            Self::Withheld => f.write_str("more than amplification_limit allows"),
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
    pub(super) fn note(&self, topic: Topic, who: Prefix, now: Timestamp) {
        let page = &self.pages[topic.index()];
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
            log_warn!("{}: {} {who}: {topic}", self.server, topic.what());
        }
    }

    /// Writes the summaries that are due.
    pub(super) fn catch_up(&self, now: Timestamp) {
        if now.nanos() >= self.next_summary.load(Relaxed) {
            self.sum_up(|offenders| offenders.sum_up(now));
        }
    }

    /// Writes all summaries, due or not.
    pub(super) fn close(&self, now: Timestamp) {
        self.sum_up(|offenders| Some(offenders.end(now)));
    }

    #[cold]
    fn sum_up(&self, take: impl Fn(&mut Offenders) -> Option<Summary>) {
        self.next_summary.store(u64::MAX, Relaxed);
        for topic in Topic::all() {
            let page = &self.pages[topic.index()];
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
        let (server, what) = (self.server, topic.what());
        let seconds = summary.seconds;
        for (who, count) in summary.repeated() {
            log_warn!("{server}: {what} {who}, {count} more in {seconds} s: {topic}");
        }
        if summary.others > 0 {
            let count = summary.others;
            log_warn!("{server}: {what} others, {count} in {seconds} s: {topic}");
        }
    }
}
