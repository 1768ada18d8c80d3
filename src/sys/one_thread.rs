//! What must not leave its thread, with a message of the compiler that says what
//! to use instead.

/// Holds what belongs to one thread. Neither `Send` nor `Sync`, whatever it holds.
#[derive(Debug)]
pub(crate) struct OneThread<T>(T);

impl<T> OneThread<T> {
    pub(crate) const fn new(held: T) -> Self {
        Self(held)
    }
}

impl<T> std::ops::Deref for OneThread<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Nothing implements it: the compiler says so with this message.
#[diagnostic::on_unimplemented(
    message = "a `SocketHandle` stays on the thread of its handler",
    label = "here it would go to another thread",
    note = "make what may go anywhere before, and move that: `socket.defer()?` for the answer, \
            `socket.detach()` for whatever else is sent to the peer"
)]
pub(crate) trait MayGoToOtherThreads {}

// SAFETY: nothing implements the trait, so neither impl ever holds.
unsafe impl<T: MayGoToOtherThreads> Send for OneThread<T> {}
// SAFETY: as above.
unsafe impl<T: MayGoToOtherThreads> Sync for OneThread<T> {}
