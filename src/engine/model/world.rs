//! The small world around the protocol.

use super::Model;
use crate::engine::protocol::{self, Calls, Command, DoorId, Plan, Protocol, WakeDoors, WorkerId};

/// Names a batch.
pub(super) type BatchId = usize;

/// A batch as the protocol knows it. How much of it is unclaimed is copied here
/// after each step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) batch: BatchId,
    pub(super) unclaimed: u8,
}

impl protocol::Job for Job {
    fn unclaimed(&self) -> usize {
        self.unclaimed.into()
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) doors: usize,
    pub(super) min: usize,
    pub(super) max: usize,
    /// Datagrams that arrive in all.
    pub(super) arrivals: u8,
    /// Datagrams that one receive returns at most.
    pub(super) batch: u8,
    /// Handlers that get stuck at most.
    pub(super) stuck: usize,
    /// Workers that panic at most.
    pub(super) deaths: usize,
    pub(super) stops: bool,
    pub(super) retires: bool,
}

/// What a worker is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Absent,
    AskNext,
    /// At this door: to look whether the server stops.
    Door(DoorId),
    /// To receive what is there.
    Receiving(DoorId),
    /// Blocked until there is something to receive, or until it is woken.
    Waiting(DoorId),
    /// Has been woken, or saw the stop: to leave the door.
    Heard(DoorId),
    /// Has received this batch: to say so.
    Received(DoorId, BatchId),
    /// To claim from this batch.
    Claim(BatchId),
    Handling(BatchId),
    Stuck(BatchId),
    /// Waits at the mailbox; whether it may time out.
    Parked(bool),
    /// On its way out; whether for being idle, and with which batch in hand.
    Leaving(bool, Option<BatchId>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Supervisor {
    Awake,
    Asleep,
    Draining,
    Closing,
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) protocol: Protocol<Job>,
    pub(super) stages: Vec<Stage>,
    pub(super) mail: Vec<Option<Command<Job>>>,
    /// Calls that an actor has still to make, the supervisor and whoever stops last.
    pub(super) calls: Vec<Calls<Job>>,
    /// Parked workers that the supervisor has still to send home.
    pub(super) dismissals: Vec<WorkerId>,
    pub(super) unclaimed: Vec<u8>,
    /// The door that each worker was at last.
    pub(super) near: Vec<DoorId>,
    pub(super) wakers: Vec<bool>,
    pub(super) token: bool,
    /// Whether the supervisor's timer is set: then it may fire at any moment.
    pub(super) timer: bool,
    pub(super) supervisor: Supervisor,
    /// What its last look saw.
    pub(super) left_alone: Option<usize>,
    pub(super) arriving: u8,
    /// Datagrams that wait at each door.
    pub(super) kernel: Vec<u8>,
    pub(super) handled: u8,
    pub(super) stuck: usize,
    pub(super) dead: usize,
    pub(super) stop_called: bool,
}

impl Model for World {
    type Bounds = Bounds;

    fn first(bounds: Bounds) -> Self {
        let mut protocol = Protocol::new(bounds.doors, bounds.min, bounds.max);
        let mut stages = vec![Stage::Absent; bounds.max];
        for _ in 0..bounds.min {
            let worker = protocol.hire().expect("room for the first");
            stages[worker] = Stage::AskNext;
        }
        Self {
            protocol,
            stages,
            mail: vec![None; bounds.max],
            calls: vec![Calls::NONE; bounds.max + 2],
            dismissals: Vec::new(),
            unclaimed: vec![0; bounds.max + usize::from(bounds.arrivals)],
            near: (0..bounds.max).map(|me| me % bounds.doors).collect(),
            wakers: vec![false; bounds.doors],
            token: false,
            timer: false,
            supervisor: Supervisor::Awake,
            left_alone: None,
            arriving: bounds.arrivals,
            kernel: vec![0; bounds.doors],
            handled: 0,
            stuck: 0,
            dead: 0,
            stop_called: false,
        }
    }

