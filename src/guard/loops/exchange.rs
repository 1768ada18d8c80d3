//! What passes between the server and one peer.

use super::{LoopBreaker, Overheard};
use crate::guard::moment::Moment;
use crate::guard::table::Entry;

/// The last few datagrams of one peer, so that several loops with one peer,
/// started by different datagrams, are seen side by side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exchange {
    /// When something was sent there last.
    sent: Moment,
    /// How long this entry is worth keeping, compared with others.
    standing: Moment,
    rows: [Row; ROWS],
    /// A bit for each row: whether something was sent since its datagram came.
    answered: u8,
}

/// A datagram that came again and again.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// When the datagram came last; of a full row, until when it is refused.
    at: Moment,
    /// 0 if this row is free.
    print: u32,
    /// Full when it is as many as break a loop.
    exchanges: u32,
}

impl Exchange {
    pub(super) fn sent(&mut self, now: Moment) {
        self.sent = now;
        self.answered = u8::MAX;
    }

    pub(super) fn received(&mut self, print: u32, now: Moment, limits: &LoopBreaker) -> Overheard {
        self.stand(now, 0);
        let Some(place) = self.row(print, now, limits) else {
            return Overheard::Talk;
        };
        let is_prompt = now.since(self.sent) <= limits.gap;
        let is_answered = self.answered & 1 << place != 0;
        let row = &mut self.rows[place];
        let is_full = row.exchanges >= limits.exchanges;
        if is_full && now < row.at {
            return Overheard::Loop;
        }
        self.answered &= !(1 << place);
        // A copy of a datagram that has not been answered yet says nothing:
        // of many that are under way, several may come before one is answered.
        match (is_prompt && !is_full, is_answered) {
            (true, true) => row.exchanges += 1,
            (true, false) => {}
            (false, _) => row.exchanges = 0,
        }
        row.at = now;
        let exchanges = row.exchanges;
        if exchanges < limits.exchanges {
            self.stand(now, exchanges);
            return Overheard::Talk;
        }
        row.at = now.plus(limits.mute);
        let until = row.at;
        self.stand(until, exchanges);
        Overheard::Loop
    }

    /// The row of this datagram: its own, or one that nobody needs any more.
    /// None if as many others are in use; it gets one when these are broken.
    fn row(&mut self, print: u32, now: Moment, limits: &LoopBreaker) -> Option<usize> {
        if let Some(own) = self.rows.iter().position(|row| row.print == print) {
            return Some(own);
        }
        let places = self.rows.iter().enumerate();
        let free = places.filter(|(_, row)| row.is_free(now, limits));
        let (place, _) = free.min_by_key(|(_, row)| row.standing())?;
        self.rows[place] = Row {
            print,
            ..Row::default()
        };
        self.answered &= !(1 << place);
        Some(place)
    }

    fn stand(&mut self, at: Moment, exchanges: u32) {
        self.standing = self.standing.max(standing(at, exchanges));
    }
}

impl Row {
    /// A row is kept while its datagram may come back. What is refused comes
    /// back no more if it went round; so where more datagrams go round than
    /// there are rows, the next need not wait for the end of a mute.
    fn is_free(&self, now: Moment, limits: &LoopBreaker) -> bool {
        if self.exchanges >= limits.exchanges {
            let refused_for = now.plus(limits.mute).since(self.at);
            return self.at <= now || refused_for > limits.gap;
        }
        self.print == 0 || now.since(self.at) > limits.gap
    }

    fn standing(&self) -> Moment {
        standing(self.at, self.exchanges)
    }
}

impl Entry for Exchange {
    /// Whoever is muted or well into a loop stays; of the others, who was heard last.
    fn worth(&self, _now: Moment) -> u64 {
        self.standing.nanos()
    }
}

/// A row of exchanges weighs as much as having been heard that many seconds
/// later: enough against any flood, and it passes.
fn standing(at: Moment, exchanges: u32) -> Moment {
    at.plus(u64::from(exchanges) * 1_000_000_000)
}

/// How many different datagrams of one peer are watched at the same time.
const ROWS: usize = 8;
