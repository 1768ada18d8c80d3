//! How a worker works lanes (see `lanes.rs`).

use super::Engine;
use super::handling::Handling;
use super::job::Job;
use super::lanes::{LaneId, Lanes, OwnedDatagrams, Put};
use super::slot::Slot;
use crate::sys::ReceiveBlock;

/// Puts `count` received datagrams into their lanes, in order. Those lanes that
/// nobody works are added to `ready`, to be handed on as jobs. Returns how many
/// datagrams found no room.
pub(super) fn sort(
    block: &ReceiveBlock,
    count: usize,
    lanes: &Lanes,
    ready: &mut Vec<Job>,
) -> usize {
    let mut full = 0;
    for index in 0..count {
        match lanes.put(&block.datagram(index)) {
            Put::First(id) => ready.push(Job::Lane(id)),
            Put::Behind => {}
            Put::Full => full += 1,
        }
    }
    full
}

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
        for datagram in owned.iter() {
            if self.lanes.is_abandoned() {
                break;
            }
            self.slot.name_peer(datagram.meta.peer);
            self.handling.handle(&datagram);
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
