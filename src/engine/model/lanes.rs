//! The small world around lanes: the protocol's transitions and those of a
//! lane's turn, together with what `lane_work.rs` does between them.
//!
//! Datagrams are numbered by lane. A reply is sent when the outbox is flushed:
//! until then it waits with the worker that handled its datagram.

use super::Model;
use crate::engine::lanes::Turn;
use crate::engine::protocol::{self, Calls, Command, Plan, Protocol, Rest, WakeDoors, WorkerId};

type LaneId = usize;

/// A lane that waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job(LaneId);

impl protocol::Job for Job {
    fn unclaimed(&self) -> usize {
        1
    }

    fn is_exclusive(&self) -> bool {
        true
    }
}

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) workers: usize,
    pub(super) lanes: usize,
    /// Datagrams that arrive in all.
    pub(super) arrivals: u8,
    /// Datagrams that one receive returns at most.
    pub(super) batch: usize,
    /// Handlers that get stuck at most.
    pub(super) stuck: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    AskNext,
    Receiving,
    Waiting,
    Heard,
    /// Has received these: to put them into their lanes, one by one.
    Sorting(Vec<LaneId>),
    /// To take what waits in this lane.
    Take(LaneId),
    /// Has so many datagrams of this lane left to handle.
    Handling(LaneId, u8),
    Stuck(LaneId),
    /// To ask for another lane.
    NextLane,
    /// Has sent the replies: to let go of lanes.
    LetGo,
    Parked,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Lane {
    turn: Turn,
    /// Datagrams put in, handled and answered so far.
    put: u8,
    handled: u8,
    answered: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    protocol: Protocol<Job>,
    stages: Vec<Stage>,
    mail: Vec<Option<Command<Job>>>,
    /// Calls that an actor has still to make, the supervisor last.
    calls: Vec<Calls<Job>>,
    /// What each worker has sorted out to be handed on.
    ready: Vec<Vec<Job>>,
    /// What each worker keeps hold of.
    held: Vec<Vec<LaneId>>,
    /// Replies not sent yet: lane and number.
    outbox: Vec<Vec<(LaneId, u8)>>,
    waker: bool,
    token: bool,
    timer: bool,
    left_alone: Option<usize>,
    /// Whether a worker sends each reply at once: it is left alone.
    is_eager: Vec<bool>,
    is_asleep: bool,
    lanes: Vec<Lane>,
    arriving: u8,
    kernel: Vec<LaneId>,
    stuck: usize,
}

impl Model for World {
    type Bounds = Bounds;

    fn first(bounds: Bounds) -> Self {
        let mut protocol = Protocol::new(1, bounds.workers, bounds.workers);
        for worker in 0..bounds.workers {
            assert_eq!(protocol.hire(), Some(worker), "room for all");
        }
        Self {
            protocol,
            stages: vec![Stage::AskNext; bounds.workers],
            mail: vec![None; bounds.workers],
            calls: vec![Calls::NONE; bounds.workers + 1],
            ready: vec![Vec::new(); bounds.workers],
            held: vec![Vec::new(); bounds.workers],
            outbox: vec![Vec::new(); bounds.workers],
            waker: false,
            token: false,
            timer: false,
            left_alone: None,
            is_eager: vec![false; bounds.workers],
            is_asleep: false,
            lanes: vec![Lane::default(); bounds.lanes],
            arriving: bounds.arrivals,
            kernel: Vec::new(),
            stuck: 0,
        }
    }

    /// All worlds that one step leads to.
    fn successors(&self, bounds: Bounds) -> Vec<Self> {
        let mut worlds = Vec::new();
        for lane in 0..bounds.lanes {
            if self.arriving > 0 {
                let mut world = self.clone();
                world.arriving -= 1;
                world.kernel.push(lane);
                worlds.push(world);
            }
        }
        for worker in 0..bounds.workers {
            if !self.deliver(worker, &mut worlds) {
                self.worker_steps(worker, bounds, &mut worlds);
            }
        }
        if !self.deliver(bounds.workers, &mut worlds) {
            self.supervisor_steps(bounds, &mut worlds);
        }
        for world in &mut worlds {
            world.protocol.normalize();
        }
        worlds
    }

