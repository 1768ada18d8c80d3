//! What the server sends of its own accord: to anyone, from any thread, also
//! before anyone has written.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outbox::{Outbox, patient, refused};
use super::protocol::DoorId;
use super::shared_socket::{FIRST, SharedSocket};
use crate::error::SendError;
use crate::stats::ReplyTally;
#[cfg(unix)]
use crate::sys::UnixAddr;
use crate::sys::{Egress, QueueOptions, SendQueue, SendReport, same};

/// What became of one datagram to many peers: the result of
/// [`ServerHandle::send_to_all`](crate::ServerHandle::send_to_all).
///
/// # Examples
/// ```
/// # use socketserver::{Error, ServerHandle};
/// # use std::net::SocketAddr;
/// fn tick(server: &ServerHandle, players: &mut Vec<SocketAddr>) -> Result<(), Error> {
///     let told = server.send_to_all(b"tick", players.iter())?;
///     for (player, error) in &told.failures {
///         eprintln!("{player} leaves the game: {error}");
///         players.retain(|other| other != player);
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SentToAll {
    /// Peers whose datagram the kernel has accepted.
    pub sent: usize,
    /// All other peers, each with the reason: what
    /// [`ServerHandle::send_to`](crate::ServerHandle::send_to) would have returned.
    pub failures: Vec<(SocketAddr, SendError)>,
}

/// How a datagram leaves for one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) to: SocketAddr,
    pub(crate) egress: Egress,
    /// By the socket at this door, if its family can.
    pub(crate) near: DoorId,
}

impl Way {
    /// As the routes will have it, by the socket at this door.
    pub(crate) fn by(to: SocketAddr, near: DoorId) -> Self {
        Self {
            to,
            egress: Egress::default(),
            near,
        }
    }
}

/// Sends at once. What is sent to many leaves in batches, by the socket that its
/// way says, the one at the first door if none does.
///
/// No user's code runs under the lock. Sends of one thread go out in their order,
/// as each has left before the call returns.
#[derive(Debug)]
pub(crate) struct Unsolicited {
    /// Counts, and sends what goes to one peer.
    outbox: Outbox,
    socket: Arc<SharedSocket>,
    batch: Mutex<Batch>,
}

/// Room for a batch; empty whenever the lock is free.
#[derive(Debug)]
enum Batch {
    /// Nothing was sent to many yet.
    NotMade,
    Made(Box<SendQueue>),
    Closed,
}

impl Unsolicited {
    pub(super) fn new(socket: &Arc<SharedSocket>) -> Self {
        Self {
            outbox: Outbox::without_queue(Arc::clone(socket)),
            socket: Arc::clone(socket),
            batch: Mutex::new(Batch::NotMade),
        }
    }

    pub(super) fn tally(&self) -> &ReplyTally {
        self.outbox.tally()
    }

    /// Sends one datagram, waiting for room in the send buffer if need be.
    pub(crate) fn send_to(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        near: DoorId,
    ) -> Result<(), SendError> {
        self.outbox.send_to(bytes, to, &Egress::default(), near)
    }

    /// The same from a Unix socket, without waiting.
    #[cfg(unix)]
    pub(crate) fn send_to_unix(&self, bytes: &[u8], to: &UnixAddr) -> Result<(), SendError> {
        self.outbox.send_to_unix(bytes, to)
    }

    /// Sends one datagram to the end of each of `ways`, in their order, waiting for room in
    /// the send buffer if need be.
    ///
    /// # Errors
    /// [`SendError::Closed`], and then those that are left get none.
    pub(crate) fn send_to_all(
        &self,
        bytes: &[u8],
        ways: &mut dyn Iterator<Item = Way>,
    ) -> Result<SentToAll, SendError> {
        let mut ends = SentToAll::default();
        let mut admitted = Vec::new();
        loop {
            let mut asked = 0;
            for way in ways.take(BATCH) {
                asked += 1;
                let Way { to, egress, near } = way;
                match self.outbox.judge(bytes.len(), to, near) {
                    Ok(door) => admitted.push((to, egress, door)),
                    Err(SendError::Closed) => return Err(SendError::Closed),
                    Err(error) => ends.failures.push((to, error)),
                }
            }
            if asked == 0 {
                return match self.socket.is_closed() {
                    true => Err(SendError::Closed),
                    false => Ok(ends),
                };
            }
            for run in admitted.chunk_by(|one, next| one.2 == next.2) {
                self.send_batch(bytes, run, &mut ends)?;
            }
            admitted.clear();
        }
    }

    /// The server is closed.
    pub(super) fn close(&self) {
        *self.lock() = Batch::Closed;
    }

    /// Sends to peers that were judged, all by the socket at one door.
    fn send_batch(
        &self,
        bytes: &[u8],
        peers: &[(SocketAddr, Egress, DoorId)],
        ends: &mut SentToAll,
    ) -> Result<(), SendError> {
        let mut batch = self.lock();
        let Some((_, _, door)) = peers.first() else {
            return Ok(());
        };
        let Some(socket) = self.socket.borrow(*door) else {
            drop(batch);
            for (to, egress, _) in peers {
                self.outbox.send_without_socket(bytes, *to, egress)?;
                ends.sent += 1;
            }
            return Ok(());
        };
        let mut report = Report {
            tally: self.tally(),
            ends,
        };
        let queue = match self.room(&mut batch) {
            Ok(queue) => queue,
            Err(error) => {
                for (to, ..) in peers {
                    report.failed(bytes.len(), *to, &error);
                }
                return Ok(());
            }
        };
        queue.turn_to(socket.local_addr());
        for (to, egress, _) in peers {
            if !queue.has_room(bytes.len()) {
                queue.flush(&socket, patient(), &mut report);
            }
            queue.push(bytes, *to, egress);
        }
        queue.flush(&socket, patient(), &mut report);
        Ok(())
    }

    /// Room for a batch; an error where there is no memory for it.
    fn room<'a>(&self, batch: &'a mut Batch) -> io::Result<&'a mut SendQueue> {
        if let Batch::NotMade = batch {
            // To one peer each there is nothing to coalesce.
            let options = QueueOptions { coalesce: false };
            let queue = SendQueue::new(self.socket.addr_at(FIRST), options)?;
            *batch = Batch::Made(Box::new(queue));
        }
        match batch {
            Batch::Made(queue) => Ok(queue),
            Batch::NotMade | Batch::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts how datagrams end, and tells the caller.
struct Report<'a> {
    tally: &'a ReplyTally,
    ends: &'a mut SentToAll,
}

impl SendReport for Report<'_> {
    fn called(&mut self, sent: u64, bytes: u64) {
        self.tally.sent(sent, bytes, 1);
        self.ends.sent += sent as usize;
    }

    fn failed(&mut self, len: usize, to: SocketAddr, error: &io::Error) {
        self.tally.failed(error);
        self.ends.failures.push((to, refused(len, to, same(error))));
    }
}

/// Peers that are judged before the lock is taken: as many as a queue has room for.
const BATCH: usize = 64;
