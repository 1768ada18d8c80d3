//! Handler instances that `handle_request` keeps from one call to the next.
//!
//! An instance never leaves the thread that made it, but a server may: so the
//! thread keeps it, under the server's key, and nothing else of the server. When
//! the key is gone, the thread lets go of the instance the next time that it
//! handles a request of any server, or when it ends.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::handler::DatagramHandler;
use crate::stats::SideCounts;

/// A server's name for what threads keep for it.
#[derive(Debug, Default)]
pub(crate) struct Key(Arc<()>);

struct Kept {
    key: Weak<()>,
    /// An [`Instance`] for the server's kind of address.
    instance: Box<dyn Any>,
}

/// Ends in good order when it is dropped.
struct Instance<A> {
    counts: Arc<SideCounts>,
    /// There until it is dropped.
    handler: Option<Box<dyn DatagramHandler<A>>>,
}

thread_local! {
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

impl Key {
    /// Keeps an instance that was set up.
    pub(crate) fn keep<A: 'static>(
        &self,
        instance: Box<dyn DatagramHandler<A>>,
        counts: &Arc<SideCounts>,
    ) {
        let kept = Kept {
            key: Arc::downgrade(&self.0),
            instance: Box::new(Instance {
                counts: Arc::clone(counts),
                handler: Some(instance),
            }),
        };
        // A thread that is ending keeps none: then the instance ends here.
        let _ = KEPT.try_with(|all| all.borrow_mut().push(kept));
    }

    /// Takes back what this thread keeps for the server, and lets go of what it
    /// keeps for servers that are gone.
    pub(crate) fn take<A: 'static>(&self) -> Option<Box<dyn DatagramHandler<A>>> {
        // Users' code runs when they are dropped: after the borrow.
        let _gone = Self::remove(|kept| kept.key.strong_count() == 0);
        let mut own = Self::remove(|kept| Weak::as_ptr(&kept.key) == Arc::as_ptr(&self.0));
        let mut instance = own.pop()?.instance.downcast::<Instance<A>>().ok()?;
        instance.handler.take()
    }

    /// Ends the instance that this thread keeps for the server.
    pub(crate) fn finish(&self) {
        let _own = Self::remove(|kept| Weak::as_ptr(&kept.key) == Arc::as_ptr(&self.0));
    }

    /// Takes some out. A thread that is ending keeps none.
    fn remove(which: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        let take = |all: &RefCell<Vec<Kept>>| {
            let mut all = all.borrow_mut();
            let (taken, left) = std::mem::take(&mut *all).into_iter().partition(&which);
            *all = left;
            taken
        };
        KEPT.try_with(take).unwrap_or_default()
    }
}

impl<A> Drop for Instance<A> {
    fn drop(&mut self) {
        if let Some(handler) = self.handler.take() {
            finish(handler, &self.counts);
        }
    }
}

/// Ends an instance in good order.
pub(crate) fn finish<A>(mut instance: Box<dyn DatagramHandler<A>>, counts: &SideCounts) {
    counts.contain("finish", || instance.finish());
    counts.contain("dropping a handler", || drop(instance));
}
