//! The bell that the thread waiting at the socket can hear.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::Socket;
use super::socket::{Readiness, poll};

/// An `eventfd(2)`. Rung once or often, it wakes one wait, and stays rung until
/// that wait has silenced it: a ring between two waits is not lost.
#[derive(Debug)]
pub(crate) struct Bell {
    event: OwnedFd,
}

impl Bell {
    /// Makes the bell for whoever waits at `socket`.
    pub(crate) fn new(_socket: &Socket) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        super::check(fd)?;
        // SAFETY: a fresh descriptor that nobody else owns.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event })
    }

    /// Wakes the waiting thread, or the next that would wait.
    pub(crate) fn ring(&self) {
        let one = 1_u64;
        // The one error there is, EAGAIN, says that the counter is full
        // (eventfd(2)): the bell is rung already.
        // SAFETY: eight bytes are read from a local variable.
        let _ = unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Silences it.
    pub(super) fn clear(&self) {
        let mut count = 0_u64;
        // EAGAIN says that it was silent already.
        // SAFETY: eight bytes are written to a local variable.
        let _ = unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Waits for the bell alone; whether it rang.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let ready = poll(None, 0, Some(self), Some(timeout))?;
        if ready.contains(Readiness::BELL) {
            self.clear();
            return Ok(true);
        }
        Ok(false)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
