//! What the engine has to be told.

use std::time::Duration;

use super::SendDefaults;
use crate::logging::Unlogged;
use crate::sys::QueueOptions;

/// Which datagrams are handled one after another, in the order received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those of one peer.
    ByPeer,
    /// Those that [`Executor::order_key`](super::Executor::order_key) finds the same key in.
    ByKey,
}

/// What the engine has to be told.
#[derive(Debug, Clone)]
pub(crate) struct EngineConfig {
    pub(crate) min_workers: usize,
    pub(crate) max_workers: usize,
    pub(crate) batch_size: usize,
    pub(crate) max_packet_size: usize,
    pub(crate) order: Option<Order>,
    pub(crate) drain_timeout: Duration,
    pub(crate) send: QueueOptions,
    pub(crate) send_defaults: SendDefaults,
    pub(crate) thread_name: String,
    pub(crate) stack_size: Option<usize>,
    /// The most answers that may be deferred at the same time.
    pub(crate) max_deferred: usize,
    /// What was asked of the socket, for the stats.
    pub(crate) receive_buffer_asked: Option<usize>,
    /// Where its errors go without a logger.
    pub(crate) unlogged: Unlogged,
}
