//! The counts.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ledger::Answer;

/// What became of a load. Every datagram sent ends as answered or lost, or as
/// pending if the load was cut off.
#[derive(Debug)]
pub struct Tally {
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Datagrams with a proper reply in time.
    pub answered: u64,
    /// How many of them were answered while there was still sending.
    pub answered_sending: u64,
    /// For how long there was sending.
    pub sending: Duration,
    /// Datagrams without a reply when the time-out had passed.
    pub lost: u64,
    /// Datagrams that still had time for their reply when the load was cut off.
    pub pending: u64,
    /// Replies to datagrams already given up.
    pub late: u64,
    /// Replies to datagrams already answered.
    pub duplicates: u64,
    /// Replies that answer nothing that was asked.
    pub wrong: u64,
    /// Failed system calls.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<io::Error>,
    /// Of the datagrams not marked as slow, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Of those that were.
    pub slow_latency: Histogram<u64>,
}

/// Nothing yet.
impl Default for Tally {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("bounds that make sense");
        Self {
            sent: 0,
            answered: 0,
            answered_sending: 0,
            sending: Duration::ZERO,
            lost: 0,
            pending: 0,
            late: 0,
            duplicates: 0,
            wrong: 0,
            errors: 0,
            first_error: None,
            latency: histogram(),
            slow_latency: histogram(),
        }
    }
}

impl Tally {
    /// Counts a reply.
    pub fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::First { latency, slow } => {
                self.answered += 1;
                if slow {
                    self.slow_latency.saturating_record(latency);
                } else {
                    self.latency.saturating_record(latency);
                }
            }
            Answer::Duplicate => self.duplicates += 1,
            Answer::Late => self.late += 1,
            Answer::Unknown => self.wrong += 1,
        }
    }

    /// Counts a failed system call.
    pub fn error(&mut self, error: io::Error) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    /// Whether nobody listens there: there was the news of that, and no reply.
    pub fn is_refused(&self) -> bool {
        let error = self.first_error.as_ref().map(io::Error::kind);
        let replies = self.answered + self.wrong + self.late;
        replies == 0 && error == Some(io::ErrorKind::ConnectionRefused)
    }

    /// Datagrams answered in a second.
    pub fn rate(&self) -> f64 {
        self.answered_sending as f64 / self.sending.as_secs_f64().max(f64::EPSILON)
    }

    /// Datagrams sent in a second.
    pub fn rate_sent(&self) -> f64 {
        self.sent as f64 / self.sending.as_secs_f64().max(f64::EPSILON)
    }

    /// The share of datagrams lost, from 0 to 1.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.sent.max(1) as f64
    }
}

/// Ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_datagrams_do_not_spoil_the_others_latency() {
        let mut tally = Tally::default();
        for (latency, slow) in [(1_000, false), (100_000_000, true)] {
            tally.answer(Answer::First { latency, slow });
        }
        tally.answer(Answer::Duplicate);
        tally.answer(Answer::Late);
        tally.answer(Answer::Unknown);
        assert_eq!(tally.answered, 2);
        assert_eq!([tally.duplicates, tally.late, tally.wrong], [1; 3]);
        assert!(tally.latency.max() < 1_010);
        assert!(tally.slow_latency.min() > 99_000_000);
    }

    #[test]
    fn a_refusal_counts_until_there_is_a_reply() {
        let mut tally = Tally::default();
        assert!(!tally.is_refused());
        tally.error(io::ErrorKind::ConnectionRefused.into());
        assert!(tally.is_refused());
        tally.answered = 1;
        assert!(!tally.is_refused(), "it was there, and may come back");
    }

    #[test]
    fn nothing_sent_is_no_loss_and_no_rate() {
        let tally = Tally::default();
        assert_eq!((tally.loss(), tally.rate()), (0.0, 0.0));
    }
}
