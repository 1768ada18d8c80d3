//! Two servers that answer each other for ever.

mod exchange;

use std::collections::TryReserveError;
use std::net::IpAddr;
use std::time::Duration;

use self::exchange::Exchange;
use super::hash::Hashed;
use super::networks::Networks;
use super::table::{Table, check_entries, check_range};
use super::timestamp::{Timestamp, nanos};

/// When two servers that answer each other are taken apart, for
/// [`Builder::break_reply_loops`](crate::Builder::break_reply_loops).
///
/// One datagram forged from the address of another server that answers
/// anything, say with an error, and the two exchange the same two datagrams for
/// ever (CVE-2024-2169). A loop is suspected where one peer sends the *same*
/// datagram again and again, each time within [`gap`](Self::gap) after it was
/// sent something. After [`exchanges`](Self::exchanges) of these in a row that
/// datagram is refused from that peer, which ends a loop, also if many copies of
/// it are under way: it gets no datagram that it was not sent an answer for.
///
/// What still comes a gap later is no answer to anything. It is a client that
/// asks the same all the time, or somebody who repeats a client's request in its
/// name. So its datagrams are counted for another gap, and then as many pass for
/// the length of [`mute`](Self::mute), with [`exchanges`](Self::exchanges) more,
/// spread evenly over that time. Where more comes, chance decides which pass.
/// Five of six of a client's requests are answered, and whoever begins a loop
/// again and again gains little that he does not send himself. To have a client
/// lose half of its requests, somebody who repeats them in its name and is silent
/// while they are counted has to send about a hundred a second.
///
/// Eight different datagrams of one peer are watched side by side; if more go
/// round, those that come next take the places of those that have been refused
/// for a gap. A loop whose datagrams change each time is none here;
/// [`rate_limit`](crate::Builder::rate_limit) is for those.
///
/// The table of peers has a fixed size: 225 bytes for each entry, 3.5 MiB by
/// default.
///
/// # Examples
/// ```
/// use socketserver::{ReplyLoops, ThreadingUdpServer};
/// use std::time::Duration;
///
/// let builder = ThreadingUdpServer::builder()
///     .break_reply_loops(ReplyLoops::new().exchanges(8).mute(Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it does nothing until a builder is given it"]
pub struct ReplyLoops {
    exchanges: u32,
    gap: Duration,
    mute: Duration,
    entries: usize,
    trusted: Vec<String>,
}

impl ReplyLoops {
    /// All at its default.
    ///
    /// # Examples
    /// ```
    /// let loops = socketserver::ReplyLoops::new();
    /// ```
    pub fn new() -> Self {
        Self {
            exchanges: 32,
            gap: Duration::from_millis(100),
            mute: Duration::from_secs(1),
            entries: 16_384,
            trusted: Vec::new(),
        }
    }

    /// After how many exchanges of the same datagram in a row it is refused,
    /// from 2 to 1,000,000. Defaults to 32.
    ///
    /// # Examples
    /// ```
    /// let loops = socketserver::ReplyLoops::new().exchanges(8);
    /// ```
    pub fn exchanges(mut self, in_a_row: u32) -> Self {
        self.exchanges = in_a_row;
        self
    }

    /// How soon after it was sent something a peer has to write for that to be
    /// an exchange, above zero. Defaults to 100 ms: longer than most ways
    /// through the network, shorter than most clients wait.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// let loops = socketserver::ReplyLoops::new().gap(Duration::from_millis(500));
    /// ```
    pub fn gap(mut self, longest: Duration) -> Self {
        self.gap = longest;
        self
    }

    /// How long a datagram of which a loop was broken then passes at the limited
    /// rate, above zero, before its exchanges are counted anew. Defaults to 1 s: any
    /// loop is over by then. For two [`gap`](Self::gap)s before that it is refused.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// let loops = socketserver::ReplyLoops::new().mute(Duration::from_secs(10));
    /// ```
    pub fn mute(mut self, length: Duration) -> Self {
        self.mute = length;
        self
    }

