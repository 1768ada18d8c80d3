//! What a worker may be called for.

use std::sync::Arc;

use super::batch::Batch;
use super::lanes::LaneId;

/// Datagrams that any worker may handle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Job {
    /// Those of this batch that nobody has claimed yet.
    Batch(Arc<Batch>),
    /// Those that wait in this lane, in order.
    Lane(LaneId),
}