    /// All worlds that one step leads to.
    fn successors(&self, bounds: Bounds) -> Vec<Self> {
        let mut worlds = Vec::new();
        self.environment_steps(bounds, &mut worlds);
        for worker in 0..bounds.max {
            if !self.deliver_steps(worker, &mut worlds) {
                self.worker_steps(worker, bounds, &mut worlds);
            }
        }
        let stopper = bounds.max + 1;
        self.deliver_steps(stopper, &mut worlds);
        if !self.deliver_steps(bounds.max, &mut worlds) {
            self.supervisor_steps(bounds, &mut worlds);
        }
        for world in &mut worlds {
            for job in world.protocol.waiting_mut() {
                job.unclaimed = world.unclaimed[job.batch];
            }
            world.protocol.normalize();
        }
        worlds
    }

    /// What must hold always.
    fn check(&self) {
        for door in 0..self.kernel.len() {
            let is_there = |stage: &&Stage| {
                [
                    Stage::Door(door),
                    Stage::Receiving(door),
                    Stage::Waiting(door),
                    Stage::Heard(door),
                ]
                .contains(stage)
                    || matches!(stage, Stage::Received(at, _) if *at == door)
            };
            let at_door = self.stages.iter().filter(is_there).count();
            assert!(at_door <= 1, "{at_door} workers at door {door}: {self:#?}");
        }
    }

    /// What must hold when nothing moves any more.
    fn check_at_rest(&self, bounds: Bounds) {
        let free = bounds.max - self.stuck;
        if self.stop_called {
            assert_eq!(self.supervisor, Supervisor::Gone, "never ends: {self:#?}");
            assert_eq!(
                self.protocol.workers(),
                self.stuck,
                "left behind: {self:#?}"
            );
        } else if free > 0 {
            let unread: u8 = self.kernel.iter().sum();
            assert_eq!(unread, 0, "nobody receives: {self:#?}");
            let unclaimed: u8 = self.unclaimed.iter().sum();
            assert_eq!(unclaimed, 0, "nobody rescues: {self:#?}");
            assert_eq!(
                usize::from(self.handled) + self.stuck,
                usize::from(bounds.arrivals),
                "every datagram is handled exactly once: {self:#?}"
            );
        }
    }
}

impl World {
    fn environment_steps(&self, bounds: Bounds, worlds: &mut Vec<Self>) {
        for door in 0..bounds.doors {
            if self.arriving > 0 {
                let mut world = self.clone();
                world.arriving -= 1;
                world.kernel[door] += 1;
                worlds.push(world);
            }
        }
        if bounds.stops && !self.stop_called {
            let mut world = self.clone();
            world.stop_called = true;
            world.calls[bounds.max + 1] = world.protocol.stop();
            worlds.push(world);
        }
    }

    /// Makes one of an actor's pending calls; whether there was one.
    fn deliver_steps(&self, actor: usize, worlds: &mut Vec<Self>) -> bool {
        let pending = &self.calls[actor];
        let mut world = self.clone();
        if let Some((worker, command)) = pending.wake.clone() {
            assert!(self.mail[worker].is_none(), "mailbox overflow: {self:#?}");
            world.mail[worker] = Some(command);
            world.calls[actor].wake = None;
        } else if pending.supervisor {
            world.token = true;
            world.calls[actor].supervisor = false;
        } else if pending.timer {
            world.timer = self.protocol.wants_timer();
            world.calls[actor].timer = false;
        } else {
            match pending.doors {
                WakeDoors::None => return false,
                WakeDoors::At(door) => world.wakers[door] = true,
                WakeDoors::All => world.wakers.fill(true),
            }
            world.calls[actor].doors = WakeDoors::None;
        }
        worlds.push(world);
        true
    }

    fn obey(&mut self, worker: WorkerId, command: Command<Job>) {
        self.stages[worker] = match command {
            Command::Receive(door) => {
                self.near[worker] = door;
                Stage::Door(door)
            }
            Command::Work(job) => Stage::Claim(job.batch),
            Command::Search => Stage::AskNext,
            Command::Park => Stage::Parked(self.protocol.has_spare()),
            Command::Leave => Stage::Leaving(false, None),
        };
    }

    /// A batch that nobody is in and nobody waits for.
    fn free_batch(&self) -> BatchId {
        let is_used = |batch: BatchId| {
            self.unclaimed[batch] > 0
                || self.stages.iter().any(|stage| stage.batch() == Some(batch))
        };
        let mut batches = 0..self.unclaimed.len();
        batches
            .find(|batch| !is_used(*batch))
            .expect("enough of them")
    }

