//! What the engine calls for each datagram, and that it knows no more of.

use std::hash::RandomState;
use std::sync::Arc;

use super::{Outbox, Progress, SharedSocket};
use crate::stats::{Fate, Padded};
use crate::sys::Datagram;

/// What one worker does with datagrams. Made, used and dropped on its thread.
/// No method panics.
pub(crate) trait Executor {
    /// Deals with one datagram.
    fn execute(&mut self, datagram: &Datagram<'_>) -> Fate;

    /// A hash of the key by which a datagram is [ordered](super::Order::ByKey), or the
    /// message of a panic. Runs users' code, and no other than what finds the key.
    fn order_key(&self, datagram: &Datagram<'_>, hasher: &RandomState) -> Result<u64, String>;

    /// Deals with a datagram whose key was not found, for this panic.
    fn give_up(&mut self, datagram: &Datagram<'_>, panic: String) -> Fate;

    /// The worker leaves.
    fn finish(&mut self);
}

impl<E: Executor> Executor for &mut E {
    fn execute(&mut self, datagram: &Datagram<'_>) -> Fate {
        E::execute(self, datagram)
    }

    fn order_key(&self, datagram: &Datagram<'_>, hasher: &RandomState) -> Result<u64, String> {
        E::order_key(self, datagram, hasher)
    }

    fn give_up(&mut self, datagram: &Datagram<'_>, panic: String) -> Fate {
        E::give_up(self, datagram, panic)
    }

    fn finish(&mut self) {
        E::finish(self);
    }
}

/// Makes each worker its executor.
pub(crate) trait ExecutorFactory: Send + Sync {
    /// An executor whose replies go to `outbox`, and that makes what it needs
    /// first within [`Progress::prepare`].
    fn executor(&self, outbox: &Arc<Outbox>, progress: &Arc<Padded<Progress>>)
    -> Box<dyn Executor>;

    /// What runs when the server has drained, before the sockets are closed: users'
    /// code, which may take its time.
    fn at_end(&self) -> Option<Box<dyn FnOnce() + Send>>;

    /// The sockets are about to be closed here; they may live on elsewhere.
    fn leave(&self, sockets: &SharedSocket);
}
