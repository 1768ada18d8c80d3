//! How a child has ended.

/// A child process that has ended: what the
/// [`on_child_exit`](crate::Builder::on_child_exit) hook is given.
///
/// # Examples
/// ```
/// use socketserver::{ChildEnd, ForkingStyleUdpServer};
///
/// let builder = ForkingStyleUdpServer::builder().on_child_exit(|child| {
///     if let ChildEnd::Signalled(signal) = child.end {
///         eprintln!("{} died of signal {signal} after {}", child.pid, child.served);
///     }
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildExit {
    /// Its process number, which may be somebody else's by now.
    pub pid: u32,
    /// How it ended.
    pub end: ChildEnd,
    /// Datagrams that it has dealt with: not the one that it died of.
    pub served: u64,
    /// Whether it was the one for `service_actions` and timers, which handles none.
    pub is_service: bool,
}

/// How a child process has ended.
///
/// # Examples
/// As for [`ChildExit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildEnd {
    /// Somebody's code has ended it, with this exit code: 1 if `on_child_start` failed.
    Exited(i32),
    /// A signal has ended it, by this number.
    Signalled(i32),
    /// It was killed, as it was in one handler for longer than
    /// [`child_timeout`](crate::Builder::child_timeout).
    TimedOut,
    /// It has left after
    /// [`max_requests_per_child`](crate::Builder::max_requests_per_child) datagrams.
    Recycled,
    /// It has left because it was told to: the server shuts down, or somebody has
    /// sent it SIGTERM.
    ShutDown,
    /// It was killed at the end of [`drain_timeout`](crate::Builder::drain_timeout).
    Abandoned,
    /// Somebody else in this process has waited for it first.
    Unknown,
}

impl std::fmt::Display for ChildEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut => f.write_str("was killed, as it took longer than child_timeout"),
            Self::Recycled => f.write_str("left after max_requests_per_child datagrams"),
            Self::ShutDown => f.write_str("left when it was told to"),
            Self::Abandoned => f.write_str("was killed at the end of drain_timeout"),
            Self::Unknown => f.write_str("ended, and somebody else has waited for it"),
        }
    }
}
