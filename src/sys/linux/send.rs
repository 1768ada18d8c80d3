//! Room for a batch of datagrams to send.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::Socket;
use super::address::RawAddress;
use super::coalesce::{Newest, Plan, Unsegmented};
use super::control::Control;
use super::slab::Slab;
use crate::sys::ledger::{BYTES, ENTRIES, Flow, Ledger};
use crate::sys::send_loop::{Messages, Patience, SendReport, Wire, send_all};
use crate::sys::{Egress, QueueOptions};

/// A queue of datagrams in one block of memory, sent by `sendmmsg`. What is
/// pushed is laid out for the kernel at once; a flush of datagrams to different
/// peers converts nothing.
pub(crate) struct SendQueue {
    to_v6: bool,
    pub(in crate::sys) ledger: Ledger,
    payload: Slab<u8>,
    headers: Slab<libc::mmsghdr>,
    names: Slab<RawAddress>,
    controls: Slab<Control>,
    vectors: Slab<libc::iovec>,
    /// What coalescing needs; `None` where it is off.
    coalescing: Option<Box<Coalescing>>,
}

/// Messages of several datagrams each, laid out for the kernel.
struct Coalescing {
    newest: Newest,
    /// Whether two entries have the same destination.
    has_repeats: bool,
    unsegmented: Unsegmented,
    headers: Slab<libc::mmsghdr>,
    vectors: Slab<libc::iovec>,
    controls: Slab<Control>,
}

// SAFETY: the pointers in headers and vectors lead into the queue's own slabs,
// which move with it and are freed with it; nothing is tied to a thread.
unsafe impl Send for SendQueue {}

impl SendQueue {
    /// An empty queue for a socket bound to `local`; an error where there is no
    /// memory for it.
    pub(crate) fn new(local: SocketAddr, options: QueueOptions) -> io::Result<Self> {
        let coalescing = match options.coalesce {
            true => Some(Box::new(Coalescing::new()?)),
            false => None,
        };
        // SAFETY: zero bytes, null pointers and zero lengths are valid values of
        // all five.
        unsafe {
            Ok(Self {
                to_v6: local.is_ipv6(),
                ledger: Ledger::new(),
                payload: Slab::zeroed(BYTES)?,
                headers: Slab::zeroed(ENTRIES)?,
                names: Slab::zeroed(ENTRIES)?,
                controls: Slab::zeroed(ENTRIES)?,
                vectors: Slab::zeroed(ENTRIES)?,
                coalescing,
            })
        }
    }

    /// From now on datagrams are for a socket bound to `local`. The queue is empty.
    pub(crate) fn turn_to(&mut self, local: SocketAddr) {
        debug_assert!(self.is_empty(), "all that is queued leaves by one socket");
        self.to_v6 = local.is_ipv6();
    }

    /// Appends a datagram, for which there must be room.
    pub(crate) fn push(&mut self, bytes: &[u8], to: SocketAddr, egress: &Egress) {
        let start = self.ledger.used();
        let flow = (to, *egress);
        let index = self.ledger.push(flow, bytes.len());
        self.payload.write(start, bytes);
        let (name, name_len) = RawAddress::encode(to, self.to_v6);
        self.names.set(index, name);
        self.vectors.set(
            index,
            libc::iovec {
                // An empty datagram at the very end points at the last byte,
                // which nobody reads.
                iov_base: self.payload.at(start.min(BYTES - 1)).cast(),
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
        if *egress != Egress::default() {
            say(&mut header.msg_hdr, &mut self.controls, index, flow, None);
        }
        if let Some(coalescing) = &mut self.coalescing {
            coalescing.note(flow, index, &self.ledger);
        }
    }

    /// Drops all that is queued; returns how many entries that were.
    pub(crate) fn discard(&mut self) -> usize {
        let dropped = self.ledger.discard();
        self.forget_destinations();
        dropped
    }

    pub(in crate::sys) fn flush_to(
        &mut self,
        wire: &mut impl SendMany,
        patience: Patience,
        report: &mut impl SendReport,
    ) {
        let plan = self.coalesce();
        let mut messages = Planned {
            plan,
            next: 0,
            cut: None,
            queue: self,
            report,
        };
        send_all(&mut messages, wire, patience);
        if self.is_empty() {
            self.forget_destinations();
        }
    }

    /// The queue is empty: what comes next repeats no destination.
    fn forget_destinations(&mut self) {
        if let Some(coalescing) = &mut self.coalescing {
            coalescing.newest = Newest::new();
            coalescing.has_repeats = false;
        }
    }

    /// Lays out messages of several datagrams, where there are any to be made.
    fn coalesce(&mut self) -> Option<Plan> {
        let coalescing = self.coalescing.as_mut()?;
        if !coalescing.has_repeats {
            return None;
        }
        let unsegmented = &mut coalescing.unsegmented;
        unsegmented.forget(Instant::now);
        let is_pause = unsegmented.takes_pause();
        let plan = self.ledger.sort(|order, ledger| {
            let entry = |index| {
                let index = usize::from(index);
                (ledger.flow(index), ledger.bytes(index).len())
            };
            Plan::new(order, entry, |to| is_pause || unsegmented.contains(to))
        });
        let order = self.ledger.waiting();
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
                let flow = self.ledger.flow(leader);
                let controls = &mut coalescing.controls;
                say(&mut header.msg_hdr, controls, message, flow, Some(segment));
            }
            coalescing.headers.set(message, header);
        }
        Some(plan)
    }
}

