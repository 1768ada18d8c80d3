//! The guards of one server, in their order.

use std::collections::TryReserveError;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::journal::{Journal, Topic};
use super::settings::GuardSettings;
use super::swap::Swap;
use crate::engine::SendGuard;
use crate::error::ConfigError;
use crate::guard::{
    Access, Admittance, Credits, Hashed, Keys, LoopBreaker, Networks, Overheard, Prefix, RateLimit,
    RateLimiter, TableKey, Timeline, Timestamp, ValidatedPeers, Verdict, is_responder_port,
};
use crate::stats::{Refusal, SideCounts};

/// What stands between a hostile network and the handlers. What was not asked
/// for costs a branch.
///
/// What may be changed while serving is read without a lock. Who changes it takes
/// turns with others who do, and nobody else waits.
#[derive(Debug)]
pub(crate) struct Guards {
    timeline: Timeline,
    key: TableKey,
    validated: Arc<ValidatedPeers>,
    refuse_responder_ports: bool,
    /// There only if it limits anybody.
    access: Swap<Access>,
    loops: Option<LoopBreaker>,
    rate: Swap<RateLimiter>,
    amplification: Option<Amplification>,
    /// Whether a guard other than the rate limit wants to know who came when.
    keeps_track: bool,
    /// What `access` is made of: for who changes it, or the rate limit.
    changes: Mutex<Access>,
    journal: Journal,
    counts: Arc<SideCounts>,
}

#[derive(Debug)]
struct Amplification {
    credits: Credits,
    trusted: Networks,
}

/// Who came, and when: found out once for all guards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    peer: Hashed,
    now: Timestamp,
}

impl Guards {
    /// The guards of the server bound to `addr`. `keys` must be secret.
    pub(crate) fn new(
        settings: &GuardSettings,
        addr: SocketAddr,
        keys: &Keys,
        counts: Arc<SideCounts>,
    ) -> Result<Self, ConfigError> {
        let timeline = Timeline::new(Instant::now());
        let access = settings.access()?;
        let amplification = match &settings.amplification {
            None => None,
            Some(limit) => Some(Amplification {
                credits: Credits::new(limit).or_else(no_memory("amplification_limit"))?,
                trusted: settings.trusted()?,
            }),
        };
        let limit = settings.amplification.as_ref();
        let terms = limit.map_or_else(Default::default, |limit| limit.terms());
        let validated = ValidatedPeers::new(keys, timeline, terms);
        if amplification.is_some() {
            validated
                .make_room()
                .or_else(no_memory("amplification_limit"))?;
        }
        let (rate, loops) = (&settings.rate, &settings.loops);
        let rate = rate.clone().map(RateLimiter::new).transpose();
        let rate = rate.or_else(no_memory("rate_limit"))?;
        let loops = loops.as_ref().map(LoopBreaker::new).transpose();
        let loops = loops.or_else(no_memory("break_reply_loops"))?;
        Ok(Self {
            timeline,
            key: keys.table,
            validated: Arc::new(validated),
            refuse_responder_ports: settings.refuse_responder_ports,
            access: Swap::new(access.is_limited().then(|| access.clone())),
            changes: Mutex::new(access),
            keeps_track: loops.is_some() || amplification.is_some(),
            rate: Swap::new(rate),
            loops,
            amplification,
            journal: Journal::new(addr),
            counts,
        })
    }

    /// The tokens of this server, and who has sent one back.
    pub(crate) fn validated(&self) -> &Arc<ValidatedPeers> {
        &self.validated
    }

    /// Whether a guard has to know what is sent.
    pub(crate) fn watch_sends(&self) -> bool {
        self.amplification.is_some() || self.loops.is_some()
    }

    /// Judges a datagram from a possible source before anything else does.
    ///
    /// What costs least comes first: a port, then an address, then the tables.
    /// The loop breaker stands before the rate limit, lest a loop that keeps
    /// just below the rate, or leaks, use up what the peer's own requests need.
    pub(super) fn judge(&self, peer: SocketAddr, bytes: &[u8]) -> Result<Option<Arrival>, Refusal> {
        if self.refuse_responder_ports && is_responder_port(peer.port()) {
            return Err(self.refuse_at_once(Refusal::ResponderPort, peer));
        }
        match self.access.look(|access| access.judge(peer.ip())) {
            None | Some(Admittance::Admitted) => {}
            Some(Admittance::Denied) => return Err(self.refuse_at_once(Refusal::Denied, peer)),
            Some(Admittance::NotAllowed) => {
                return Err(self.refuse_at_once(Refusal::NotAllowed, peer));
            }
        }
        if !self.keeps_track && !self.rate.is_set() {
            return Ok(None);
        }
        let arrival = Arrival {
            peer: self.key.peer(peer),
            now: self.timeline.at(Instant::now()),
        };
        self.journal.catch_up(arrival.now);
        self.judge_loop(arrival, peer, bytes)?;
        self.judge_rate(arrival, peer)?;
        Ok(Some(arrival))
    }

    /// Lets the amplification limit know that a datagram reaches its handler.
    pub(super) fn credit(&self, arrival: Option<Arrival>, from: SocketAddr, len: usize) {
        if let (Some(limit), Some(Arrival { peer, now })) = (&self.amplification, arrival) {
            if !self.validated.is_validated_at(peer, now) {
                limit.credits.received(peer, from, len, now);
            }
        }
    }

