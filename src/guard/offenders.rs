//! Who is named in the log, and who is only counted.

use super::prefix::Prefix;
use super::timestamp::Timestamp;

/// Those refused in one period, for one reason: the first few by name, the rest
/// in one number. So a flood from anywhere takes no memory and few lines.
#[derive(Debug, Default)]
pub(crate) struct Offenders {
    began: Option<Timestamp>,
    named: [Option<Offender>; MOST_NAMED],
    others: u64,
}

#[derive(Debug, Clone, Copy)]
struct Offender {
    who: Prefix,
    /// Since the line that named them.
    more: u64,
}

/// What a period came to, beyond what was logged at once.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    named: [Option<Offender>; MOST_NAMED],
    /// Refusals of everybody else.
    pub(crate) others: u64,
    /// How long it was, rounded to seconds: more than a period where nobody
    /// came when that was over.
    pub(crate) seconds: u64,
}

impl Summary {
    /// Everyone who was refused more than once, and how often after the first.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = (Prefix, u64)> + '_ {
        let all = self.named.iter().flatten();
        all.filter(|offender| offender.more > 0)
            .map(|offender| (offender.who, offender.more))
    }
}

impl Offenders {
    /// Counts a refusal; `true` says that it is worth a line at once.
    pub(crate) fn note(&mut self, who: Prefix, now: Timestamp) -> bool {
        self.began.get_or_insert(now);
        for place in &mut self.named {
            match place {
                Some(offender) if offender.who == who => {
                    offender.more += 1;
                    return false;
                }
                Some(_) => {}
                None => {
                    *place = Some(Offender { who, more: 0 });
                    return true;
                }
            }
        }
        self.others += 1;
        false
    }

    /// Adds refusals of which nobody knows whose they were.
    pub(crate) fn note_unknown(&mut self, count: u64) {
        self.others += count;
    }

    /// When the period that is under way ends.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.began.map(|began| began.plus(PERIOD_NANOS))
    }

    /// The summary, if a period is over. The next refusal begins a new one.
    pub(crate) fn sum_up(&mut self, now: Timestamp) -> Option<Summary> {
        let is_over = self.due().is_some_and(|due| due <= now);
        is_over.then(|| self.end(now))
    }

    /// The summary of the period so far, which is over.
    pub(crate) fn end(&mut self, now: Timestamp) -> Summary {
        let Self {
            began,
            named,
            others,
        } = std::mem::take(self);
        let length = began.map_or(0, |began| now.since(began));
        Summary {
            named,
            others,
            seconds: ((length + SECOND / 2) / SECOND).max(1),
        }
    }
}

const SECOND: u64 = 1_000_000_000;
/// From the first refusal to the summary.
const PERIOD_NANOS: u64 = 10 * SECOND;
const MOST_NAMED: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn who(number: u32) -> Prefix {
        Prefix::customary((Ipv4Addr::from(number), 9).into())
    }

    fn second(at: u64) -> Timestamp {
        Timestamp::after(Duration::from_secs(at))
    }

    #[test]
    fn the_first_refusal_is_told_at_once_and_the_rest_when_the_period_is_over() {
        let mut offenders = Offenders::default();
        assert!(offenders.sum_up(second(99)).is_none(), "nothing happened");
        assert!(offenders.note(who(1), second(100)));
        assert!(!offenders.note(who(1), second(101)));
        assert!(!offenders.note(who(1), second(102)));
        assert!(offenders.note(who(2), second(103)), "another");
        assert!(offenders.sum_up(second(109)).is_none(), "not over");
        let summary = offenders.sum_up(second(110)).expect("it is over");
        let repeated: Vec<_> = summary.repeated().collect();
        assert_eq!(repeated, [(who(1), 2)], "nothing more of the other");
        assert_eq!((summary.others, summary.seconds), (0, 10));
        assert!(offenders.sum_up(second(999)).is_none(), "told once");
        assert!(offenders.note(who(1), second(999)), "a new period");
    }

    #[test]
    fn a_summary_says_how_long_it_was() {
        for (began, ended, seconds) in [(100, 114, 14), (100, 110, 10), (100, 100, 1)] {
            let mut offenders = Offenders::default();
            offenders.note(who(1), second(began));
            assert_eq!(offenders.end(second(ended)).seconds, seconds);
        }
    }

    #[test]
    fn a_flood_of_sources_is_one_number() {
        let mut offenders = Offenders::default();
        let told = (0..10_000).filter(|n| offenders.note(who(*n), second(1)));
        assert_eq!(told.count(), MOST_NAMED);
        offenders.note_unknown(8);
        let summary = offenders.end(second(1));
        assert_eq!(summary.repeated().count(), 0);
        assert_eq!(summary.others, 10_000, "nothing is left out");
    }
}
