//! Room for a batch of received datagrams.

use std::io;
use std::mem::size_of;

use super::address::{CAPACITY, RawAddress};
use super::control::{Control, Facts};
use super::slab::Slab;
use super::{Socket, check};
use crate::sys::Datagram;

/// A fixed set of receive slots. Built once: before each receive only what the
/// kernel changed is set back.
pub(crate) struct ReceiveBlock {
    payload: Slab<u8>,
    stride: usize,
    max_packet_size: usize,
    headers: Slab<libc::mmsghdr>,
    names: Slab<RawAddress>,
    controls: Slab<Control>,
    vectors: Slab<libc::iovec>,
    slots: usize,
    filled: usize,
    waits: WaitForecast,
}

// SAFETY: the pointers in headers and vectors lead into the block's own slabs,
// which move with it and are freed with it; nothing is tied to a thread.
unsafe impl Send for ReceiveBlock {}
// SAFETY: through `&ReceiveBlock` everything is only read.
unsafe impl Sync for ReceiveBlock {}

impl ReceiveBlock {
    /// Room for `slots` datagrams of up to `max_packet_size` bytes each.
    pub(crate) fn new(slots: usize, max_packet_size: usize) -> Self {
        let stride = stride(max_packet_size);
        // SAFETY: zero is a valid byte.
        let payload: Slab<u8> = unsafe { Slab::zeroed(slots * stride) };
        // SAFETY: all-zero headers are valid: null pointers and plain data.
        let mut headers: Slab<libc::mmsghdr> = unsafe { Slab::zeroed(slots) };
        // SAFETY: an all-zero address is one of no family.
        let names: Slab<RawAddress> = unsafe { Slab::zeroed(slots) };
        // SAFETY: all-zero control messages are none.
        let controls: Slab<Control> = unsafe { Slab::zeroed(slots) };
        // SAFETY: an all-zero vector is a null pointer and no length.
        let mut vectors: Slab<libc::iovec> = unsafe { Slab::zeroed(slots) };
        for slot in 0..slots {
            vectors.set(
                slot,
                libc::iovec {
                    iov_base: payload.at(slot * stride).cast(),
                    iov_len: max_packet_size,
                },
            );
            let header = headers.get_mut(slot);
            header.msg_hdr.msg_name = names.at(slot).cast();
            header.msg_hdr.msg_namelen = CAPACITY;
            header.msg_hdr.msg_iov = vectors.at(slot);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls.at(slot).cast();
            header.msg_hdr.msg_controllen = Control::CAPACITY as _;
        }
        Self {
            payload,
            stride,
            max_packet_size,
            headers,
            names,
            controls,
            vectors,
            slots,
            filled: 0,
            waits: WaitForecast::default(),
        }
    }

    /// The datagram in slot `index`, which a receive filled.
    #[allow(clippy::unnecessary_cast, reason = "musl has narrower lengths")]
    pub(crate) fn datagram(&self, index: usize) -> Datagram<'_> {
        assert!(index < self.filled, "slot {index} was not filled");
        let header = self.headers.get(index);
        // The length is the kernel's, clamped all the same: past it lie the
        // bytes of earlier datagrams.
        let len = (header.msg_len as usize).min(self.max_packet_size);
        let facts = match header.msg_hdr.msg_controllen {
            0 => Facts::default(),
            len => self.controls.get(index).facts(len as usize),
        };
        Datagram {
            bytes: self.payload.bytes(index * self.stride, len),
            peer: self.names.get(index).decode(header.msg_hdr.msg_namelen),
            local: facts.local,
            stamp: facts.stamp,
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    /// Payload bytes of the datagrams received last.
    pub(crate) fn filled_bytes(&self) -> u64 {
        (0..self.filled)
            .map(|index| u64::from(self.headers.get(index).msg_len))
            .sum()
    }

    /// Whether the next receive is likely to find nothing yet.
    pub(super) fn expects_to_wait(&mut self) -> bool {
        self.waits.next()
    }

    /// Receives what is there, up to `limit` datagrams, without waiting.
    pub(super) fn fill(&mut self, socket: &Socket, limit: usize) -> io::Result<usize> {
        for index in 0..self.filled {
            let header = self.headers.get_mut(index);
            header.msg_hdr.msg_namelen = CAPACITY;
            header.msg_hdr.msg_controllen = Control::CAPACITY as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.filled = 0;
        let limit = limit.clamp(1, self.slots);
        // SAFETY: `limit` headers are valid, and each leads to a name, room
        // for control messages, one vector and payload room inside slabs of `self`, borrowed mutably for
        // the call. No timeout is passed.
        let result = check(unsafe {
            libc::recvmmsg(
                socket.raw(),
                self.headers.at(0),
                limit as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        });
        self.waits.learn(result.is_ok());
        self.filled = *result.as_ref().unwrap_or(&0);
        result
    }
}

/// Foretells whether a receive would come too early.
#[derive(Debug, Default)]
struct WaitForecast {
    /// Receives in a row that came first and found nothing.
    in_vain: u8,
    /// Waits to put first before a receive is tried first again.
    waits_left: u8,
    /// Whether the receive under way comes first.
    is_first: bool,
}

impl WaitForecast {
    fn next(&mut self) -> bool {
        let wait = self.waits_left > 0;
        self.waits_left = self.waits_left.saturating_sub(1);
        self.is_first = !wait;
        wait
    }

    fn learn(&mut self, found: bool) {
        if !std::mem::take(&mut self.is_first) {
            return;
        }
        self.in_vain = if found { 0 } else { self.in_vain + 1 };
        if self.in_vain == Self::ENOUGH {
            self.in_vain = Self::ENOUGH - 1;
            self.waits_left = Self::WAITS;
        }
    }

    /// Receives in vain that make a habit.
    const ENOUGH: u8 = 3;
    /// How long the habit lasts before it is put to the test.
    const WAITS: u8 = 32;
}

impl std::fmt::Debug for ReceiveBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBlock")
            .field("slots", &self.slots)
            .field("stride", &self.stride)
            .field("vectors", &self.vectors.get(0).iov_len)
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

/// The distance of two slots: whole cache lines, and an odd number of them.
/// With a power of two, the first lines of all slots would fight for the same
/// few sets of the cache.
fn stride(max_packet_size: usize) -> usize {
    let lines = max_packet_size.div_ceil(CACHE_LINE);
    (lines | 1) * CACHE_LINE
}

const CACHE_LINE: usize = 64;

const _: () = assert!(size_of::<RawAddress>() < 64, "an address fits a cache line");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_comes_first_only_while_receiving_first_is_in_vain() {
        let mut forecast = WaitForecast::default();
        for _ in 0..3 {
            assert!(!forecast.next(), "nothing learnt yet");
            forecast.learn(false);
            forecast.learn(true);
        }
        for _ in 0..32 {
            assert!(forecast.next(), "three in vain");
            forecast.learn(true);
        }
        assert!(!forecast.next(), "put to the test");
        forecast.learn(true);
        assert!(!forecast.next(), "and given up");
    }

    #[test]
    fn no_stride_is_a_power_of_two_times_the_line() {
        for size in [1, 64, 512, 1024, 2048, 8192, 65_535] {
            let stride = stride(size);
            assert!(stride >= size, "room for {size} bytes");
            assert_eq!(stride / CACHE_LINE % 2, 1, "{size} bytes: odd lines");
        }
    }
}
