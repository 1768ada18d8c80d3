//! Room for a batch of datagrams to send.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::address::RawAddress;
use super::coalesce::{Flow, Newest, Plan};
use super::control::Control;
use super::segments::segments_work;
use super::slab::Slab;
use super::{Socket, check};
use crate::sys::send_loop::{self, Flushed, Patience, Wire};
use crate::sys::{FlushReport, LocalEnd, SendFault, SendOptions};

/// A queue of datagrams in one block of memory, sent by `sendmmsg`. What is
/// pushed is laid out for the kernel at once; a flush of datagrams to different
/// peers converts nothing.
pub(crate) struct SendQueue {
    to_v6: bool,
    payload: Slab<u8>,
    used: usize,
    headers: Slab<libc::mmsghdr>,
    names: Slab<RawAddress>,
    controls: Slab<Control>,
    vectors: Slab<libc::iovec>,
    flows: [Flow; Self::ENTRIES],
    /// Entries in the order they are sent.
    order: [u8; Self::ENTRIES],
    /// The first place in the order that is not settled yet.
    first: usize,
    /// One past the last place.
    end: usize,
    /// What coalescing needs; `None` where it is off.
    coalescing: Option<Box<Coalescing>>,
}

/// Messages of several datagrams each, laid out for the kernel.
struct Coalescing {
    newest: Newest,
    /// Whether two entries have the same destination.
    has_repeats: bool,
    headers: Slab<libc::mmsghdr>,
    vectors: Slab<libc::iovec>,
    controls: Slab<Control>,
}

// SAFETY: the pointers in headers and vectors lead into the queue's own slabs,
// which move with it and are freed with it; nothing is tied to a thread.
unsafe impl Send for SendQueue {}

impl SendQueue {
    /// Entries it has room for.
    pub(crate) const ENTRIES: usize = 64;
    /// Payload bytes it has room for: two of the largest datagrams.
    pub(crate) const BYTES: usize = 128 * 1024;

