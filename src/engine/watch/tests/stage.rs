//! A stage on which time passes as a trace says.

use std::time::Duration;

use crate::engine::protocol::{DoorId, WorkerId};
use crate::engine::watch::{Pool, Sights, Step};

/// A worker of the trace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Actor {
    pub(super) step: Option<u64>,
    pub(super) is_preparing: bool,
    pub(super) cpu: Duration,
    pub(super) is_runnable: bool,
    pub(super) unclaimed: usize,
}

/// A stage with actors, on which time passes by the millisecond.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) now: Duration,
    pub(super) actors: Vec<Actor>,
    /// Which opening of the only door this is.
    pub(super) open_since: Option<u64>,
    pub(super) has_pending: bool,
    pub(super) waiting_since: Option<u64>,
    pub(super) pool: Pool,
    pub(super) has_free_instance: bool,
    pub(super) is_dispatched: bool,
    pub(super) is_cheap: bool,
    pub(super) tells_cpu: bool,
    pub(super) asked: std::cell::Cell<usize>,
}

impl Sights for Stage {
    fn now(&self) -> Duration {
        self.now
    }

    fn worker(&self, id: WorkerId) -> Option<Step> {
        let actor = self.actors[id];
        actor.step.map(|number| Step {
            number,
            is_preparing: actor.is_preparing,
        })
    }

    fn cpu_time(&self, id: WorkerId) -> Option<Duration> {
        self.asked.set(self.asked.get() + 1);
        self.tells_cpu.then_some(self.actors[id].cpu)
    }

    fn is_runnable(&self, id: WorkerId) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.actors[id].is_runnable
    }

    fn unclaimed(&self, id: WorkerId) -> Option<(usize, u64)> {
        (self.actors[id].unclaimed > 0).then_some((id, 0))
    }

    fn open_since(&self, _door: DoorId) -> Option<u64> {
        self.open_since
    }

    fn has_pending(&self, _door: DoorId) -> bool {
        self.has_pending
    }

    fn waiting_since(&self) -> Option<u64> {
        self.waiting_since
    }

    fn pool(&self) -> Pool {
        self.pool
    }

    fn has_free_instance(&self) -> bool {
        self.has_free_instance
    }

    fn is_dispatched(&self) -> bool {
        self.is_dispatched
    }

    fn is_cheap(&self) -> bool {
        self.is_cheap
    }
}

impl Stage {
    /// Two workers; the first is busy with a batch of its own, and nobody is at the
    /// door meanwhile.
    pub(super) fn inline() -> Self {
        let busy = Actor {
            step: Some(1),
            unclaimed: 3,
            is_runnable: true,
            ..Actor::default()
        };
        Self {
            now: Duration::ZERO,
            actors: vec![busy, Actor::default()],
            open_since: Some(1),
            has_pending: true,
            waiting_since: None,
            pool: Pool {
                workers: 2,
                busy: 1,
                ..Pool::default()
            },
            has_free_instance: false,
            is_dispatched: false,
            is_cheap: true,
            tells_cpu: true,
            asked: std::cell::Cell::new(0),
        }
    }

    /// All workers are busy in handlers that wait, and more waits for them.
    pub(super) fn crowded(workers: usize) -> Self {
        let busy = Actor {
            step: Some(1),
            ..Actor::default()
        };
        let mut actors = vec![busy; workers];
        actors.resize(64, Actor::default());
        Self {
            actors,
            waiting_since: Some(1),
            pool: Pool {
                workers,
                busy: workers,
                lacks: true,
                ..Pool::default()
            },
            is_dispatched: true,
            is_cheap: false,
            ..Self::inline()
        }
    }
}
