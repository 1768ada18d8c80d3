//! Datagrams on their way out: replies batched across peers, and sends that do
//! not wait for a batch.

#[cfg(unix)]
mod unix;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::protocol::DoorId;
use super::shared_socket::{SEND_DEADLINE, SharedSocket};
use crate::error::SendError;
use crate::logging::{Admitted, log_warn};
use crate::stats::{Padded, ReplyTally};
use crate::sys::{
    Egress, Patience, QueueOptions, SendQueue, SendReport, lacks_broadcast, same, send_one,
};

/// What one worker sends. The worker appends and flushes; while it is stuck in a
/// handler, the supervisor flushes for it.
///
/// The lock spans the send: what was appended first is sent first, and nothing
/// overtakes. The supervisor only ever tries the lock, and without patience for
/// the socket. What does not wait for the batch is sent after all that is queued.
///
/// No users' code runs under the lock: failures are noted there, and written to
/// the log once it is let go.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: Arc<SharedSocket>,
    queue: Mutex<Queue>,
    /// Whether each reply is sent at once: the worker has been in one handler for
    /// so long that nobody looks after it any more.
    is_eager: AtomicBool,
    /// Whether the next reply is sent at once if nothing is queued: its handler is
    /// likely to make one only, and that is not worth the queue.
    is_direct: AtomicBool,
    /// Whether anything is queued: a glance, for who looks after many.
    has_queued: AtomicBool,
    tally: Padded<ReplyTally>,
}

#[derive(Debug)]
struct Queue {
    /// Gone once the server is closed; none where nothing is ever queued.
    datagrams: Option<SendQueue>,
    /// The door whose socket all that is queued leaves by.
    door: DoorId,
    /// Failures that have leave to be logged. The worker's next push or flush
    /// takes them, so there are never more than a queue has entries.
    failed: Vec<FailedSend>,
}

/// A batched send that failed after its handler had gone on.
#[derive(Debug)]
struct FailedSend {
    len: usize,
    from: SocketAddr,
    to: SocketAddr,
    error: io::Error,
    admitted: Admitted,
}

impl Outbox {
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(socket: Arc<SharedSocket>, options: QueueOptions) -> io::Result<Self> {
        if socket.unix_addr().is_some() {
            return Ok(Self::without_queue(socket));
        }
        let datagrams = SendQueue::new(socket.addr_at(0), options)?;
        let mut outbox = Self::without_queue(socket);
        let queue = outbox.queue.get_mut();
        queue.unwrap_or_else(PoisonError::into_inner).datagrams = Some(datagrams);
        Ok(outbox)
    }

    /// For what is sent at once and never queued.
    pub(super) fn without_queue(socket: Arc<SharedSocket>) -> Self {
        Self {
            queue: Mutex::new(Queue {
                datagrams: None,
                door: 0,
                failed: Vec::new(),
            }),
            is_eager: AtomicBool::new(false),
            is_direct: AtomicBool::new(false),
            has_queued: AtomicBool::new(false),
            tally: Padded::default(),
            socket,
        }
    }

    pub(crate) fn socket(&self) -> &Arc<SharedSocket> {
        &self.socket
    }

    pub(crate) fn tally(&self) -> &ReplyTally {
        &self.tally
    }

    /// Whether a datagram may be sent, however it leaves; counted if not. Says by
    /// which socket: the one at this door, if its family can.
    pub(crate) fn judge(
        &self,
        len: usize,
        to: SocketAddr,
        near: DoorId,
    ) -> Result<DoorId, SendError> {
        let verdict = self.socket.judge(len, to, near);
        if let Err(error) = &verdict {
            self.tally.refused(error);
        }
        verdict
    }

    /// Appends a datagram that answers one of the socket at door `near`; sends
    /// first what is queued if there is no room for it, or if that leaves by
    /// another socket.
    pub(crate) fn push(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: &Egress,
        near: DoorId,
    ) -> Result<(), SendError> {
        let door = match self.judge(bytes.len(), to, near) {
            // Like what fails later: counted, and nothing a handler fails of.
            Err(SendError::Withheld { .. }) => return Ok(()),
            verdict => verdict?,
        };
        let mut queue = self.lock();
        let has_room = |datagrams: &SendQueue| datagrams.has_room(bytes.len());
        if !queue.datagrams.as_ref().is_none_or(has_room) {
            self.send(&mut queue, patient());
        }
        if queue.door != door {
            self.turn_to(&mut queue, door);
        }
        // Asked again, under the lock under which `close` takes the queue away.
        let datagrams = queue.datagrams.as_mut();
        let Some(datagrams) = datagrams.filter(|_| !self.socket.is_closed()) else {
            return self.send_without_socket(bytes, to, egress);
        };
        if self.is_direct.load(Relaxed) {
            self.is_direct.store(false, Relaxed);
            if datagrams.is_empty() && self.send_direct(bytes, to, egress, door) {
                return Ok(());
            }
        }
        datagrams.push(bytes, to, egress);
        self.has_queued.store(true, Relaxed);
        if self.is_eager.load(Relaxed) {
            self.send(&mut queue, patient());
        }
        self.log(let_go(queue));
        Ok(())
    }

