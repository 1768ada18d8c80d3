//! The chat room: pure logic on lines, addresses and time, without a socket.
//!
//! Here are the room and what its members write; `strangers` come in through
//! a door of their own, and the `operator` has a voice in everything.

mod limits;
mod operator;
mod strangers;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Instant;

use crate::command::Command;
use crate::guests::Guests;
use crate::members::{Member, Members};
use crate::outcome::{Outcome, Peer};
use crate::proof::Proof;
use crate::text;
use crate::wire::{MAX_TEXT, Notice};
pub use limits::Limits;
use limits::Shares;
use strangers::Stranger;

/// One room with its members, its guests and its operator.
///
/// Nothing in it grows with what strangers send: members have validated their
/// address and are bounded, guests are few and push each other out, and a join
/// under way is not stored at all. What one member, or one host, makes the room
/// say is bounded as well; who is refused is told, and nobody else.
pub struct Room {
    /// Who has joined.
    members: Members,
    /// Who writes without having joined.
    guests: Guests,
    /// What everyone has left of what they may do.
    shares: Shares,
    /// How long the silent stay.
    limits: Limits,
}

impl Room {
    /// An empty room.
    pub fn new(limits: Limits) -> Self {
        Self {
            members: Members::new(limits.members, limits.members_per_host),
            guests: Guests::new(limits.guests, limits.guests_per_host),
            shares: Shares::new(&limits),
            limits,
        }
    }

    /// A datagram has come in, from an address that may be validated.
    pub fn on_line(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        proof: &impl Proof,
    ) -> Outcome {
        let from = Peer::of(from, bytes);
        let line = Line::read(bytes);
        let stranger = Stranger {
            peer: from,
            received: bytes.len(),
        };
        let mut out = Outcome::default();
        match self.members.heard(now, from) {
            Some(member) if !proof.is_validated() => self.lapse(&member, stranger, &mut out),
            Some(member) => self.member_line(now, &member, &line, &mut out),
            None => self.stranger_line(now, stranger, proof, &line, &mut out),
        }
        out
    }

    /// Time has passed: lets those go who have fallen silent.
    pub fn expire(&mut self, now: Instant) -> Outcome {
        let mut out = Outcome::default();
        self.shares.expire(now);
        self.guests.expire(now, self.limits.guest_expiry);
        for member in self.members.expire(now, self.limits.member_expiry) {
            out.send(member.peer, Notice::Expired);
            self.news(None, &format!("{} fell silent", member.name), &mut out);
        }
        out
    }

    /// The server is about to end.
    pub fn close(&mut self) -> Outcome {
        let mut out = Outcome::default();
        self.tell_members(None, &Notice::Closing.to_string(), &mut out);
        out
    }

    /// A member has written.
    fn member_line(&mut self, now: Instant, from: &Member, line: &Line, out: &mut Outcome) {
        let command = Command::parse(&line.text);
        let addr = from.peer.addr;
        if !is_free(&command) && !self.shares.take_line(now, addr) {
            if self.shares.take_member_refusal(now, addr) {
                out.send(from.peer, Notice::News(TOO_MANY_LINES));
            }
            return;
        }
        if !line.whole {
            let text = format!("not sent: longer than {MAX_TEXT} bytes");
            out.send(from.peer, Notice::News(&text));
            return;
        }
        match command {
            Command::Say(text) => self.say(from, text, out),
            Command::Private { to, text } => self.say_to(from, to, text, out),
            Command::Join { name, .. } | Command::Rename(name) => self.rename(now, from, name, out),
            Command::Who => out.send(from.peer, Notice::News(&self.who())),
            Command::Help => out.send(from.peer, Notice::News(HELP)),
            Command::Ping => out.send(from.peer, Notice::Pong),
            Command::Quit => self.quit(from, out),
            Command::Unknown(word) => {
                let text = format!("{word} is no command; /help lists them");
                out.send(from.peer, Notice::News(&text));
            }
        }
    }

    /// Relays a text to everyone else. An empty one is only a sign of life.
    fn say(&self, from: &Member, text: &str, out: &mut Outcome) {
        if text.trim().is_empty() {
            return;
        }
        let line = format!("{}: {text}", from.name);
        self.tell_members(Some(from.peer.addr), &line, out);
        out.show(line);
    }

