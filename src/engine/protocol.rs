//! Who does what next: leader and followers, jobs that wait for a worker,
//! growth, retirement and shutdown, as one small state machine without sockets,
//! handlers, threads or clocks.
//!
//! The pattern is *leader/followers* (Schmidt and others, 2000). At each socket
//! is a *door*: the worker there, the leader, receives. Followers are idle and
//! stand on a stack, or handle datagrams.
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
//! - *Jobs.* At most one worker at a time is on its way to search for a job: a
//!   wake-up costs more than a small datagram. It is woken when jobs come to
//!   wait; when it arrives and finds more than it takes, it wakes the next. A
//!   worker parks only in a transition that sees no job. So while a job waits and
//!   somebody is idle, somebody is on its way, or as many are busy as the plan
//!   allows, and each of those asks here when it is done.
//! - *The wakers.* What a worker at a door has to learn (a job that waits, the
//!   stop, a door where nobody is) is written here first, and then it is woken. A
//!   door's waker stays set until the wait there has cleared it, and that worker
//!   looks here *after* that. So either it sees the news, or the waker is
//!   still to be set.
//! - *The supervisor.* It goes to sleep only in a transition that sees that there
//!   is nothing for it to do, and that leaves a mark. Whatever hands out work
//!   does so under the same lock: it sees the mark, and wakes the supervisor or
//!   arms its timer before the handler runs. What the supervisor has seen of busy
//!   workers counts only if as many are busy, and none has asked for work or got
//!   any since it began to look. Who changes what the timer should do sets it *after* the transition, under a
//!   lock of the timer's, to what is wanted *then*: so the last one to set it
//!   knows of all changes.
//! - *The doors.* While serving, somebody holds each door or somebody is busy, and
//!   whoever is busy looks here when done; for whoever is busy too long, the
//!   supervisor, who is awake or whose timer is armed as long as anyone may be
//!   needed, sends another. With fewer free workers than doors, it calls one away
//!   from a door where nothing comes. Who goes, whatever for, leaves its door to
//!   the next, and tells the supervisor.

mod commands;
mod doors;
mod shutdown;
mod upkeep;

pub(crate) use commands::{Calls, Command, DoorId, Job, Plan, Rest, WakeDoors, WorkerId};

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

/// What the supervisor does while nothing is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Supervisor {
    /// Looks from time to time.
    Awake,
    /// Waits to be told.
    Asleep,
    /// Waits to be told, or for its timer: somebody is busy.
    TimerArmed,
}

/// The state. `J` stands for datagrams that wait to be handled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Protocol<J> {
    phase: Phase,
    doors: Doors,
    /// A door that somebody shall come to, whatever door was nearer.
    summons: Option<DoorId>,
    /// Parked workers, the most recent last.
    idle: Vec<WorkerId>,
    /// The worker that was woken to search for a job and has not arrived yet.
    searching: Option<WorkerId>,
    /// Jobs that any worker may take. Those that are not exclusive stay here
    /// until nothing of them is unclaimed.
    waiting: VecDeque<J>,
    /// Counts jobs taken from there, so that the supervisor sees whether any is.
    taken: u64,
    supervisor: Supervisor,
    /// Batches received since the supervisor's last look.
    traffic: u32,
    /// A worker asked for work, got some or is gone since the supervisor began its
    /// last look: what that saw of workers may be outdated.
    has_moved: bool,
    /// Workers that exist: hired and not gone.
    workers: usize,
    /// Workers among them that are on their way out for being idle.
    retiring: usize,
    min: usize,
    /// Slots without a worker, the next to fill last.
    vacant: Vec<WorkerId>,
}

impl<J: Job> Protocol<J> {
    /// A server before its first worker.
    pub(crate) fn new(doors: usize, min: usize, max: usize) -> Self {
        Self {
            phase: Phase::Serving,
            doors: Doors::new(doors),
            summons: None,
            idle: Vec::with_capacity(max),
            searching: None,
            waiting: VecDeque::new(),
            taken: 0,
            supervisor: Supervisor::Awake,
            traffic: 0,
            has_moved: false,
            workers: 0,
            retiring: 0,
            min,
            vacant: (0..max).rev().collect(),
        }
    }

    // What workers do.

