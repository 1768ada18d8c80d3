//! Control messages (cmsg(3)): built for the kernel and read from it, as bytes.
//!
//! | room | what it holds |
//! |---|---|
//! | `outgoing` | what the kernel is told of a datagram to send |
//! | `incoming` | what the kernel tells of a received one |

mod incoming;
mod outgoing;

#[cfg(any(fuzzing, test))]
pub(crate) use incoming::read_control_messages;
pub(super) use incoming::{ControlRoom, Facts};
pub(super) use outgoing::Control;

use std::mem::size_of;

/// Walks through control messages: level, type and data of each. Ends at the
/// first that is not whole.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (libc::c_int, libc::c_int, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let word = |at: usize| -> Option<[u8; 4]> { self.0.get(at..at + 4)?.try_into().ok() };
        let len = self.0.get(..size_of::<usize>())?.try_into().ok()?;
        let len = usize::from_ne_bytes(len);
        let level = libc::c_int::from_ne_bytes(word(LEVEL)?);
        let kind = libc::c_int::from_ne_bytes(word(KIND)?);
        let data = self.0.get(HEADER..len)?;
        let next = aligned(len).min(self.0.len());
        self.0 = &self.0[next..];
        Some((level, kind, data))
    }
}

/// A message's length, up to where the next begins.
const fn aligned(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// What a message with so many bytes of data takes: `CMSG_SPACE`.
const fn space(data: usize) -> usize {
    HEADER + aligned(data)
}

/// `struct cmsghdr` on Linux: the length, as wide as a pointer, then level and type.
const LEVEL: usize = size_of::<usize>();
const KIND: usize = LEVEL + 4;
const HEADER: usize = aligned(KIND + 4);

const _: () = assert!(HEADER == size_of::<libc::cmsghdr>());
