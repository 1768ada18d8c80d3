//! Replies on their way out, batched across peers.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::protocol::DoorId;
use super::shared_socket::{SEND_DEADLINE, SharedSocket};
use crate::error::Error;
use crate::stats::{Padded, ReplyTally};
use crate::sys::{LocalEnd, Patience, SendOptions, SendQueue};

/// One worker's replies. The worker appends and flushes; while it is stuck in a
/// handler, the supervisor flushes for it.
///
/// The lock spans the send: what was appended first is sent first, and nothing
/// overtakes. The supervisor only ever tries the lock, and without patience for
/// the socket.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: Arc<SharedSocket>,
    /// Gone once the server is closed.
    queue: Mutex<Option<SendQueue>>,
    /// Whether each reply is sent at once: the worker has been in one handler for
    /// so long that nobody looks after it any more.
    is_eager: AtomicBool,
    /// The door whose socket the replies leave by: where the worker was last.
    door: AtomicUsize,
    tally: Padded<ReplyTally>,
}

impl Outbox {
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(socket: Arc<SharedSocket>, options: SendOptions) -> io::Result<Self> {
        let queue = SendQueue::new(socket.local_addr(), options)?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            is_eager: AtomicBool::new(false),
            door: AtomicUsize::new(0),
            tally: Padded::default(),
            socket,
        })
    }

    pub(crate) fn socket(&self) -> &Arc<SharedSocket> {
        &self.socket
    }

    pub(crate) fn tally(&self) -> &ReplyTally {
        &self.tally
    }

    /// The worker goes to this door: from now on replies leave by its socket.
    pub(crate) fn turn_to(&self, door: DoorId) {
        self.door.store(door, Relaxed);
    }

    /// Appends a datagram; sends first what is queued if there is no room for it.
    pub(crate) fn push(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        from: Option<LocalEnd>,
    ) -> Result<(), Error> {
        self.socket.check(bytes.len(), to, &self.tally)?;
        if !self.socket.permits(to, bytes.len()) {
            // Like what fails later: counted, and nothing a handler fails of.
            self.tally.withheld();
            return Ok(());
        }
        let mut slot = self.queue();
        // Asked under the lock under which `close` takes the queue away.
        if self.socket.is_closed() {
            self.tally.closed(1);
            return Err(Error::Closed);
        }
        let Some(queue) = slot.as_mut() else {
            self.tally.closed(1);
            return Err(Error::Closed);
        };
        if !queue.has_room(bytes.len()) {
            self.send(queue, patient());
        }
        queue.push(bytes, to, from);
        if self.is_eager.load(Relaxed) {
            self.send(queue, patient());
        }
        Ok(())
    }

    /// Sends what is queued.
    pub(crate) fn flush(&self) {
        if let Some(queue) = self.queue().as_mut() {
            self.send(queue, patient());
        }
    }

    /// From now on each reply is sent at once, or no longer.
    pub(crate) fn set_eager(&self, is_eager: bool) {
        if self.is_eager.load(Relaxed) != is_eager {
            self.is_eager.store(is_eager, Relaxed);
        }
    }

    /// Sends what is queued, if nobody else is at it and as far as there is
    /// room; whether nothing is left.
    pub(crate) fn try_flush(&self) -> bool {
        let mut slot = match self.queue.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        slot.as_mut().is_none_or(|queue| {
            self.send(queue, Patience::None);
            queue.is_empty()
        })
    }

    /// The server is closed: counts what is still queued as not sent.
    pub(crate) fn close(&self) {
        if let Some(mut queue) = self.queue().take() {
            self.tally.closed(queue.discard() as u64);
        }
    }

    fn send(&self, queue: &mut SendQueue, patience: Patience) {
        if queue.is_empty() {
            return;
        }
        let Some(socket) = self.socket.borrow(self.door.load(Relaxed)) else {
            let dropped = queue.discard();
            self.tally.closed(dropped as u64);
            return;
        };
        let report = queue.flush(&socket, patience, |len, to, error| {
            self.tally.failed(&error);
            self.socket.log_failed_send(len, to, &error);
        });
        self.tally.sent(report.sent, report.bytes, report.calls);
    }

    fn queue(&self) -> MutexGuard<'_, Option<SendQueue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn patient() -> Patience {
    Patience::Until(Instant::now() + SEND_DEADLINE)
}
