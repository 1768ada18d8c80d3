//! Who does what next: the doors, the stack of idle workers, jobs that wait for
//! a worker, growth, retirement and shutdown, as one small state machine without
//! sockets, handlers, threads or clocks.
//!
//! Every method is one transition. The engine makes each under one lock and
//! carries out the returned [`Calls`] after it has let go; a lock per received
//! *batch* costs some 20 ns. `model.rs` searches every interleaving of these
//! transitions with the deliveries of the calls.
//!
//! # Why no wake-up is lost
//! - *Mailboxes.* A worker parks only by entering the stack, under the lock. A
//!   waker takes it off the stack, under the lock, and then writes to its
//!   mailbox. So each parked worker gets exactly one message, nobody else can
//!   take it, and a mailbox of one place never overflows: the worker stands on
//!   the stack again only after it has taken the message out.
//! - *The bells.* What a worker at a door has to learn (a job that waits, the
//!   stop, a door where nobody is) is written here first and rung second. A
//!   door's bell stays rung until the wait there has silenced it, and that worker
//!   looks here *after* silencing. So either it sees the news, or the bell is
//!   still to ring.
//! - *The supervisor.* It goes to sleep only in a transition that sees nobody
//!   busy (or only who is stuck, and then with a timeout) and no job waiting,
//!   and that leaves `asleep` behind. Work can begin
//!   only in [`received`](Protocol::received), under the same lock: that sees
//!   `asleep` and wakes it, before the handler runs.
//! - *The doors.* While serving, somebody holds each door or somebody is busy, and
//!   whoever is busy looks here when done; for whoever is busy too long, the
//!   supervisor, who is awake as long as anyone is, sends another. With fewer
//!   free workers than doors, it calls one away from a door where nothing comes.

mod doors;
mod orders;

pub(crate) use orders::{Assistance, Bell, Calls, DoorId, Order, Rest, WorkerId};

use std::collections::VecDeque;

use doors::Doors;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// Receiving and handling.
    Serving,
    /// Handling what was received.
    Draining,
    /// Everyone leaves.
    Closed,
}

/// The state. `J` stands for a job: datagrams that any worker may handle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Protocol<J> {
    phase: Phase,
    doors: Doors,
    /// A door that somebody shall come to, whatever door was nearer.
    summons: Option<DoorId>,
    /// Parked workers, the most recent last.
    idle: Vec<WorkerId>,
    /// Jobs that wait for a worker: batches of busy workers, or lanes. Each at
    /// most once.
    waiting: VecDeque<J>,
    /// Counts jobs taken from there, so that the supervisor sees whether any is.
    taken: u64,
    /// The supervisor rests, and is to be told when something is received.
    asleep: bool,
    /// A batch was received since the supervisor's last look.
    traffic: bool,
    /// Workers that exist: hired and not gone.
    workers: usize,
    /// Workers among them that are on their way out for being idle.
    retiring: usize,
    min: usize,
    /// Slots without a worker, the next to fill last.
    vacant: Vec<WorkerId>,
}

impl<J: Clone + PartialEq> Protocol<J> {
    /// A server before its first worker.
    pub(crate) fn new(doors: usize, min: usize, max: usize) -> Self {
        Self {
            phase: Phase::Serving,
            doors: Doors::new(doors),
            summons: None,
            idle: Vec::with_capacity(max),
            waiting: VecDeque::new(),
            taken: 0,
            asleep: false,
            traffic: false,
            workers: 0,
            retiring: 0,
            min,
            vacant: (0..max).rev().collect(),
        }
    }

    // What workers do.

    /// A worker has nothing in hand. Of several open doors it takes the one
    /// `near` it.
    pub(crate) fn next(&mut self, me: WorkerId, near: DoorId) -> (Order<J>, Calls<J>) {
        if self.phase == Phase::Closed {
            return (Order::Leave, Calls::NONE);
        }
        if let Some(job) = self.next_job() {
            return (Order::Work(job), Calls::NONE);
        }
        let near = self.summons.take().unwrap_or(near);
        if let Some(door) = self.doors.take_near(near, me) {
            return (Order::Receive(door), Calls::NONE);
        }
        self.idle.push(me);
        (Order::Park, Calls::supervisor(self.is_drained()))
    }

