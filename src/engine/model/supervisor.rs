//! The supervisor's steps in the small world.

use super::world::Bounds;
use super::world::{Job, Stage, Supervisor, World};
use crate::engine::protocol::{Command, Rest};

impl World {
    pub(super) fn supervisor_steps(&self, bounds: Bounds, worlds: &mut Vec<Self>) {
        let mut world = self.clone();
        match self.supervisor {
            Supervisor::Gone => {}
            Supervisor::Asleep => {
                if world.token || world.timer {
                    (world.token, world.timer) = (false, false);
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
                self.look_steps(bounds, worlds);
                // It begins to look: what it sees now, it acts on later. Who is
                // about to work may still look idle.
                world.protocol.begin_look();
                let busy = self.stages.iter().filter_map(|stage| match stage {
                    Stage::Handling(batch) | Stage::Stuck(batch) => Some(self.unclaimed[*batch]),
                    _ => None,
                });
                let are_left_alone = busy.clone().all(|unclaimed| unclaimed == 0);
                world.left_alone = are_left_alone.then_some(busy.count());
                worlds.push(world);
                let mut world = self.clone();
                if world.protocol.doze(1, self.left_alone) == Rest::Deep {
                    world.supervisor = Supervisor::Asleep;
                }
                worlds.push(world);
            }
            Supervisor::Draining => {
                // The deadline passes only while somebody is stuck.
                if self.protocol.is_drained() || self.stuck > 0 {
                    (world.dismissals, _) = world.protocol.close();
                    world.unclaimed.fill(0);
                    world.supervisor = Supervisor::Closing;
                    worlds.push(world);
                }
                self.look_steps(bounds, worlds);
            }
            Supervisor::Closing => {
                if let Some(worker) = world.dismissals.pop() {
                    assert!(self.mail[worker].is_none(), "mailbox overflow: {self:#?}");
                    world.mail[worker] = Some(Command::Leave);
                    worlds.push(world);
                } else if self.protocol.workers() == self.stuck {
                    world.supervisor = Supervisor::Gone;
                    worlds.push(world);
                }
            }
        }
    }

    /// What a look may do: each of its parts by itself, at any moment.
    fn look_steps(&self, bounds: Bounds, worlds: &mut Vec<Self>) {
        let me = bounds.max;
        for stage in &self.stages {
            let (Stage::Claim(batch) | Stage::Handling(batch) | Stage::Stuck(batch)) = *stage
            else {
                continue;
            };
            let unclaimed = self.unclaimed[batch];
            if unclaimed > 0 {
                for ready in 0..bounds.max {
                    let mut world = self.clone();
                    let is_ready = |worker| worker == ready;
                    world.calls[me] = world.protocol.assist(Job { batch, unclaimed }, is_ready);
                    worlds.push(world);
                }
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
        let mut world = self.clone();
        world.calls[me] = world.protocol.hand_out();
        worlds.push(world);
        let pending: u8 = self.kernel.iter().sum();
        let is_undone = self.protocol.clone().waiting_since().is_some() || pending > 0;
        if self.protocol.is_short() || (self.protocol.lacks_workers() && is_undone) {
            let mut world = self.clone();
            if let Some(worker) = world.protocol.hire() {
                world.stages[worker] = Stage::AskNext;
                worlds.push(world);
            }
        }
    }
}