    /// Sends what is queued.
    pub(crate) fn flush(&self) {
        let (_, failed) = self.flush_locked(self.lock(), patient());
        self.log(failed);
    }

    /// From now on each reply is sent at once, or no longer.
    pub(crate) fn set_eager(&self, is_eager: bool) {
        if self.is_eager.load(Relaxed) != is_eager {
            self.is_eager.store(is_eager, Relaxed);
        }
    }

    /// Another datagram is about to be handled: its first reply is sent at once, or
    /// not.
    pub(crate) fn set_direct(&self, is_direct: bool) {
        if self.is_direct.load(Relaxed) != is_direct {
            self.is_direct.store(is_direct, Relaxed);
        }
    }

    /// Whether anything is queued: a glance.
    pub(crate) fn has_queued(&self) -> bool {
        self.has_queued.load(Relaxed)
    }

    /// Sends what is queued, if nobody else is at it and as far as there is
    /// room; whether nothing is left. What failed is left to the worker to log:
    /// the logger must not hold up whoever looks after the stuck.
    pub(crate) fn try_flush(&self) -> bool {
        self.try_lock()
            .is_some_and(|mut queue| self.send(&mut queue, Patience::None))
    }

    /// Sends one datagram after what is queued, waiting for room in the send
    /// buffer if need be.
    pub(crate) fn send_to(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: &Egress,
        near: DoorId,
    ) -> Result<(), SendError> {
        let door = self.judge(bytes.len(), to, near)?;
        let patience = patient();
        let (_, failed) = self.flush_locked(self.lock(), patience);
        let end = self.send_single(bytes, to, egress, door, patience);
        self.log(failed);
        answer(end, bytes.len(), to)
    }

    /// Counts what was refused before it came here.
    pub(crate) fn refused(&self, error: &SendError) {
        self.tally.refused(error);
    }

    /// Sends one datagram after what is queued, without waiting for anything.
    pub(crate) fn try_send_to(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: &Egress,
        near: DoorId,
    ) -> Result<(), SendError> {
        let door = self.judge(bytes.len(), to, near)?;
        let queue = self.lock_soon();
        let flushed = queue.map(|queue| self.flush_locked(queue, Patience::None));
        let (is_empty, failed) = flushed.unwrap_or_default();
        let end = if is_empty {
            self.send_single(bytes, to, egress, door, Patience::None)
        } else {
            let error = io::ErrorKind::WouldBlock.into();
            self.tally.failed(&error);
            Some(Err(error))
        };
        self.log(failed);
        answer(end, bytes.len(), to)
    }

    /// The server is closed: counts what is still queued as not sent.
    pub(crate) fn close(&self) {
        if let Some(mut datagrams) = self.lock().datagrams.take() {
            self.tally.closed(datagrams.discard() as u64);
        }
    }

    /// Sends what is queued and lets go of the lock; whether nothing is left,
    /// and what is to be logged.
    fn flush_locked(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        patience: Patience,
    ) -> (bool, Vec<FailedSend>) {
        let is_empty = self.send(&mut queue, patience);
        (is_empty, let_go(queue))
    }

    /// Sends one datagram past the queue; `None` once the server is closed.
    fn send_single(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: &Egress,
        door: DoorId,
        patience: Patience,
    ) -> Option<io::Result<()>> {
        let Some(socket) = self.socket.borrow(door) else {
            let end = self.send_without_socket(bytes, to, egress);
            return end.ok().map(Ok);
        };
        let end = send_one(&socket, bytes, to, egress, patience);
        match &end {
            Ok(()) => self.tally.sent(1, bytes.len() as u64, 1),
            Err(error) => self.tally.failed(error),
        }
        Some(end)
    }

    /// Sends one datagram where no socket is left: that of a closed server is lost.
    pub(super) fn send_without_socket(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: &Egress,
    ) -> Result<(), SendError> {
        let end = self.socket.send_without_socket(bytes, to, egress);
        match &end {
            Ok(()) => self.tally.sent(1, bytes.len() as u64, 1),
            Err(_) => self.tally.closed(1),
        }
        end
    }

