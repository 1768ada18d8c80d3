//! Unix sockets: waited for with poll(2), with a pipe that wakes.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{ReceiveBlock, Socket, Waker};
use crate::sys::bound::Bound;
use crate::sys::{ReceiveFault, Received, UnixSource};

/// A pipe with a byte in it while its waker is set.
#[derive(Debug)]
pub(super) struct Pipe {
    out: UnixStream,
    into: UnixStream,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Self> {
        let (out, into) = UnixStream::pair()?;
        out.set_nonblocking(true)?;
        into.set_nonblocking(true)?;
        Ok(Self { out, into })
    }

    /// When it is full, it wakes as well.
    pub(super) fn fill(&self) {
        let _ = (&self.into).write(&[1]);
    }

    fn empty(&self) {
        while matches!((&self.out).read(&mut [0; 64]), Ok(1..)) {}
    }
}

impl Socket {
    /// Takes over a Unix socket. No call on it blocks by itself, so it stays in the mode
    /// that it is in.
    pub(crate) fn unix(source: UnixSource) -> io::Result<Self> {
        let bound = Bound::unix(source)?;
        Ok(Self { bound })
    }

    pub(super) fn receive_unix(
        &self,
        block: &mut ReceiveBlock,
        waker: &Waker,
        pipe: &Pipe,
        timeout: Option<Duration>,
    ) -> io::Result<Received> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let Some(receiving) = waker.receiving() else {
                pipe.empty();
                return Ok(Received::Woken);
            };
            match block.fill_unix(self) {
                Ok(()) => return Ok(Received::Datagrams(1)),
                Err(error) => match ReceiveFault::of(&error) {
                    ReceiveFault::WouldBlock | ReceiveFault::Interrupted => {}
                    _ => return Err(error),
                },
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Received::TimedOut);
            }
            wait(self.bound.inner.as_raw_fd(), pipe.out.as_raw_fd(), left);
            drop(receiving);
        }
    }
}

/// Waits until one of the two can be read from, at most this long. A signal ends it, too.
fn wait(socket: RawFd, pipe: RawFd, timeout: Option<Duration>) {
    let entry = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut entries = [entry(socket), entry(pipe)];
    let millis = timeout.map_or(-1, |left| {
        // Rounded up, lest it spin for the rest of a millisecond.
        let millis = left.as_nanos().div_ceil(1_000_000);
        i32::try_from(millis).unwrap_or(i32::MAX)
    });
    let count = entries.len() as libc::nfds_t;
    // SAFETY: the entries are valid for the call, which writes their `revents`.
    if unsafe { libc::poll(entries.as_mut_ptr(), count, millis) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            // It must not spin whatever the system says.
            std::thread::sleep(BLIND_WAIT);
        }
    }
}

const BLIND_WAIT: Duration = Duration::from_millis(2);
