//! The bell that the thread waiting at the socket can hear.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::wait::{Readiness, poll};
use super::{Socket, check};

/// An `eventfd(2)`, or a pipe where the system refuses that. Rung once or often,
/// it wakes one wait, and stays rung until that wait has silenced it: a ring
/// between two waits is not lost.
#[derive(Debug)]
pub(crate) struct Bell {
    reader: OwnedFd,
    /// The other end, of a pipe.
    writer: Option<OwnedFd>,
}

impl Bell {
    /// Makes the bell for whoever waits at `socket`.
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
    pub(crate) fn ring(&self) {
        let one = 1_u64;
        let fd = self.writer.as_ref().unwrap_or(&self.reader).as_raw_fd();
        // The one error there is, EAGAIN, says that there is no room for more
        // (eventfd(2), pipe(7)): the bell is rung already.
        // SAFETY: eight bytes are read from a local variable.
        let _ = unsafe { libc::write(fd, (&raw const one).cast(), 8) };
    }

    /// Silences it; whether it was rung.
    pub(super) fn clear(&self) -> bool {
        let mut was_rung = false;
        while self.take() {
            was_rung = true;
            if self.writer.is_none() {
                // One read takes all rings of an event.
                break;
            }
        }
        was_rung
    }

    fn take(&self) -> bool {
        let mut count = 0_u64;
        // EAGAIN says that it is silent.
        // SAFETY: eight bytes are written to a local variable.
        let len = unsafe { libc::read(self.reader.as_raw_fd(), (&raw mut count).cast(), 8) };
        len > 0
    }

    /// Waits for the bell alone; whether it rang.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let ready = poll(None, 0, Some(self), Some(timeout));
        ready.contains(Readiness::BELL) && self.clear()
    }

    pub(super) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_of_either_kind_stays_rung_until_one_wait_has_silenced_it() {
        for bell in [Bell::event(), Bell::pipe()] {
            let bell = bell.expect("a descriptor or two");
            assert!(!bell.wait(Duration::ZERO), "it is silent: {bell:?}");
            for _ in 0..20_000 {
                bell.ring();
            }
            assert!(bell.wait(Duration::ZERO), "it was rung: {bell:?}");
            assert!(!bell.wait(Duration::ZERO), "and heard once: {bell:?}");
        }
    }
}
