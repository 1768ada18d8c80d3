//! Room for a batch of received datagrams.

use std::io;
use std::mem::size_of;
use std::net::IpAddr;

use super::Socket;
use super::address::{CAPACITY, RawAddress, RawUnixAddress};
use super::control::{ControlRoom, Facts};
use super::slab::Slab;
use crate::sys::{BlockShape, Datagram, Meta};

/// A fixed set of receive slots. Built once: before each receive only what the
/// kernel changed is set back.
pub(crate) struct ReceiveBlock {
    payload: Slab<u8>,
    stride: usize,
    max_packet_size: usize,
    headers: Slab<libc::mmsghdr>,
    names: Slab<RawAddress>,
    /// Used in place of the names where senders have Unix addresses.
    unix_names: Option<Slab<RawUnixAddress>>,
    /// Of a name, in bytes.
    name_room: libc::socklen_t,
    controls: Slab<ControlRoom>,
    vectors: Slab<libc::iovec>,
    slots: usize,
    filled: usize,
    /// The number of the socket that was received from last.
    socket: u16,
    /// The one address that all of it was sent to, where the socket has but one.
    only_ip: Option<IpAddr>,
    /// Whether the last receive filled all slots that it was given.
    is_full: bool,
    /// The datagrams in the slots, where a slot may hold several.
    gro: Option<GroParts>,
    waits: WaitForecast,
}

// SAFETY: the pointers in headers and vectors lead into the block's own slabs,
// which move with it and are freed with it; nothing is tied to a thread.
unsafe impl Send for ReceiveBlock {}
// SAFETY: through `&ReceiveBlock` everything is only read.
unsafe impl Sync for ReceiveBlock {}

impl ReceiveBlock {
    /// Room for as many datagrams as the shape says, or for as many GRO buffers of
    /// the greatest length; an error where there is no memory for it.
    pub(crate) fn new(shape: BlockShape) -> io::Result<Self> {
        let BlockShape {
            slots,
            max_packet_size,
            ..
        } = shape;
        let gro = shape.gro.then(|| GroParts::new(slots)).transpose()?;
        let room = match gro {
            Some(_) => LONGEST_GRO_BUFFER,
            None => max_packet_size,
        };
        let stride = stride(room);
        // SAFETY: zero is a valid byte.
        let payload: Slab<u8> = unsafe { Slab::zeroed(slots * stride) }?;
        // SAFETY: all-zero headers are valid: null pointers and plain data.
        let mut headers: Slab<libc::mmsghdr> = unsafe { Slab::zeroed(slots) }?;
        // SAFETY: an all-zero address is one of no family.
        let names: Slab<RawAddress> = unsafe { Slab::zeroed(slots) }?;
        // SAFETY: an all-zero address is one without a name.
        let unix_names = shape.unix.then(|| unsafe { Slab::zeroed(slots) });
        let unix_names: Option<Slab<RawUnixAddress>> = unix_names.transpose()?;
        let name_room = match unix_names {
            Some(_) => RawUnixAddress::CAPACITY,
            None => CAPACITY,
        };
        // SAFETY: all-zero control messages are none.
        let controls: Slab<ControlRoom> = unsafe { Slab::zeroed(slots) }?;
        // SAFETY: an all-zero vector is a null pointer and no length.
        let mut vectors: Slab<libc::iovec> = unsafe { Slab::zeroed(slots) }?;
        for slot in 0..slots {
            vectors.set(
                slot,
                libc::iovec {
                    iov_base: payload.at(slot * stride).cast(),
                    iov_len: room,
                },
            );
            let header = headers.get_mut(slot);
            header.msg_hdr.msg_name = match &unix_names {
                Some(names) => names.at(slot).cast(),
                None => names.at(slot).cast(),
            };
            header.msg_hdr.msg_namelen = name_room;
            header.msg_hdr.msg_iov = vectors.at(slot);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls.at(slot).cast();
            header.msg_hdr.msg_controllen = ControlRoom::CAPACITY as _;
        }
        Ok(Self {
            payload,
            stride,
            max_packet_size,
            headers,
            names,
            unix_names,
            name_room,
            controls,
            vectors,
            slots,
            filled: 0,
            socket: 0,
            only_ip: None,
            is_full: false,
            gro,
            waits: WaitForecast::default(),
        })
    }

