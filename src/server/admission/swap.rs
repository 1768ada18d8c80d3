//! What is replaced while others read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwapOption;

/// A value that may be replaced, or taken away, while any number of threads read
/// it. No reader waits for a writer, nor for another reader; who reads while it is
/// replaced reads one of the two.
#[derive(Debug)]
pub(super) struct Swap<T> {
    /// Whether there is one. So where there is none, to ask costs a load.
    is_set: AtomicBool,
    value: ArcSwapOption<T>,
}

impl<T> Swap<T> {
    pub(super) fn new(value: Option<T>) -> Self {
        Self {
            is_set: AtomicBool::new(value.is_some()),
            value: ArcSwapOption::from_pointee(value),
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Relaxed)
    }

    /// Looks at the value, if there is one.
    pub(super) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        if !self.is_set() {
            return None;
        }
        self.value.load().as_deref().map(look)
    }

    /// Puts a value in the place of the one there was. Of two that do so at the
    /// same time, it is not said whose stays: writers take turns.
    pub(super) fn replace(&self, value: Option<T>) {
        let is_set = value.is_some();
        self.value.store(value.map(Arc::new));
        self.is_set.store(is_set, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_sees_what_was_put_there_last() {
        let swap = Swap::new(None);
        assert_eq!(swap.look(|number: &u32| *number), None);
        for value in [Some(1), Some(2), None, Some(3)] {
            swap.replace(value);
            assert_eq!(swap.look(|number| *number), value);
            assert_eq!(swap.is_set(), value.is_some());
        }
    }

    #[test]
    fn who_looks_waits_for_nobody_and_keeps_what_it_sees() {
        let swap = Swap::new(Some(1));
        let seen = swap.look(|before| {
            // Replaced while it is looked at, from this very thread.
            swap.replace(Some(2));
            (*before, swap.look(|after| *after))
        });
        assert_eq!(seen, Some((1, Some(2))));
    }
}
