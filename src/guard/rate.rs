//! How many datagrams each prefix may send.

use std::collections::TryReserveError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::hash::{Hashed, TableKey};
use super::networks::Networks;
use super::prefix::{self, Prefix};
use super::table::{Entry, Table, check_entries, check_range};
use super::timestamp::Timestamp;

/// How many datagrams each source may send, for
/// [`Builder::rate_limit`](crate::Builder::rate_limit).
///
/// Each source has a token bucket: it may send [`burst`](Self::burst)
/// datagrams at once and [`per_second`](Self::per_second) in the long run. A
/// source is an IPv4 address or an IPv6 /64, because an attacker with one
/// address of a /64 has them all. A link-local address (`fe80::/10`) is a source
/// of its own, on each link another: these networks all look alike. Behind a
/// NAT64 (`64:ff9b::/96`) the IPv4 address in it is the source.
///
/// Sources can be forged: whoever floods a server in the name of another uses
/// up that other's share. So a part of what exceeds the rate [leaks](Self::leak)
/// through, and a client whose name is abused is slowed down and not silenced.
/// Sources that have a good reason to send more are [trusted](Self::trust).
///
/// The table of sources has a fixed size, whatever comes: 25 bytes for each
/// entry, 1.6 MiB by default. When it overflows, the source that has least used
/// up is forgotten, and so starts with a full bucket.
///
/// # Examples
/// ```
/// use socketserver::{RateLimit, ThreadingUdpServer};
///
/// let builder = ThreadingUdpServer::builder().rate_limit(RateLimit::per_second(100).burst(500));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a limit does nothing until a builder is given it"]
pub struct RateLimit {
    per_second: u32,
    burst: Option<u32>,
    ipv4_bits: u8,
    ipv6_bits: u8,
    leak: u32,
    dry_run: bool,
    entries: usize,
    trusted: Vec<String>,
}

impl RateLimit {
    /// So many datagrams per second from each source, from 1 to 1,000,000.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100);
    /// ```
    pub fn per_second(datagrams: u32) -> Self {
        Self {
            per_second: datagrams,
            burst: None,
            ipv4_bits: prefix::IPV4_BITS,
            ipv6_bits: prefix::IPV6_BITS,
            leak: DEFAULT_LEAK,
            dry_run: false,
            entries: DEFAULT_ENTRIES,
            trusted: Vec::new(),
        }
    }

    /// How many a source that was quiet may send at once, from 1 to 1,000,000.
    /// Defaults to what it may send in a second.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(1).burst(20);
    /// ```
    pub fn burst(mut self, datagrams: u32) -> Self {
        self.burst = Some(datagrams);
        self
    }

    /// How many bits of an IPv4 address say who somebody is, from 24 to 32.
    /// Defaults to 32. With fewer, those behind one /24 share a bucket.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100).ipv4_prefix(28);
    /// ```
    pub fn ipv4_prefix(mut self, bits: u8) -> Self {
        self.ipv4_bits = bits;
        self
    }

    /// How many bits of an IPv6 address say who somebody is, from 56 to 128.
    /// Defaults to 64, the smallest network that one customer gets; many get a /56.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100).ipv6_prefix(56);
    /// ```
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_bits = bits;
        self
    }

    /// Of what exceeds the rate, one in this many passes all the same; which one
    /// of them is random, so that no rhythm takes all of these. 0 lets none
    /// pass, and 1 makes no sense. Defaults to 10: a flood is cut to a tenth,
    /// while a client whose address is forged in it gets one request in ten
    /// through, which a few retries make good.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100).leak(0);
    /// ```
    pub fn leak(mut self, one_in: u32) -> Self {
        self.leak = one_in;
        self
    }

    /// Only counts, in [`Stats::would_be_rate_limited`](crate::Stats::would_be_rate_limited),
    /// what would be refused, to find the right rate with real traffic.
    /// Defaults to false.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100).dry_run(true);
    /// ```
    pub fn dry_run(mut self, only_count: bool) -> Self {
        self.dry_run = only_count;
        self
    }

    /// How many sources are remembered at the same time, from 1 to 16,777,216;
    /// rounded up to eight times a power of two. Defaults to 65,536.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100).table_entries(1 << 20);
    /// ```
    pub fn table_entries(mut self, entries: usize) -> Self {
        self.entries = entries;
        self
    }

    /// Networks and addresses, written as for
    /// [`allow_networks`](crate::Builder::allow_networks), that may send whatever
    /// they like: a proxy that stands for many clients, a monitor. Their datagrams
    /// are neither counted nor charged to anybody. Called again, it adds to them.
    /// Defaults to none.
    ///
    /// Whoever can forge these addresses is not limited either: they should be of
    /// a network that nobody outside of it can send from.
    ///
    /// # Examples
    /// ```
    /// let limit = socketserver::RateLimit::per_second(100).trust(["10.0.0.7", "fd00::/8"]);
    /// ```
    pub fn trust<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.trusted.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Says what makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_range(self.per_second, 1..=FASTEST, "{} datagrams per second")?;
        check_range(
            self.effective_burst(),
            1..=FASTEST,
            "a burst of {} datagrams",
        )?;
        check_range(self.ipv4_bits, 24..=32, "an IPv4 prefix of {} bits")?;
        check_range(self.ipv6_bits, 56..=128, "an IPv6 prefix of {} bits")?;
        if self.leak == 1 {
            return Err("a leak of one in 1 lets everything pass; 0, or 2 and more".to_owned());
        }
        check_entries(self.entries)?;
        self.trusted().map(drop)
    }

    /// The trusted networks, or what is wrong with one.
    fn trusted(&self) -> Result<Networks, String> {
        Networks::parse(&self.trusted)
    }

    /// Whether sources with this limit are told apart and remembered alike.
    fn has_table_of(&self, other: &Self) -> bool {
        let shape = |limit: &Self| (limit.entries, limit.ipv4_bits, limit.ipv6_bits);
        shape(self) == shape(other)
    }

    fn effective_burst(&self) -> u32 {
        self.burst.unwrap_or(self.per_second)
    }
}

