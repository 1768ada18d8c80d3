//! What the supervisor does.

use super::{Calls, Command, DoorId, Job, Phase, Protocol, Rest, Supervisor, WorkerId};

impl<J: Job> Protocol<J> {
    /// Makes room for one more worker; its first step is [`next`](Self::next).
    pub(crate) fn hire(&mut self) -> Option<WorkerId> {
        if self.phase == Phase::Closed {
            return None;
        }
        let worker = self.vacant.pop()?;
        self.workers += 1;
        Some(worker)
    }

    /// The supervisor begins to look at workers.
    pub(crate) fn begin_look(&mut self) {
        self.has_moved = false;
    }

    /// How deeply the supervisor may rest. At most `few` batches since its last
    /// look are no reason to stay awake: whoever receives next arms the timer.
    /// `left_alone` is how many the last look saw busy, if it left all of them alone.
    pub(crate) fn doze(&mut self, few: u32, left_alone: Option<usize>) -> Rest {
        let is_quiet = std::mem::take(&mut self.traffic) <= few;
        self.drop_done();
        let nothing_waits = self.phase == Phase::Serving && self.waiting.is_empty();
        let is_watched = !self.doors.has_open();
        let is_settled = left_alone == Some(self.busy()) && !self.has_moved;
        let is_calm = self.busy() == 0 || is_settled;
        let is_whole = self.workers >= self.min;
        let rest = if is_quiet && nothing_waits && is_watched && is_calm && is_whole {
            Rest::Deep
        } else if is_settled && self.is_full() && self.busy() == self.workers {
            Rest::Long
        } else {
            Rest::Short
        };
        self.supervisor = if rest == Rest::Short {
            Supervisor::Awake
        } else {
            Supervisor::Asleep
        };
        rest
    }

    /// The supervisor is awake, for whatever reason.
    pub(crate) fn awake(&mut self) {
        self.supervisor = Supervisor::Awake;
    }

    /// Whether the supervisor's timer should be armed.
    pub(crate) fn wants_timer(&self) -> bool {
        self.supervisor == Supervisor::TimerArmed
    }

    /// This job has datagrams that nobody gets to: gives it to another worker, to
    /// one that `is_ready` if such a one is idle, or waits at a door.
    pub(crate) fn assist(&mut self, job: J, is_ready: impl Fn(WorkerId) -> bool) -> Calls<J> {
        if self.phase == Phase::Closed || self.waiting.contains(&job) {
            return Calls::NONE;
        }
        self.waiting.push_back(job);
        if let Some(place) = self.idle.iter().rposition(|worker| is_ready(*worker)) {
            let ready = self.idle.remove(place);
            self.idle.push(ready);
        } else if let Some(door) = self.doors.held_by(&is_ready) {
            return Calls::doors(Some(door));
        }
        self.hand_out()
    }

    /// Whether a worker that `is_ready` is idle, or waits at a door.
    pub(crate) fn has_free(&self, is_ready: impl Fn(WorkerId) -> bool) -> bool {
        self.idle.iter().any(|worker| is_ready(*worker)) || self.doors.held_by(is_ready).is_some()
    }

    /// Calls somebody for a job that waits: an idle worker, or one from a door.
    pub(crate) fn hand_out(&mut self) -> Calls<J> {
        self.drop_done();
        if self.waiting.is_empty() || self.searching.is_some() {
            return Calls::NONE;
        }
        if self.idle.is_empty() {
            return Calls::doors(self.doors.held_after(0));
        }
        self.wake_helper(usize::MAX)
    }

    /// How many jobs were ever taken, while one waits.
    pub(crate) fn waiting_since(&mut self) -> Option<u64> {
        self.drop_done();
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
        Calls::wake(worker, Command::Receive(door))
    }

    /// Something waits at this door, and nobody is there or idle: calls one of
    /// those who wait at other doors.
    pub(crate) fn summon(&mut self, door: DoorId) -> Calls<J> {
        if !self.doors.is_open(door) || !self.idle.is_empty() {
            return self.fill_door(door);
        }
        self.summons = Some(door);
        Calls::doors(self.doors.held_after(door))
    }

    /// Which opening of this door this is, while nobody is there.
    pub(crate) fn open_since(&self, door: DoorId) -> Option<u64> {
        self.doors.open_since(door)
    }

    /// Whether nobody is idle or on its way to search, and there is work or a
    /// door to wait at.
    pub(crate) fn lacks_workers(&self) -> bool {
        self.idle.is_empty() && self.searching.is_none() && self.has_undone()
    }

    /// Whether there are as many workers as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.vacant.is_empty()
    }

    /// Whether there are fewer workers than the least there should be.
    pub(crate) fn is_short(&self) -> bool {
        self.phase == Phase::Serving && self.workers < self.min
    }
}
