//! What workers share: their places, what waits, and how long it takes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::batch::BatchPool;
use super::lanes::Lanes;
use super::policy::Pace;
use super::protocol::DoorId;
use super::slot::Slot;
use crate::stats::Padded;

#[derive(Debug)]
pub(super) struct Work {
    /// One place for each worker there may be, filled when first needed.
    pub(super) slots: Box<[OnceLock<Box<Slot>>]>,
    pub(super) batches: BatchPool,
    /// Where datagrams keep their order, if they shall.
    pub(super) lanes: Option<Lanes>,
    pub(super) pace: Padded<Pace>,
    /// The supervisor's looks, counted: a clock of about a millisecond that
    /// costs a load.
    pub(super) looks: Padded<AtomicU64>,
    /// For each door, whether the last look found the kernel's queue filling up.
    pub(super) backlogged: Box<[AtomicBool]>,
    /// Workers that the last look found stuck.
    pub(super) stuck: AtomicUsize,
}

impl Work {
    pub(super) fn new(
        workers: usize,
        doors: usize,
        batches: BatchPool,
        lanes: Option<Lanes>,
    ) -> Self {
        Self {
            slots: (0..workers).map(|_| OnceLock::new()).collect(),
            batches,
            lanes,
            pace: Padded::default(),
            looks: Padded::default(),
            backlogged: (0..doors).map(|_| AtomicBool::new(false)).collect(),
            stuck: AtomicUsize::new(0),
        }
    }

    /// The places that were needed so far.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots
            .iter()
            .filter_map(|slot| slot.get().map(|slot| &**slot))
    }

    pub(super) fn is_backlogged(&self, door: DoorId) -> bool {
        self.backlogged[door].load(Relaxed)
    }
}
