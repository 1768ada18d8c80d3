//! Counters: the snapshot that users see, and the live form behind it.

mod counters;
mod failures;
mod live;
mod refusal;
mod samples;
mod side_counts;
mod table;

pub use failures::SendFailures;
pub(crate) use live::{Fate, Padded, ReplyTally, WorkerTally, bump};
pub use refusal::{Refusal, Refused};
pub use samples::{Sample, SampleKind};
pub(crate) use side_counts::SideCounts;

use std::time::Duration;

/// What a server has done so far: a snapshot, taken with
/// [`ServerHandle::stats`](crate::ServerHandle::stats).
///
/// One law of conservation holds: every datagram read from the kernel ends in
/// exactly one of `handled`, `failed`, `panicked`, `refused`, `shed`,
/// `lost_with_child` and `abandoned`. At rest `received` is their sum; before that, `in_flight` is the
/// rest. `kernel_drops` stands beside them: those were never read.
///
/// [`Display`](std::fmt::Display) prints one line, [`table`](Self::table) a table
/// for people, and [`samples`](Self::samples) is for programs that collect metrics.
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// let stats = server.handle().stats();
/// assert_eq!(stats.received, stats.settled() + stats.in_flight);
/// println!("{stats}");
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams read from the kernel.
    pub received: u64,
    /// Payload bytes of these.
    pub bytes_received: u64,
    /// Receive calls that returned datagrams: `received / batches` is the mean batch.
    pub batches: u64,
    /// The handler returned `Ok`.
    pub handled: u64,
    /// `setup` or the handler returned an error.
    pub failed: u64,
    /// The factory, `setup`, the handler or `verify_request` panicked.
    pub panicked: u64,
    /// Never shown to a handler, by reason.
    pub refused: Refused,
    /// Given up to stay responsive, by reason.
    pub shed: Shed,
    /// In the handler of a child process that died, by cause: see
    /// [`Isolation::Process`](crate::Isolation::Process).
    pub lost_with_child: LostWithChild,
    /// Received, but not finished when the server had to close.
    pub abandoned: u64,
    /// Received and not settled yet.
    pub in_flight: u64,
    /// Those of them whose answer is [deferred](crate::SocketHandle::defer).
    pub deferred: usize,
    /// Datagrams that a [`RateLimit`](crate::RateLimit) on a dry run would have
    /// refused. They were not, and have another fate as well.
    pub would_be_rate_limited: u64,
    /// Panics in hooks, in timers, in `finish`, and in ticks and ends of sessions; they cost no datagram its fate.
    pub hook_panics: u64,
    /// What became of the replies.
    pub replies: Replies,
    /// Errors that receive calls returned. They are pending socket errors about earlier
    /// sends or shortages of the system, never about a datagram received.
    pub receive_errors: u64,
    /// Datagrams that the kernel dropped since `bind` for want of room in the
    /// receive buffer (or, of those above some 70 bytes, for a bad checksum;
    /// shorter ones are looked at before they belong to a socket); `None` where
    /// it does not tell.
    #[doc(alias("SO_MEMINFO", "SO_RXQ_OVFL"))]
    pub kernel_drops: Option<u64>,
    /// The socket's receive buffer.
    pub receive_buffer: ReceiveBuffer,
    /// Worker threads at the moment.
    pub workers: usize,
    /// Workers among them that are handling datagrams.
    pub busy_workers: usize,
    /// The most workers there may be: the upper end of
    /// [`workers`](crate::Builder::workers), or `max_children`.
    pub max_workers: usize,
    /// For how long the oldest datagram has been in its handler, give or take
    /// some milliseconds; zero when nobody has been for a few.
    pub oldest_in_flight: Duration,
    /// Memory that datagrams not yet received hold in the kernel, in bytes, its
    /// overhead included (some 830 bytes for a small datagram on Linux); `None`
    /// where that is not known.
    pub waiting_bytes: Option<u64>,
    /// A peak: the most worker threads there were at one time since `bind`.
    pub peak_workers: usize,
    /// Worker threads that could not be started while growing.
    pub failed_worker_starts: u64,
    /// Time since `bind`; stands still once the server is closed.
    pub uptime: Duration,
}

impl Stats {
    /// The sum of all fates: datagrams that are dealt with.
    ///
    /// # Examples
    /// ```
    /// let stats = socketserver::Stats::default();
    /// assert_eq!(stats.settled(), 0);
    /// ```
    pub fn settled(&self) -> u64 {
        self.handled
            + self.failed
            + self.panicked
            + self.refused.total()
            + self.shed.total()
            + self.lost_with_child.total()
            + self.abandoned
    }
}

/// Datagrams given up to stay responsive, by reason.
///
/// # Examples
/// ```
/// assert_eq!(socketserver::Stats::default().shed.total(), 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shed {
    /// Waited longer than [`shed_older_than`](crate::Builder::shed_older_than).
    pub stale: u64,
    /// With [`order_per_peer`](crate::Builder::order_per_peer) or
    /// [`order_by`](crate::Builder::order_by), found no room behind what waited for
    /// the same peer or key, or one in the same lane.
    pub lane_full: u64,
}

impl Shed {
    /// The sum over all reasons.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::Stats::default().shed.total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        self.stale + self.lane_full
    }
}

/// Datagrams whose child process died in their handler, by cause.
///
/// # Examples
/// ```
/// assert_eq!(socketserver::Stats::default().lost_with_child.total(), 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostWithChild {
    /// It exited.
    pub exited: u64,
    /// A signal ended it: a crash, or somebody has killed it.
    pub signalled: u64,
    /// It took longer than [`child_timeout`](crate::Builder::child_timeout).
    pub timed_out: u64,
}

impl LostWithChild {
    /// The sum over all causes.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::Stats::default().lost_with_child.total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        self.exited + self.signalled + self.timed_out
    }
}

/// What became of the datagrams that handlers asked to send: each is sent,
/// failed for a reason, withheld by a guard, or still waiting in a batch.
///
/// # Examples
/// ```
/// let replies = socketserver::Stats::default().replies;
/// assert_eq!(replies.sent + replies.failed.total(), 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replies {
    /// Accepted by the kernel.
    pub sent: u64,
    /// Payload bytes of these.
    pub bytes_sent: u64,
    /// System calls that sending took.
    pub send_calls: u64,
    /// Not sent, by reason.
    pub failed: SendFailures,
    /// Not sent, because an
    /// [`AmplificationLimit`](crate::AmplificationLimit) forbids it.
    pub withheld: u64,
}

/// The size of the socket's receive buffer, in bytes. It also holds the
/// kernel's overhead: a small datagram takes some 830 bytes of it on Linux.
///
/// # Examples
/// ```
/// let server = socketserver::ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// let buffer = server.handle().stats().receive_buffer;
/// assert_eq!(buffer.asked, Some(4 << 20));
/// assert!(buffer.granted > 0);
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveBuffer {
    /// What was asked for; `None` for a socket that was handed in and left as it was.
    pub asked: Option<usize>,
    /// What the kernel granted, in the same unit.
    pub granted: usize,
}
