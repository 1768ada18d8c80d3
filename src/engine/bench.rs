//! An engine without sockets and threads, for tests of handlers: what is sent is
//! kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::answers::Answers;
use super::shared_socket::{SendDefaults, SharedSocket};
use super::{Engine, EngineConfig, Outbox, Shape};
use crate::logging::Unlogged;
use crate::stats::{Fate, bump};
use crate::sys::{Egress, QueueOptions};

/// Keeps what is sent.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Recorded>>);

/// One datagram that was sent.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: SocketAddr,
    /// `None` where the route decides.
    pub(crate) from: Option<IpAddr>,
}

impl Recorder {
    pub(super) fn record(&self, bytes: &[u8], to: SocketAddr, egress: &Egress) {
        let (bytes, from) = (bytes.to_vec(), egress.from);
        self.sent().push(Recorded { bytes, to, from });
    }

    /// Takes what was sent since it was last taken.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.sent())
    }

    fn sent(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// An engine that is bound to nothing, and says that it is bound to `addr`,
    /// for peers of both families.
    pub(crate) fn on_bench(addr: SocketAddr, recorder: &Arc<Recorder>) -> Self {
        let config = EngineConfig {
            min_workers: 1,
            max_workers: 1,
            batch_size: 1,
            max_packet_size: 65_535,
            max_deferred: 65_536,
            order: None,
            drain_timeout: Duration::ZERO,
            send: QueueOptions { coalesce: false },
            thread_name: "socketserver".to_owned(),
            stack_size: None,
            send_defaults: SendDefaults::default(),
            receive_buffer_asked: None,
            unlogged: Unlogged::default(),
        };
        let shape = Shape {
            doors: 1,
            gro: false,
            unix: false,
            granted_receive_buffer: 0,
        };
        let answers = Answers::new(shape.doors, config.max_deferred, config.send);
        let socket = SharedSocket::on_bench(addr, answers, Arc::clone(recorder));
        let engine = Self::assemble(config, shape, socket, None);
        engine.timers.stop_the_clock();
        engine
    }

    /// The outbox of the one handler. It queues nothing.
    ///
    /// # Panics
    /// When there is no memory for it.
    pub(crate) fn bench_outbox(&self) -> &Arc<Outbox> {
        let place = self.solo_place();
        let (outbox, _) = place.expect("there is memory for one outbox");
        outbox.close();
        outbox
    }

    /// Counts a datagram of `len` bytes that was handled.
    pub(crate) fn count_on_bench(&self, len: usize, fate: Fate) {
        let slot = self.solo_slot();
        bump(&slot.tally.received, 1);
        bump(&slot.tally.bytes_received, len as u64);
        bump(&slot.tally.batches, 1);
        slot.tally.settle(fate);
    }

    /// Lets time pass for the timers.
    pub(crate) fn advance(&self, by: Duration) {
        self.timers.advance(by);
    }

    /// Ends it: what is sent from now on finds a closed server.
    pub(crate) fn leave_bench(&self) {
        self.discard();
        self.timers.clear();
    }
}