    /// A worker panics, wherever it is.
    fn die(&self, me: WorkerId, worlds: &mut Vec<Self>) {
        let mut world = self.clone();
        match self.stages[me] {
            Stage::AskNext | Stage::Door(_) | Stage::Receiving(_) | Stage::Heard(_) => {}
            Stage::Claim(_) => {}
            Stage::Handling(_) => world.handled += 1,
            _ => return,
        }
        world.dead += 1;
        world.stages[me] = Stage::Leaving(false, self.stages[me].batch());
        worlds.push(world);
    }

    fn worker_steps(&self, me: WorkerId, bounds: Bounds, worlds: &mut Vec<Self>) {
        if self.dead < bounds.deaths {
            self.die(me, worlds);
        }
        let mut world = self.clone();
        match self.stages[me] {
            Stage::Absent | Stage::Stuck(_) => return,
            Stage::AskNext => {
                for busy in [1, usize::MAX] {
                    let mut world = self.clone();
                    let (command, calls) = world.protocol.next(me, self.near[me], busy);
                    world.calls[me] = calls;
                    world.obey(me, command);
                    worlds.push(world);
                }
                return;
            }
            Stage::Door(door) => world.stages[me] = Stage::Receiving(door),
            Stage::Receiving(door) => {
                let count = self.kernel[door].min(bounds.batch);
                world.stages[me] = if count > 0 {
                    let batch = self.free_batch();
                    world.kernel[door] -= count;
                    world.unclaimed[batch] = count;
                    Stage::Received(door, batch)
                } else {
                    Stage::Waiting(door)
                };
            }
            Stage::Waiting(door) if self.wakers[door] => {
                world.wakers[door] = false;
                world.stages[me] = Stage::Heard(door);
            }
            Stage::Waiting(door) if self.kernel[door] > 0 => {
                world.stages[me] = Stage::Receiving(door);
            }
            Stage::Waiting(_) => return,
            Stage::Heard(door) => {
                let (command, calls) = world.protocol.leave_door(me, door, usize::MAX);
                world.calls[me] = calls;
                world.obey(me, command);
            }
            Stage::Received(door, batch) => {
                for plan in [
                    Plan::Inline,
                    Plan::Relayed,
                    Plan::Shared { busy: 2 },
                    Plan::Dispatched,
                ] {
                    for often in [plan == Plan::Inline, false] {
                        let mut world = self.clone();
                        let job = Job {
                            batch,
                            unclaimed: self.unclaimed[batch],
                        };
                        let (command, calls) =
                            world.protocol.received(me, door, [job], plan, often);
                        world.calls[me] = calls;
                        world.obey(me, command);
                        worlds.push(world);
                    }
                }
                return;
            }
            Stage::Claim(job) => {
                if self.unclaimed[job] == 0 {
                    world.stages[me] = Stage::AskNext;
                } else {
                    world.unclaimed[job] -= 1;
                    world.stages[me] = Stage::Handling(job);
                }
            }
            Stage::Handling(job) => {
                if self.stuck < bounds.stuck {
                    let mut stuck = self.clone();
                    stuck.stuck += 1;
                    stuck.stages[me] = Stage::Stuck(job);
                    worlds.push(stuck);
                }
                world.handled += 1;
                world.stages[me] = Stage::Claim(job);
            }
            Stage::Parked(may_time_out) => {
                if let Some(command) = world.mail[me].take() {
                    world.obey(me, command);
                    worlds.push(world.clone());
                }
                if !may_time_out || !bounds.retires {
                    return;
                }
                world = self.clone();
                world.stages[me] = if world.protocol.retire(me) {
                    Stage::Leaving(true, None)
                } else {
                    Stage::Parked(false)
                };
            }
            Stage::Leaving(retired, batch) => {
                world.stages[me] = Stage::Absent;
                let job = batch.map(|batch| Job {
                    batch,
                    unclaimed: self.unclaimed[batch],
                });
                world.calls[me] = world.protocol.gone(me, retired, job);
            }
        }
        worlds.push(world);
    }
}

impl Stage {
    /// The batch that a worker is in.
    fn batch(self) -> Option<BatchId> {
        match self {
            Self::Received(_, batch)
            | Self::Claim(batch)
            | Self::Handling(batch)
            | Self::Stuck(batch)
            | Self::Leaving(_, Some(batch)) => Some(batch),
            _ => None,
        }
    }
}
