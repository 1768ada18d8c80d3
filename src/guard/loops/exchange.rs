//! What passes between the server and one peer.

use super::{LoopBreaker, ODD, Overheard};
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
    phase: Phase,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// So many exchanges in a row. What comes passes.
    Counting { exchanges: u32 },
    /// As many as break a loop: what comes is refused. So many have come since
    /// what was under way must have arrived, which no answer of ours can have
    /// brought about.
    Quiet { own: u32 },
    /// It is no loop, or not only: so many may pass in the length of a mute,
    /// evenly, and so many have.
    Leaking { budget: u32, passed: u32 },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Counting { exchanges: 0 }
    }
}

impl Row {
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
        match self.phase {
            Phase::Counting { exchanges } => {
                // A copy of a datagram that has not been answered yet says nothing:
                // of many that are under way, several may come before one is answered.
                let exchanges = match (is_prompt, is_exchange) {
                    (true, true) => exchanges + 1,
                    (true, false) => exchanges,
                    (false, _) => 0,
                };
                self.at = now;
                if exchanges < limits.exchanges {
                    self.phase = Phase::Counting { exchanges };
                    return Overheard::Talk;
                }
                self.phase = Phase::Quiet { own: 0 };
                Overheard::Loop
            }
            Phase::Quiet { .. } if age <= limits.gap => Overheard::Loop,
            Phase::Quiet { own } if age < limits.gap.saturating_mul(2) => {
                self.phase = Phase::Quiet {
                    own: own.saturating_add(1),
                };
                Overheard::Loop
            }
            Phase::Quiet { own } if own > 0 || age < limits.mute => {
                // So many came in the time since nothing was under way: at this
                // rate, and one more, they may pass for the length of a mute. As
                // many again as break a loop are for those who came none too often
                // to be measured.
                let measured = age - limits.gap;
                let own = u128::from(own) + 1;
                let budget = own * u128::from(limits.mute) / u128::from(measured);
                let budget = u32::try_from(budget).unwrap_or(u32::MAX);
                self.at = now;
                self.phase = Phase::Leaking {
                    budget: budget.saturating_add(limits.exchanges),
                    passed: 1,
                };
                Overheard::Talk
            }
            Phase::Leaking { budget, passed } if age < limits.mute => {
                if !leaks(budget, passed, age, now, limits) {
                    return Overheard::Loop;
                }
                self.phase = Phase::Leaking {
                    budget,
                    passed: passed.saturating_add(1),
                };
                Overheard::Talk
            }
            Phase::Quiet { .. } | Phase::Leaking { .. } => {
                self.at = now;
                self.phase = Phase::default();
                Overheard::Talk
            }
        }
    }

    /// A row is kept while its datagram may come back. What is refused comes
    /// back no more if it went round; so where more datagrams go round than
    /// there are rows, the next need not wait for the end of a mute.
    fn is_free(&self, now: Timestamp, limits: &LoopBreaker) -> bool {
        let age = now.since(self.at);
        match self.phase {
            Phase::Counting { .. } | Phase::Quiet { own: 0 } => self.print == 0 || age > limits.gap,
            Phase::Quiet { .. } | Phase::Leaking { .. } => age >= limits.mute,
        }
    }

    /// A row of exchanges weighs as much as having been heard that many seconds
    /// later: enough against any flood, and it passes.
    fn standing(&self, limits: &LoopBreaker) -> Timestamp {
        match self.phase {
            Phase::Counting { exchanges } => standing(self.at, exchanges),
            Phase::Quiet { .. } | Phase::Leaking { .. } => {
                standing(self.at.plus(limits.mute), limits.exchanges)
            }
        }
    }
}

/// Whether one more passes, `age` into a leak. A budget is spread over the mute:
/// what has not passed yet may later. Where more comes than may pass, chance
/// decides which, so that nobody who comes at the right time takes it all.
fn leaks(budget: u32, passed: u32, age: u64, now: Timestamp, limits: &LoopBreaker) -> bool {
    let due = u128::from(budget) * u128::from(age) / u128::from(limits.mute);
    let due = u64::try_from(due).unwrap_or(u64::MAX);
    let credit = due.saturating_add(PLENTY).saturating_sub(passed.into());
    // The time in nanoseconds, which nobody who sends can choose.
    let mixed = (now.nanos() ^ u64::from(passed) << 48).wrapping_mul(ODD);
    let chance = (mixed ^ mixed >> 29).wrapping_mul(ODD) >> 32;
    credit >= PLENTY || chance * PLENTY < credit << 32
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

/// With so many that may pass at once, all do.
const PLENTY: u64 = 8;
