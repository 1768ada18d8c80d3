//! What it means to handle datagrams that were received: each is executed and
//! counted, and the replies are sent. Workers, lanes and `handle_request` all do
//! it here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Executor;
use super::batch::Batch;
use super::meter::Meter;
use super::policy::Pace;
use super::slot::Slot;
use crate::contain::contain;
use crate::stats::Fate;
use crate::sys::Datagram;

/// One worker's means to handle datagrams.
pub(super) struct Handling<'a> {
    slot: &'a Slot,
    pace: &'a Pace,
    looks: &'a AtomicU64,
    executor: Box<dyn Executor + 'a>,
    meter: Meter,
    is_measuring: bool,
    /// Datagrams since it was begun.
    handled: usize,
    /// The supervisor's look at which the outbox was last flushed.
    look: u64,
    /// Counts stretches, of which only some are measured.
    turn: u32,
}

impl<'a> Handling<'a> {
    pub(super) fn new(
        slot: &'a Slot,
        pace: &'a Pace,
        looks: &'a AtomicU64,
        executor: Box<dyn Executor + 'a>,
    ) -> Self {
        Self {
            slot,
            pace,
            looks,
            executor,
            meter: Meter::new(),
            is_measuring: false,
            handled: 0,
            look: 0,
            turn: 0,
        }
    }

    /// Claims and handles datagrams of `batch` until none is left, and sends the
    /// replies.
    pub(super) fn work_batch(&mut self, batch: &Batch) {
        let Some(open) = batch.open() else {
            return;
        };
        self.begin();
        while let Some((index, datagram)) = open.claim() {
            self.slot.is_at(index);
            self.handle(&datagram);
            if self.is_flush_due() {
                self.end();
                self.flush();
                self.begin();
            }
        }
        drop(open);
        self.end();
        self.flush();
    }

    /// Begins a stretch of handling. Where handlers wait, each datagram is one,
    /// and only one in [`MEASURED`] is measured.
    pub(super) fn begin(&mut self) {
        self.is_measuring = !self.pace.is_dispatched() || self.turn % MEASURED == 0;
        if self.is_measuring {
            self.meter.start(self.pace.is_attentive());
        }
        self.handled = 0;
    }

    /// Deals with one datagram, which gets its fate whatever happens.
    pub(super) fn handle(&mut self, datagram: &Datagram<'_>) {
        self.settle(|executor| executor.execute(datagram));
    }

    /// Deals with one over which users' code has panicked before.
    pub(super) fn give_up(&mut self, datagram: &Datagram<'_>, panic: &str) {
        self.settle(|executor| executor.give_up(datagram, panic.to_owned()));
    }

    fn settle(&mut self, deal: impl FnOnce(&mut dyn Executor) -> Fate) {
        self.slot.progress().step();
        self.slot.outbox.set_direct(self.pace.is_dispatched());
        let executor = &mut *self.executor;
        let fate = contain(|| deal(executor)).unwrap_or(Fate::Panicked);
        self.slot.tally.settle(fate);
        self.handled += 1;
    }

    /// Whether replies have waited long enough: handlers wait, or the supervisor
    /// has looked since the last time. Its looks, a millisecond apart, are a clock
    /// that costs a load.
    pub(super) fn is_flush_due(&mut self) -> bool {
        if self.pace.is_dispatched() {
            return true;
        }
        let look = self.looks.load(Relaxed);
        std::mem::replace(&mut self.look, look) != look
    }

    /// Ends it: what was measured is learnt.
    pub(super) fn end(&mut self) {
        if self.handled == 0 {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        if self.is_measuring {
            self.pace.learn(self.meter.stop(self.handled));
        }
        self.handled = 0;
    }

    /// Sends the replies.
    pub(super) fn flush(&mut self) {
        self.slot.progress().step();
        self.slot.outbox.flush();
    }

    /// Who knows what datagrams are ordered by.
    pub(super) fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// The worker leaves.
    pub(super) fn finish(&mut self) {
        self.executor.finish();
    }
}

/// Datagrams for each that is measured, where each is a stretch by itself.
const MEASURED: u32 = 4;

#[cfg(test)]
mod tests {
    use std::hash::RandomState;
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::answers::Answers;
    use crate::engine::policy::Sample;
    use crate::engine::{SendDefaults, SharedSocket};
    use crate::sys::{Meta, QueueOptions, Socket, TakeOver};

    struct Quick;

    impl Executor for Quick {
        fn execute(&mut self, _: &Datagram<'_>) -> Fate {
            Fate::Handled
        }

        fn order_key(&self, _: &Datagram<'_>, _: &RandomState) -> Result<u64, String> {
            unreachable!("nothing is ordered here")
        }

        fn give_up(&mut self, _: &Datagram<'_>, _: String) -> Fate {
            unreachable!("nothing is ordered here")
        }

        fn finish(&mut self) {}
    }

    fn slot() -> Slot {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        let socket = Socket::new(socket, TakeOver::default()).expect("a UDP socket");
        let answers = Answers::new(1, 1, QueueOptions { coalesce: false });
        let socket = Arc::new(SharedSocket::new(
            vec![Arc::new(socket)],
            answers,
            SendDefaults::default(),
        ));
        Slot::new(&socket, QueueOptions { coalesce: false }).expect("memory")
    }

    /// Whatever the number that a worker begins with, and though an empty stretch
    /// follows each datagram.
    #[test]
    fn quick_handlers_end_the_mode_for_those_that_wait_one_datagram_at_a_time() {
        for before in 0..MEASURED {
            let (slot, pace, looks) = (slot(), Pace::default(), AtomicU64::new(0));
            while !pace.is_dispatched() {
                let waited = Duration::from_millis(1);
                pace.learn(Sample {
                    count: 1,
                    wall: waited,
                    waited: Some(waited),
                });
            }
            let mut handling = Handling::new(&slot, &pace, &looks, Box::new(Quick));
            handling.turn = before;
            let datagram = Datagram {
                bytes: b"quick",
                meta: Meta::default(),
                name: b"",
            };
            let mut handled = 0;
            while pace.is_dispatched() {
                handling.begin();
                handling.handle(&datagram);
                assert!(handling.is_flush_due() || !pace.is_dispatched());
                handling.end();
                handling.begin();
                handling.end();
                handled += 1;
                assert!(handled < 10_000, "never, beginning with {before}");
            }
        }
    }
}
