//! Memory that the kernel and this process both reach through pointers.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr::NonNull;

/// A fixed array of zero-initialised plain C data at a stable address, reached
/// through raw pointers alone, so that pointers into it (in message headers)
/// stay valid while the owner moves. Pages that nobody touched cost no memory.
pub(super) struct Slab<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: a slab owns its memory as a `Box<[T]>` would; it has no thread
// affinity and hands out no reference that outlives a borrow of it.
unsafe impl<T: Send> Send for Slab<T> {}
// SAFETY: through `&Slab` memory is only read (`get`, `bytes`), unless the
// caller of an unsafe function promises otherwise.
unsafe impl<T: Sync> Sync for Slab<T> {}

impl<T: Copy> Slab<T> {
    /// Allocates `len` zeroed elements, at least one; an error where there is no
    /// memory for them.
    ///
    /// # Safety
    /// The all-zero bit pattern must be a valid `T`.
    pub(super) unsafe fn zeroed(len: usize) -> io::Result<Self> {
        let len = len.max(1);
        let layout = Self::layout(len);
        assert!(layout.size() > 0, "a slab holds something");
        let memory = if is_mapped(layout) {
            map(layout.size())?
        } else {
            // SAFETY: the size is not zero, as just asserted.
            unsafe { alloc_zeroed(layout) }
        };
        match NonNull::new(memory.cast()) {
            Some(start) => Ok(Self { start, len }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    fn layout(len: usize) -> Layout {
        Layout::array::<T>(len).expect("batch and packet sizes are bounded, their product fits")
    }

    /// The address of element `index`.
    pub(super) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "index {index} of {} elements", self.len);
        // SAFETY: within the allocation, as just asserted.
        unsafe { self.start.as_ptr().add(index) }
    }

    /// Element `index`.
    pub(super) fn get(&self, index: usize) -> &T {
        // SAFETY: `at` checked the bounds; the element was zero-initialised to a
        // valid value, and whoever writes it has `&mut self`, or writes through
        // the kernel during a call that has `&mut` on the owner.
        unsafe { &*self.at(index) }
    }

    /// Element `index`, to be changed in place.
    pub(super) fn get_mut(&mut self, index: usize) -> &mut T {
        // SAFETY: as for `get`, and `&mut self` makes it the only access.
        unsafe { &mut *self.at(index) }
    }

    /// `len` elements from `start` on, to be changed in place.
    pub(super) fn slice_mut(&mut self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "out of slab");
        // SAFETY: in bounds, initialised, and `&mut self` makes it the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(start), len) }
    }

    /// Overwrites element `index`.
    pub(super) fn set(&mut self, index: usize, value: T) {
        *self.get_mut(index) = value;
    }
}

impl Slab<u8> {
    /// `len` bytes from `start` on.
    pub(super) fn bytes(&self, start: usize, len: usize) -> &[u8] {
        assert!(start <= self.len && len <= self.len - start, "out of slab");
        // SAFETY: in bounds, initialised, and nothing writes while `&self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(start), len) }
    }

    /// Copies `bytes` to `start`.
    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        assert!(
            start <= self.len && bytes.len() <= self.len - start,
            "out of slab"
        );
        // SAFETY: in bounds; `&mut self` excludes any overlap with `bytes`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.start.as_ptr().add(start),
                bytes.len(),
            );
        }
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        let layout = Layout::array::<T>(self.len).expect("it was allocated with this layout");
        let start = self.start.as_ptr();
        if is_mapped(layout) {
            // It fails only for an invalid range (munmap(2)).
            // SAFETY: mapped in `zeroed` with this size, unmapped once.
            let _ = unsafe { libc::munmap(start.cast(), layout.size()) };
        } else {
            // SAFETY: allocated in `zeroed` with this layout, freed once.
            unsafe { dealloc(start.cast(), layout) }
        }
    }
}

/// Large slabs come from the system itself: the C library would hand out memory
/// again that somebody else has freed, and clear it, which touches every page of
/// it. Small alignments are all that is needed.
fn is_mapped(layout: Layout) -> bool {
    layout.size() >= MAPPED
}

/// Fresh pages, which cost no memory until they are touched.
fn map(size: usize) -> io::Result<*mut u8> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(memory.cast())
}

/// Whether there is memory for so many bytes more.
pub(crate) fn has_memory(bytes: usize) -> io::Result<()> {
    let memory = map(bytes)?;
    // SAFETY: just mapped with this size, and used by nobody.
    let _ = unsafe { libc::munmap(memory.cast(), bytes) };
    Ok(())
}

/// In bytes: above what the C library maps by itself at first.
const MAPPED: usize = 128 << 10;
