//! What the client does and when: pure logic on lines and time, without a
//! socket, a screen or a clock.

mod outbox;
mod phase;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::name::Name;
use crate::text;
use crate::wire::{Notice, QUIT};
use outbox::Outbox;
use phase::{Contact, Joining, Leaving, Phase};

/// One person's stay in the room: joining, staying in touch, coming back after
/// the server has lost sight of us, leaving.
///
/// Each method takes what has happened and gives what is to be done about it.
/// Datagrams get lost, so nothing waits for an answer without a
/// [`deadline`](Self::deadline).
pub struct Session {
    /// What we are called, or want to be.
    name: Name,
    /// Where the server is, for messages.
    server: SocketAddr,
    /// How long things take.
    timing: Timing,
    /// How far we are.
    phase: Phase,
    /// Whether we have been in the room before.
    been_inside: bool,
    /// When to leave, once nothing more will be typed.
    quit_at: Option<Instant>,
    /// What was typed and has perhaps not reached the room.
    outbox: Outbox,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long to try to join for the first time.
    pub join_timeout: Duration,
    /// How long to be silent before a sign of life is sent.
    pub keep_alive: Duration,
    /// How long to wait for answers after the end of the input.
    pub grace: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this line to the server.
    Send(String),
    /// Show this line.
    Show(String),
    /// Start reading the keyboard. Comes once.
    Listen,
    /// End the program, well or with a complaint.
    End(Result<(), String>),
}

/// What is to be done, in order.
pub type Effects = Vec<Effect>;

impl Session {
    /// Begins to join. The effects are the first to be carried out.
    pub fn start(now: Instant, server: SocketAddr, name: Name, timing: Timing) -> (Self, Effects) {
        let ask = ask(&name);
        let give_up_at = Some(now + timing.join_timeout);
        let phase = Phase::Joining(Joining::begin(now, give_up_at));
        let session = Self {
            name,
            server,
            timing,
            phase,
            been_inside: false,
            quit_at: None,
            outbox: Outbox::default(),
        };
        (session, vec![ask])
    }