    /// A worker has nothing in hand. Of several open doors it takes the one
    /// `near` it. If it takes a job and leaves others, it wakes the next worker,
    /// unless as many as `busy` are busy.
    pub(crate) fn next(
        &mut self,
        me: WorkerId,
        near: DoorId,
        busy: usize,
    ) -> (Command<J>, Calls<J>) {
        self.arrive(me);
        self.has_moved = true;
        if self.phase == Phase::Closed {
            return (Command::Leave, Calls::NONE);
        }
        if let Some(job) = self.take_job() {
            let is_last = job.is_exclusive() || job.unclaimed() <= 1;
            let mut calls = if is_last && self.waiting.len() <= usize::from(!job.is_exclusive()) {
                Calls::NONE
            } else {
                self.wake_helper(busy)
            };
            self.begin(false, &mut calls);
            return (Command::Work(job), calls);
        }
        let near = self.summons.take().unwrap_or(near);
        if let Some(door) = self.doors.take_near(near, me) {
            return (Command::Receive(door), self.rested());
        }
        self.idle.push(me);
        (Command::Park, self.rested())
    }

    /// A busy worker takes another job, if one waits.
    pub(crate) fn next_job(&mut self) -> (Option<J>, Calls<J>) {
        let mut calls = Calls::NONE;
        let job = self.take_job();
        if job.is_some() {
            self.begin(false, &mut calls);
        }
        (job, calls)
    }

    /// Whether a worker that asks now would be told anything but to park.
    pub(crate) fn has_work(&mut self) -> bool {
        self.drop_done();
        self.phase != Phase::Serving || !self.waiting.is_empty() || self.doors.has_open()
    }

    /// A busy worker gives these jobs back, as something waits in them again.
    pub(crate) fn give_back(&mut self, jobs: impl IntoIterator<Item = J>, busy: usize) -> Calls<J> {
        self.enqueue(jobs);
        self.wake_helper(busy)
    }

    /// The worker at the door has received these jobs, the first time in a while
    /// or `often`.
    pub(crate) fn received(
        &mut self,
        me: WorkerId,
        door: DoorId,
        jobs: impl IntoIterator<Item = J>,
        plan: Plan,
        often: bool,
    ) -> (Command<J>, Calls<J>) {
        debug_assert!(self.doors.is_held_by(door, me), "received at its door");
        if self.phase == Phase::Closed {
            self.leave(door);
            return (Command::Leave, Calls::NONE);
        }
        self.traffic = self.traffic.saturating_add(1);
        let mut jobs = jobs.into_iter().peekable();
        let is_private = matches!(plan, Plan::Inline | Plan::Relayed)
            && jobs.peek().is_some_and(|job| !job.is_exclusive());
        let own = if is_private { jobs.next() } else { None };
        self.enqueue(jobs);
        let mut calls = match plan {
            Plan::Inline => Calls::NONE,
            Plan::Relayed => {
                self.leave(door);
                self.fill_door(door)
            }
            // The worker itself is about to be busy.
            Plan::Shared { busy } => self.wake_helper(busy.saturating_sub(1)),
            Plan::Dispatched => self.wake_helper(usize::MAX),
        };
        let stays =
            plan == Plan::Dispatched && self.phase == Phase::Serving && self.has_helpers_enough();
        self.begin(often, &mut calls);
        if stays {
            return (Command::Receive(door), calls);
        }
        if plan != Plan::Relayed {
            self.leave(door);
        }
        let own = own.or_else(|| self.take_job());
        (own.map_or(Command::Search, Command::Work), calls)
    }

    /// The worker at the door has heard the waker, or must leave it for another reason.
    pub(crate) fn leave_door(
        &mut self,
        me: WorkerId,
        door: DoorId,
        busy: usize,
    ) -> (Command<J>, Calls<J>) {
        debug_assert!(self.doors.is_held_by(door, me), "it leaves its door");
        self.leave(door);
        self.next(me, door, busy)
    }

