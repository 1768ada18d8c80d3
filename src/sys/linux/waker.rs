//! The waker that the thread waiting at the socket can hear.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::wait::{Readiness, poll};
use super::{Socket, check};

/// An `eventfd(2)`, or a pipe where the system refuses that. Woken once or often,
/// it ends one wait, and stays set until that wait has cleared it: a wake-up
/// between two waits is not lost.
#[derive(Debug)]
pub(crate) struct Waker {
    reader: OwnedFd,
    /// The other end, of a pipe.
    writer: Option<OwnedFd>,
}

impl Waker {
    /// Makes the waker for whoever waits at `socket`.
    pub(crate) fn new(_socket: &Socket) -> io::Result<Self> {
        Self::make()
    }

    pub(super) fn make() -> io::Result<Self> {
        Self::event().or_else(|_| Self::pipe())
    }

    fn event() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        check(fd)?;
        // SAFETY: a fresh descriptor that nobody else owns.
        let reader = unsafe { OwnedFd::from_raw_fd(fd) };
        let writer = None;
        Ok(Self { reader, writer })
    }

    fn pipe() -> io::Result<Self> {
        let mut ends = [-1; 2];
        // SAFETY: both ends are written to a local array.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: two fresh descriptors that nobody else owns.
        let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let writer = Some(writer);
        Ok(Self { reader, writer })
    }

    /// Wakes the waiting thread, or the next that would wait.
    pub(crate) fn wake(&self) {
        let one = 1_u64;
        let fd = self.writer.as_ref().unwrap_or(&self.reader).as_raw_fd();
        // The one error there is, EAGAIN, says that there is no room for more
        // (eventfd(2), pipe(7)): it is set already.
        // SAFETY: eight bytes are read from a local variable.
        let _ = unsafe { libc::write(fd, (&raw const one).cast(), 8) };
    }

    /// Clears it; whether it was set.
    pub(super) fn clear(&self) -> bool {
        let mut was_woken = false;
        while self.take() {
            was_woken = true;
            if self.writer.is_none() {
                // One read takes all wake-ups of an event.
                break;
            }
        }
        was_woken
    }

    fn take(&self) -> bool {
        let mut count = 0_u64;
        // EAGAIN says that it is silent.
        // SAFETY: eight bytes are written to a local variable.
        let len = unsafe { libc::read(self.reader.as_raw_fd(), (&raw mut count).cast(), 8) };
        len > 0
    }

    /// Waits for the waker alone; whether it rang.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let ready = poll(None, 0, Some(self), Some(timeout));
        ready.contains(Readiness::WAKER) && self.clear()
    }

    pub(super) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_of_either_kind_stays_set_until_one_wait_has_cleared_it() {
        for waker in [Waker::event(), Waker::pipe()] {
            let waker = waker.expect("a descriptor or two");
            assert!(!waker.wait(Duration::ZERO), "it is silent: {waker:?}");
            for _ in 0..20_000 {
                waker.wake();
            }
            assert!(waker.wait(Duration::ZERO), "it was woken: {waker:?}");
            assert!(!waker.wait(Duration::ZERO), "and heard once: {waker:?}");
        }
    }
}
