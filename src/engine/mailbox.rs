//! A mailbox with one place, and a wait for it that costs nothing.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

/// Where one thread waits for what others tell it.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self { sender, receiver }
    }

    /// Puts a message in, if there is room; whether there was.
    pub(crate) fn put(&self, message: T) -> bool {
        self.sender.try_send(message).is_ok()
    }

    /// Waits for a message, at most this long or for ever.
    ///
    /// It waits by choosing between the message and one that never comes: that
    /// parks the thread at once and allocates nothing. A plain `recv` first
    /// yields the processor some ten times in the hope of a message: between
    /// two looks of the supervisor, a millisecond apart, that was 8 % of a busy
    /// server's time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Option<T> {
        let nothing = never::<T>();
        match timeout {
            Some(timeout) => select! {
                recv(self.receiver) -> message => message.ok(),
                recv(nothing) -> message => message.ok(),
                default(timeout) => None,
            },
            None => select! {
                recv(self.receiver) -> message => message.ok(),
                recv(nothing) -> message => message.ok(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_fits_and_is_waited_for() {
        let mailbox = Mailbox::new();
        assert_eq!(mailbox.wait(Some(Duration::ZERO)), None);
        assert!(mailbox.put(1), "it was empty");
        assert!(!mailbox.put(2), "it has one place");
        assert_eq!(mailbox.wait(None), Some(1));
        assert!(mailbox.put(3), "it is empty again");
        assert_eq!(mailbox.wait(Some(Duration::from_secs(9))), Some(3));
    }
}