/// The limit at work.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limit: RateLimit,
    /// The time in which one datagram is earned, in nanoseconds. Rounded up:
    /// rather a little less than was asked for than more.
    interval: u64,
    /// How far ahead of time a source may be: a burst, less the datagram at hand.
    tolerance: u64,
    trusted: Networks,
    /// Shared with the limiter that takes this one's place.
    buckets: Arc<Table<Bucket>>,
}

/// What the limiter makes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Within,
    /// Too many, but this one passes.
    Leaked,
    Over,
}

impl RateLimiter {
    /// With a limit that was checked.
    pub(crate) fn new(limit: RateLimit) -> Result<Self, TryReserveError> {
        let buckets = Arc::new(Table::new(limit.entries)?);
        Ok(Self::with(limit, buckets))
    }

    /// One with another limit that was checked, in the place of this one. What
    /// sources have used up it goes on to know, unless it has to tell them apart, or
    /// to remember them, in another way.
    pub(crate) fn changed(&self, limit: RateLimit) -> Result<Self, TryReserveError> {
        if self.limit.has_table_of(&limit) {
            Ok(Self::with(limit, Arc::clone(&self.buckets)))
        } else {
            Self::new(limit)
        }
    }

    fn with(limit: RateLimit, buckets: Arc<Table<Bucket>>) -> Self {
        let interval = NANOS_PER_SECOND.div_ceil(u64::from(limit.per_second));
        Self {
            interval,
            tolerance: interval * u64::from(limit.effective_burst() - 1),
            trusted: limit.trusted().unwrap_or_default(),
            buckets,
            limit,
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.limit.dry_run
    }

    /// Whether whoever sends from there is not limited.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.contains(ip)
    }

    /// Whom a datagram from this address is charged to.
    pub(crate) fn source(&self, peer: SocketAddr) -> Prefix {
        Prefix::of(peer, self.limit.ipv4_bits, self.limit.ipv6_bits)
    }

    /// Charges a datagram to its source.
    pub(crate) fn judge(&self, source: Prefix, key: &TableKey, now: Timestamp) -> Verdict {
        let place = key.prefix(source);
        self.buckets
            .enter(place, now, |bucket| self.charge(bucket, place, now))
    }

    fn charge(&self, bucket: &mut Bucket, place: Hashed, now: Timestamp) -> Verdict {
        if bucket.full_at.since(now) <= self.tolerance {
            bucket.full_at = bucket.full_at.max(now).plus(self.interval);
            return Verdict::Within;
        }
        // More was used up only where another limit allowed it.
        let most = now.plus(self.tolerance).plus(self.interval);
        bucket.full_at = bucket.full_at.min(most);
        if self.limit.leak == 0 {
            return Verdict::Over;
        }
        let (round, turn) = (
            bucket.excess / self.limit.leak,
            bucket.excess % self.limit.leak,
        );
        bucket.excess = bucket.excess.wrapping_add(1);
        match turn == lucky_turn(place, round, self.limit.leak) {
            true => Verdict::Leaked,
            false => Verdict::Over,
        }
    }
}

/// Which datagram of a round leaks through. Another one in each round, which
/// nobody can tell beforehand who does not know the key that made the place: a
/// flood with a steady rhythm could otherwise take every leak, and the client
/// whose address it abuses would never have one.
fn lucky_turn(place: Hashed, round: u32, turns: u32) -> u32 {
    // The generator SplitMix64, which mixes well and costs three multiplications.
    let mut bits = place
        .tag()
        .wrapping_add(u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let spread = (bits ^ bits >> 31) >> 32;
    // To a number below `turns`, without a division.
    ((spread * u64::from(turns)) >> 32) as u32
}

/// A token bucket, kept as the moment at which it will be full again: the
/// "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371).
/// So it fills up without anybody touching it.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    full_at: Timestamp,
    /// How many have exceeded the rate.
    excess: u32,
}

impl Entry for Bucket {
    /// What is left to be earned back. A bucket that is full is worth nothing:
    /// a new one is full, too. So whoever floods from many sources makes room
    /// for itself by having its own buckets forgotten, and those that have sent
    /// most are remembered longest.
    fn worth(&self, now: Timestamp) -> u64 {
        self.full_at.since(now)
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const FASTEST: u32 = 1_000_000;
const DEFAULT_LEAK: u32 = 10;
const DEFAULT_ENTRIES: usize = 65_536;

#[cfg(test)]
#[path = "rate/tests.rs"]
mod tests;