    /// Datagram `index` of those that were received last.
    pub(crate) fn datagram(&self, index: usize) -> Datagram<'_> {
        let part = match &self.gro {
            Some(gro) => gro.parts[index],
            None => Part::whole(index, self.len_in(index)),
        };
        let slot = part.slot as usize;
        assert!(slot < self.filled, "slot {slot} was not filled");
        let header = self.headers.get(slot);
        let facts = self.facts(slot);
        let len = part.len as usize;
        let start = slot * self.stride + part.start as usize;
        let name_len = header.msg_hdr.msg_namelen;
        let (peer, name) = match &self.unix_names {
            None => (self.names.get(slot).decode(name_len), &[][..]),
            Some(names) => (None, names.get(slot).name(name_len)),
        };
        let is_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        Datagram {
            bytes: self.payload.bytes(start, len.min(self.max_packet_size)),
            meta: Meta {
                peer,
                local: facts.local,
                sent_to: facts.sent_to.or(self.only_ip),
                interface: facts.interface,
                stamp: facts.stamp,
                hop_limit: facts.hop_limit,
                traffic_class: facts.traffic_class,
                truncated: is_cut || len > self.max_packet_size,
                unsplit: self.may_be_unsplit(slot, facts),
                socket: self.socket,
            },
            name,
        }
    }

    /// The length of what stands in a slot: the kernel's word, clamped all the
    /// same, for past it lie the bytes of earlier datagrams.
    fn len_in(&self, slot: usize) -> usize {
        let room = self.vectors.get(slot).iov_len;
        (self.headers.get(slot).msg_len as usize).min(room)
    }

    #[allow(clippy::unnecessary_cast, reason = "musl has narrower lengths")]
    fn facts(&self, slot: usize) -> Facts {
        match self.headers.get(slot).msg_hdr.msg_controllen {
            0 => Facts::default(),
            len => self.controls.get(slot).facts(len as usize),
        }
    }

    /// Whether what stands in a slot may be a GRO buffer that is not known to be
    /// one: the kernel had no room to say.
    fn may_be_unsplit(&self, slot: usize, facts: Facts) -> bool {
        let flags = self.headers.get(slot).msg_hdr.msg_flags;
        self.gro.is_some() && facts.segment.is_none() && flags & libc::MSG_CTRUNC != 0
    }

    /// Whether the last receive filled all the slots it was given, so that more
    /// may be waiting.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
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

    /// Receives what is there into up to `limit` slots, without waiting.
    /// Returns the number of datagrams.
    pub(super) fn fill(&mut self, socket: &Socket, limit: usize) -> io::Result<usize> {
        self.fill_by(socket, socket.raw(), libc::MSG_DONTWAIT, limit)
    }

    /// The same by a descriptor of the socket, and as these flags say.
    #[inline]
    pub(super) fn fill_by(
        &mut self,
        socket: &Socket,
        fd: libc::c_int,
        flags: libc::c_int,
        limit: usize,
    ) -> io::Result<usize> {
        for index in 0..self.filled {
            let header = self.headers.get_mut(index);
            header.msg_hdr.msg_namelen = self.name_room;
            header.msg_hdr.msg_controllen = ControlRoom::CAPACITY as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.filled = 0;
        self.socket = socket.bound.number;
        self.only_ip = socket.bound.only_ip;
        let limit = limit.clamp(1, self.slots);
        // SAFETY: `limit` headers are valid, and each leads to a name, room
        // for control messages, one vector and payload room inside slabs of
        // `self`, borrowed mutably for the call.
        let result = unsafe { socket.receive_headers(fd, flags, self.headers.at(0), limit) };
        self.waits.learn(result.is_ok());
        self.filled = *result.as_ref().unwrap_or(&0);
        self.is_full = self.filled == limit;
        match self.gro.take() {
            None => result,
            Some(mut gro) => {
                gro.parts.clear();
                for slot in 0..self.filled {
                    gro.split(slot, self.len_in(slot), self.facts(slot).segment);
                }
                let count = gro.parts.len();
                self.gro = Some(gro);
                result.map(|_| count)
            }
        }
    }
}

