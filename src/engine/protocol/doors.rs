//! The doors: one for each socket, where at most one worker at a time, the
//! leader, waits.

use super::{DoorId, WorkerId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    /// Nobody waits; whoever has nothing to do goes there.
    Open,
    /// This worker waits there, or is on its way.
    Held(WorkerId),
    /// Nobody goes there any more.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Door {
    state: State,
    /// Counts openings, so that the supervisor can tell one from the next.
    openings: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Doors(Vec<Door>);

impl Doors {
    /// All open.
    pub(super) fn new(count: usize) -> Self {
        let state = State::Open;
        Self(vec![Door { state, openings: 0 }; count])
    }

    /// Takes an open door, the nearest from `near` on.
    pub(super) fn take_near(&mut self, near: DoorId, me: WorkerId) -> Option<DoorId> {
        let count = self.0.len();
        let door = (near..near + count)
            .map(|door| door % count)
            .find(|door| self.is_open(*door))?;
        self.take(door, me);
        Some(door)
    }

    /// Takes a door that is open.
    pub(super) fn take(&mut self, door: DoorId, me: WorkerId) {
        debug_assert!(self.is_open(door), "only an open door is taken");
        self.0[door].state = State::Held(me);
    }

    /// Leaves a door: open for the next, or closed for good.
    pub(super) fn leave(&mut self, door: DoorId, for_good: bool) {
        let door = &mut self.0[door];
        door.openings += 1;
        door.state = if for_good { State::Closed } else { State::Open };
    }

    /// Closes those where nobody waits.
    pub(super) fn close_unheld(&mut self) {
        for door in &mut self.0 {
            if door.state == State::Open {
                door.state = State::Closed;
            }
        }
    }

    pub(super) fn is_held_by(&self, door: DoorId, me: WorkerId) -> bool {
        self.0[door].state == State::Held(me)
    }

    /// Where this worker waits.
    pub(super) fn of(&self, me: WorkerId) -> Option<DoorId> {
        (0..self.0.len()).find(|door| self.is_held_by(*door, me))
    }

    /// How many workers wait at a door.
    pub(super) fn held(&self) -> usize {
        self.0.iter().filter(|door| door.is_held()).count()
    }

    /// A door where somebody waits, the nearest after `door`.
    pub(super) fn held_after(&self, door: DoorId) -> Option<DoorId> {
        let count = self.0.len();
        (door + 1..=door + count)
            .map(|door| door % count)
            .find(|door| self.0[*door].is_held())
    }

    /// A door where such a worker waits.
    pub(super) fn held_by(&self, is_meant: impl Fn(WorkerId) -> bool) -> Option<DoorId> {
        self.0
            .iter()
            .position(|door| matches!(door.state, State::Held(worker) if is_meant(worker)))
    }

    pub(super) fn is_open(&self, door: DoorId) -> bool {
        self.0[door].state == State::Open
    }

    /// Which opening of the door this is, while nobody is there.
    pub(super) fn open_since(&self, door: DoorId) -> Option<u64> {
        self.is_open(door).then_some(self.0[door].openings)
    }

    pub(super) fn has_open(&self) -> bool {
        self.0.iter().any(|door| door.state == State::Open)
    }

    pub(super) fn are_closed(&self) -> bool {
        self.0.iter().all(|door| door.state == State::Closed)
    }

    #[cfg(test)]
    pub(super) fn normalize(&mut self) {
        for door in &mut self.0 {
            door.openings = 0;
        }
    }
}

impl Door {
    fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }
}
