//! What the protocol tells those who ask it.

/// Names a worker: the index of its slot.
pub(crate) type WorkerId = usize;

/// Names a door: the index of its socket.
pub(crate) type DoorId = usize;

/// Datagrams that were received and wait to be handled.
pub(crate) trait Job: Clone + PartialEq {
    /// How many of them nobody has claimed yet: a glance, not a promise.
    fn unclaimed(&self) -> usize;

    /// Whether one worker at a time works on it, as on a lane. Any number may
    /// work on others, as on a batch.
    fn is_exclusive(&self) -> bool;
}

/// What a worker does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Command<J> {
    /// Wait at this door: receive a batch.
    Receive(DoorId),
    /// Handle datagrams of this job.
    Work(J),
    /// Ask for work, which was there when this was sent.
    Search,
    /// Wait at the own mailbox.
    Park,
    /// Finish and end the thread.
    Leave,
}

/// Things to do after a transition, outside the lock.
#[must_use = "a call that is not made is a lost wake-up"]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Calls<J> {
    /// Put this command into that worker's mailbox.
    pub(crate) wake: Option<(WorkerId, Command<J>)>,
    /// Wake the supervisor.
    pub(crate) supervisor: bool,
    /// Set the supervisor's timer as the protocol wants it by then.
    pub(crate) timer: bool,
    /// Wake those who wait at doors.
    pub(crate) doors: WakeDoors,
}

/// At which doors to wake who waits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WakeDoors {
    None,
    At(DoorId),
    All,
}

impl<J> Calls<J> {
    pub(crate) const NONE: Self = Self {
        wake: None,
        supervisor: false,
        timer: false,
        doors: WakeDoors::None,
    };

    pub(super) fn wake(worker: WorkerId, command: Command<J>) -> Self {
        Self {
            wake: Some((worker, command)),
            ..Self::NONE
        }
    }

    pub(super) fn doors(door: Option<DoorId>) -> Self {
        Self {
            doors: door.map_or(WakeDoors::None, WakeDoors::At),
            ..Self::NONE
        }
    }
}

/// How a batch that was just received is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// By the worker that received it, alone: it is done sooner than anyone
    /// wakes up. Nobody waits at the door meanwhile.
    Inline,
    /// The same, and somebody else is sent to the door: more waits there.
    Relayed,
    /// By that worker and by helpers, as long as fewer than `busy` workers are
    /// busy. Nobody waits at the door meanwhile.
    Shared { busy: usize },
    /// By helpers. The worker that received it stays at the door, unless
    /// there are fewer helpers than datagrams.
    Dispatched,
}

/// How long the supervisor may wait before it looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The usual time: there is work.
    Short,
    /// Longer, or until it is told, or its timer fires: all workers there may be
    /// are where they have long been, and something may come that nobody is for.
    Long,
    /// Until it is told, or until its timer fires.
    Deep,
}
