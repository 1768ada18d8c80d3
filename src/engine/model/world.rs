//! The small world around the protocol.

use crate::engine::protocol::{Assistance, Calls, Order, Protocol, Rest, WorkerId};

/// A batch is known by the worker that received it.
type Job = WorkerId;

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) min: usize,
    pub(super) max: usize,
    /// Datagrams that arrive in all.
    pub(super) arrivals: u8,
    /// Datagrams that one receive returns at most.
    pub(super) batch: u8,
    /// Handlers that get stuck at most.
    pub(super) stuck: usize,
    pub(super) stops: bool,
    pub(super) retires: bool,
}

/// What a worker is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Absent,
    AskNext,
    /// At the door: to look whether the server stops.
    Door,
    /// To receive what is there.
    Receiving,
    /// Blocked until there is something to receive, or the bell rings.
    Waiting,
    /// Has silenced the bell, or saw the stop: to leave the door.
    Heard,
    /// Has received: to say so.
    Received,
    /// To claim from this batch.
    Claim(Job),
    Handling(Job),
    Stuck(Job),
    /// Waits at the mailbox; whether it may time out.
    Parked(bool),
    /// On its way out; whether for being idle.
    Leaving(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Supervisor {
    Awake,
    Asleep,
    Draining,
    Closing,
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    protocol: Protocol<Job>,
    stages: Vec<Stage>,
    mail: Vec<Option<Order<Job>>>,
    /// Calls that an actor has still to make, the supervisor and whoever stops last.
    calls: Vec<Calls<Job>>,
    /// Parked workers that the supervisor has still to send home.
    dismissals: Vec<WorkerId>,
    unclaimed: Vec<u8>,
    bell: bool,
    token: bool,
    supervisor: Supervisor,
    arriving: u8,
    kernel: u8,
    handled: u8,
    stuck: usize,
    stop_called: bool,
}

impl World {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut protocol = Protocol::new(bounds.min, bounds.max);
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
            unclaimed: vec![0; bounds.max],
            bell: false,
            token: false,
            supervisor: Supervisor::Awake,
            arriving: bounds.arrivals,
            kernel: 0,
            handled: 0,
            stuck: 0,
            stop_called: false,
        }
    }

    /// All worlds that one step leads to.
    pub(super) fn successors(&self, bounds: Bounds) -> Vec<Self> {
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
            world.protocol.normalize();
        }
        worlds
    }

    fn environment_steps(&self, bounds: Bounds, worlds: &mut Vec<Self>) {
        if self.arriving > 0 {
            let mut world = self.clone();
            world.arriving -= 1;
            world.kernel += 1;
            worlds.push(world);
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
        if let Some((worker, order)) = pending.wake.clone() {
            assert!(self.mail[worker].is_none(), "mailbox overflow: {self:#?}");
            world.mail[worker] = Some(order);
            world.calls[actor].wake = None;
        } else if pending.supervisor {
            world.token = true;
            world.calls[actor].supervisor = false;
        } else if pending.bell {
            world.bell = true;
            world.calls[actor].bell = false;
        } else {
            return false;
        }
        worlds.push(world);
        true
    }

    fn obey(&mut self, worker: WorkerId, order: Order<Job>) {
        self.stages[worker] = match order {
            Order::Receive => Stage::Door,
            Order::Work(job) => Stage::Claim(job),
            Order::Park => Stage::Parked(self.protocol.has_spare()),
            Order::Leave => Stage::Leaving(false),
        };
    }

    fn worker_steps(&self, me: WorkerId, bounds: Bounds, worlds: &mut Vec<Self>) {
        let mut world = self.clone();
        match self.stages[me] {
            Stage::Absent | Stage::Stuck(_) => return,
            Stage::AskNext => {
                let (order, calls) = world.protocol.next(me);
                world.calls[me] = calls;
                world.obey(me, order);
            }
            Stage::Door => {
                world.stages[me] = if self.protocol.is_stopping() {
                    Stage::Heard
                } else {
                    Stage::Receiving
                };
            }
            Stage::Receiving => {
                let count = self.kernel.min(bounds.batch);
                world.kernel -= count;
                world.unclaimed[me] += count;
                world.stages[me] = if count > 0 {
                    Stage::Received
                } else {
                    Stage::Waiting
                };
            }
            Stage::Waiting if self.bell => {
                world.bell = false;
                world.stages[me] = Stage::Heard;
            }
            Stage::Waiting if self.kernel > 0 => world.stages[me] = Stage::Receiving,
            Stage::Waiting => return,
            Stage::Heard => {
                let (order, calls) = world.protocol.leave_door(me);
                world.calls[me] = calls;
                world.obey(me, order);
            }
            Stage::Received => {
                for assistance in [
                    Assistance::Nobody,
                    Assistance::AtTheDoor,
                    Assistance::WithBatch(me),
                ] {
                    let mut world = self.clone();
                    world.calls[me] = world.protocol.received(me, assistance);
                    world.stages[me] = Stage::Claim(me);
                    worlds.push(world);
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
                if let Some(order) = world.mail[me].take() {
                    world.obey(me, order);
                    worlds.push(world.clone());
                }
                if !may_time_out || !bounds.retires {
                    return;
                }
                world = self.clone();
                world.stages[me] = if world.protocol.retire(me) {
                    Stage::Leaving(true)
                } else {
                    Stage::Parked(false)
                };
            }
            Stage::Leaving(retired) => {
                world.stages[me] = Stage::Absent;
                world.calls[me] = world.protocol.gone(me, retired);
            }
        }
        worlds.push(world);
    }

    fn supervisor_steps(&self, bounds: Bounds, worlds: &mut Vec<Self>) {
        let me = bounds.max;
        let mut world = self.clone();
        match self.supervisor {
            Supervisor::Gone => {}
            Supervisor::Asleep => {
                if world.token {
                    world.token = false;
                    world.protocol.awake();
                    world.supervisor = Supervisor::Awake;
                    worlds.push(world);
                }
            }
            Supervisor::Awake => {
                if self.protocol.is_stopping() {
                    world.supervisor = Supervisor::Draining;
                    worlds.push(world);
                    return;
                }
                self.look_steps(me, worlds);
                for is_settled in [true, false] {
                    let mut world = self.clone();
                    if world.protocol.doze(is_settled) == Rest::Deep {
                        world.supervisor = Supervisor::Asleep;
                    }
                    worlds.push(world);
                }
            }
            Supervisor::Draining => {
                // The deadline may pass only while somebody is stuck.
                let is_late = self.stuck > 0 && self.protocol.door_is_closed();
                if self.protocol.is_drained() || is_late {
                    world.dismissals = world.protocol.close();
                    world.unclaimed.fill(0);
                    world.supervisor = Supervisor::Closing;
                    worlds.push(world);
                }
                self.look_steps(me, worlds);
            }
            Supervisor::Closing => {
                if let Some(worker) = world.dismissals.pop() {
                    assert!(self.mail[worker].is_none(), "mailbox overflow: {self:#?}");
                    world.mail[worker] = Some(Order::Leave);
                    worlds.push(world);
                } else if self.protocol.workers() == self.stuck {
                    world.supervisor = Supervisor::Gone;
                    worlds.push(world);
                }
            }
        }
    }

    /// What a look may do: each of its parts by itself, at any moment.
    fn look_steps(&self, me: usize, worlds: &mut Vec<Self>) {
        for stage in &self.stages {
            let (Stage::Claim(job) | Stage::Handling(job) | Stage::Stuck(job)) = *stage else {
                continue;
            };
            if self.unclaimed[job] > 0 {
                let mut world = self.clone();
                world.calls[me] = world.protocol.assist(job);
                worlds.push(world);
            }
        }
        if self.protocol.open_since().is_some() {
            let mut world = self.clone();
            world.calls[me] = world.protocol.fill_door();
            worlds.push(world);
        }
        let undone = self.protocol.has_rescue() || self.kernel > 0;
        if self.protocol.lacks_workers() && undone {
            let mut world = self.clone();
            if let Some(worker) = world.protocol.hire() {
                world.stages[worker] = Stage::AskNext;
                worlds.push(world);
            }
        }
    }

    /// What must hold always.
    pub(super) fn check(&self) {
        let at_door = |stage: &&Stage| {
            matches!(
                stage,
                Stage::Door | Stage::Receiving | Stage::Waiting | Stage::Heard | Stage::Received
            )
        };
        let at_door = self.stages.iter().filter(at_door).count();
        assert!(at_door <= 1, "{at_door} workers at the door: {self:#?}");
    }

    /// What must hold when nothing moves any more.
    pub(super) fn check_at_rest(&self, bounds: Bounds) {
        let free = bounds.max - self.stuck;
        if self.stop_called {
            assert_eq!(self.supervisor, Supervisor::Gone, "never ends: {self:#?}");
            assert_eq!(
                self.protocol.workers(),
                self.stuck,
                "left behind: {self:#?}"
            );
        } else if free > 0 {
            assert_eq!(self.kernel, 0, "nobody receives: {self:#?}");
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
