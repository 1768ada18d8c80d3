//! From the receive to the handler: every check of a datagram, in its order.
//!
//! | room | what it holds |
//! |---|---|
//! | `age` | whether a datagram has waited too long |
//! | `queue_limit` | how much the kernel may queue while datagrams are shed |
//! | `source` | addresses that nobody sends from |
//! | `own_addresses` | whether a peer is the server itself |
//! | `guards` | what was asked for against a hostile network |
//! | `swap` | what of it is replaced while others read it |
//! | `journal` | what guards write to the log |
//! | `settings` | which guards were asked for |

mod age;
mod guards;
mod journal;
mod own_addresses;
mod queue_limit;
mod settings;
mod source;
mod swap;

pub(crate) use guards::Guards;
pub(crate) use own_addresses::OwnAddresses;
pub(crate) use queue_limit::QueueLimit;
pub(crate) use settings::{GuardSettings, allowed, check_rate, denied};
pub(crate) use source::AllowedSources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::age::is_stale;
use self::guards::Arrival;
use self::source::impossible_source;
use super::hooks::Hooks;
use super::settings::OnTruncated;
use crate::contain::contain;
use crate::engine::SharedSocket;
use crate::logging::{LogLimit, log_warn};
use crate::socket_handle::Address;
use crate::stats::{Fate, Refusal};
use crate::sys::Datagram;

/// What datagrams of one server are admitted by.
pub(crate) struct Admission<A> {
    /// What the server is bound to, for the log.
    pub(crate) name: String,
    pub(crate) hooks: Arc<Hooks<A>>,
    pub(crate) own_addresses: OwnAddresses,
    pub(crate) allowed_sources: AllowedSources,
    pub(crate) guards: Arc<Guards>,
    pub(crate) on_truncated: OnTruncated,
    pub(crate) shedding: Option<Shedding>,
    pub(crate) max_packet_size: usize,
    pub(crate) truncated_lines: LogLimit,
}

/// What is given up for its age.
pub(crate) struct Shedding {
    pub(crate) older_than: Duration,
    pub(crate) queue: QueueLimit,
}

/// Why a datagram reaches no handler.
#[derive(Debug)]
pub(crate) enum NotAdmitted<A> {
    /// It is counted as this, and nobody is told.
    As(Fate),
    /// `verify_request` panicked over a datagram from there.
    VerifyPanicked { peer: A, message: String },
}

impl<A> From<Refusal> for NotAdmitted<A> {
    fn from(refusal: Refusal) -> Self {
        Self::As(Fate::Refused(refusal))
    }
}

impl<A: Address> Admission<A> {
    /// Judges a datagram; its peer, if the handler is to see it.
    ///
    /// This is the one order of all checks:
    /// 1. *Age*. Under overload most of what is received is too old, and each
    ///    check of that takes time from what is not. So it comes first. What is
    ///    shed is not charged to its source: nothing was done for it.
    /// 2. *Source*, then the *guards*, which go by sources. They stand before
    ///    the length, lest a flood spare its sender's share of the rate by
    ///    being too long.
    /// 3. *Length*.
    /// 4. *The user's hook*, which costs most. What it lets pass earns its
    ///    source answers.
    pub(crate) fn admit(
        &self,
        datagram: &Datagram<'_>,
        sockets: &SharedSocket,
    ) -> Result<A, NotAdmitted<A>> {
        if self.is_stale(datagram, sockets) {
            return Err(NotAdmitted::As(Fate::Stale));
        }
        let peer = A::of(datagram).ok_or(Refusal::Unnamed)?;
        // Guards judge IP addresses; who reaches a Unix socket was let in by its file.
        let arrival = match peer.ip() {
            Some(ip) => self.judge_source(ip, datagram)?,
            None => None,
        };
        if datagram.meta.unsplit {
            return Err(Refusal::Unsplit.into());
        }
        if datagram.meta.truncated && self.on_truncated == OnTruncated::Refuse {
            self.log_truncated(peer);
            return Err(Refusal::Truncated.into());
        }
        self.verify(datagram, peer)?;
        if let Some(ip) = peer.ip() {
            self.guards.credit(arrival, ip, datagram.bytes.len());
        }
        Ok(peer)
    }

    fn judge_source(
        &self,
        peer: SocketAddr,
        datagram: &Datagram<'_>,
    ) -> Result<Option<Arrival>, Refusal> {
        let is_self = || self.own_addresses.is_self(peer, datagram.meta.local);
        match impossible_source(peer, self.allowed_sources, is_self) {
            Some(refusal) => Err(refusal),
            None => self.guards.judge(peer, datagram.bytes),
        }
    }

    /// Also has the kernel queue less while much is.
    fn is_stale(&self, datagram: &Datagram<'_>, sockets: &SharedSocket) -> bool {
        let (Some(shedding), Some(stamp)) = (&self.shedding, datagram.meta.stamp) else {
            return false;
        };
        let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        let is_stale = is_stale(stamp, now, shedding.older_than);
        if let Some(bytes) = shedding.queue.judged(is_stale, now) {
            sockets.limit_receive_buffers(bytes);
        }
        is_stale
    }

    /// Lets the kernel queue as much as was granted.
    pub(crate) fn lift_queue_limit(&self, sockets: &SharedSocket) {
        let shedding = self.shedding.as_ref();
        if let Some(bytes) = shedding.and_then(|shedding| shedding.queue.lifted()) {
            sockets.limit_receive_buffers(bytes);
        }
    }

    fn verify(&self, datagram: &Datagram<'_>, peer: A) -> Result<(), NotAdmitted<A>> {
        let Some(verify) = &self.hooks.verify_request else {
            return Ok(());
        };
        match contain(|| verify(datagram, peer)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Verify.into()),
            Err(message) => Err(NotAdmitted::VerifyPanicked { peer, message }),
        }
    }

    fn log_truncated(&self, peer: A) {
        if let Some(admitted) = self.truncated_lines.admit() {
            log_warn!(
                "{}: refused a datagram of more than {} bytes (max_packet_size) from {peer}{admitted}",
                self.name,
                self.max_packet_size,
            );
        }
    }
}