    /// An empty queue for a socket bound to `local`; an error where there is no
    /// memory for it.
    pub(crate) fn new(local: SocketAddr, options: SendOptions) -> io::Result<Self> {
        let coalesce = options.coalesce && segments_work();
        let coalescing = match coalesce {
            true => Some(Box::new(Coalescing::new()?)),
            false => None,
        };
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        // SAFETY: zero bytes, null pointers and zero lengths are valid values of
        // all five.
        unsafe {
            Ok(Self {
                to_v6: local.is_ipv6(),
                payload: Slab::zeroed(Self::BYTES)?,
                used: 0,
                headers: Slab::zeroed(Self::ENTRIES)?,
                names: Slab::zeroed(Self::ENTRIES)?,
                controls: Slab::zeroed(Self::ENTRIES)?,
                vectors: Slab::zeroed(Self::ENTRIES)?,
                flows: [(nobody, None); Self::ENTRIES],
                order: std::array::from_fn(|place| place as u8),
                first: 0,
                end: 0,
                coalescing,
            })
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Whether a datagram of `len` bytes finds room.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.end < Self::ENTRIES && len <= Self::BYTES - self.used
    }

    /// Appends a datagram, for which there must be room, to leave from a local
    /// address of its own or from the one that the route gives it.
    pub(crate) fn push(&mut self, bytes: &[u8], to: SocketAddr, from: Option<LocalEnd>) {
        assert!(self.has_room(bytes.len()), "the caller looked for room");
        let index = self.end;
        let start = self.used;
        self.payload.write(start, bytes);
        let (name, name_len) = RawAddress::encode(to, self.to_v6);
        self.names.set(index, name);
        self.vectors.set(
            index,
            libc::iovec {
                // An empty datagram at the very end points at the last byte,
                // which nobody reads.
                iov_base: self.payload.at(start.min(Self::BYTES - 1)).cast(),
                iov_len: bytes.len(),
            },
        );
        let header = self.headers.get_mut(index);
        header.msg_hdr.msg_name = self.names.at(index).cast();
        header.msg_hdr.msg_namelen = name_len;
        header.msg_hdr.msg_iov = self.vectors.at(index);
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = std::ptr::null_mut();
        header.msg_hdr.msg_controllen = 0;
        if let Some(from) = from {
            let mut control = Control::new();
            control.push_source(from);
            self.controls.set(index, control);
            header.msg_hdr.msg_control = self.controls.at(index).cast();
            header.msg_hdr.msg_controllen = control.len() as _;
        }
        if let Some(coalescing) = &mut self.coalescing {
            coalescing.note((to, from), index, &self.flows);
        }
        self.flows[index] = (to, from);
        self.order[index] = index as u8;
        self.end += 1;
        self.used += bytes.len();
    }

    /// Sends what is queued, in order; tells `failed` the length, the destination
    /// and the error of each datagram that is given up.
    pub(crate) fn flush(
        &mut self,
        socket: &Socket,
        patience: Patience,
        mut failed: impl FnMut(usize, SocketAddr, io::Error),
    ) -> FlushReport {
        let mut report = FlushReport::default();
        let plan = self.coalesce();
        let mut wire = Kernel {
            socket,
            queue: self,
            plan: plan.as_ref(),
            alone_until: 0,
            calls: 0,
        };
        let count = self.end - self.first;
        let flushed = send_loop::send_all(count, &mut wire, patience, |at, end| {
            let index = self.index(at);
            let len = self.vectors.get(index).iov_len;
            match end {
                Ok(()) => {
                    report.sent += 1;
                    report.bytes += len as u64;
                }
                Err(error) => failed(len, self.flows[index].0, error),
            }
        });
        report.calls = wire.calls;
        match flushed {
            Flushed::All => {
                self.discard();
            }
            Flushed::From(at) => self.first += at,
        }
        report
    }

    /// Drops all that is queued; returns how many entries that were.
    pub(crate) fn discard(&mut self) -> usize {
        let dropped = self.end - self.first;
        (self.first, self.end, self.used) = (0, 0, 0);
        if let Some(coalescing) = &mut self.coalescing {
            coalescing.newest = Newest::new();
            coalescing.has_repeats = false;
        }
        dropped
    }

    /// The entry at a place, counted from the first unsettled one.
    fn index(&self, at: usize) -> usize {
        usize::from(self.order[self.first + at])
    }

    /// Lays out messages of several datagrams, where there are any to be made.
    fn coalesce(&mut self) -> Option<Plan> {
        let coalescing = self.coalescing.as_mut()?;
        if !coalescing.has_repeats {
            return None;
        }
        let order = &mut self.order[self.first..self.end];
        let plan = Plan::new(order, |index| {
            let index = usize::from(index);
            (self.flows[index], self.vectors.get(index).iov_len)
        });
        for message in 0..plan.messages() {
            let places = plan.places(message);
            for place in places.clone() {
                let vector = self.vectors.get(usize::from(order[place]));
                coalescing.vectors.set(place, *vector);
            }
            let leader = usize::from(order[places.start]);
            let mut header = *self.headers.get(leader);
            header.msg_hdr.msg_iov = coalescing.vectors.at(places.start);
            header.msg_hdr.msg_iovlen = places.len() as _;
            if places.len() > 1 {
                let segment = self.vectors.get(leader).iov_len as u16;
                let mut control = Control::new();
                if let (_, Some(from)) = self.flows[leader] {
                    control.push_source(from);
                }
                control.push_segment(segment);
                coalescing.controls.set(message, control);
                header.msg_hdr.msg_control = coalescing.controls.at(message).cast();
                header.msg_hdr.msg_controllen = control.len() as _;
            }
            coalescing.headers.set(message, header);
        }
        Some(plan)
    }
}

impl Coalescing {
    fn new() -> io::Result<Self> {
        // SAFETY: null pointers and zero lengths are valid values of all three.
        unsafe {
            Ok(Self {
                newest: Newest::new(),
                has_repeats: false,
                headers: Slab::zeroed(SendQueue::ENTRIES)?,
                vectors: Slab::zeroed(SendQueue::ENTRIES)?,
                controls: Slab::zeroed(SendQueue::ENTRIES)?,
            })
        }
    }

    /// Notes that entry `index` is of this flow.
    fn note(&mut self, flow: Flow, index: usize, flows: &[Flow]) {
        let slot = self.newest.slot(flow.0);
        let repeats = slot.is_some_and(|last| flows[usize::from(last)] == flow);
        *slot = Some(index as u8);
        self.has_repeats |= repeats;
    }
}

impl std::fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendQueue")
            .field("entries", &(self.end - self.first))
            .field("bytes", &self.used)
            .field("coalesces", &self.coalescing.is_some())
            .finish_non_exhaustive()
    }
}

/// The queue on its way into the kernel. The headers are written to (sent
/// lengths) through their raw pointers alone.
struct Kernel<'a> {
    socket: &'a Socket,
    queue: &'a SendQueue,
    plan: Option<&'a Plan>,
    /// Up to this place datagrams are sent one by one, because the message
    /// they were parts of failed.
    alone_until: usize,
    calls: u64,
}