    /// How many peers are watched at the same time, from 1 to 16,777,216;
    /// rounded up to eight times a power of two. Defaults to 16,384.
    ///
    /// # Examples
    /// ```
    /// let loops = socketserver::ReplyLoops::new().table_entries(65_536);
    /// ```
    pub fn table_entries(mut self, entries: usize) -> Self {
        self.entries = entries;
        self
    }

    /// Networks and addresses, written as for
    /// [`allow_networks`](crate::Builder::allow_networks), whose datagrams are no
    /// part of a loop, however often they are the same: a monitor that asks the same
    /// a hundred times a second. Called again, it adds to them. Defaults to none.
    ///
    /// A loop with a server in these networks is not ended.
    ///
    /// # Examples
    /// ```
    /// let loops = socketserver::ReplyLoops::new().trust(["10.0.0.7", "fd00::/8"]);
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
        check_range(self.exchanges, 2..=MOST_EXCHANGES, "{} exchanges")?;
        for (length, what) in [(self.gap, "a gap"), (self.mute, "a mute")] {
            if length.is_zero() {
                return Err(format!("{what} of 0 seconds breaks no loop"));
            }
        }
        check_entries(self.entries)?;
        self.trusted().map(drop)
    }

    /// The trusted networks, or what is wrong with one.
    fn trusted(&self) -> Result<Networks, String> {
        Networks::parse(&self.trusted)
    }
}

impl Default for ReplyLoops {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds loops and breaks them.
#[derive(Debug)]
pub(crate) struct LoopBreaker {
    exchanges: u32,
    gap: u64,
    mute: u64,
    trusted: Networks,
    table: Table<Exchange>,
}

/// What the breaker makes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overheard {
    Talk,
    Loop,
}

impl LoopBreaker {
    /// With settings that were checked.
    pub(crate) fn new(loops: &ReplyLoops) -> Result<Self, TryReserveError> {
        Ok(Self {
            exchanges: loops.exchanges,
            gap: nanos(loops.gap),
            mute: nanos(loops.mute),
            trusted: loops.trusted().unwrap_or_default(),
            table: Table::new(loops.entries)?,
        })
    }

    /// Whether what comes from there is no part of a loop.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.contains(ip)
    }

    /// A datagram has come from there.
    pub(crate) fn received(&self, peer: Hashed, bytes: &[u8], now: Timestamp) -> Overheard {
        let print = fingerprint(bytes);
        self.table
            .enter(peer, now, |exchange| exchange.received(print, now, self))
    }

    /// Something was sent there. Only those who write are watched.
    pub(crate) fn sent(&self, peer: Hashed, now: Timestamp) {
        self.table.find(peer, |exchange| exchange.sent(now));
    }
}

/// Tells different datagrams apart, quickly: four words a step, which the
/// processor multiplies side by side. Whoever makes up two that look alike has
/// himself refused, so it need not withstand that.
fn fingerprint(bytes: &[u8]) -> u32 {
    let mix = |print: u64, word: u64| (print ^ word).wrapping_mul(ODD).rotate_left(29);
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let mut lanes = [ODD, !ODD, ODD << 1, !ODD << 1];
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<32>() {
        for (lane, at) in lanes.iter_mut().zip((0..32).step_by(8)) {
            if let Some(bytes) = block[at..].first_chunk() {
                *lane = mix(*lane, word(bytes));
            }
        }
        rest = behind;
    }
    let mut last = [0; 32];
    last[..rest.len()].copy_from_slice(rest);
    let print = mix(ODD, bytes.len() as u64);
    let print = lanes.into_iter().fold(print, mix);
    let words = last.chunks_exact(8).filter_map(|chunk| chunk.first_chunk());
    let print = words.map(word).fold(print, mix);
    // 0 stands for no datagram.
    ((print ^ print >> 32) as u32).max(1)
}

/// 2^64 divided by the golden ratio, which spreads bits well.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const MOST_EXCHANGES: u32 = 1_000_000;

#[cfg(test)]
#[path = "loops/tests.rs"]
mod tests;
