//! Received datagrams that any number of workers claim from.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};

use crate::stats::Padded;
use crate::sys::{BlockShape, Datagram, ReceiveBlock};

/// A batch: receive slots, and which of them is next.
///
/// The block is behind a lock for readers and a writer. A receive writes, and
/// tries for the lock without waiting; whoever handles datagrams of the batch
/// reads, in place, all at the same time. Claims happen under the read lock: so
/// an index claimed is an index of the datagrams that stand there now, however
/// late a helper comes. A helper that comes when the batch was refilled simply
/// helps with what is there then.
#[derive(Debug)]
pub(crate) struct Batch {
    block: RwLock<ReceiveBlock>,
    claims: Padded<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    /// The next slot to claim; past `filled` when none is left.
    next: AtomicUsize,
    /// Slots that hold a datagram.
    filled: AtomicUsize,
    /// Counts fillings, so that the supervisor can tell one from the next.
    fillings: AtomicU64,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Batch {
    fn new(shape: BlockShape) -> io::Result<Self> {
        Ok(Self {
            block: RwLock::new(ReceiveBlock::new(shape)?),
            claims: Padded::default(),
        })
    }

    /// The block, to receive into; `None` while anyone handles a datagram in it, or
    /// one is unclaimed.
    pub(crate) fn begin(&self) -> Option<RwLockWriteGuard<'_, ReceiveBlock>> {
        if self.unclaimed() > 0 {
            return None;
        }
        match self.block.try_write() {
            Ok(block) => Some(block),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Opens `filled` datagrams to claims. The block that was received into
    /// vouches that nobody claims meanwhile.
    pub(crate) fn fill(&self, _block: &mut ReceiveBlock, filled: usize) {
        self.claims.fillings.fetch_add(1, Relaxed);
        self.claims.next.store(0, Relaxed);
        self.claims.filled.store(filled, Relaxed);
    }

    /// The datagrams, to claim and handle; `None` while it is received into.
    pub(crate) fn open(&self) -> Option<OpenBatch<'_>> {
        let block = match self.block.try_read() {
            Ok(block) => block,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(OpenBatch {
            block,
            claims: &self.claims,
        })
    }

    /// Datagrams that nobody has claimed yet: a glance, not a promise.
    pub(crate) fn unclaimed(&self) -> usize {
        let next = self.claims.next.load(Relaxed);
        self.claims.filled.load(Relaxed).saturating_sub(next)
    }

    /// Which filling this is.
    pub(crate) fn filling(&self) -> u64 {
        self.claims.fillings.load(Relaxed)
    }

    /// Leaves nothing to claim, for good: the server closes.
    pub(crate) fn abandon(&self) {
        self.claims.next.fetch_max(usize::MAX / 2, Relaxed);
    }
}

/// A batch while its datagrams are being handled.
#[derive(Debug)]
pub(crate) struct OpenBatch<'a> {
    block: RwLockReadGuard<'a, ReceiveBlock>,
    claims: &'a Claims,
}

impl OpenBatch<'_> {
    /// How many datagrams it was filled with.
    pub(crate) fn len(&self) -> usize {
        self.claims.filled.load(Relaxed)
    }

    /// The next datagram that nobody else handles, and which it is.
    pub(crate) fn claim(&self) -> Option<(usize, Datagram<'_>)> {
        let filled = self.claims.filled.load(Relaxed);
        // Looked at first, so that late helpers do not count it up for ever.
        if self.claims.next.load(Relaxed) >= filled {
            return None;
        }
        let index = self.claims.next.fetch_add(1, Relaxed);
        (index < filled).then(|| (index, self.block.datagram(index)))
    }

    /// All its datagrams, whoever handles them.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.len()).map(|index| self.block.datagram(index))
    }

    /// Datagram `index`, whoever handles it.
    pub(crate) fn datagram(&self, index: usize) -> Option<Datagram<'_>> {
        let filled = self.claims.filled.load(Relaxed);
        (index < filled).then(|| self.block.datagram(index))
    }
}

/// Batches that no worker receives into at the moment.
///
/// A worker keeps its batch from one receive to the next, unless a helper is still
/// in it, or it has handed it out: then that comes back here at once, and may be
/// taken again when nobody is in it any more. A batch is in use only while a worker is in it or something in it is
/// unclaimed, and nothing is received while more is unclaimed than there are
/// workers for it: so there are never more than two for each worker.
#[derive(Debug)]
pub(crate) struct BatchPool {
    /// The one that came back last is last; `None` once the server is closed.
    spare: Mutex<Option<Vec<Arc<Batch>>>>,
    shape: BlockShape,
}

impl BatchPool {
    pub(crate) fn new(shape: BlockShape) -> Self {
        Self {
            spare: Mutex::new(Some(Vec::new())),
            shape,
        }
    }

    /// What batches have room for.
    pub(crate) fn shape(&self) -> BlockShape {
        self.shape
    }

    /// A batch that nobody is in.
    ///
    /// # Errors
    /// When there is no memory for one more.
    pub(crate) fn take(&self) -> io::Result<Arc<Batch>> {
        match self.take_spare() {
            Some(batch) => Ok(batch),
            None => Ok(Arc::new(Batch::new(self.shape)?)),
        }
    }

    /// Puts a batch back that its worker receives into no more.
    pub(crate) fn put(&self, batch: Arc<Batch>) {
        if let Some(spare) = self.spare().as_mut() {
            spare.push(batch);
        }
    }

    /// Frees all that nobody is in; those in use follow when they are put back.
    pub(crate) fn close(&self) {
        self.spare().take();
    }

    /// A spare batch may still be in a helper's hands. Those that came back last
    /// are the warmest: few go round, however many there are.
    fn take_spare(&self) -> Option<Arc<Batch>> {
        let mut spare = self.spare();
        let spare = spare.as_mut()?;
        let place = spare
            .iter()
            .rposition(|batch| Arc::strong_count(batch) == 1)?;
        Some(spare.remove(place))
    }

    fn spare(&self) -> MutexGuard<'_, Option<Vec<Arc<Batch>>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: BlockShape = BlockShape {
        slots: 4,
        max_packet_size: 64,
        gro: false,
        unix: false,
    };

    #[test]
    fn a_batch_in_a_helpers_hands_is_neither_refilled_nor_handed_out() {
        let pool = BatchPool::new(SMALL);
        let batch = pool.take().expect("memory");
        let helper = Arc::clone(&batch);
        let open = helper.open().expect("nobody receives into it");
        assert!(batch.begin().is_none(), "a helper is in it");
        pool.put(Arc::clone(&batch));
        assert!(
            !Arc::ptr_eq(&pool.take().expect("memory"), &batch),
            "still in use"
        );
        drop(open);
        assert!(batch.begin().is_some(), "free again");
    }

    #[test]
    fn a_batch_that_was_handed_out_is_not_refilled_before_it_is_claimed() {
        let batch = Batch::new(SMALL).expect("memory");
        {
            let mut block = batch.begin().expect("fresh");
            batch.fill(&mut block, 1);
        }
        assert!(batch.begin().is_none(), "nobody has come for it yet");
        batch.abandon();
        assert!(batch.begin().is_some(), "nobody will");
    }

    #[test]
    fn an_abandoned_batch_offers_nothing() {
        let batch = Batch::new(SMALL).expect("memory");
        {
            let mut block = batch.begin().expect("fresh");
            batch.fill(&mut block, 3);
        }
        assert_eq!(batch.unclaimed(), 3);
        batch.abandon();
        assert_eq!(batch.unclaimed(), 0);
        assert!(batch.open().expect("not receiving").claim().is_none());
    }
}
