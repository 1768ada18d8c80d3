//! Who does what next: the door, the stack of idle workers, rescue, growth,
//! retirement and shutdown, as one small state machine without sockets,
//! handlers, threads or clocks.
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
//! - *The bell.* What the worker at the door has to learn (a rescue, the stop) is
//!   written here first and rung second. The bell stays rung until the wait at
//!   the door has silenced it, and that worker looks here *after* silencing. So
//!   either it sees the news, or the bell is still to ring.
//! - *The supervisor.* It goes to sleep only in a transition that sees nobody
//!   busy (or only who is stuck, and then with a timeout) and nothing to rescue,
//!   and that leaves `asleep` behind. Work can begin
//!   only in [`received`](Protocol::received), under the same lock: that sees
//!   `asleep` and wakes it, before the handler runs.
//! - *The door.* While serving, somebody holds the door or somebody is busy, and
//!   whoever is busy looks here when done; for whoever is busy too long, the
//!   supervisor, who is awake as long as anyone is, sends another.

use std::collections::VecDeque;

/// Names a worker: the index of its slot.
pub(crate) type WorkerId = usize;

/// What a worker does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Order<J> {
    /// Wait at the door: receive a batch.
    Receive,
    /// Claim and handle datagrams of this batch.
    Work(J),
    /// Wait at the own mailbox.
    Park,
    /// Finish and end the thread.
    Leave,
}

/// Things to do after a transition, outside the lock.
#[must_use = "a call that is not made is a lost wake-up"]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Calls<J> {
    /// Put this order into that worker's mailbox.
    pub(crate) wake: Option<(WorkerId, Order<J>)>,
    /// Put a token into the supervisor's mailbox.
    pub(crate) supervisor: bool,
    /// Ring the bell at the door.
    pub(crate) bell: bool,
}

impl<J> Calls<J> {
    pub(crate) const NONE: Self = Self {
        wake: None,
        supervisor: false,
        bell: false,
    };

    fn wake(worker: WorkerId, order: Order<J>) -> Self {
        Self {
            wake: Some((worker, order)),
            ..Self::NONE
        }
    }

    fn supervisor(needed: bool) -> Self {
        Self {
            supervisor: needed,
            ..Self::NONE
        }
    }
}

/// Whom a worker that has just received a batch calls in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assistance<J> {
    /// Nobody: the batch is done sooner than anyone wakes up.
    Nobody,
    /// Somebody to receive meanwhile.
    AtTheDoor,
    /// Somebody to share this batch with.
    WithBatch(J),
}

/// How long the supervisor may wait before it looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The usual time: there is work.
    None,
    /// Longer: who is busy is stuck, and there is nothing to be done about it.
    Light,
    /// Until it is told: nobody is busy.
    Deep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Door {
    /// Nobody waits; whoever has nothing to do goes there.
    Open,
    /// This worker waits there, or is on its way.
    Held(WorkerId),
    /// Nobody goes there any more.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// Receiving and handling.
    Serving,
    /// Handling what was received.
    Draining,
    /// Everyone leaves.
    Closed,
}

