//! Whose turn a lane is, apart from what is in it: pure, so that the model
//! searches the very code that runs.

/// Whether a lane is taken, and how many datagrams wait in it. Kept under the
/// lane's lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Turn {
    is_taken: bool,
    waiting: usize,
}

impl Turn {
    /// One more waits; whether nobody has the lane, so that it is to be handed
    /// on as a job.
    pub(crate) fn put(&mut self) -> bool {
        self.waiting += 1;
        !std::mem::replace(&mut self.is_taken, true)
    }

    /// Who has the lane takes all that waits; how many that is.
    pub(crate) fn take(&mut self) -> usize {
        std::mem::take(&mut self.waiting)
    }

    /// Who has the lane lets go of it; `false` when something waits, and the
    /// lane stays taken.
    pub(crate) fn let_go(&mut self) -> bool {
        self.is_taken = self.waiting > 0;
        !self.is_taken
    }
}