    /// Relays a text to one. The operator sees it too.
    fn say_to(&self, from: &Member, to: &str, text: &str, out: &mut Outcome) {
        if text.is_empty() {
            out.send(from.peer, Notice::News(EMPTY_PRIVATE));
            return;
        }
        if to.eq_ignore_ascii_case(OPERATOR) {
            out.show(format!("{} (private): {text}", from.name));
            return;
        }
        let Some(to) = self.members.find(to) else {
            out.send(from.peer, Notice::News(&nobody(to)));
            return;
        };
        out.send(to.peer, format_args!("{} (private): {text}", from.name));
        out.show(format!("{} (private to {}): {text}", from.name, to.name));
    }

    /// Gives a member another name, and tells which name they have now.
    fn rename(&mut self, now: Instant, from: &Member, name: &str, out: &mut Outcome) {
        let name = match self.members.check(name, from.peer.addr) {
            Ok(name) => name,
            Err(refusal) => {
                out.send(from.peer, Notice::Refused(&refusal.to_string()));
                return;
            }
        };
        out.send(from.peer, Notice::Welcome(name.as_str()));
        if name != from.name {
            let text = format!("{} is now {name}", from.name);
            self.members.seat(now, from.peer, name);
            self.news(Some(from.peer.addr), &text, out);
        }
    }

    /// Lets a member go.
    fn quit(&mut self, from: &Member, out: &mut Outcome) {
        self.members.remove(from.peer.addr);
        out.send(from.peer, Notice::Bye);
        self.news(None, &format!("{} left", from.name), out);
    }

    /// Lets a member go whose proof is too old, and may join again.
    fn lapse(&mut self, member: &Member, stranger: Stranger, out: &mut Outcome) {
        self.members.remove(member.peer.addr);
        stranger.answer(&[&Notice::JoinFirst], out);
        self.news(None, &format!("{} has to join again", member.name), out);
    }

    /// Lists the members in one line. It is bounded: whoever forges a member's
    /// address could otherwise turn six bytes into a flood.
    fn who(&self) -> String {
        let mut names: Vec<&str> = self
            .members
            .iter()
            .map(|member| member.name.as_str())
            .collect();
        names.sort_unstable();
        let mut line = format!("{} here:", names.len());
        for (listed, name) in names.iter().enumerate() {
            if line.len() + name.len() > WHO_BYTES {
                line += &format!(" and {} more", names.len() - listed);
                break;
            }
            line += " ";
            line += name;
        }
        line
    }

    /// Tells what has happened to the operator and to all members but one.
    fn news(&self, except: Option<SocketAddr>, text: &str, out: &mut Outcome) {
        let line = Notice::News(text).to_string();
        self.tell_members(except, &line, out);
        out.show(line);
    }

    /// Sends a line to all members but one.
    fn tell_members(&self, except: Option<SocketAddr>, line: &str, out: &mut Outcome) {
        for member in self
            .members
            .iter()
            .filter(|member| Some(member.peer.addr) != except)
        {
            out.send(member.peer, line);
        }
    }
}

/// The text of a datagram.
struct Line {
    /// The first [`MAX_TEXT`] bytes, clean.
    text: String,
    /// Whether that is all there was.
    whole: bool,
}

impl Line {
    /// Reads no more of a datagram than can be relayed. What cannot be decoded
    /// is replaced, which makes it longer, so the result is measured as well.
    fn read(bytes: &[u8]) -> Self {
        let text = text::decode(bytes.get(..MAX_TEXT).unwrap_or(bytes));
        let whole = bytes.trim_ascii_end().len() <= MAX_TEXT && text.len() <= MAX_TEXT;
        Self { text, whole }
    }
}

/// Whether a command costs its sender no line: signs of life, which are answered
/// with no more than they are, and the goodbye.
fn is_free(command: &Command) -> bool {
    match command {
        Command::Ping | Command::Quit => true,
        Command::Say(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// Says that a private message has no receiver.
fn nobody(name: &str) -> String {
    format!("nobody here is called {name}")
}

/// What the operator is called.
const OPERATOR: &str = "operator";

/// The answer to a private message without text.
const EMPTY_PRIVATE: &str = "nothing to say; @NAME TEXT tells TEXT to NAME";

/// The answer to a member who has no lines left, or whose host has none.
const TOO_MANY_LINES: &str = "not sent: too many lines; wait a few seconds";

/// How much of the list of members is sent.
const WHO_BYTES: usize = MAX_TEXT - 100;

/// The answer to `/help`.
const HELP: &str = "TEXT is for all, @NAME TEXT for one, @operator TEXT for the operator, \
    who sees the rest too; /who lists those here, /name NEW changes your name, /quit leaves; \
    a space first makes a line that begins with '/' or '@' mere text";
