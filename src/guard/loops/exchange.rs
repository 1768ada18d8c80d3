//! What passes between the server and one peer.

use super::{LoopBreaker, Overheard};
use crate::guard::table::Entry;
use crate::guard::timestamp::Timestamp;

/// The last few datagrams of one peer, so that several loops with one peer,
/// started by different datagrams, are seen side by side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exchange {
    /// When something was sent there last.
    sent: Timestamp,
    /// How long this entry is worth keeping, compared with others.
    standing: Timestamp,
    rows: [Row; ROWS],
    /// A bit for each row: whether something was sent since its datagram came.
    answered: u8,
}

/// A datagram that came again and again.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// When the datagram came last; of a row that is not counting, when its
    /// phase began.
    at: Timestamp,
    /// 0 if this row is free.
    print: u32,
    /// What it means depends on the phase.
    count: u32,
}

/// Where a row is. The phases share the number that a row has: a counting row
/// has fewer exchanges than break a loop, and the others set a high bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// So many exchanges in a row. What comes passes.
    Counting(u32),
    /// As many as break a loop: what comes is refused. So many have come since
    /// what was under way must have arrived, which no answer of ours can have
    /// brought about.
    Quiet(u32),
    /// It is no loop, or not only: so many may still pass.
    Leaking(u32),
}

impl Row {
    fn phase(&self) -> Phase {
        let number = self.count & MOST_COUNTED;
        match self.count & !MOST_COUNTED {
            QUIET => Phase::Quiet(number),
            LEAKING => Phase::Leaking(number),
            _ => Phase::Counting(number),
        }
    }

    fn set(&mut self, phase: Phase) {
        self.count = match phase {
            Phase::Counting(number) => number,
            Phase::Quiet(number) => QUIET | number.min(MOST_COUNTED),
            Phase::Leaking(number) => LEAKING | number.min(MOST_COUNTED),
        };
    }

    /// The datagram has come. `is_exchange` says whether it follows something
    /// that was sent after it had come before, and `is_prompt` whether that is
    /// no longer ago than a gap.
    fn received(
        &mut self,
        now: Timestamp,
        is_prompt: bool,
        is_exchange: bool,
        limits: &LoopBreaker,
    ) -> Overheard {
        let age = now.since(self.at);
        match self.phase() {
            Phase::Counting(exchanges) => {
                // A copy of a datagram that has not been answered yet says nothing:
                // of many that are under way, several may come before one is answered.
                let exchanges = match (is_prompt, is_exchange) {
                    (true, true) => exchanges + 1,
                    (true, false) => exchanges,
                    (false, _) => 0,
                };
                self.at = now;
                if exchanges < limits.exchanges {
                    self.set(Phase::Counting(exchanges));
                    return Overheard::Talk;
                }
                self.set(Phase::Quiet(0));
                Overheard::Loop
            }
            Phase::Quiet(_) if age <= limits.gap => Overheard::Loop,
            Phase::Quiet(own) if own > 0 && age >= limits.gap.saturating_mul(2) => {
                // So many came in the time since nothing was under way: at this
                // rate, and one more, they may pass for the length of a mute.
                let measured = age - limits.gap;
                let passing = u128::from(own + 1) * u128::from(limits.mute) / u128::from(measured);
                self.at = now;
                self.set(Phase::Leaking(u32::try_from(passing).unwrap_or(u32::MAX)));
                Overheard::Talk
            }
            Phase::Quiet(own) if own > 0 || age < limits.mute => {
                self.set(Phase::Quiet(own + 1));
                Overheard::Loop
            }
            Phase::Leaking(0) if age < limits.mute => Overheard::Loop,
            Phase::Leaking(left) if age < limits.mute => {
                self.set(Phase::Leaking(left - 1));
                Overheard::Talk
            }
            Phase::Quiet(_) | Phase::Leaking(_) => {
                self.at = now;
                self.set(Phase::Counting(0));
                Overheard::Talk
            }
        }
    }

    /// A row is kept while its datagram may come back. What is refused comes
    /// back no more if it went round; so where more datagrams go round than
    /// there are rows, the next need not wait for the end of a mute.
    fn is_free(&self, now: Timestamp, limits: &LoopBreaker) -> bool {
        let age = now.since(self.at);
        match self.phase() {
            Phase::Counting(_) | Phase::Quiet(0) => self.print == 0 || age > limits.gap,
            Phase::Quiet(_) | Phase::Leaking(_) => age >= limits.mute,
        }
    }

    /// A row of exchanges weighs as much as having been heard that many seconds
    /// later: enough against any flood, and it passes.
    fn standing(&self, limits: &LoopBreaker) -> Timestamp {
        match self.phase() {
            Phase::Counting(exchanges) => standing(self.at, exchanges),
            Phase::Quiet(_) | Phase::Leaking(_) => {
                standing(self.at.plus(limits.mute), limits.exchanges)
            }
        }
    }
}

impl Exchange {
    pub(super) fn sent(&mut self, now: Timestamp) {
        self.sent = now;
        self.answered = u8::MAX;
    }

    pub(super) fn received(
        &mut self,
        print: u32,
        now: Timestamp,
        limits: &LoopBreaker,
    ) -> Overheard {
        self.standing = self.standing.max(now);
        let Some(place) = self.row(print, now, limits) else {
            return Overheard::Talk;
        };
        let is_prompt = now.since(self.sent) <= limits.gap;
        let is_answered = self.answered & 1 << place != 0;
        self.answered &= !(1 << place);
        let row = &mut self.rows[place];
        let heard = row.received(now, is_prompt, is_answered, limits);
        self.standing = self.standing.max(row.standing(limits));
        heard
    }

    /// The row of this datagram: its own, or one that nobody needs any more.
    /// None if as many others are in use; it gets one when these are broken.
    fn row(&mut self, print: u32, now: Timestamp, limits: &LoopBreaker) -> Option<usize> {
        if let Some(own) = self.rows.iter().position(|row| row.print == print) {
            return Some(own);
        }
        let places = self.rows.iter().enumerate();
        let free = places.filter(|(_, row)| row.is_free(now, limits));
        let (place, _) = free.min_by_key(|(_, row)| row.standing(limits))?;
        self.rows[place] = Row {
            print,
            ..Row::default()
        };
        self.answered &= !(1 << place);
        Some(place)
    }
}

impl Entry for Exchange {
    /// Whoever is muted or well into a loop stays; of the others, who was heard last.
    fn worth(&self, _now: Timestamp) -> u64 {
        self.standing.nanos()
    }
}

fn standing(at: Timestamp, exchanges: u32) -> Timestamp {
    at.plus(u64::from(exchanges) * 1_000_000_000)
}

/// How many different datagrams of one peer are watched at the same time.
const ROWS: usize = 8;

const QUIET: u32 = 1 << 31;
const LEAKING: u32 = 1 << 30;
const MOST_COUNTED: u32 = LEAKING - 1;