/// Lays out what is said of a message beside its destination, as entry `index`
/// of `controls`.
fn say(
    header: &mut libc::msghdr,
    controls: &mut Slab<Control>,
    index: usize,
    (to, egress): Flow,
    segment: Option<u16>,
) {
    let control = controls.get_mut(index);
    control.fill(to, &egress, segment);
    header.msg_controllen = control.len() as _;
    // SAFETY: an element of the slab.
    header.msg_control = unsafe { Control::messages(controls.at(index)) };
}

impl Coalescing {
    fn new() -> io::Result<Self> {
        // SAFETY: null pointers and zero lengths are valid values of all three.
        unsafe {
            Ok(Self {
                newest: Newest::new(),
                has_repeats: false,
                unsegmented: Unsegmented::default(),
                headers: Slab::zeroed(ENTRIES)?,
                vectors: Slab::zeroed(ENTRIES)?,
                controls: Slab::zeroed(ENTRIES)?,
            })
        }
    }

    /// Notes that entry `index` is of this flow.
    fn note(&mut self, flow: Flow, index: usize, ledger: &Ledger) {
        let slot = self.newest.slot(flow.0);
        let repeats = slot.is_some_and(|last| ledger.flow(usize::from(last)) == flow);
        *slot = Some(index as u8);
        self.has_repeats |= repeats;
    }
}

impl std::fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendQueue")
            .field("entries", &self.ledger.len())
            .field("bytes", &self.ledger.used())
            .field("coalesces", &self.coalescing.is_some())
            .finish_non_exhaustive()
    }
}

/// What takes several messages with one call.
pub(in crate::sys) trait SendMany: Wire {
    /// Sends the first of these messages, at least one; how many.
    ///
    /// # Safety
    /// Each header leads to memory that may be read during the call.
    unsafe fn send_many(&mut self, headers: &mut [libc::mmsghdr]) -> io::Result<usize>;
}

impl SendMany for &Socket {
    unsafe fn send_many(&mut self, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
        // SAFETY: the slice is writable (for the sent lengths), and what the
        // headers lead to is readable, as the caller promises.
        unsafe { self.send_headers(headers) }
    }
}

/// The queue as messages, in the order of a plan.
struct Planned<'a, R> {
    queue: &'a mut SendQueue,
    /// Without one, each datagram is a message, in the order of their numbers.
    plan: Option<Plan>,
    /// The message of the plan that is the first to be sent.
    next: usize,
    /// Where a message should have gone that failed and was cut since.
    cut: Option<SocketAddr>,
    report: &'a mut R,
}

impl<R> Planned<'_, R> {
    /// All that is left goes as one datagram each.
    fn split_rest(&mut self) {
        let (Some(plan), Some(coalescing)) = (&mut self.plan, &mut self.queue.coalescing) else {
            return;
        };
        plan.split_all_from(self.next);
        for (at, index) in self.queue.ledger.waiting().iter().enumerate() {
            let header = *self.queue.headers.get(usize::from(*index));
            coalescing.headers.set(self.next + at, header);
        }
    }

    /// Sends from the first message on; how many datagrams that took.
    fn send_many(&mut self, wire: &mut impl SendMany) -> io::Result<usize> {
        let SendQueue {
            ledger,
            headers,
            coalescing,
            ..
        } = &mut *self.queue;
        let headers = match (&self.plan, coalescing) {
            (Some(plan), Some(coalescing)) => {
                let left = plan.messages() - self.next;
                coalescing.headers.slice_mut(self.next, left)
            }
            _ => headers.slice_mut(ledger.head(), ledger.len()),
        };
        // SAFETY: `push` and `coalesce` filled these headers; they lead into the
        // queue's other slabs, which this holds mutably during the call.
        let sent = unsafe { wire.send_many(headers) }?;
        let Some(plan) = &self.plan else {
            return Ok(sent);
        };
        let end = self.next + sent;
        let datagrams = (self.next..end).map(|message| plan.places(message).len());
        let datagrams = datagrams.sum();
        self.next = end;
        Ok(datagrams)
    }
}

impl<W: SendMany, R: SendReport> Messages<W> for Planned<'_, R> {
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn send(&mut self, wire: &mut W) -> io::Result<()> {
        let sent = self.send_many(wire);
        match sent {
            Ok(count) => self.queue.ledger.sent(count, self.report),
            Err(_) => self.report.called(0, 0),
        }
        match sent {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        // A part left where the whole did not. What follows is not tried.
        if let Some(to) = self.cut.take() {
            if let Some(coalescing) = &mut self.queue.coalescing {
                coalescing.unsegmented.add(to, Instant::now());
            }
            self.split_rest();
        }
        Ok(())
    }

    /// The parts stand where their message stood, and go in one call with all
    /// that follows.
    fn split(&mut self) -> bool {
        let (Some(plan), Some(coalescing)) = (&mut self.plan, &mut self.queue.coalescing) else {
            return false;
        };
        let parts = plan.places(self.next).len();
        if parts == 1 {
            return false;
        }
        let before = plan.messages();
        plan.split(self.next);
        let behind = self.next + 1..before;
        let headers = coalescing.headers.slice_mut(0, ENTRIES);
        headers.copy_within(behind, self.next + parts);
        let order = &self.queue.ledger.waiting()[..parts];
        for (at, index) in order.iter().enumerate() {
            headers[self.next + at] = *self.queue.headers.get(usize::from(*index));
        }
        self.cut = Some(self.queue.ledger.flow(usize::from(order[0])).0);
        true
    }

    fn give_up(&mut self, error: &io::Error) {
        self.cut = None;
        let parts = match &self.plan {
            Some(plan) => plan.places(self.next).len(),
            None => 1,
        };
        self.next += 1;
        self.queue.ledger.give_up(parts, error, self.report);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../send_tests.rs"]
mod scripted;
