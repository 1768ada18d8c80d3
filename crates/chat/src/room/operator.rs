//! The voice of whoever sits at the server's keyboard.

use super::{EMPTY_PRIVATE, OPERATOR, Room, nobody};
use crate::command::Command;
use crate::outcome::Outcome;
use crate::wire::{MAX_TEXT, Notice};

impl Room {
    /// The operator has typed a line.
    pub fn on_operator_line(&mut self, line: &str) -> Outcome {
        let mut out = Outcome::default();
        if line.len() > MAX_TEXT {
            out.show(format!("* not sent: longer than {MAX_TEXT} bytes"));
            return out;
        }
        match Command::parse(line) {
            Command::Say(text) => self.operator_says(text, &mut out),
            Command::Private { to, text } => self.operator_says_to(to, text, &mut out),
            Command::Who => self.show_everyone(&mut out),
            Command::Help => out.show(Notice::News(HELP).to_string()),
            _ => out.show("* that is no command of yours; /help lists them"),
        }
        out
    }

    /// Tells all members, and answers the guests who wait: one message, one
    /// answer. A guest has no name to be told apart by, and is sent the bare
    /// text.
    fn operator_says(&mut self, text: &str, out: &mut Outcome) {
        if text.trim().is_empty() {
            return;
        }
        self.tell_members(None, &format!("{OPERATOR}: {text}"), out);
        for guest in self.guests.answer_waiting() {
            out.answer(guest, text);
        }
        if out.sends.is_empty() {
            out.show("* not sent: nobody is here");
        }
    }

    /// Tells one member or guest.
    fn operator_says_to(&mut self, to: &str, text: &str, out: &mut Outcome) {
        if text.is_empty() {
            out.show(Notice::News(EMPTY_PRIVATE).to_string());
        } else if let Some(member) = self.members.find(to) {
            out.send(member.peer, format_args!("{OPERATOR} (private): {text}"));
        } else if let Some(guest) = self.guests.answer(to) {
            out.answer(guest, text);
        } else {
            out.show(Notice::News(&nobody(to)).to_string());
        }
    }

    /// Shows who is here, and from where.
    fn show_everyone(&self, out: &mut Outcome) {
        out.show(format!("* {} members", self.members.count()));
        for member in self.members.iter() {
            out.show(format!("*   {} from {}", member.name, member.peer.addr));
        }
        for guest in self.guests.iter() {
            out.show(format!(
                "*   {} from {}, not joined",
                guest.label, guest.peer.addr
            ));
        }
    }
}

/// What the operator can type.
const HELP: &str = "TEXT is for all members, and for the guests who wrote since they were last \
    answered; @NAME TEXT for one member or guest; /who lists them; /quit or Ctrl-C ends the server";
