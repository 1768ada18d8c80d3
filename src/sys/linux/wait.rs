//! Waiting for a socket and a waker, in one call.

use std::io;
use std::time::Duration;

use super::{Socket, Waker, check};

/// What a [`poll`] found ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readiness(u8);

impl Readiness {
    pub(super) const SOCKET: u8 = 1;
    pub(super) const WAKER: u8 = 2;
    /// The system refused to look: both may be ready, after a short sleep.
    pub(super) const UNKNOWN: u8 = 4 + Self::SOCKET + Self::WAKER;

    pub(super) fn contains(self, flag: u8) -> bool {
        self.0 & flag == flag
    }
}

/// Waits until the socket has one of `events`, an error, or the waker is set.
/// Nothing ready means that the time is up, or that a signal came in between.
pub(super) fn poll(
    socket: Option<&Socket>,
    events: libc::c_short,
    waker: Option<&Waker>,
    timeout: Option<Duration>,
) -> Readiness {
    // A negative descriptor is passed over (poll(2)).
    let mut entries = [
        entry(socket.map_or(-1, Socket::raw), events),
        entry(waker.map_or(-1, Waker::fd), libc::POLLIN),
    ];
    if !ppoll(&mut entries, timeout) {
        return Readiness(Readiness::UNKNOWN);
    }
    Readiness(
        u8::from(entries[0].revents != 0) * Readiness::SOCKET
            + u8::from(entries[1].revents != 0) * Readiness::WAKER,
    )
}

pub(super) fn entry(fd: libc::c_int, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// ppoll(2). After a signal nothing is ready. `false` says that the system did
/// not look, and that some milliseconds were slept instead: a sandbox may
/// forbid the call, and it fails for more entries than `RLIMIT_NOFILE`, which
/// can be lowered at any time. Then all entries count as ready, as they may be.
pub(super) fn ppoll(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> bool {
    let limit = timeout.map(|timeout| libc::timespec {
        // The type differs between C libraries; 68 years fit into each.
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    });
    // SAFETY: the entries and, if any, the time limit are valid for the call;
    // no signal mask is passed.
    let result = unsafe {
        libc::ppoll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            limit.as_ref().map_or(std::ptr::null(), |limit| limit),
            std::ptr::null(),
        )
    };
    let Err(error) = check(result) else {
        return true;
    };
    let was_interrupted = error.kind() == io::ErrorKind::Interrupted;
    if !was_interrupted {
        std::thread::sleep(timeout.map_or(BLIND_WAIT, |timeout| timeout.min(BLIND_WAIT)));
    }
    for entry in entries {
        entry.revents = if was_interrupted { 0 } else { entry.events };
    }
    was_interrupted
}

/// Five hundred looks a second take little time, and nobody notices the delay.
const BLIND_WAIT: Duration = Duration::from_millis(2);