/// The state. `J` stands for a shared batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Protocol<J> {
    phase: Phase,
    door: Door,
    /// Counts openings, so that the supervisor can tell one from the next.
    openings: u64,
    /// Parked workers, the most recent last.
    idle: Vec<WorkerId>,
    /// Batches that wait for a worker. Each belongs to a busy worker.
    rescue: VecDeque<J>,
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
    pub(crate) fn new(min: usize, max: usize) -> Self {
        Self {
            phase: Phase::Serving,
            door: Door::Open,
            openings: 0,
            idle: Vec::with_capacity(max),
            rescue: VecDeque::new(),
            asleep: false,
            traffic: false,
            workers: 0,
            retiring: 0,
            min,
            vacant: (0..max).rev().collect(),
        }
    }

    // What workers do.

    /// A worker has nothing in hand.
    pub(crate) fn next(&mut self, me: WorkerId) -> (Order<J>, Calls<J>) {
        if self.phase == Phase::Closed {
            return (Order::Leave, Calls::NONE);
        }
        if let Some(job) = self.rescue.pop_front() {
            return (Order::Work(job), Calls::NONE);
        }
        if self.door == Door::Open {
            self.door = Door::Held(me);
            return (Order::Receive, Calls::NONE);
        }
        self.idle.push(me);
        (Order::Park, Calls::supervisor(self.is_drained()))
    }

    /// The worker at the door has received a batch and turns to it.
    pub(crate) fn received(&mut self, me: WorkerId, assistance: Assistance<J>) -> Calls<J> {
        debug_assert_eq!(self.door, Door::Held(me), "only at the door is received");
        self.open_door();
        self.traffic = true;
        let mut calls = match assistance {
            Assistance::Nobody => Calls::NONE,
            Assistance::AtTheDoor => self.fill_door(),
            Assistance::WithBatch(job) => match self.idle.pop() {
                Some(helper) => Calls::wake(helper, Order::Work(job)),
                None => Calls::NONE,
            },
        };
        calls.supervisor = std::mem::take(&mut self.asleep);
        calls
    }

    /// The worker at the door has heard the bell, or must leave it for another reason.
    pub(crate) fn leave_door(&mut self, me: WorkerId) -> (Order<J>, Calls<J>) {
        debug_assert_eq!(self.door, Door::Held(me), "only who is there can leave");
        self.open_door();
        self.next(me)
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
        if self.door == Door::Held(me) {
            self.open_door();
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
        let nothing_waits = self.phase == Phase::Serving && self.rescue.is_empty();
        let is_watched = matches!(self.door, Door::Held(_));
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
        if self.phase == Phase::Closed || self.rescue.contains(&job) {
            return Calls::NONE;
        }
        if let Some(helper) = self.idle.pop() {
            return Calls::wake(helper, Order::Work(job));
        }
        self.rescue.push_back(job);
        Calls {
            bell: matches!(self.door, Door::Held(_)),
            ..Calls::NONE
        }
    }

    /// Sends an idle worker to the door if nobody is there.
    pub(crate) fn fill_door(&mut self) -> Calls<J> {
        if self.door != Door::Open {
            return Calls::NONE;
        }
        let Some(worker) = self.idle.pop() else {
            return Calls::NONE;
        };
        self.door = Door::Held(worker);
        Calls::wake(worker, Order::Receive)
    }

    /// Which opening of the door this is, while nobody is there.
    pub(crate) fn open_since(&self) -> Option<u64> {
        (self.door == Door::Open).then_some(self.openings)
    }

    /// Whether there is work for a worker that does not exist.
    pub(crate) fn lacks_workers(&self) -> bool {
        self.idle.is_empty() && !self.vacant.is_empty() && self.has_undone()
    }

    /// Whether batches wait for a worker.
    pub(crate) fn has_rescue(&self) -> bool {
        !self.rescue.is_empty()
    }

    /// Stops receiving. Remembered when nobody serves yet.
    pub(crate) fn stop(&mut self) -> Calls<J> {
        if self.phase != Phase::Serving {
            return Calls::NONE;
        }
        self.phase = Phase::Draining;
        self.asleep = false;
        if !matches!(self.door, Door::Held(_)) {
            self.door = Door::Closed;
        }
        // The bell also for who waits at the socket without workers.
        Calls {
            bell: true,
            supervisor: true,
            wake: None,
        }
    }

    /// Whether all that was received is dealt with, and nothing more will be.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == Phase::Draining
            && self.door == Door::Closed
            && self.busy() == 0
            && self.rescue.is_empty()
    }

    /// Whether nobody is at the door or on the way to it, for good: all that was
    /// read from the kernel is in a batch that `busy` workers know.
    pub(crate) fn door_is_closed(&self) -> bool {
        self.door == Door::Closed
    }

    /// Sends everyone home, once the door is closed: those that park must be told, by mailbox.
    pub(crate) fn close(&mut self) -> Vec<WorkerId> {
        debug_assert!(
            self.workers == 0 || self.door_is_closed(),
            "who is at the door may receive"
        );
        self.phase = Phase::Closed;
        self.door = Door::Closed;
        self.rescue.clear();
        std::mem::take(&mut self.idle)
    }

    /// Workers that exist.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Workers that neither park nor wait at the door.
    pub(crate) fn busy(&self) -> usize {
        self.workers - self.idle.len() - usize::from(matches!(self.door, Door::Held(_)))
    }

    /// Whether `stop` was called.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Forgets what only tells one moment from another, so that a search of all
    /// states ends.
    #[cfg(test)]
    pub(super) fn normalize(&mut self) {
        self.openings = 0;
    }

    fn has_undone(&self) -> bool {
        !self.rescue.is_empty() || (self.door == Door::Open && self.phase == Phase::Serving)
    }

    fn open_door(&mut self) {
        self.openings += 1;
        self.door = if self.phase == Phase::Serving {
            Door::Open
        } else {
            Door::Closed
        };
    }
}
