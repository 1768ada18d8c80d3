//! What isolates handlers from one another, and which options go with it.

use super::settings::Settings;
use crate::error::ConfigError;
use crate::sys;

/// What handlers are isolated from one another by.
///
/// | | [`Thread`](Self::Thread) | [`Process`](Self::Process) |
/// |---|---|---|
/// | a panic | costs its datagram | costs its datagram |
/// | `abort`, a segmentation fault, `exit`, a stack that overflows | ends the program | costs its datagram: [`Stats::lost_with_child`](crate::Stats::lost_with_child) |
/// | a leak | stays | ends with its process: [`max_requests_per_child`](crate::Builder::max_requests_per_child) |
/// | an endless loop | keeps a thread for ever | can be ended: [`child_timeout`](crate::Builder::child_timeout) |
/// | state that handlers share | by `Arc` | each process has its own copy |
/// | systems | all | Linux |
///
/// # Examples
/// ```
/// use socketserver::{ForkingStyleUdpServer, Isolation};
///
/// let builder = ForkingStyleUdpServer::builder().isolation(Isolation::Process);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// All run on threads of one process. The default.
    #[default]
    Thread,
    /// They run in child processes, forked before traffic.
    Process,
}

impl Settings {
    /// Refuses what processes cannot have: what needs state that all of them share, or
    /// threads.
    pub(super) fn check_isolation(&self) -> Result<(), ConfigError> {
        let refuse = |is_set: bool, option, problem: &str| match is_set {
            true => Err(ConfigError::new(option, problem)),
            false => Ok(()),
        };
        let none = |limit: Option<u64>| limit == Some(0);
        let problem = "a child that may handle nothing is of no use; at least 1";
        refuse(none(self.max_requests), "max_requests_per_child", problem)?;
        let no_time = self.child_timeout.is_some_and(|limit| limit.is_zero());
        let problem = "with no time every child would be killed";
        refuse(no_time, "child_timeout", problem)?;
        if self.isolation == Isolation::Thread {
            let problem = "only processes can be ended: set isolation(Isolation::Process)";
            refuse(
                self.max_requests.is_some(),
                "max_requests_per_child",
                problem,
            )?;
            return refuse(self.child_timeout.is_some(), "child_timeout", problem);
        }
        let problem = "processes share a socket on Linux only; use Isolation::Thread";
        refuse(!sys::PROCESSES, "isolation", problem)?;
        let guards = &self.guards;
        let is_open = guards.amplification.is_some() && guards.token_secret.is_none();
        for (is_set, option, problem) in [
            (guards.rate.is_some(), "rate_limit", APART),
            (guards.loops.is_some(), "break_reply_loops", APART),
            (is_open, "amplification_limit", WITHOUT_TOKENS),
            (self.order.is_some(), self.order_option(), AT_ONCE),
            (self.coalesce_receives, "coalesce_receives", ONE_BY_ONE),
            (self.shards > 1, "shards", ONE_SOCKET),
            (self.shed_older_than.is_some(), "shed_older_than", QUEUE),
            (self.multicast.follow, "follow_interfaces", NO_THREADS),
        ] {
            let problem = format!("not with Isolation::Process: {problem}");
            refuse(is_set, option, &problem)?;
        }
        Ok(())
    }

    /// Refuses state for each peer where that would be in one of several processes.
    pub(super) fn check_sessions(&self) -> Result<(), ConfigError> {
        match self.isolation {
            Isolation::Thread => Ok(()),
            Isolation::Process => {
                let problem = format!("not with Isolation::Process: {APART}");
                Err(ConfigError::new("PerPeer", problem))
            }
        }
    }

    fn order_option(&self) -> &'static str {
        match self.order {
            Some(crate::engine::Order::ByKey) => "order_by",
            _ => "order_per_peer",
        }
    }
}

const APART: &str = "each process would see only what it receives itself";
const WITHOUT_TOKENS: &str =
    "each process would see only what it receives itself; only with a token_secret";
const AT_ONCE: &str = "processes receive for themselves, and nobody puts that in order";
const ONE_BY_ONE: &str = "a process takes one datagram at a time, and a crash costs one";
const ONE_SOCKET: &str = "the processes share one socket, which keeps none of them waiting";
const QUEUE: &str = "the queue belongs to all processes, and its limit to one";
const NO_THREADS: &str = "the parent has no thread that could look after them";