/// The datagrams that came in GRO buffers: several of one peer, one behind the
/// other, as one message (udp(7), `UDP_GRO`).
struct GroParts {
    parts: Vec<Part>,
}

/// Where one datagram stands.
#[derive(Clone, Copy)]
struct Part {
    slot: u32,
    start: u32,
    len: u32,
}

impl Part {
    fn whole(slot: usize, len: usize) -> Self {
        Self {
            slot: slot as u32,
            start: 0,
            len: len as u32,
        }
    }
}

impl GroParts {
    fn new(slots: usize) -> io::Result<Self> {
        let mut parts = Vec::new();
        parts.try_reserve_exact(slots * MOST_IN_A_GRO_BUFFER)?;
        Ok(Self { parts })
    }

    /// Splits the `len` bytes in a slot into datagrams of `segment` bytes, the
    /// last as long as what is left.
    fn split(&mut self, slot: usize, len: usize, segment: Option<usize>) {
        let segment = segment.unwrap_or(len).max(1);
        self.parts.push(Part::whole(slot, len.min(segment)));
        for start in (segment..len).step_by(segment) {
            self.parts.push(Part {
                slot: slot as u32,
                start: start as u32,
                len: segment.min(len - start) as u32,
            });
        }
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

/// The length of a GRO buffer is the length of the IP packet it came in.
const LONGEST_GRO_BUFFER: usize = 65_535;
/// `UDP_MAX_SEGMENTS` of the kernels that allow the most (include/linux/udp.h).
const MOST_IN_A_GRO_BUFFER: usize = 128;

const _: () = assert!(size_of::<RawAddress>() < 64, "an address fits a cache line");

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::sys::TakeOver;

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

    /// A socket that receives GRO buffers, and what it received from a peer.
    fn received(bytes: &[u8]) -> ReceiveBlock {
        let inner = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        let options = TakeOver {
            coalesce: true,
            ..TakeOver::default()
        };
        let socket = Socket::new(inner, options).expect("a UDP socket");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        peer.send_to(bytes, socket.local_addr()).expect("loopback");
        let mut block = ReceiveBlock::new(BlockShape {
            slots: 1,
            max_packet_size: 100,
            gro: true,
            unix: false,
        })
        .expect("memory for one");
        // Loopback delivers before the send returns.
        assert_eq!(block.fill(&socket, 1).expect("it was sent"), 1);
        block
    }

    #[test]
    fn what_may_be_several_datagrams_unsplit_together_is_marked() {
        let mut block = received(b"one or two?");
        assert!(!block.datagram(0).meta.unsplit, "its messages are whole");
        block.headers.get_mut(0).msg_hdr.msg_flags |= libc::MSG_CTRUNC;
        assert!(block.datagram(0).meta.unsplit, "its messages were cut off");
    }

    #[test]
    fn a_gro_buffer_is_split_where_its_datagrams_meet() {
        let split = |len, segment| {
            let mut gro = GroParts::new(1).expect("memory");
            gro.split(3, len, segment);
            let place = |part: &Part| (part.slot, part.start, part.len);
            gro.parts.iter().map(place).collect::<Vec<_>>()
        };
        assert_eq!(split(5, Some(2)), [(3, 0, 2), (3, 2, 2), (3, 4, 1)]);
        assert_eq!(split(4, Some(2)), [(3, 0, 2), (3, 2, 2)]);
        assert_eq!(split(4, Some(9)), [(3, 0, 4)], "shorter than a segment");
        assert_eq!(split(4, None), [(3, 0, 4)], "not a GRO buffer");
        assert_eq!(split(0, None), [(3, 0, 0)], "an empty datagram is one");
        assert_eq!(split(0, Some(7)), [(3, 0, 0)]);
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