    /// What must hold always.
    fn check(&self) {
        for id in 0..self.lanes.len() {
            let is_in = |stage: &&Stage| matches!(stage, Stage::Handling(lane, _) | Stage::Stuck(lane) if *lane == id);
            let workers = self.stages.iter().filter(is_in).count();
            assert!(workers <= 1, "{workers} workers in lane {id}: {self:#?}");
        }
    }

    /// What must hold when nothing moves any more.
    fn check_at_rest(&self, _bounds: Bounds) {
        if self.stuck == self.stages.len() {
            return;
        }
        assert!(self.kernel.is_empty(), "nobody receives: {self:#?}");
        for (id, lane) in self.lanes.iter().enumerate() {
            let is_stuck = self.stages.contains(&Stage::Stuck(id));
            let done = (lane.handled, lane.answered) == (lane.put, lane.put);
            assert!(done || is_stuck, "lane {id} was left: {self:#?}");
            assert_eq!(lane.answered, lane.handled, "not answered: {self:#?}");
        }
    }
}

impl World {
    /// Makes one of an actor's pending calls; whether there was one.
    fn deliver(&self, actor: usize, worlds: &mut Vec<Self>) -> bool {
        let mut world = self.clone();
        let pending = &mut world.calls[actor];
        if let Some((worker, command)) = pending.wake.take() {
            assert!(self.mail[worker].is_none(), "mailbox overflow: {self:#?}");
            world.mail[worker] = Some(command);
        } else if std::mem::take(&mut pending.timer) {
            world.timer = self.protocol.wants_timer();
        } else if std::mem::take(&mut pending.supervisor) {
            world.token = true;
        } else if std::mem::replace(&mut pending.doors, WakeDoors::None) != WakeDoors::None {
            world.waker = true;
        } else {
            return false;
        }
        worlds.push(world);
        true
    }

    fn obey(&mut self, me: WorkerId, command: Command<Job>) {
        self.stages[me] = match command {
            Command::Receive(_) => Stage::Receiving,
            Command::Work(Job(lane)) => Stage::Take(lane),
            Command::Search => Stage::AskNext,
            Command::Park | Command::Leave => Stage::Parked,
        };
    }

    fn worker_steps(&self, me: WorkerId, bounds: Bounds, worlds: &mut Vec<Self>) {
        let mut world = self.clone();
        match &self.stages[me] {
            Stage::Stuck(_) => return,
            Stage::AskNext => {
                assert!(self.held[me].is_empty(), "idle with lanes: {self:#?}");
                let (command, calls) = world.protocol.next(me, 0, usize::MAX);
                world.calls[me] = calls;
                world.obey(me, command);
            }
            Stage::Receiving if self.kernel.is_empty() => world.stages[me] = Stage::Waiting,
            Stage::Receiving => {
                let count = self.kernel.len().min(bounds.batch);
                world.stages[me] = Stage::Sorting(world.kernel.drain(..count).collect());
            }
            Stage::Waiting if self.waker => {
                world.waker = false;
                world.stages[me] = Stage::Heard;
            }
            Stage::Waiting if self.kernel.is_empty() => return,
            Stage::Waiting => world.stages[me] = Stage::Receiving,
            Stage::Heard => {
                let (command, calls) = world.protocol.leave_door(me, 0, usize::MAX);
                world.calls[me] = calls;
                world.obey(me, command);
            }
            Stage::Sorting(received) if received.is_empty() => {
                let ready = std::mem::take(&mut world.ready[me]);
                for plan in [
                    Plan::Inline,
                    Plan::Relayed,
                    Plan::Shared { busy: 2 },
                    Plan::Dispatched,
                ] {
                    let mut world = world.clone();
                    let (command, calls) =
                        world.protocol.received(me, 0, ready.clone(), plan, false);
                    world.calls[me] = calls;
                    world.obey(me, command);
                    worlds.push(world);
                }
                return;
            }
            Stage::Sorting(received) => {
                let (id, rest) = (received[0], received[1..].to_vec());
                world.stages[me] = Stage::Sorting(rest);
                let lane = &mut world.lanes[id];
                lane.put += 1;
                if lane.turn.put() {
                    world.ready[me].push(Job(id));
                }
            }
            Stage::Take(id) => {
                world.is_eager[me] = false;
                let count = world.lanes[*id].turn.take();
                world.stages[me] = Stage::Handling(*id, count as u8);
            }
            Stage::Handling(id, 0) => {
                world.held[me].push(*id);
                world.stages[me] = Stage::NextLane;
            }
            Stage::Handling(id, left) => {
                if self.stuck < bounds.stuck {
                    let mut stuck = self.clone();
                    stuck.stuck += 1;
                    stuck.stages[me] = Stage::Stuck(*id);
                    worlds.push(stuck);
                }
                // It notices a look of the supervisor's.
                let mut noticing = self.clone();
                noticing.flush(me);
                noticing.let_go(me, me);
                worlds.push(noticing);
                let lane = &mut world.lanes[*id];
                lane.handled += 1;
                world.outbox[me].push((*id, lane.handled));
                if self.is_eager[me] {
                    world.flush(me);
                }
                world.stages[me] = Stage::Handling(*id, left - 1);
            }
            Stage::NextLane => {
                let (job, calls) = world.protocol.next_job();
                world.calls[me] = calls;
                world.stages[me] = match job {
                    Some(Job(id)) => Stage::Take(id),
                    None => {
                        world.flush(me);
                        Stage::LetGo
                    }
                };
            }
            Stage::LetGo => {
                world.stages[me] = if world.let_go(me, me) {
                    Stage::NextLane
                } else {
                    Stage::AskNext
                };
            }
            Stage::Parked => {
                let Some(command) = world.mail[me].take() else {
                    return;
                };
                world.obey(me, command);
            }
        }
        worlds.push(world);
    }

