//! What the system refuses to this process, and what is done instead.
//!
//! Sandboxes and old kernels lack `recvmmsg`, `sendmmsg` or `ppoll`, and a
//! sandbox may close while a server runs. The batched calls are tried when a
//! socket is taken over, with no entries, and again when one fails as if it were
//! forbidden: a firewall answers a send with EPERM as well.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::{Socket, check};

/// A system call that there is another way for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Optional {
    ReceiveBatch,
    SendBatch,
    Wait,
}

impl Optional {
    const ALL: [Self; 3] = [Self::ReceiveBatch, Self::SendBatch, Self::Wait];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// A line for the log.
    fn news(self) -> &'static str {
        match self {
            Self::ReceiveBatch => "the system refuses recvmmsg: datagrams are received one by one",
            Self::SendBatch => "the system refuses sendmmsg: datagrams are sent one by one",
            Self::Wait => "the system refuses ppoll: datagrams are looked for every 2 ms",
        }
    }
}

/// What was found to be refused, and what of that has been told.
#[derive(Debug, Default)]
pub(super) struct MissingCalls {
    found: AtomicU8,
    told: AtomicU8,
}

impl MissingCalls {
    pub(super) fn has(&self, what: Optional) -> bool {
        self.found.load(Relaxed) & what.bit() != 0
    }

    pub(super) fn note(&self, what: Optional) {
        self.found.fetch_or(what.bit(), Relaxed);
    }

    /// A line for the log that nobody has been given yet.
    pub(super) fn untold(&self) -> Option<&'static str> {
        let found = self.found.load(Relaxed);
        if found == self.told.load(Relaxed) {
            return None;
        }
        let is_news = |what: &Optional| {
            let bit = what.bit();
            found & bit != 0 && self.told.fetch_or(bit, Relaxed) & bit == 0
        };
        Optional::ALL.into_iter().find(is_news).map(Optional::news)
    }
}

impl Socket {
    /// Tries the batched calls with no entries. That receives and sends nothing.
    pub(super) fn probe_batches(&self) {
        for what in [Optional::ReceiveBatch, Optional::SendBatch] {
            self.is_batch_refused(what);
        }
    }

    /// Whether a batched call failed because the system refuses it, which is
    /// noted. Asks the system, as a firewall may say the same of a datagram.
    pub(super) fn is_refusal(&self, error: &io::Error, what: Optional) -> bool {
        says_refused(error) && self.is_batch_refused(what)
    }

    fn is_batch_refused(&self, what: Optional) -> bool {
        let (none, flags) = (std::ptr::null_mut(), libc::MSG_DONTWAIT as _);
        // SAFETY: both calls touch as many entries as they are told, which is
        // none; no timeout is passed.
        let result = check(unsafe {
            match what {
                Optional::ReceiveBatch => {
                    libc::recvmmsg(self.raw(), none, 0, flags, std::ptr::null_mut())
                }
                _ => libc::sendmmsg(self.raw(), none, 0, flags),
            }
        });
        // A pending socket error, which recvmmsg(2) would report here, is none
        // of these.
        let is_refused = result.is_err_and(|error| says_refused(&error));
        if is_refused {
            self.missing_calls().note(what);
        }
        is_refused
    }

    /// recvmmsg(2) by a descriptor of the socket, or as many recvmsg(2) where the
    /// system refuses that. How many headers were filled.
    ///
    /// # Safety
    /// `count` headers from `first` on are valid, with room to write to where
    /// they lead, and nobody else reaches any of it during the call.
    pub(super) unsafe fn receive_headers(
        &self,
        fd: libc::c_int,
        flags: libc::c_int,
        first: *mut libc::mmsghdr,
        count: usize,
    ) -> io::Result<usize> {
        if !self.missing_calls().has(Optional::ReceiveBatch) {
            let (count, none) = (count as libc::c_uint, std::ptr::null_mut());
            // SAFETY: the caller's promise. No timeout is passed.
            let result = check(unsafe { libc::recvmmsg(fd, first, count, flags as _, none) });
            match result {
                Err(error) if self.is_refusal(&error, Optional::ReceiveBatch) => {}
                result => return result,
            }
        }
        one_by_one(count, |at| {
            // SAFETY: `at` is below `count`, and the caller vouches for so many.
            let header = unsafe { &mut *first.add(at) };
            // SAFETY: the caller's promise.
            let len = unsafe { libc::recvmsg(fd, &raw mut header.msg_hdr, flags) };
            header.msg_len = check(len as libc::c_int)? as libc::c_uint;
            Ok(())
        })
    }

    /// sendmmsg(2) without waiting, or one sendmsg(2) where the system refuses
    /// that. How many headers went out.
    ///
    /// # Safety
    /// Each header leads to memory that may be read during the call.
    pub(super) unsafe fn send_headers(&self, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        if !self.missing_calls().has(Optional::SendBatch) {
            let (first, count) = (headers.as_mut_ptr(), headers.len() as libc::c_uint);
            // SAFETY: the slice is writable (for the sent lengths), and what the
            // headers lead to is readable, as the caller promises.
            let result = check(unsafe { libc::sendmmsg(self.raw(), first, count, flags as _) });
            match result {
                Err(error) if self.is_refusal(&error, Optional::SendBatch) => {}
                result => return result,
            }
        }
        // One, so that whoever counts calls counts each.
        // SAFETY: the caller's promise.
        let len = unsafe { libc::sendmsg(self.raw(), &raw const headers[0].msg_hdr, flags) };
        check(len as libc::c_int).map(|_| 1)
    }
}

/// Makes `count` calls up to the first that fails: how many succeeded, or the
/// error of the very first, as a batched call says it.
fn one_by_one(count: usize, mut call: impl FnMut(usize) -> io::Result<()>) -> io::Result<usize> {
    for at in 0..count {
        match call(at) {
            Ok(()) => {}
            Err(error) if at == 0 => return Err(error),
            Err(_) => return Ok(at),
        }
    }
    Ok(count)
}

/// Old kernels say ENOSYS, sandboxes that or EPERM (seccomp(2)).
fn says_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_call_is_told_once() {
        let missing_calls = MissingCalls::default();
        assert_eq!(missing_calls.untold(), None);
        missing_calls.note(Optional::Wait);
        missing_calls.note(Optional::SendBatch);
        assert_eq!(missing_calls.untold(), Some(Optional::SendBatch.news()));
        missing_calls.note(Optional::SendBatch);
        assert_eq!(missing_calls.untold(), Some(Optional::Wait.news()));
        assert_eq!(missing_calls.untold(), None);
        assert!(missing_calls.has(Optional::Wait) && !missing_calls.has(Optional::ReceiveBatch));
    }

    #[test]
    fn single_calls_count_as_a_batched_call_does() {
        let until = |end: usize| {
            one_by_one(4, |at| match at == end {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            })
        };
        assert_eq!(until(9).ok(), Some(4));
        assert_eq!(until(2).ok(), Some(2), "the error shows at the next call");
        assert!(until(0).is_err());
    }
}