    /// A job that waits.
    pub(crate) fn next_job(&mut self) -> Option<J> {
        let job = self.waiting.pop_front()?;
        self.taken += 1;
        Some(job)
    }

    /// Puts jobs where they wait for a worker. In the same breath as
    /// [`received`](Self::received), or by who looks after them.
    pub(crate) fn enqueue(&mut self, jobs: impl IntoIterator<Item = J>) {
        if self.phase != Phase::Closed {
            self.waiting.extend(jobs);
        }
    }

    /// The worker at the door has received a batch and turns to it.
    pub(crate) fn received(
        &mut self,
        me: WorkerId,
        door: DoorId,
        assistance: Assistance<J>,
    ) -> Calls<J> {
        debug_assert!(self.doors.is_held_by(door, me), "received at its door");
        self.leave(door);
        self.traffic = true;
        let mut calls = match assistance {
            Assistance::Nobody => Calls::NONE,
            Assistance::AtTheDoor => self.fill_door(door),
            Assistance::WithBatch(job) => match self.idle.pop() {
                Some(helper) => Calls::wake(helper, Order::Work(job)),
                None => Calls::NONE,
            },
            Assistance::WithJobs if self.idle.is_empty() => Calls::NONE,
            Assistance::WithJobs => self.hand_out(),
        };
        calls.supervisor = std::mem::take(&mut self.asleep);
        calls
    }

    /// The worker at the door has heard the bell, or must leave it for another reason.
    pub(crate) fn leave_door(&mut self, me: WorkerId, door: DoorId) -> (Order<J>, Calls<J>) {
        debug_assert!(self.doors.is_held_by(door, me), "it leaves its door");
        self.leave(door);
        self.next(me, door)
    }

    /// A worker was idle for long: whether it may leave. If not, it must stay,
    /// or a message is on its way to it.
    pub(crate) fn retire(&mut self, me: WorkerId) -> bool {
        if self.phase != Phase::Serving || self.workers - self.retiring <= self.min {
            return false;
        }
        let Some(place) = self.idle.iter().position(|worker| *worker == me) else {
            return false;
        };
        self.idle.remove(place);
        self.retiring += 1;
        true
    }

    /// Whether a parked worker is one more than the least there should be.
    pub(crate) fn has_spare(&self) -> bool {
        self.workers - self.retiring > self.min
    }

    /// A worker is gone, its last act.
    pub(crate) fn gone(&mut self, me: WorkerId, retired: bool) -> Calls<J> {
        debug_assert!(!self.idle.contains(&me), "who parks is not gone");
        if let Some(door) = self.doors.of(me) {
            self.leave(door);
        }
        self.workers -= 1;
        self.retiring -= usize::from(retired);
        self.vacant.push(me);
        Calls::supervisor(self.phase != Phase::Serving)
    }

    // What the supervisor does.

    /// Makes room for one more worker; its first step is [`next`](Self::next).
    pub(crate) fn hire(&mut self) -> Option<WorkerId> {
        if self.phase == Phase::Closed {
            return None;
        }
        let worker = self.vacant.pop()?;
        self.workers += 1;
        Some(worker)
    }

    /// How deeply the supervisor may rest until it is told. Whoever receives
    /// next will tell it, unless it does not rest at all.
    pub(crate) fn doze(&mut self, is_settled: bool) -> Rest {
        let quiet = !std::mem::take(&mut self.traffic);
        let nothing_waits = self.phase == Phase::Serving && self.waiting.is_empty();
        let is_watched = !self.doors.has_open();
        let rest = if !quiet || !nothing_waits || !is_watched {
            Rest::None
        } else if self.busy() == 0 {
            Rest::Deep
        } else if is_settled {
            Rest::Light
        } else {
            Rest::None
        };
        self.asleep = rest != Rest::None;
        rest
    }

    /// The supervisor is awake, for whatever reason.
    pub(crate) fn awake(&mut self) {
        self.asleep = false;
    }

