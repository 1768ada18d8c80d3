//! What one peer still waits for.

use std::collections::VecDeque;

/// The datagrams of one peer, from the oldest that may still matter on.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The sequence number of the first entry; numbers wrap.
    first: u32,
    entries: VecDeque<Entry>,
    /// No entry before this one is pending.
    settled: usize,
    in_flight: usize,
}

/// One datagram.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// When it was sent, or should have been, in nanoseconds.
    since: u64,
    slow: bool,
    state: State,
}

/// What has become of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Answered,
    Lost,
}

/// What a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The first one to its datagram.
    First {
        /// From when the datagram was sent, or due, in nanoseconds.
        latency: u64,
        /// Whether the datagram was marked as slow.
        slow: bool,
    },
    /// One more to the same datagram.
    Duplicate,
    /// To a datagram given up before.
    Late,
    /// To a datagram that was not sent, or so long ago that nobody remembers.
    Unknown,
}

impl Ledger {
    /// How many datagrams wait for their reply.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes down a datagram; its sequence number.
    pub fn send(&mut self, since: u64, slow: bool) -> u32 {
        self.entries.push_back(Entry {
            since,
            slow,
            state: State::Pending,
        });
        self.in_flight += 1;
        self.first.wrapping_add((self.entries.len() - 1) as u32)
    }

    /// Strikes out the last `count` datagrams, which could not be sent after all.
    pub fn unsend(&mut self, count: usize) {
        self.entries.truncate(self.entries.len() - count);
        self.in_flight -= count;
    }

    /// The sequence number of the oldest datagram without reply.
    pub fn oldest(&mut self) -> Option<u32> {
        self.settle();
        (self.settled < self.entries.len()).then(|| self.first.wrapping_add(self.settled as u32))
    }

    /// Takes down a reply.
    pub fn answer(&mut self, sequence: u32, now: u64) -> Answer {
        let index = sequence.wrapping_sub(self.first) as usize;
        let Some(entry) = self.entries.get_mut(index) else {
            return Answer::Unknown;
        };
        let before = std::mem::replace(&mut entry.state, State::Answered);
        let Entry { since, slow, .. } = *entry;
        match before {
            State::Answered => Answer::Duplicate,
            State::Lost => Answer::Late,
            State::Pending => {
                self.in_flight -= 1;
                self.settle();
                let latency = now.saturating_sub(since);
                Answer::First { latency, slow }
            }
        }
    }

    /// Gives up what was sent before `deadline`; how many that were.
    pub fn expire(&mut self, deadline: u64) -> usize {
        let mut lost = 0;
        for entry in self.entries.iter_mut().skip(self.settled) {
            if entry.since >= deadline {
                break;
            }
            if entry.state == State::Pending {
                entry.state = State::Lost;
                lost += 1;
            }
        }
        self.in_flight -= lost;
        self.settle();
        lost
    }

    /// Finds the oldest pending entry, and forgets what is long past.
    fn settle(&mut self) {
        while self
            .entries
            .get(self.settled)
            .is_some_and(|entry| entry.state != State::Pending)
        {
            self.settled += 1;
        }
        while self.settled > REMEMBERED {
            self.entries.pop_front();
            self.first = self.first.wrapping_add(1);
            self.settled -= 1;
        }
    }
}

/// How many settled datagrams are remembered, to tell duplicates and late
/// replies from replies to nothing.
const REMEMBERED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn first(latency: u64) -> Answer {
        let slow = false;
        Answer::First { latency, slow }
    }

    #[test]
    fn replies_out_of_order_find_their_datagrams() {
        let mut ledger = Ledger::default();
        let sent: Vec<u32> = (0..3).map(|at| ledger.send(at, false)).collect();
        assert_eq!(ledger.answer(sent[2], 10), first(8));
        assert_eq!(ledger.answer(sent[0], 10), first(10));
        assert_eq!(ledger.oldest(), Some(sent[1]));
        assert_eq!(ledger.answer(sent[2], 11), Answer::Duplicate);
        assert_eq!(ledger.in_flight(), 1);
        assert_eq!(ledger.answer(sent[1], 11), first(10));
        assert_eq!((ledger.in_flight(), ledger.oldest()), (0, None));
    }

    #[test]
    fn what_is_given_up_may_still_come_late() {
        let mut ledger = Ledger::default();
        let early = ledger.send(5, false);
        let later = ledger.send(6, true);
        assert_eq!(ledger.expire(5), 0, "sent at the deadline is not before it");
        assert_eq!(ledger.expire(6), 1);
        assert_eq!(ledger.expire(6), 0, "once is enough");
        assert_eq!(ledger.answer(early, 20), Answer::Late);
        assert_eq!(ledger.answer(early, 21), Answer::Duplicate);
        let (latency, slow) = (14, true);
        assert_eq!(ledger.answer(later, 20), Answer::First { latency, slow });
    }

    #[test]
    fn nothing_is_known_of_what_was_not_sent() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.answer(0, 1), Answer::Unknown);
        let sequence = ledger.send(1, false);
        ledger.unsend(1);
        assert_eq!(ledger.answer(sequence, 2), Answer::Unknown);
        assert_eq!(ledger.send(3, false), sequence, "the number is free again");
    }

    #[test]
    fn memory_is_bounded_and_numbers_wrap() {
        let mut ledger = Ledger {
            first: u32::MAX - 1_000,
            ..Ledger::default()
        };
        for at in 0..10_000 {
            let sequence = ledger.send(at, false);
            assert_eq!(ledger.answer(sequence, at + 1), first(1));
        }
        assert_eq!(ledger.entries.len(), REMEMBERED);
        assert_eq!(ledger.answer(u32::MAX, 1), Answer::Unknown);
    }
}
