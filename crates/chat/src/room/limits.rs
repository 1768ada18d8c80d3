//! What a room has at most of everything, and what anyone may have of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::bucket::Buckets;
use crate::host::Host;

/// The bounds of a room.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many members there may be. The default is 256.
    pub members: usize,
    /// How many of them from one [`Host`]. The default is 16.
    pub members_per_host: usize,
    /// How many guests are remembered. The default is 64.
    pub guests: usize,
    /// How many of them from one host. The default is 8.
    pub guests_per_host: usize,
    /// Lines that a member may write at once, and again within every
    /// [`LINES_PERIOD`](Self::LINES_PERIOD). Each may become as many datagrams as there are members.
    /// The default is 20.
    pub member_lines: u32,
    /// The same for all members of a host together. The default is 80.
    pub host_lines: u32,
    /// How often members from one host may join at once, and again within every
    /// [`JOINS_PERIOD`](Self::JOINS_PERIOD). The default is 32, so that all who were in the room can
    /// come back when the server was restarted, twice.
    pub host_joins: u32,
    /// Lines of guests from one host that the operator is shown at once, and
    /// again within every [`LINES_PERIOD`](Self::LINES_PERIOD). The default is 20.
    pub guest_lines: u32,
    /// A member who has not written for so long is no longer one. The default is
    /// two minutes.
    pub member_expiry: Duration,
    /// A guest who has not written for so long is forgotten. People take their
    /// time to answer, so this is longer. The default is an hour.
    pub guest_expiry: Duration,
}

impl Limits {
    /// How long a bucket of lines takes to be full again.
    pub const LINES_PERIOD: Duration = Duration::from_secs(10);

    /// How long a bucket of joins takes to be full again.
    pub const JOINS_PERIOD: Duration = Duration::from_secs(60);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members: 256,
            members_per_host: 16,
            guests: 64,
            guests_per_host: 8,
            member_lines: 20,
            host_lines: 80,
            host_joins: 32,
            guest_lines: 20,
            member_expiry: Duration::from_secs(120),
            guest_expiry: Duration::from_secs(60 * 60),
        }
    }
}

/// What everyone has left of what they may do.
///
/// Members and guests have buckets of their own: a guest's address may be forged,
/// and must not use up what the members of that host have.
pub(super) struct Shares {
    member_lines: Buckets<SocketAddr>,
    host_lines: Buckets<Host>,
    joins: Buckets<Host>,
    guest_lines: Buckets<Host>,
    /// Refusals that are said to members.
    member_refusals: Buckets<SocketAddr>,
    /// Refusals that are said to others.
    host_refusals: Buckets<Host>,
}

impl Shares {
    /// All of it.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            member_lines: Buckets::new(limits.member_lines, Limits::LINES_PERIOD),
            host_lines: Buckets::new(limits.host_lines, Limits::LINES_PERIOD),
            joins: Buckets::new(limits.host_joins, Limits::JOINS_PERIOD),
            guest_lines: Buckets::new(limits.guest_lines, Limits::LINES_PERIOD),
            member_refusals: Buckets::new(REFUSALS, Limits::LINES_PERIOD),
            host_refusals: Buckets::new(REFUSALS, Limits::LINES_PERIOD),
        }
    }

    /// A member writes a line, if the member and the host have one left.
    pub(super) fn take_line(&mut self, now: Instant, member: SocketAddr) -> bool {
        self.member_lines.has(now, member)
            && self.host_lines.take(now, Host::of(member))
            && self.member_lines.take(now, member)
    }

    /// A guest writes a line.
    pub(super) fn take_guest_line(&mut self, now: Instant, guest: SocketAddr) -> bool {
        self.guest_lines.take(now, Host::of(guest))
    }

    /// Whether someone may join from here.
    pub(super) fn has_join(&self, now: Instant, addr: SocketAddr) -> bool {
        self.joins.has(now, Host::of(addr))
    }

    /// Someone joins whose address is validated.
    pub(super) fn take_join(&mut self, now: Instant, addr: SocketAddr) -> bool {
        self.joins.take(now, Host::of(addr))
    }

    /// A member is told that something was too much.
    pub(super) fn take_member_refusal(&mut self, now: Instant, member: SocketAddr) -> bool {
        self.member_refusals.take(now, member)
    }

    /// Someone else is told so.
    pub(super) fn take_host_refusal(&mut self, now: Instant, addr: SocketAddr) -> bool {
        self.host_refusals.take(now, Host::of(addr))
    }

    /// Forgets those who have everything again.
    pub(super) fn expire(&mut self, now: Instant) {
        self.member_lines.forget_full(now);
        self.host_lines.forget_full(now);
        self.joins.forget_full(now);
        self.guest_lines.forget_full(now);
        self.member_refusals.forget_full(now);
        self.host_refusals.forget_full(now);
    }
}

/// Refusals said at once, and again within every [`Limits::LINES_PERIOD`]: who
/// floods the room is not answered a flood.
pub(super) const REFUSALS: u32 = 3;
