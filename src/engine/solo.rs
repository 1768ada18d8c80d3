//! One datagram on the calling thread, without workers.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::fault::{AfterFault, FaultRun};
use super::protocol::DoorId;
use super::worker::settled;
use super::{Engine, Executor};
use crate::error::Error;
use crate::stats::bump;
use crate::sys::{BlockShape, Ready, ReceiveBlock, Received};

/// What `handle_request` keeps from one call to the next.
///
/// A handler instance never leaves the thread that made it, but a server may:
/// so the instance is kept by the thread, under the server's key.
#[derive(Debug)]
pub(crate) struct SoloKey(u64);

impl SoloKey {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// Receives one datagram, or several that came as one, deals with it, and
    /// sends the replies.
    pub(crate) fn serve_one(
        &self,
        engine: &Arc<Engine>,
        timeout: Option<Duration>,
    ) -> Result<SoloEnd, Error> {
        // Taken out while it works: its handler may call another server.
        let mut solo = match self.take() {
            Some(solo) => solo,
            None => Solo::new(engine).ok_or(Error::Closed)?,
        };
        let end = solo.serve_one(engine, timeout);
        KEPT.with_borrow_mut(|kept| kept.push((self.0, solo)));
        end
    }

    /// Ends the instance that this thread keeps. One kept by another thread
    /// ends with that thread.
    pub(crate) fn finish(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Solo> {
        KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let place = kept.iter().position(|(key, _)| *key == self.0)?;
            Some(kept.swap_remove(place).1)
        })
        .ok()
        .flatten()
    }
}

thread_local! {
    static KEPT: RefCell<Vec<(u64, Solo)>> = const { RefCell::new(Vec::new()) };
}

struct Solo {
    block: ReceiveBlock,
    executor: Box<dyn Executor>,
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

impl Solo {
    fn new(engine: &Engine) -> Option<Self> {
        Some(Self {
            block: ReceiveBlock::new(BlockShape {
                slots: 1,
                ..engine.batches.shape()
            }),
            executor: engine.executor(engine.slot(SOLO_SLOT))?,
            door: 0,
        })
    }

    /// Waits for a datagram at any socket; `None` once the server is closed.
    fn receive(
        &mut self,
        engine: &Engine,
        timeout: Option<Duration>,
    ) -> Option<io::Result<Received>> {
        if engine.doors().len() == 1 {
            let socket = engine.socket.borrow(self.door)?;
            return Some(socket.receive(&mut self.block, 1, socket.bell(), timeout));
        }
        // From the first that is ready, after the one that was served last.
        let received = match engine.socket.wait_for_any(self.door + 1, timeout)? {
            Ok(Ready::Socket(door)) => {
                self.door = door;
                let socket = engine.socket.borrow(door)?;
                let at_once = Some(Duration::ZERO);
                let received = socket.receive(&mut self.block, 1, socket.bell(), at_once);
                match received {
                    // Another process was quicker: look again.
                    Ok(Received::TimedOut) => Ok(Received::Rung),
                    received => received,
                }
            }
            Ok(Ready::Bell) => Ok(Received::Rung),
            Ok(Ready::Nothing) => Ok(Received::TimedOut),
            Err(error) => Err(error),
        };
        Some(received)
    }

    fn serve_one(
        &mut self,
        engine: &Arc<Engine>,
        timeout: Option<Duration>,
    ) -> Result<SoloEnd, Error> {
        let slot = engine.slot(SOLO_SLOT);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut faults = FaultRun::default();
        loop {
            if engine.is_stopping() {
                return Ok(SoloEnd::Stopped);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match self.receive(engine, left).ok_or(Error::Closed)? {
                Ok(Received::Datagrams(count)) => {
                    bump(&slot.tally.received, count as u64);
                    bump(&slot.tally.bytes_received, self.block.filled_bytes());
                    bump(&slot.tally.batches, 1);
                    // More than one only if the socket receives trains.
                    for index in 0..count {
                        let datagram = self.block.datagram(index);
                        slot.tally.settle(settled(&mut *self.executor, &datagram));
                    }
                    slot.outbox.flush();
                    return Ok(SoloEnd::Served);
                }
                Ok(Received::TimedOut) => return Ok(SoloEnd::TimedOut),
                Ok(Received::Rung) => {}
                Err(error) => match faults.after(error, engine, self.door, &slot.tally) {
                    AfterFault::Retry | AfterFault::Rung => {}
                    AfterFault::Stop(error) => return Err(error),
                },
            }
        }
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        self.executor.finish();
    }
}

/// Before there are workers, the first one's counters and outbox are free.
const SOLO_SLOT: usize = 0;