    /// The worker at the door begins to sort what it has received, which may take
    /// its time: the supervisor is to see that.
    pub(crate) fn sorts(&mut self) -> Calls<J> {
        let mut calls = Calls::NONE;
        self.begin(false, &mut calls);
        calls
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

    /// A worker is gone, its last act, and gives back the job that it was in.
    /// The supervisor is told, as it may have to be replaced.
    pub(crate) fn gone(&mut self, me: WorkerId, retired: bool, job: Option<J>) -> Calls<J> {
        debug_assert!(!self.idle.contains(&me), "who parks is not gone");
        self.arrive(me);
        self.has_moved = true;
        if let Some(door) = self.doors.of(me) {
            self.leave(door);
        }
        self.workers -= 1;
        self.retiring -= usize::from(retired);
        self.vacant.push(me);
        let left = job.filter(|job| job.unclaimed() > 0 && !self.waiting.contains(job));
        self.enqueue(left);
        let mut calls = self.hand_out();
        if retired && self.phase == Phase::Serving {
            return calls;
        }
        self.supervisor = Supervisor::Awake;
        calls.supervisor = true;
        calls
    }

    /// Workers that exist.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Workers that neither park nor wait at a door.
    pub(crate) fn busy(&self) -> usize {
        self.workers - self.idle.len() - self.doors.held()
    }

    /// Workers that park.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
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
        self.traffic = 0;
    }

    /// The jobs that wait, for a world in which others claim from them.
    #[cfg(test)]
    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut J> {
        self.waiting.iter_mut()
    }

    fn has_undone(&self) -> bool {
        !self.waiting.is_empty() || (self.phase == Phase::Serving && self.doors.has_open())
    }

    /// Whether what waits finds as many helpers, idle or on their way.
    fn has_helpers_enough(&self) -> bool {
        let helpers = self.idle.len() + usize::from(self.searching.is_some());
        let unclaimed = |job: &J| {
            if job.is_exclusive() {
                1
            } else {
                job.unclaimed()
            }
        };
        self.waiting.iter().map(unclaimed).sum::<usize>() <= helpers
    }

    /// Wakes one worker to search, if none is on its way and fewer than `limit`
    /// are busy.
    fn wake_helper(&mut self, limit: usize) -> Calls<J> {
        if self.searching.is_some() || self.waiting.is_empty() || self.busy() >= limit {
            return Calls::NONE;
        }
        let Some(helper) = self.idle.pop() else {
            return Calls::NONE;
        };
        self.searching = Some(helper);
        Calls::wake(helper, Command::Search)
    }

    /// A worker is here: it is not on its way any more.
    fn arrive(&mut self, me: WorkerId) {
        if self.searching == Some(me) {
            self.searching = None;
        }
    }

    /// A job that waits.
    fn take_job(&mut self) -> Option<J> {
        self.drop_done();
        let job = self.waiting.front()?;
        self.taken += 1;
        if job.is_exclusive() {
            self.waiting.pop_front()
        } else {
            Some(job.clone())
        }
    }

    /// Puts jobs where they wait for a worker.
    fn enqueue(&mut self, jobs: impl IntoIterator<Item = J>) {
        if self.phase != Phase::Closed {
            self.waiting.extend(jobs);
        }
    }

    /// Somebody begins to handle what was received: if the supervisor sleeps, its
    /// timer is to be armed, or it is woken if this is `often`.
    fn begin(&mut self, often: bool, calls: &mut Calls<J>) {
        self.has_moved = true;
        if self.supervisor == Supervisor::Asleep {
            if often {
                self.supervisor = Supervisor::Awake;
                calls.supervisor = true;
            } else {
                self.supervisor = Supervisor::TimerArmed;
                calls.timer = true;
            }
        }
    }

    /// A worker has come to rest: if all have, the supervisor is not needed.
    fn rested(&mut self) -> Calls<J> {
        let mut calls = Calls::NONE;
        if self.supervisor == Supervisor::TimerArmed && self.busy() == 0 {
            self.supervisor = Supervisor::Asleep;
            calls.timer = true;
        }
        calls.supervisor = self.is_drained();
        calls
    }

    /// Forgets jobs of which nothing is unclaimed.
    fn drop_done(&mut self) {
        while self
            .waiting
            .front()
            .is_some_and(|job| !job.is_exclusive() && job.unclaimed() == 0)
        {
            self.waiting.pop_front();
        }
    }

    fn leave(&mut self, door: DoorId) {
        self.doors.leave(door, self.phase != Phase::Serving);
    }
}
