//! How a worker works lanes (see `lanes.rs`).

use std::time::{Duration, Instant};

use super::Engine;
use super::batch::OpenBatch;
use super::handling::Handling;
use super::job::Job;
use super::lanes::{LaneId, Lanes, OwnedDatagrams, Put};
use super::slot::Slot;
use super::{Executor, Order};
use crate::stats::Fate;
use crate::sys::Datagram;

/// A worker at the door, putting what it has received into lanes.
///
/// Where users' code finds the key that datagrams are ordered by, nothing else is
/// received meanwhile: what comes later may have the same key. So the worker shows
/// that it is busy and whose datagram it looks at, and tells if it took long.
pub(super) struct Sorting<'a> {
    pub(super) engine: &'a Engine,
    pub(super) lanes: &'a Lanes,
    pub(super) slot: &'a Slot,
    pub(super) executor: &'a dyn Executor,
}

impl Sorting<'_> {
    /// Puts the datagrams of a batch into their lanes, in order. Those lanes that
    /// nobody works are added to `ready`, to be handed on as jobs.
    pub(super) fn sort(&self, batch: &OpenBatch<'_>, ready: &mut Vec<Job>) {
        if self.lanes.order() == Order::ByPeer {
            return self.sort_each(batch, ready, |_| {});
        }
        let began = Instant::now();
        let progress = self.slot.progress();
        self.engine.transit(|protocol| ((), protocol.sorts()));
        progress.begin();
        self.sort_each(batch, ready, |datagram| {
            self.slot.name_peer(Some(datagram));
            progress.step();
        });
        progress.rest();
        self.slot.name_peer(None);
        let took = began.elapsed();
        if took >= SLOW {
            self.tell_of_slowness(batch.len(), took);
        }
    }

    fn sort_each(
        &self,
        batch: &OpenBatch<'_>,
        ready: &mut Vec<Job>,
        before: impl Fn(&Datagram<'_>),
    ) {
        for datagram in batch.datagrams() {
            before(&datagram);
            let (id, panic) = self.lanes.lane_of(&datagram, self.executor);
            match self.lanes.put(id, &datagram, panic) {
                Put::First(id) => ready.push(Job::Lane(id)),
                Put::Behind => {}
                Put::Full => self.slot.tally.settle(Fate::LaneFull),
            }
        }
    }

    fn tell_of_slowness(&self, count: usize, took: Duration) {
        if let Some(admitted) = self.engine.slow_keys.admit() {
            let addr = self.engine.socket.name();
            self.engine.warn(format!(
                "{addr}: order_by took {took:.1?} for {count} datagrams, and nothing was received \
                 meanwhile{admitted}"
            ));
        }
    }
}

/// How long to find the keys of a batch takes before that is worth a warning.
const SLOW: Duration = Duration::from_secs(1);

/// A worker's time with lanes, from the first to when none waits.
pub(super) struct Shift<'a, 'h> {
    pub(super) engine: &'a Engine,
    pub(super) lanes: &'a Lanes,
    pub(super) slot: &'a Slot,
    pub(super) handling: &'a mut Handling<'h>,
    /// Room for the datagrams at hand.
    pub(super) owned: &'a mut OwnedDatagrams,
}

impl Shift<'_, '_> {
    /// Works a lane and all others that wait for a worker, then sends the
    /// replies and lets go of them.
    pub(super) fn work(mut self, first: LaneId) {
        self.handling.begin();
        let mut next = Some(Job::Lane(first));
        loop {
            while let Some(job) = next
                .take()
                .or_else(|| self.engine.transit(|protocol| protocol.next_job()))
            {
                match job {
                    Job::Lane(id) => self.work_one(id),
                    Job::Batch(_) => debug_assert!(false, "there are lanes or shared batches"),
                }
            }
            self.handling.end();
            if !self.send_and_let_go() {
                return;
            }
            self.handling.begin();
        }
    }

    /// Handles what waits in one lane, and keeps hold of it.
    fn work_one(&mut self, id: LaneId) {
        self.slot.outbox.set_eager(false);
        let mut owned = std::mem::take(self.owned);
        self.lanes.take(id, &mut owned);
        let held = Held {
            slot: self.slot,
            id,
        };
        for (datagram, panic) in owned.iter() {
            if self.lanes.is_abandoned() {
                break;
            }
            self.slot.name_peer(Some(&datagram));
            match panic {
                None => self.handling.handle(&datagram),
                Some(message) => self.handling.give_up(&datagram, message),
            }
            if self.handling.is_flush_due() {
                self.handling.end();
                self.send_and_let_go();
                self.handling.begin();
            }
        }
        self.slot.name_peer(None);
        drop(held);
        self.lanes.done(&mut owned);
        *self.owned = owned;
    }

    /// Sends the replies and lets go of the lanes that they came from; whether
    /// more waited in any of them, which makes it a job again.
    fn send_and_let_go(&mut self) -> bool {
        self.handling.flush();
        self.engine.release(self.lanes, &mut self.slot.lanes())
    }
}

/// Puts a lane among those to be let go, whichever way its work ends.
struct Held<'a> {
    slot: &'a Slot,
    id: LaneId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.slot.lanes().push(self.id);
    }
}

impl Engine {
    /// Sends a stuck worker's replies for it, if nobody else is at it, and lets
    /// go of the lanes that they came from.
    ///
    /// The list of lanes is locked first: each lane in it had put its replies
    /// into the outbox before, which is sent only then. Whether nothing is left.
    pub(super) fn send_for(&self, slot: &Slot) -> bool {
        let mut held = slot.lanes();
        if !slot.outbox.try_flush() {
            return false;
        }
        if let Some(lanes) = &self.work.lanes {
            self.release(lanes, &mut held);
        }
        true
    }

    /// A worker is gone, whichever way: sends its replies and lets go of all that
    /// it held.
    pub(super) fn let_go_for(&self, slot: &Slot) {
        slot.outbox.flush();
        if let Some(lanes) = &self.work.lanes {
            self.release(lanes, &mut slot.lanes());
        }
    }

    /// Lets go of lanes whose replies have been sent. Those in which something
    /// waits become jobs again; whether there were any.
    fn release(&self, lanes: &Lanes, held: &mut Vec<LaneId>) -> bool {
        held.retain(|id| !lanes.let_go(*id));
        if held.is_empty() {
            return false;
        }
        let busy = self.most_helpers();
        let jobs = held.drain(..).map(Job::Lane);
        self.transit(|protocol| ((), protocol.give_back(jobs, busy)));
        true
    }
}