impl Kernel<'_> {
    /// Sends what the headers from `first` on say; how many of them went out.
    fn send_headers(
        &mut self,
        headers: &Slab<libc::mmsghdr>,
        first: usize,
        count: usize,
    ) -> io::Result<usize> {
        self.calls += 1;
        // SAFETY: `count` headers from `first` on were filled by `push` or
        // `coalesce` and lead into the queue's slabs; `flush` holds the queue
        // mutably, so nobody else reaches them during the call.
        check(unsafe {
            libc::sendmmsg(
                self.socket.raw(),
                headers.at(first),
                count as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        })
    }

    /// Sends one datagram by itself.
    fn send_alone(&mut self, at: usize) -> io::Result<usize> {
        let index = self.queue.index(at);
        self.send_headers(&self.queue.headers, index, 1)
    }

    /// Sends whole messages from place `at` on; how many datagrams went out.
    ///
    /// Whatever makes a message of several fail, a segment above the route's
    /// MTU or a device without checksum offload, need not be wrong with its
    /// parts: they are sent one by one, this once.
    fn send_messages(
        &mut self,
        at: usize,
        plan: &Plan,
        coalescing: &Coalescing,
    ) -> io::Result<usize> {
        let first = plan.message_at(at);
        let count = plan.messages() - first;
        match self.send_headers(&coalescing.headers, first, count) {
            Ok(sent) => Ok(plan.places(first + sent - 1).end - at),
            Err(error) => {
                let is_whole = plan.places(first).len() == 1;
                let fault = SendFault::of(&error);
                let for_now = matches!(fault, SendFault::Interrupted | SendFault::WouldBlock);
                if is_whole || for_now {
                    return Err(error);
                }
                self.alone_until = plan.places(first).end;
                self.send_alone(at)
            }
        }
    }
}

impl Wire for Kernel<'_> {
    fn send(&mut self, at: usize) -> io::Result<usize> {
        match (self.plan, &self.queue.coalescing) {
            (Some(_), _) if at < self.alone_until => self.send_alone(at),
            (Some(plan), Some(coalescing)) => self.send_messages(at, plan, coalescing),
            // Nothing was coalesced since the queue was empty: the order is
            // that of the entries.
            _ => {
                let first = self.queue.first + at;
                let count = self.queue.end - first;
                self.send_headers(&self.queue.headers, first, count)
            }
        }
    }

    fn wait_writable(&mut self, timeout: Duration) {
        self.socket.wait_writable(timeout);
    }

    fn pause(&mut self, length: Duration) {
        std::thread::sleep(length);
    }

    fn discard_late_news(&mut self) -> bool {
        self.socket.discard_late_news()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Instant;

    use super::*;
    use crate::sys::TakeOver;

    fn bound() -> Socket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        Socket::new(socket, TakeOver::default()).expect("a UDP socket")
    }

    fn peer() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        let patience = Some(Duration::from_secs(5));
        socket.set_read_timeout(patience).expect("not zero");
        let addr = socket.local_addr().expect("it is bound");
        (socket, addr)
    }

    #[track_caller]
    fn expect(socket: &UdpSocket, expected: &[&[u8]]) {
        let mut buffer = [0; 2048];
        for (place, expected) in expected.iter().enumerate() {
            let len = socket.recv(&mut buffer).expect("it was sent");
            assert_eq!(&buffer[..len], *expected, "datagram {place}");
        }
    }

    fn flush(queue: &mut SendQueue, socket: &Socket) -> (FlushReport, Vec<(usize, SocketAddr)>) {
        let patience = Patience::Until(Instant::now() + Duration::from_secs(5));
        let mut failed = Vec::new();
        let report = queue.flush(socket, patience, |len, to, _| failed.push((len, to)));
        assert!(queue.is_empty(), "with patience everything is settled");
        (report, failed)
    }

    #[test]
    fn datagrams_of_one_size_to_one_peer_leave_in_one_call_and_arrive_apart() {
        let socket = bound();
        let ((one, one_addr), (two, two_addr)) = (peer(), peer());
        for coalesce in [true, false] {
            let mut queue =
                SendQueue::new(socket.local_addr(), SendOptions { coalesce }).expect("memory");
            for bytes in [&b"a1"[..], b"a2", b"a3", b"", b"longer", b"b1"] {
                queue.push(bytes, one_addr, None);
                queue.push(b"x", two_addr, None);
            }
            let (report, failed) = flush(&mut queue, &socket);
            assert_eq!((report.sent, report.bytes, report.calls), (12, 20, 1));
            assert_eq!(failed, []);
            expect(&one, &[b"a1", b"a2", b"a3", b"", b"longer", b"b1"]);
            expect(&two, &[&b"x"[..]; 6]);
        }
    }

    #[test]
    fn parts_of_a_failing_message_are_skipped_one_by_one_and_all_others_sent() {
        let socket = bound();
        let (one, one_addr) = peer();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut queue =
            SendQueue::new(socket.local_addr(), SendOptions { coalesce: true }).expect("memory");
        for bytes in [b"a1", b"a2", b"a3"] {
            queue.push(bytes, one_addr, None);
            queue.push(b"poison", nobody, None);
        }
        queue.push(b"a4", one_addr, None);
        let (report, failed) = flush(&mut queue, &socket);
        assert_eq!((report.sent, report.bytes), (4, 8));
        assert_eq!(failed, [(6, nobody); 3], "exactly those to port 0");
        expect(&one, &[b"a1", b"a2", b"a3", b"a4"]);
    }
}
