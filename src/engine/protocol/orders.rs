//! What the protocol tells those who ask it.

/// Names a worker: the index of its slot.
pub(crate) type WorkerId = usize;

/// Names a door: the index of its socket.
pub(crate) type DoorId = usize;

/// What a worker does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Order<J> {
    /// Wait at this door: receive a batch.
    Receive(DoorId),
    /// Handle datagrams of this job.
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
    /// Ring at the doors.
    pub(crate) bell: Bell,
}

/// Which bells to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bell {
    Silent,
    At(DoorId),
    AtAll,
}

impl<J> Calls<J> {
    pub(crate) const NONE: Self = Self {
        wake: None,
        supervisor: false,
        bell: Bell::Silent,
    };

    pub(super) fn wake(worker: WorkerId, order: Order<J>) -> Self {
        Self {
            wake: Some((worker, order)),
            ..Self::NONE
        }
    }

    pub(super) fn supervisor(needed: bool) -> Self {
        Self {
            supervisor: needed,
            ..Self::NONE
        }
    }

    pub(super) fn bell(door: Option<DoorId>) -> Self {
        Self {
            bell: door.map_or(Bell::Silent, Bell::At),
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
    /// Somebody for the first of the jobs that wait.
    WithJobs,
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