    fn judge_loop(&self, at: Arrival, peer: SocketAddr, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(loops) = self.loops.as_ref().filter(|loops| !loops.trusts(peer.ip())) else {
            return Ok(());
        };
        match loops.received(at.peer, bytes, at.now) {
            Overheard::Talk => Ok(()),
            Overheard::Loop => {
                Err(self.refuse(Refusal::ReplyLoop, Prefix::customary(peer), at.now))
            }
        }
    }

    fn judge_rate(&self, at: Arrival, peer: SocketAddr) -> Result<(), Refusal> {
        let over = self.rate.look(|rate| {
            if rate.trusts(peer.ip()) {
                return None;
            }
            let source = rate.source(peer);
            let is_over = rate.judge(source, &self.key, at.now) == Verdict::Over;
            is_over.then_some((source, rate.is_dry_run()))
        });
        let Some((source, is_dry_run)) = over.flatten() else {
            return Ok(());
        };
        if is_dry_run {
            self.counts.would_be_rate_limited();
            self.journal.note(Topic::WouldBeRateLimited, source, at.now);
            return Ok(());
        }
        Err(self.refuse(Refusal::RateLimited, source, at.now))
    }

    /// Changes who may send at all.
    pub(crate) fn change_access(&self, change: impl FnOnce(&mut Access)) {
        let mut access = self.changes();
        change(&mut access);
        let limited = access.is_limited().then(|| access.clone());
        self.access.replace(limited);
    }

    /// Changes how many datagrams each source may send; the limit was checked.
    pub(crate) fn change_rate(&self, limit: Option<RateLimit>) -> Result<(), ConfigError> {
        let _turn = self.changes();
        let limiter = match limit {
            None => None,
            Some(limit) => {
                let changed = self.rate.look(|rate| rate.changed(limit.clone()));
                let limiter = changed.unwrap_or_else(|| RateLimiter::new(limit));
                Some(limiter.or_else(no_memory("rate_limit"))?)
            }
        };
        self.rate.replace(limiter);
        Ok(())
    }

    fn changes(&self) -> MutexGuard<'_, Access> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses for a reason that took no clock to find.
    #[cold]
    fn refuse_at_once(&self, refusal: Refusal, peer: SocketAddr) -> Refusal {
        let now = self.timeline.at(Instant::now());
        self.journal.catch_up(now);
        self.refuse(refusal, Prefix::customary(peer), now)
    }

    #[cold]
    fn refuse(&self, refusal: Refusal, who: Prefix, now: Timestamp) -> Refusal {
        self.journal.note(Topic::Refused(refusal), who, now);
        refusal
    }
}

impl SendGuard for Guards {
    fn permits(&self, to: SocketAddr, len: usize) -> bool {
        let peer = self.key.peer(to);
        let now = self.timeline.at(Instant::now());
        if let Some(limit) = &self.amplification {
            let is_permitted = self.validated.is_validated_at(peer, now)
                || limit.credits.spend(peer, to, len)
                || limit.trusted.contains(to.ip());
            if !is_permitted {
                let who = Prefix::customary(to);
                self.journal.note(Topic::Withheld, who, now);
                return false;
            }
        }
        if let Some(loops) = &self.loops {
            loops.sent(peer, now);
        }
        true
    }
}

/// A table that the system has no memory for: better known before serving.
fn no_memory<T>(option: &'static str) -> impl FnOnce(TryReserveError) -> Result<T, ConfigError> {
    move |error| {
        let problem = format!("no memory for a table of so many entries: {error}");
        Err(ConfigError::new(option, problem))
    }
}

impl Drop for Guards {
    /// What was only counted so far is logged.
    fn drop(&mut self) {
        self.journal.close(self.timeline.at(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{AmplificationLimit, RateLimit, ReplyLoops};

    /// More entries than any address space has room for, which `check` would
    /// have refused: what a system answers whose memory is used up.
    const TOO_MANY: usize = 1 << 56;

    #[test]
    fn a_table_without_memory_fails_at_bind_and_names_its_option() {
        let none = GuardSettings::default;
        let settings = [
            GuardSettings {
                rate: Some(RateLimit::per_second(1).table_entries(TOO_MANY)),
                ..none()
            },
            GuardSettings {
                amplification: Some(AmplificationLimit::new().table_entries(TOO_MANY)),
                ..none()
            },
            GuardSettings {
                loops: Some(ReplyLoops::new().table_entries(TOO_MANY)),
                ..none()
            },
        ];
        let options = ["rate_limit", "amplification_limit", "break_reply_loops"];
        for (settings, option) in settings.iter().zip(options) {
            let addr = SocketAddr::from(([127, 0, 0, 1], 9));
            let keys = Keys::new([1; Keys::BYTES]);
            let guards = Guards::new(
                settings,
                addr,
                &keys,
                Arc::new(SideCounts::new(Default::default())),
            );
            let error = guards.expect_err(option).to_string();
            let problem = format!("{option}: no memory for a table of so many entries: ");
            assert!(error.starts_with(&problem), "{error}");
        }
    }
}
