//! Where the supervisor waits: for whoever wakes it, or for a timer that others set.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::wait::{entry, ppoll};
use super::{Waker, check};

/// A waker and a `timerfd_create(2)`. What is set or woken between two waits is not
/// lost.
///
/// A timer rather than a time limit of the wait, since others arm it while the
/// supervisor sleeps on: that costs them a system call each, and nobody a wake-up.
/// Where the system refuses one, setting it wakes.
#[derive(Debug)]
pub(crate) struct Alarm {
    waker: Waker,
    timer: Option<OwnedFd>,
    /// Whether the timer is set. Locked while it is being set.
    is_set: Mutex<bool>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            waker: Waker::make()?,
            timer: Self::timer().ok(),
            is_set: Mutex::new(false),
        })
    }

    fn timer() -> io::Result<OwnedFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        check(fd)?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Ends the wait, or the next.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Sets the timer to fire once after this long, or stops it, as `wanted` says
    /// under the timer's lock: of several that change their minds, the last to
    /// come here knows of all changes.
    pub(crate) fn set_timer(&self, after: Duration, wanted: impl FnOnce() -> bool) {
        let mut is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = wanted();
        if std::mem::replace(&mut *is_set, wanted) == wanted {
            return;
        }
        let Some(timer) = &self.timer else {
            if wanted {
                self.waker.wake();
            }
            return;
        };
        let never = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let after = libc::timespec {
            tv_sec: after.as_secs() as _,
            tv_nsec: after.subsec_nanos() as _,
        };
        let time = libc::itimerspec {
            it_interval: never,
            it_value: if wanted { after } else { never },
        };
        // It fails only for invalid arguments (timerfd_settime(2)).
        // SAFETY: `time` lives through the call; no old value is asked for.
        let _ = unsafe {
            libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const time, std::ptr::null_mut())
        };
    }

    /// Waits until woken, until the timer fires, or at most this long.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let timer = self.timer.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let mut entries = [
            entry(self.waker.fd(), libc::POLLIN),
            entry(timer, libc::POLLIN),
        ];
        // Whether the system looked or not: who waits here looks for itself.
        ppoll(&mut entries, timeout);
        self.waker.clear();
        if entries[1].revents != 0 || self.timer.is_none() {
            let mut count = 0_u64;
            // EAGAIN says that it has not fired.
            // SAFETY: eight bytes are written to a local variable.
            let _ = unsafe { libc::read(timer, (&raw mut count).cast(), 8) };
            *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_is_woken_by_a_ring_or_by_the_timer_and_by_neither_twice() {
        let alarm = Alarm::new().expect("two descriptors");
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
        let began = Instant::now();
        alarm.wake();
        alarm.wait(Some(long));
        alarm.set_timer(short, || true);
        alarm.wait(Some(long));
        alarm.set_timer(short, || true);
        alarm.wait(None);
        assert!(began.elapsed() < long, "woken each time");
        alarm.set_timer(short, || true);
        alarm.set_timer(short, || false);
        let began = Instant::now();
        let pause = Duration::from_millis(20);
        alarm.wait(Some(pause));
        assert!(began.elapsed() >= pause, "stopped, and silent");
    }
}
