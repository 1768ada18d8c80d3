//! What a worker may be called for.

use std::sync::Arc;

use super::batch::Batch;
use super::lanes::LaneId;
use super::protocol;

/// Datagrams that any worker may handle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Job {
    /// Those of this batch that nobody has claimed yet.
    Batch(Arc<Batch>),
    /// Those that wait in this lane, in order.
    Lane(LaneId),
}

impl protocol::Job for Job {
    fn unclaimed(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.unclaimed(),
            Self::Lane(_) => 1,
        }
    }

    fn is_exclusive(&self) -> bool {
        matches!(self, Self::Lane(_))
    }
}