    /// Sends a worker's replies.
    fn flush(&mut self, worker: WorkerId) {
        for (id, number) in std::mem::take(&mut self.outbox[worker]) {
            let answered = self.lanes[id].answered;
            assert_eq!(answered + 1, number, "replies out of order: {self:#?}");
            self.lanes[id].answered = number;
        }
    }

    /// Lets go of a worker's lanes; whether something waits in any.
    fn let_go(&mut self, worker: WorkerId, actor: usize) -> bool {
        let mut again = std::mem::take(&mut self.held[worker]);
        again.retain(|id| !self.lanes[*id].turn.let_go());
        let is_again = !again.is_empty();
        let jobs = again.into_iter().map(Job);
        self.calls[actor] = self.protocol.give_back(jobs, usize::MAX);
        is_again
    }

    fn supervisor_steps(&self, bounds: Bounds, worlds: &mut Vec<Self>) {
        let me = bounds.workers;
        if self.is_asleep {
            if self.token || self.timer {
                let mut world = self.clone();
                (world.token, world.timer) = (false, false);
                world.protocol.awake();
                world.is_asleep = false;
                worlds.push(world);
            }
            return;
        }
        // It begins to look. What those that are left alone have answered was sent.
        let mut world = self.clone();
        world.protocol.begin_look();
        let mut count = 0;
        let are_left_alone = self
            .stages
            .iter()
            .enumerate()
            .all(|(worker, stage)| match stage {
                Stage::Stuck(_) | Stage::Handling(..) => {
                    count += 1;
                    self.held[worker].is_empty() && self.outbox[worker].is_empty()
                }
                _ => true,
            });
        world.left_alone = are_left_alone.then_some(count);
        for (worker, stage) in self.stages.iter().enumerate() {
            let is_busy = matches!(stage, Stage::Stuck(_) | Stage::Handling(..));
            world.is_eager[worker] |= is_busy && are_left_alone;
        }
        worlds.push(world);
        let mut world = self.clone();
        world.is_asleep = world.protocol.doze(1, self.left_alone) == Rest::Deep;
        worlds.push(world);
        // A look. Anyone in a handler may seem stuck.
        for (worker, stage) in self.stages.iter().enumerate() {
            if matches!(stage, Stage::Stuck(_) | Stage::Handling(..)) {
                let mut world = self.clone();
                world.flush(worker);
                world.let_go(worker, me);
                worlds.push(world);
            }
        }
        if self.protocol.open_since(0).is_some() {
            let mut world = self.clone();
            world.calls[me] = world.protocol.fill_door(0);
            worlds.push(world);
        }
        let mut world = self.clone();
        world.calls[me] = world.protocol.hand_out();
        worlds.push(world);
    }
}