    /// When [`on_tick`](Self::on_tick) wants to be called, if nothing happens
    /// before.
    pub fn deadline(&self) -> Option<Instant> {
        [self.phase.deadline(), self.quit_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The server has sent a datagram.
    pub fn on_datagram(&mut self, now: Instant, bytes: &[u8]) -> Effects {
        let line = text::decode(bytes);
        let mut effects = self.heard();
        match Notice::parse(&line) {
            Some(Notice::Pong) => self.on_pong(now),
            Some(Notice::Ticket { name, token }) => self.on_ticket(name, token, &mut effects),
            Some(Notice::Welcome(name)) => self.on_welcome(now, name, line.clone(), &mut effects),
            Some(Notice::Refused(reason)) => self.on_refused(reason, line.clone(), &mut effects),
            Some(Notice::JoinFirst | Notice::Guest | Notice::Expired | Notice::Bye) => {
                self.on_put_out(now, &mut effects);
            }
            Some(Notice::Closing) => {
                self.outbox.trust();
                effects.push(Effect::Show(line));
            }
            Some(Notice::News(_)) | None => effects.push(Effect::Show(line)),
        }
        self.send_kept(&mut effects);
        effects
    }

    /// The network says that nobody hears us.
    pub fn on_unreachable(&mut self, now: Instant, reason: &str) -> Effects {
        let server = self.server;
        let mut effects = vec![];
        match &mut self.phase {
            Phase::Joining(joining) => {
                if joining.tell() {
                    let news = format!("* no server at {server} ({reason}); still trying");
                    effects.push(Effect::Show(news));
                }
            }
            Phase::Inside(contact) => {
                if contact.lose(now) {
                    let news = format!("* lost {server} ({reason}); still trying");
                    effects.push(Effect::Show(news));
                    effects.extend(self.outbox.doubt());
                }
            }
            Phase::Outside => {}
            Phase::Leaving(_) => effects.push(Effect::End(Ok(()))),
        }
        effects
    }

    /// The person has typed a line.
    pub fn on_line(&mut self, now: Instant, line: &str) -> Effects {
        if is_quit(line) {
            return self.leave(now);
        }
        if line.trim().is_empty() {
            return vec![];
        }
        match &self.phase {
            Phase::Inside(contact) if contact.is_lost() => vec![self.outbox.keep(line)],
            Phase::Inside(_) => vec![self.outbox.send(line)],
            Phase::Outside => self.on_new_name(now, line),
            Phase::Joining(_) => vec![self.outbox.keep(line)],
            Phase::Leaving(_) => vec![outbox::refuse(line)],
        }
    }

    /// Nothing more will be typed; answers may still come.
    pub fn on_end_of_input(&mut self, now: Instant) -> Effects {
        self.quit_at = Some(now + self.timing.grace);
        vec![]
    }

    /// The person wants to leave at once; the second time, without a goodbye.
    pub fn on_interrupt(&mut self, now: Instant) -> Effects {
        self.leave(now)
    }

    /// The [`deadline`](Self::deadline) has come.
    pub fn on_tick(&mut self, now: Instant) -> Effects {
        if self.quit_at.is_some_and(|at| at <= now) {
            self.quit_at = None;
            return self.leave(now);
        }
        match &mut self.phase {
            Phase::Joining(joining) => joining.on_tick(now, &self.name, self.server),
            Phase::Inside(contact) => {
                let was_lost = contact.is_lost();
                let mut effects = contact.on_tick(now, self.server);
                if contact.is_lost() && !was_lost {
                    effects.extend(self.outbox.doubt());
                }
                effects
            }
            Phase::Leaving(leaving) => leaving.on_tick(now),
            Phase::Outside => vec![],
        }
    }

    /// The server lives, whatever it said.
    fn heard(&mut self) -> Effects {
        let Phase::Inside(contact) = &mut self.phase else {
            return vec![];
        };
        let news = contact
            .heard()
            .then(|| format!("* {} answers again", self.server));
        news.map(Effect::Show).into_iter().collect()
    }

    /// Sends what was typed while there was no way to the room, if there is one
    /// now.
    fn send_kept(&mut self, effects: &mut Effects) {
        if let Phase::Inside(contact) = &self.phase {
            if !contact.is_lost() {
                effects.extend(self.outbox.send_kept());
            }
        }
    }

    /// The server has heard a sign of life of ours.
    fn on_pong(&mut self, now: Instant) {
        if let Phase::Inside(contact) = &mut self.phase {
            contact.answered(now);
            self.outbox.trust();
        }
    }

    /// The server wants our address validated.
    fn on_ticket(&mut self, name: &str, token: &str, effects: &mut Effects) {
        if let Phase::Joining(joining) = &mut self.phase {
            if name == self.name.as_str() && joining.use_ticket() {
                effects.push(Effect::Send(format!("/join {name} {token}")));
            }
        }
    }

    /// We are in the room, or have another name there.
    fn on_welcome(&mut self, now: Instant, name: &str, line: String, effects: &mut Effects) {
        match self.phase {
            Phase::Joining(_) | Phase::Outside => {
                self.phase = Phase::Inside(Contact::begin(now, self.timing.keep_alive));
            }
            Phase::Inside(_) => {}
            Phase::Leaving(_) => return,
        }
        if let Ok(name) = Name::parse(name) {
            self.name = name;
        }
        effects.push(Effect::Show(line));
        if !self.been_inside {
            self.been_inside = true;
            effects.push(Effect::Listen);
        }
    }

    /// The name cannot be had.
    fn on_refused(&mut self, reason: &str, line: String, effects: &mut Effects) {
        match self.phase {
            Phase::Joining(_) if !self.been_inside => {
                effects.push(Effect::End(Err(format!(
                    "cannot join as {}: {reason}",
                    self.name
                ))));
            }
            Phase::Joining(_) => {
                self.phase = Phase::Outside;
                effects.push(Effect::Show(line));
                effects.push(Effect::Show(
                    "* you are outside; /join NAME tries again".to_owned(),
                ));
            }
            Phase::Inside(_) => effects.push(Effect::Show(line)),
            Phase::Outside | Phase::Leaving(_) => {}
        }
    }

    /// The server does not have us in the room.
    fn on_put_out(&mut self, now: Instant, effects: &mut Effects) {
        match self.phase {
            Phase::Inside(_) => {
                effects.push(Effect::Show(
                    "* no longer in the room; joining again".to_owned(),
                ));
                effects.extend(self.outbox.doubt());
                self.join_again(now, effects);
            }
            Phase::Leaving(_) => effects.push(Effect::End(Ok(()))),
            Phase::Joining(_) | Phase::Outside => {}
        }
    }

    /// Takes a new name from a line typed outside, and tries it.
    fn on_new_name(&mut self, now: Instant, line: &str) -> Effects {
        let words = line
            .strip_prefix("/join ")
            .or_else(|| line.strip_prefix("/name "));
        match words.map(Name::parse) {
            Some(Ok(name)) => {
                self.name = name;
                let mut effects = vec![];
                self.join_again(now, &mut effects);
                effects
            }
            Some(Err(error)) => vec![Effect::Show(format!("* {error}"))],
            None => vec![Effect::Show("* outside; /join NAME or /quit".to_owned())],
        }
    }

    /// Asks to be let in again, for as long as it takes.
    fn join_again(&mut self, now: Instant, effects: &mut Effects) {
        self.phase = Phase::Joining(Joining::begin(now, None));
        effects.push(ask(&self.name));
    }

    /// Says goodbye to whoever has us in the room, or just goes.
    fn leave(&mut self, now: Instant) -> Effects {
        let mut effects = self.outbox.give_up();
        match self.phase {
            Phase::Inside(_) => {
                self.phase = Phase::Leaving(Leaving::begin(now));
                effects.push(Effect::Send(QUIT.to_owned()));
            }
            Phase::Joining(_) | Phase::Outside | Phase::Leaving(_) => {
                effects.push(Effect::End(Ok(())));
            }
        }
        effects
    }
}

/// Tells whether a line says goodbye.
pub fn is_quit(line: &str) -> bool {
    line.trim() == QUIT
}

/// Asks to be let in.
fn ask(name: &Name) -> Effect {
    Effect::Send(format!("/join {name}"))
}
