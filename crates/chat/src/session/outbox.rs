//! What was typed and has perhaps not reached the room.

use std::collections::VecDeque;

use super::{Effect, Effects};

/// Lines on their way. A datagram that got lost, or found no server, is not
/// reported; so what is sent is in doubt until the server has answered a later
/// sign of life, and what is typed while no server answers is kept.
#[derive(Default)]
pub(super) struct Outbox {
    /// Sent since the server last answered a sign of life, the latest last.
    doubtful: VecDeque<String>,
    /// Typed while there was no way to the room.
    kept: VecDeque<String>,
}

impl Outbox {
    /// Sends a line.
    pub(super) fn send(&mut self, line: &str) -> Effect {
        if self.doubtful.len() == MOST_LINES {
            self.doubtful.pop_front();
        }
        self.doubtful.push_back(line.to_owned());
        Effect::Send(line.to_owned())
    }

    /// Keeps a line until there is a way to the room, or refuses one too many.
    pub(super) fn keep(&mut self, line: &str) -> Effect {
        if self.kept.len() == MOST_LINES {
            return refuse(line);
        }
        self.kept.push_back(line.to_owned());
        Effect::Show(format!("* kept until the server answers: {line}"))
    }

    /// Sends what was kept.
    pub(super) fn send_kept(&mut self) -> Effects {
        let kept = std::mem::take(&mut self.kept);
        kept.iter().map(|line| self.send(line)).collect()
    }

    /// The server hears us, and so has heard what was sent before.
    pub(super) fn trust(&mut self) {
        self.doubtful.clear();
    }

    /// The server is gone, or does not have us in the room: says which lines it
    /// has perhaps not heard.
    pub(super) fn doubt(&mut self) -> Effects {
        let say = |line| Effect::Show(format!("* perhaps nobody got this: {line}"));
        self.doubtful.drain(..).map(say).collect()
    }

    /// Says what will not be sent any more.
    pub(super) fn give_up(&mut self) -> Effects {
        self.kept.drain(..).map(|line| refuse(&line)).collect()
    }
}

/// Says that a line is not sent.
pub(super) fn refuse(line: &str) -> Effect {
    Effect::Show(format!("* not sent: {line}"))
}

/// Lines that are kept, and lines that may be in doubt: as many as a member may
/// write at once.
const MOST_LINES: usize = 20;
