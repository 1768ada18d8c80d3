//! How far the client is, and what each stage does as time passes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Effect, Effects, ask};
use crate::name::Name;
use crate::wire::{PING, QUIT};

/// How far we are.
pub enum Phase {
    /// Asking to be let in.
    Joining(Joining),
    /// In the room.
    Inside(Contact),
    /// Thrown out and not let in again: waiting for another name.
    Outside,
    /// We have said goodbye.
    Leaving(Leaving),
}

impl Phase {
    /// When the phase wants its tick, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Joining(joining) => {
                let give_up_at = joining.give_up_at.unwrap_or(joining.retry_at);
                Some(joining.retry_at.min(give_up_at))
            }
            Self::Inside(contact) => Some(contact.ping_at),
            Self::Outside => None,
            Self::Leaving(leaving) => Some(leaving.retry_at),
        }
    }
}

/// An attempt to join, repeated with pauses that grow.
pub struct Joining {
    /// How often we have asked.
    attempts: u32,
    /// When to ask again.
    retry_at: Instant,
    /// When to complain and end; never if we were in the room before.
    give_up_at: Option<Instant>,
    /// Whether a ticket was sent back since we last asked.
    ticket_used: bool,
    /// Whether it was said that no answer comes.
    told: bool,
}

impl Joining {
    /// We have asked for the first time.
    pub fn begin(now: Instant, give_up_at: Option<Instant>) -> Self {
        let retry_at = now + pause(1);
        Self {
            attempts: 1,
            retry_at,
            give_up_at,
            ticket_used: false,
            told: false,
        }
    }

    /// Tells whether a ticket may be sent back: one for each time we ask, so
    /// that a server which takes none cannot keep us sending.
    pub fn use_ticket(&mut self) -> bool {
        !std::mem::replace(&mut self.ticket_used, true)
    }

    /// Tells whether to say, the first time, that no answer comes.
    pub fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Gives up, or asks again.
    pub fn on_tick(&mut self, now: Instant, name: &Name, server: SocketAddr) -> Effects {
        if self.give_up_at.is_some_and(|at| at <= now) {
            let complaint = format!("no answer from {server}, asked {} times", self.attempts);
            return vec![Effect::End(Err(complaint))];
        }
        if self.retry_at > now {
            return vec![];
        }
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = now + pause(self.attempts);
        self.ticket_used = false;
        let mut effects = vec![ask(name)];
        if self.attempts > PATIENCE && self.tell() {
            effects.push(no_answer(server));
        }
        effects
    }
}

/// The connection to a server that knows us.
pub struct Contact {
    /// How long to be silent before a sign of life.
    keep_alive: Duration,
    /// When to send the next one.
    ping_at: Instant,
    /// How many were sent since the server was last heard.
    unanswered: u32,
    /// Whether it was said that no answer comes.
    lost: bool,
}

impl Contact {
    /// The server has let us in.
    pub fn begin(now: Instant, keep_alive: Duration) -> Self {
        Self {
            keep_alive,
            ping_at: now + keep_alive,
            unanswered: 0,
            lost: false,
        }
    }

    /// Whether it was said that no answer comes.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The server lives. Tells whether to say so.
    pub fn heard(&mut self) -> bool {
        self.unanswered = 0;
        std::mem::replace(&mut self.lost, false)
    }

    /// The server has heard a sign of life. Only this is proof that it hears
    /// us, so only this puts off the next one.
    pub fn answered(&mut self, now: Instant) {
        self.ping_at = now + self.keep_alive;
    }

    /// The network says that the server is gone. Tells whether to say so, and
    /// looks soon whether it is back.
    pub fn lose(&mut self, now: Instant) -> bool {
        if !self.lost {
            self.ping_at = now + self.retry();
        }
        !std::mem::replace(&mut self.lost, true)
    }

    /// Sends a sign of life, and sooner again if it is not answered.
    pub fn on_tick(&mut self, now: Instant, server: SocketAddr) -> Effects {
        if self.ping_at > now {
            return vec![];
        }
        let mut effects = vec![Effect::Send(PING.to_owned())];
        if self.unanswered >= PATIENCE && !self.lost {
            self.lost = true;
            effects.push(no_answer(server));
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.ping_at = now + self.retry();
        effects
    }

    /// How soon a sign of life that is not answered is sent again.
    fn retry(&self) -> Duration {
        PING_PAUSE.min(self.keep_alive)
    }
}

/// A goodbye that is not answered yet.
pub struct Leaving {
    /// How often we have said it.
    attempts: u32,
    /// When to say it again, or to go without an answer.
    retry_at: Instant,
}

impl Leaving {
    /// We have said goodbye for the first time.
    pub fn begin(now: Instant) -> Self {
        Self {
            attempts: 1,
            retry_at: now + QUIT_PAUSE,
        }
    }

    /// Says goodbye again, or goes.
    pub fn on_tick(&mut self, now: Instant) -> Effects {
        if self.retry_at > now {
            return vec![];
        }
        if self.attempts >= PATIENCE {
            return vec![Effect::End(Ok(()))];
        }
        self.attempts += 1;
        self.retry_at = now + QUIT_PAUSE;
        vec![Effect::Send(QUIT.to_owned())]
    }
}

/// Says that no answer comes.
fn no_answer(server: SocketAddr) -> Effect {
    Effect::Show(format!("* no answer from {server}; still trying"))
}

/// How long to wait after asking for the `attempts`th time: twice as long each
/// time, up to a limit.
fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// How long to wait for an answer after asking to join for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long to wait for it at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long to wait for the answer to a sign of life.
const PING_PAUSE: Duration = Duration::from_secs(2);
/// How long to wait for the answer to a goodbye.
const QUIT_PAUSE: Duration = Duration::from_millis(300);
/// How many lines may stay without an answer before it counts as none.
const PATIENCE: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<u128> = (1..=5)
            .map(|attempts| pause(attempts).as_millis())
            .collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 4000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
