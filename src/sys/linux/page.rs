//! Memory that a process shares with those that it forks.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Numbers, all zero at first, that this process and its children see the same of.
#[derive(Debug)]
pub(crate) struct SharedWords {
    first: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: all access is by atomic operations.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        let (anywhere, len) = (std::ptr::null_mut(), count * size_of::<AtomicU64>());
        // SAFETY: fresh memory, wherever the system likes.
        let first = unsafe { libc::mmap(anywhere, len, protection, flags, -1, 0) };
        if first == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(first.cast());
        let first = first.expect("a mapping that was not asked to be at 0 is not there");
        Ok(Self { first, count })
    }

    pub(crate) fn all(&self) -> &[AtomicU64] {
        // SAFETY: so many words were mapped, zero is a valid one, and they stay as
        // long as `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let len = self.count * size_of::<AtomicU64>();
        // SAFETY: what was mapped, and nobody refers to it any more.
        unsafe { libc::munmap(self.first.as_ptr().cast(), len) };
    }
}
