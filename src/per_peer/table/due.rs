//! What is due without a datagram, and whose turn it is.

use std::time::Instant;

use super::{Ending, Id, LOOKS, State, Table};
use crate::per_peer::EndReason;

/// What is due, whoever does it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due<P, S> {
    Tick(Id, P, S, u64),
    End(Id, P, S, EndReason),
    /// Perhaps something: it was looked for long enough for one time.
    LookAgain,
    Nothing,
}

impl<P: Clone, S> Table<P, S> {
    /// Time has passed for so many ticks.
    pub(crate) fn tick(&mut self, ticks: u64) {
        self.ticks += ticks;
        // Where the last round was not finished, this one begins where that is: who
        // waits longest is next.
        self.left = self.places.len();
    }

    /// When somebody will have been idle for too long, if nobody is heard.
    pub(crate) fn next_idle(&self) -> Option<Instant> {
        let node = self.places[self.oldest?].node.as_ref()?;
        node.heard.checked_add(self.limits.idle_after)
    }

    /// Whether it is worth to ask for what is due.
    pub(crate) fn may_be_due(&self, now: Instant) -> bool {
        let is_idle = || self.next_idle().is_some_and(|due| due <= now);
        self.left > 0 || !self.is_closed && is_idle()
    }

    /// Takes out the next session for which something is due.
    pub(crate) fn due(&mut self, now: Instant) -> Due<P, S> {
        if !self.is_closed {
            for _ in 0..LOOKS {
                if self.next_idle().is_none_or(|due| due > now) {
                    break;
                }
                let oldest = self.oldest.expect("it is due");
                if let Some((id, peer, session)) = self.take_idle(oldest) {
                    return Due::End(id, peer, session, EndReason::Idle);
                }
                self.hear(oldest, now);
            }
        }
        for _ in 0..LOOKS.min(self.left) {
            self.left -= 1;
            let place = self.cursor % self.places.len();
            self.cursor = place + 1;
            let id = self.id(place);
            if self.is_closed {
                if let Ending::Now(peer, session) = self.end(id) {
                    return Due::End(id, peer, session, EndReason::Shutdown);
                }
            } else if let Some(due) = self.take_for_tick(id) {
                return due;
            }
        }
        match self.may_be_due(now) {
            true => Due::LookAgain,
            false => Due::Nothing,
        }
    }

    fn take_for_tick(&mut self, id: Id) -> Option<Due<P, S>> {
        let ticks = self.ticks;
        let node = self.node(id)?;
        let due = ticks - node.ticked;
        if due == 0 || node.waiting > 0 {
            return None;
        }
        match std::mem::replace(&mut node.state, State::Busy) {
            State::Resting(session) => {
                node.ticked = ticks;
                Some(Due::Tick(id, node.peer.clone(), session, due - 1))
            }
            taken => {
                node.state = taken;
                None
            }
        }
    }
}