    /// This batch has datagrams that nobody gets to: gives it to another worker.
    pub(crate) fn assist(&mut self, job: J) -> Calls<J> {
        if self.phase == Phase::Closed || self.waiting.contains(&job) {
            return Calls::NONE;
        }
        self.waiting.push_back(job);
        self.hand_out()
    }

    /// Calls somebody for a job that waits: an idle worker, or one from a door.
    pub(crate) fn hand_out(&mut self) -> Calls<J> {
        if self.waiting.is_empty() {
            return Calls::NONE;
        }
        let Some(worker) = self.idle.pop() else {
            return Calls::bell(self.doors.held_after(0));
        };
        match self.next_job() {
            Some(job) => Calls::wake(worker, Order::Work(job)),
            None => Calls::NONE,
        }
    }

    /// How many jobs were ever taken, while one waits.
    pub(crate) fn waiting_since(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(self.taken)
    }

    /// Sends an idle worker to this door if nobody is there.
    pub(crate) fn fill_door(&mut self, door: DoorId) -> Calls<J> {
        if !self.doors.is_open(door) {
            return Calls::NONE;
        }
        let Some(worker) = self.idle.pop() else {
            return Calls::NONE;
        };
        self.doors.take(door, worker);
        Calls::wake(worker, Order::Receive(door))
    }

    /// Something waits at this door, and nobody is there or idle: calls one of
    /// those who wait at other doors.
    pub(crate) fn summon(&mut self, door: DoorId) -> Calls<J> {
        if !self.doors.is_open(door) || !self.idle.is_empty() {
            return self.fill_door(door);
        }
        self.summons = Some(door);
        Calls::bell(self.doors.held_after(door))
    }

    /// Which opening of this door this is, while nobody is there.
    pub(crate) fn open_since(&self, door: DoorId) -> Option<u64> {
        self.doors.open_since(door)
    }

    /// Whether there is work for a worker that does not exist.
    pub(crate) fn lacks_workers(&self) -> bool {
        self.idle.is_empty() && !self.vacant.is_empty() && self.has_undone()
    }

    /// Whether there are as many workers as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.vacant.is_empty()
    }

    /// Whether jobs wait for a worker.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Stops receiving. Remembered when nobody serves yet.
    pub(crate) fn stop(&mut self) -> Calls<J> {
        if self.phase != Phase::Serving {
            return Calls::NONE;
        }
        self.phase = Phase::Draining;
        self.asleep = false;
        self.doors.close_unheld();
        // The bells also for who waits at a socket without workers.
        Calls {
            bell: Bell::AtAll,
            supervisor: true,
            wake: None,
        }
    }

    /// Whether all that was received is dealt with, and nothing more will be.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == Phase::Draining
            && self.doors.are_closed()
            && self.busy() == 0
            && self.waiting.is_empty()
    }

    /// Whether nobody is at a door or on the way to one, for good: all that was
    /// read from the kernel is in jobs that `busy` workers know, or that wait.
    pub(crate) fn doors_are_closed(&self) -> bool {
        self.doors.are_closed()
    }

    /// Sends everyone home, once the doors are closed: those that park must be told, by mailbox.
    pub(crate) fn close(&mut self) -> Vec<WorkerId> {
        debug_assert!(
            self.workers == 0 || self.doors_are_closed(),
            "who is at a door may receive"
        );
        self.phase = Phase::Closed;
        self.doors.close();
        self.waiting.clear();
        std::mem::take(&mut self.idle)
    }

    /// Workers that exist.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Workers that neither park nor wait at a door.
    pub(crate) fn busy(&self) -> usize {
        self.workers - self.idle.len() - self.doors.held()
    }

    /// Whether `stop` was called.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Forgets what only tells one moment from another, so that a search of all
    /// states ends.
    #[cfg(test)]
    pub(super) fn normalize(&mut self) {
        self.doors.normalize();
        self.taken = 0;
    }

    fn has_undone(&self) -> bool {
        !self.waiting.is_empty() || (self.phase == Phase::Serving && self.doors.has_open())
    }

    fn leave(&mut self, door: DoorId) {
        self.doors.leave(door, self.phase != Phase::Serving);
    }
}
