//! One datagram on the calling thread, without workers.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::{AfterFault, FaultRun};
use super::handling::Handling;
use super::outbox::Outbox;
use super::protocol::{DoorId, WorkerId};
use super::slot::Progress;
#[cfg(feature = "testing")]
use super::slot::Slot;
use super::{Engine, Executor};
use crate::error::ServeError;
use crate::logging::log_warn;
use crate::stats::{Padded, bump};
use crate::sys::{BlockShape, Ready, ReceiveBlock, Received};

/// What `handle_request` receives with, from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct Solo {
    /// Made for the first call.
    block: Option<ReceiveBlock>,
    /// The socket that was received from last.
    door: DoorId,
}

/// How one solo step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SoloEnd {
    /// One datagram was dealt with.
    Served,
    /// None came in time.
    TimedOut,
    /// The server was told to stop.
    Stopped,
}

impl Engine {
    /// What an executor of the calling thread is made for.
    pub(crate) fn solo_place(&self) -> Result<(&Arc<Outbox>, &Arc<Padded<Progress>>), ServeError> {
        self.make_slot(SOLO).map_err(|cause| self.no_start(cause))?;
        let slot = self.slot(SOLO);
        Ok((&slot.outbox, slot.progress()))
    }

    /// The place of the calling thread, which [`solo_place`](Self::solo_place) made.
    #[cfg(feature = "testing")]
    pub(super) fn solo_slot(&self) -> &Slot {
        self.slot(SOLO)
    }

    fn no_start(&self, cause: io::Error) -> ServeError {
        ServeError::StartWorkers {
            addr: self.socket.local_addr(),
            started: 0,
            wanted: 1,
            cause,
        }
    }
}

impl Solo {
    /// Receives one datagram, or several that came as one, has `executor` deal with
    /// it, and sends the replies.
    pub(crate) fn serve_one(
        &mut self,
        engine: &Arc<Engine>,
        executor: impl Executor,
        timeout: Option<Duration>,
    ) -> Result<SoloEnd, ServeError> {
        engine.make_wakers()?;
        let block = match &mut self.block {
            Some(block) => block,
            None => {
                let shape = BlockShape {
                    slots: 1,
                    ..engine.work.batches.shape()
                };
                let block = ReceiveBlock::new(shape).map_err(|cause| engine.no_start(cause))?;
                self.block.insert(block)
            }
        };
        let slot = engine.slot(SOLO);
        let work = &engine.work;
        let mut handling = Handling::new(slot, &work.pace, &work.looks, Box::new(executor));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut faults = FaultRun::default();
        loop {
            if engine.is_stopping() {
                return Ok(SoloEnd::Stopped);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let received =
                receive(engine, block, &mut self.door, left).ok_or(ServeError::Closed)?;
            match received {
                Ok(Received::Datagrams(count)) => {
                    bump(&slot.tally.received, count as u64);
                    bump(&slot.tally.bytes_received, block.filled_bytes());
                    bump(&slot.tally.batches, 1);
                    // More than one only if the socket receives GRO buffers.
                    for index in 0..count {
                        handling.handle(&block.datagram(index));
                    }
                    handling.flush();
                    return Ok(SoloEnd::Served);
                }
                Ok(Received::TimedOut) => return Ok(SoloEnd::TimedOut),
                Ok(Received::Woken) => {}
                Ok(Received::Degraded(news)) => {
                    log_warn!("{}: {news}", engine.socket.name_at(self.door));
                }
                Err(error) => match faults.after(error, engine, self.door, &slot.tally) {
                    AfterFault::Retry | AfterFault::Woken => {}
                    AfterFault::Stop(error) => return Err(error),
                },
            }
        }
    }
}

/// Waits for a datagram at any socket; `None` once the server is closed.
fn receive(
    engine: &Engine,
    block: &mut ReceiveBlock,
    last: &mut DoorId,
    timeout: Option<Duration>,
) -> Option<io::Result<Received>> {
    if engine.doors().len() == 1 {
        let socket = engine.socket.borrow(*last)?;
        return Some(socket.receive(block, 1, socket.waker(), timeout));
    }
    // From the first that is ready, after the one that was served last.
    let received = match engine.socket.wait_for_any(*last + 1, timeout)? {
        Ok(Ready::Socket(door)) => {
            *last = door;
            let socket = engine.socket.borrow(door)?;
            let at_once = Some(Duration::ZERO);
            match socket.receive(block, 1, socket.waker(), at_once) {
                // Another process was quicker: look again, if there is time.
                Ok(Received::TimedOut) if timeout != at_once => Ok(Received::Woken),
                received => received,
            }
        }
        Ok(Ready::Woken) => Ok(Received::Woken),
        Ok(Ready::Nothing) => Ok(Received::TimedOut),
        Err(error) => Err(error),
    };
    Some(received)
}

/// Where there are no workers, the place of the first one is free.
pub(super) const SOLO: WorkerId = 0;
