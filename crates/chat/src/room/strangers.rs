//! Those whose address is not validated: who joins, and who is a guest.
//!
//! A datagram's source address can be forged, so whatever is sent there may hit
//! someone who asked for nothing. Until a token has come back from it, an
//! address is therefore sent one line at most for each datagram, and at most
//! [three times](AMPLIFICATION) the bytes that came from it.
//!
//! To plain text nothing is sent but what the operator types, for a program may
//! take whatever comes for the answer. Only who ends lines with a newline, as `nc`
//! does, has a person before it, and is told once that nobody else reads this: it
//! may have been a member of a server that was restarted since.

use std::fmt::Display;
use std::time::Instant;

use super::{Line, Room};
use crate::command::Command;
use crate::members::Refusal;
use crate::outcome::{Outcome, Peer};
use crate::proof::{self, Proof};
use crate::wire::Notice;

impl Room {
    /// Someone has written who is no member.
    pub(super) fn stranger_line(
        &mut self,
        now: Instant,
        stranger: Stranger,
        proof: &impl Proof,
        line: &Line,
        out: &mut Outcome,
    ) {
        match Command::parse(&line.text) {
            Command::Join { name, token } => self.join(now, stranger, name, token, proof, out),
            Command::Say(_) | Command::Private { .. } => self.guest_line(now, stranger, line, out),
            Command::Unknown(_) => {
                self.guest_line(now, stranger, line, out);
                if out.sends.is_empty() {
                    stranger.answer(&[&Notice::JoinFirst], out);
                }
            }
            Command::Rename(_) | Command::Who | Command::Help | Command::Ping | Command::Quit => {
                stranger.answer(&[&Notice::JoinFirst], out);
            }
        }
    }

    /// Someone wants to join: with a good token they are in, otherwise they are
    /// sent one. Only who is in has joined as far as the host's share of joins
    /// goes: an address that is not validated may be forged.
    fn join(
        &mut self,
        now: Instant,
        from: Stranger,
        name: &str,
        token: Option<&str>,
        proof: &impl Proof,
        out: &mut Outcome,
    ) {
        let addr = from.peer.addr;
        let checked = match self.members.check(name, addr) {
            Ok(_) if !self.shares.has_join(now, addr) => Err(Refusal::TooManyJoins),
            checked => checked,
        };
        let checked = match checked {
            Ok(checked) => checked,
            Err(refusal) => {
                if !refusal.is_of_host() || self.shares.take_host_refusal(now, addr) {
                    from.refuse(refusal, out);
                }
                return;
            }
        };
        let token = token.and_then(proof::decode);
        if !token.is_some_and(|token| proof.validate(token)) {
            let token = proof::encode(proof.token());
            // The name as it was typed: normalised, it may be longer, and the
            // ticket too long to be sent.
            let ticket = Notice::Ticket {
                name,
                token: &token,
            };
            from.answer(&[&format_args!("{ticket:#}"), &ticket], out);
            return;
        }
        self.shares.take_join(now, addr);
        self.guests.remove(addr);
        out.send(from.peer, Notice::Welcome(checked.as_str()));
        let text = format!("{checked} joined");
        self.members.seat(now, from.peer, checked);
        self.tell_members(Some(addr), &Notice::News(&text).to_string(), out);
        out.show(Notice::News(&format!("{text} from {addr}")).to_string());
    }

    /// A guest has written: the operator sees it, and nobody else. If it is one
    /// line too many it is dropped: guests are not told of that.
    fn guest_line(&mut self, now: Instant, stranger: Stranger, line: &Line, out: &mut Outcome) {
        let from = stranger.peer;
        if !self.shares.take_guest_line(now, from.addr) {
            return;
        }
        let (guest, is_new) = self.guests.heard(now, from);
        // What another server says of itself is not answered: it could go on for ever.
        let is_person = from.newline && Notice::parse(&line.text).is_none();
        if is_person && !guest.told {
            guest.told = stranger.answer(&[&Notice::Guest, &Notice::JoinFirst], out);
        }
        let label = &guest.label;
        if is_new {
            out.show(format!(
                "* {label} writes from {}; @{label} TEXT answers",
                from.addr
            ));
        }
        let cut = if line.whole { "" } else { " (cut)" };
        out.show(format!("{label}: {}{cut}", line.text));
    }
}

/// Someone whose address is not validated, and how much came from it.
#[derive(Clone, Copy)]
pub(super) struct Stranger {
    /// How to write to them.
    pub(super) peer: Peer,
    /// The bytes of the datagram to be answered.
    pub(super) received: usize,
}

impl Stranger {
    /// Sends the first of these lines that is short enough, or nothing; tells
    /// whether one is sent.
    pub(super) fn answer(self, lines: &[&dyn Display], out: &mut Outcome) -> bool {
        let longest = self.received.saturating_mul(AMPLIFICATION);
        let line = lines
            .iter()
            .map(|line| self.peer.ended(line))
            .find(|line| line.len() <= longest);
        let is_sent = line.is_some();
        out.sends.extend(line.map(|line| (self.peer.addr, line)));
        is_sent
    }

    /// Says why there is no seat under that name.
    fn refuse(self, refusal: Refusal, out: &mut Outcome) {
        let reason = refusal.to_string();
        self.answer(
            &[&Notice::Refused(&reason), &Notice::Refused(refusal.short())],
            out,
        );
    }
}

/// How many times the bytes received may be sent to an address before it is
/// validated: the limit that QUIC sets (RFC 9000, 8.1), and the framework keeps.
/// What is longer would be withheld, so the room looks for shorter words.
const AMPLIFICATION: usize = 3;
