//! The small world around the protocol.

use super::Model;
use crate::engine::protocol::{Assistance, Bell, Calls, DoorId, Order, Protocol, Rest, WorkerId};

/// A batch is known by the worker that received it.
type Job = WorkerId;

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
    pub(super) stops: bool,
    pub(super) retires: bool,
}

/// What a worker is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Absent,
    AskNext,
    /// At this door: to look whether the server stops.
    Door(DoorId),
    /// To receive what is there.
    Receiving(DoorId),
    /// Blocked until there is something to receive, or the bell rings.
    Waiting(DoorId),
    /// Has silenced the bell, or saw the stop: to leave the door.
    Heard(DoorId),
    /// Has received: to say so.
    Received(DoorId),
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
    /// The door that each worker was at last.
    near: Vec<DoorId>,
    bells: Vec<bool>,
    token: bool,
    supervisor: Supervisor,
    arriving: u8,
    /// Datagrams that wait at each door.
    kernel: Vec<u8>,
    handled: u8,
    stuck: usize,
    stop_called: bool,
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
            unclaimed: vec![0; bounds.max],
            near: (0..bounds.max).map(|me| me % bounds.doors).collect(),
            bells: vec![false; bounds.doors],
            token: false,
            supervisor: Supervisor::Awake,
            arriving: bounds.arrivals,
            kernel: vec![0; bounds.doors],
            handled: 0,
            stuck: 0,
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
                    Stage::Received(door),
                ]
                .contains(stage)
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
        if let Some((worker, order)) = pending.wake.clone() {
            assert!(self.mail[worker].is_none(), "mailbox overflow: {self:#?}");
            world.mail[worker] = Some(order);
            world.calls[actor].wake = None;
        } else if pending.supervisor {
            world.token = true;
            world.calls[actor].supervisor = false;
        } else {
            match pending.bell {
                Bell::Silent => return false,
                Bell::At(door) => world.bells[door] = true,
                Bell::AtAll => world.bells.fill(true),
            }
            world.calls[actor].bell = Bell::Silent;
        }
        worlds.push(world);
        true
    }

    fn obey(&mut self, worker: WorkerId, order: Order<Job>) {
        self.stages[worker] = match order {
            Order::Receive(door) => {
                self.near[worker] = door;
                Stage::Door(door)
            }
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
                let (order, calls) = world.protocol.next(me, self.near[me]);
                world.calls[me] = calls;
                world.obey(me, order);
            }
            Stage::Door(door) => {
                world.stages[me] = if self.protocol.is_stopping() {
                    Stage::Heard(door)
                } else {
                    Stage::Receiving(door)
                };
            }
            Stage::Receiving(door) => {
                let count = self.kernel[door].min(bounds.batch);
                world.kernel[door] -= count;
                world.unclaimed[me] += count;
                world.stages[me] = if count > 0 {
                    Stage::Received(door)
                } else {
                    Stage::Waiting(door)
                };
            }
            Stage::Waiting(door) if self.bells[door] => {
                world.bells[door] = false;
                world.stages[me] = Stage::Heard(door);
            }
            Stage::Waiting(door) if self.kernel[door] > 0 => {
                world.stages[me] = Stage::Receiving(door);
            }
            Stage::Waiting(_) => return,
            Stage::Heard(door) => {
                let (order, calls) = world.protocol.leave_door(me, door);
                world.calls[me] = calls;
                world.obey(me, order);
            }
            Stage::Received(door) => {
                for assistance in [
                    Assistance::Nobody,
                    Assistance::AtTheDoor,
                    Assistance::WithBatch(me),
                ] {
                    let mut world = self.clone();
                    world.calls[me] = world.protocol.received(me, door, assistance);
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
                let is_late = self.stuck > 0 && self.protocol.doors_are_closed();
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
        for (door, pending) in self.kernel.iter().enumerate() {
            if self.protocol.open_since(door).is_none() {
                continue;
            }
            let mut world = self.clone();
            world.calls[me] = world.protocol.fill_door(door);
            worlds.push(world);
            if *pending > 0 {
                let mut world = self.clone();
                world.calls[me] = world.protocol.summon(door);
                worlds.push(world);
            }
        }
        if self.protocol.has_waiting() {
            let mut world = self.clone();
            world.calls[me] = world.protocol.hand_out();
            worlds.push(world);
        }
        let pending: u8 = self.kernel.iter().sum();
        let undone = self.protocol.has_waiting() || pending > 0;
        if self.protocol.lacks_workers() && undone {
            let mut world = self.clone();
            if let Some(worker) = world.protocol.hire() {
                world.stages[worker] = Stage::AskNext;
                worlds.push(world);
            }
        }
    }
}