    /// Tries to send one datagram past the queue; whether it was sent. Whatever
    /// kept it from that is found out again, and judged, when the queue is sent.
    fn send_direct(&self, bytes: &[u8], to: SocketAddr, egress: &Egress, door: DoorId) -> bool {
        let socket = self.socket.borrow(door);
        let is_sent = socket.is_some_and(|socket| socket.send_now(bytes, to, egress).is_ok());
        if is_sent {
            self.tally.sent(1, bytes.len() as u64, 1);
        }
        is_sent
    }

    /// From now on what is queued leaves by the socket at another door: sends
    /// first what leaves by the one before.
    #[cold]
    fn turn_to(&self, queue: &mut Queue, door: DoorId) {
        self.send(queue, patient());
        queue.door = door;
        if let Some(datagrams) = &mut queue.datagrams {
            datagrams.turn_to(self.socket.addr_at(door));
        }
    }

    /// Sends what is queued; whether nothing is left.
    fn send(&self, queue: &mut Queue, patience: Patience) -> bool {
        let Some(datagrams) = queue.datagrams.as_mut().filter(|queue| !queue.is_empty()) else {
            return true;
        };
        let Some(socket) = self.socket.borrow(queue.door) else {
            self.tally.closed(datagrams.discard() as u64);
            return true;
        };
        let mut report = Report {
            outbox: self,
            from: socket.local_addr(),
            failed: &mut queue.failed,
        };
        datagrams.flush(&socket, patience, &mut report);
        let is_empty = datagrams.is_empty();
        self.has_queued.store(!is_empty, Relaxed);
        is_empty
    }

    /// Logs what failed, while no lock is held: the logger may take its time.
    fn log(&self, failed: Vec<FailedSend>) {
        for send in failed {
            let FailedSend {
                len,
                from,
                to,
                error,
                admitted,
            } = send;
            let error = refused(len, to, error);
            log_warn!("{from}: {error}{admitted}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, unless somebody keeps it.
    ///
    /// Others have it for a few calls at most: the supervisor, while it sends for
    /// a worker that seems stuck. Only a detached handle on another thread may
    /// wait for room with it; then there is none.
    fn lock_soon(&self) -> Option<MutexGuard<'_, Queue>> {
        (0..MOST_ATTEMPTS).find_map(|attempt| {
            if attempt > 0 {
                std::thread::yield_now();
            }
            self.try_lock()
        })
    }

    /// The lock, if nobody has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Queue>> {
        match self.queue.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// What the system has refused to send, as an error that says why.
pub(super) fn refused(len: usize, to: SocketAddr, cause: io::Error) -> SendError {
    if lacks_broadcast(&cause, to) {
        SendError::BroadcastNotAllowed { len, to }
    } else {
        SendError::Refused { len, to, cause }
    }
}

/// How a single send ended: `None` once the server is closed.
fn answer(end: Option<io::Result<()>>, len: usize, to: SocketAddr) -> Result<(), SendError> {
    let end = end.ok_or(SendError::Closed)?;
    end.map_err(|cause| refused(len, to, cause))
}

/// Lets go of the lock; what failed under it.
fn let_go(mut queue: MutexGuard<'_, Queue>) -> Vec<FailedSend> {
    std::mem::take(&mut queue.failed)
}

/// Counts how batched datagrams end, and notes what is to be logged.
struct Report<'a> {
    outbox: &'a Outbox,
    /// The address of the socket that all leave by.
    from: SocketAddr,
    failed: &'a mut Vec<FailedSend>,
}

impl SendReport for Report<'_> {
    fn called(&mut self, sent: u64, bytes: u64) {
        self.outbox.tally.sent(sent, bytes, 1);
    }

    fn failed(&mut self, len: usize, to: SocketAddr, error: &io::Error) {
        self.outbox.tally.failed(error);
        // Memory may be what is short: then the line is not worth it.
        if self.failed.try_reserve(1).is_err() {
            return;
        }
        if let Some(admitted) = self.outbox.socket.admit_failed_send() {
            self.failed.push(FailedSend {
                len,
                from: self.from,
                to,
                error: same(error),
                admitted,
            });
        }
    }
}

pub(super) fn patient() -> Patience {
    Patience::Until(Instant::now() + SEND_DEADLINE)
}

/// How often the lock is tried without waiting for it.
const MOST_ATTEMPTS: u32 = 100;
