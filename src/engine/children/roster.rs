//! Who is to be started, and when: decided from who began and ended. No processes,
//! no clock.
//!
//! A child that dies soon after its start without having received anything dies of
//! its start. The next one is then started alone, after a pause that doubles each
//! time, and the others only when one has proved itself: by receiving something, or
//! by living for a second.

use std::time::{Duration, Instant};

/// A seat for each child there may be.
#[derive(Debug)]
pub(super) struct Roster {
    /// Since when somebody has sat there.
    seats: Vec<Option<Instant>>,
    /// Starts in vain, in a row. What began before the last of them does not count.
    in_vain: u32,
    last: Option<Instant>,
}

impl Roster {
    pub(super) fn new(seats: usize) -> Self {
        Self {
            seats: vec![None; seats],
            in_vain: 0,
            last: None,
        }
    }

    /// Which seat is to be filled now.
    pub(super) fn to_fill(&self, now: Instant) -> Option<usize> {
        let may = match self.last {
            Some(last) => now >= last + self.pause() && self.probe().is_none(),
            None => true,
        };
        let vacant = self.seats.iter().position(Option::is_none);
        vacant.filter(|_| may)
    }

    /// When to look again, if nobody ends before.
    pub(super) fn due(&self) -> Option<Instant> {
        let last = self.last?;
        match self.probe() {
            Some(since) => Some(since + PROVEN),
            None => Some(last + self.pause()),
        }
    }

    pub(super) fn began(&mut self, seat: usize, now: Instant) {
        self.seats[seat] = Some(now);
    }

    /// A child could not be started, or has ended having received nothing
    /// (`was_idle`).
    pub(super) fn ended(&mut self, seat: usize, now: Instant, was_idle: bool) {
        let since = self.seats[seat].take().unwrap_or(now);
        let is_news = self.last.is_none_or(|last| since >= last);
        if !was_idle {
            self.trust();
        } else if now < since + PROVEN && is_news {
            self.in_vain = self.in_vain.saturating_add(1);
            self.last = Some(now);
        }
    }

    /// Looks whether who was started last has proved itself; `is_used` says which
    /// have received something.
    pub(super) fn look(&mut self, now: Instant, is_used: impl Fn(usize) -> bool) {
        let Some(last) = self.last else { return };
        let mut seats = self.seats.iter().enumerate();
        let proved = seats.any(|(seat, since)| {
            since.is_some_and(|since| since >= last && (now >= since + PROVEN || is_used(seat)))
        });
        if proved {
            self.trust();
        }
    }

    /// Whether there is nobody, and it was tried often enough.
    pub(super) fn is_hopeless(&self) -> bool {
        self.in_vain >= TRIES && self.seats.iter().all(Option::is_none)
    }

    /// How many have a seat.
    pub(super) fn filled(&self) -> usize {
        self.seats.iter().flatten().count()
    }

    fn trust(&mut self) {
        self.in_vain = 0;
        self.last = None;
    }

    /// Since when somebody tries who was started after the last failure.
    fn probe(&self) -> Option<Instant> {
        let last = self.last?;
        let since = self.seats.iter().flatten();
        since.copied().find(|since| *since >= last)
    }

    fn pause(&self) -> Duration {
        let doublings = self.in_vain.saturating_sub(1).min(16);
        LONGEST_PAUSE.min(FIRST_PAUSE * (1 << doublings))
    }
}

/// With their pauses about two seconds.
pub(super) const TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Who lives so long does not die of its start.
const PROVEN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Fills all seats that are to be filled; how many.
    fn fill(roster: &mut Roster, now: Instant) -> usize {
        let mut filled = 0;
        while let Some(seat) = roster.to_fill(now) {
            roster.began(seat, now);
            filled += 1;
        }
        filled
    }

    #[test]
    fn all_are_started_at_once_and_who_received_something_is_replaced_at_once() {
        let (mut roster, now) = (Roster::new(3), Instant::now());
        assert_eq!(fill(&mut roster, now), 3);
        roster.ended(1, now + MILLI, false);
        assert_eq!(roster.to_fill(now + MILLI), Some(1));
        assert_eq!(roster.due(), None);
    }

    #[test]
    fn who_dies_of_its_start_is_followed_by_one_alone_later_and_later_and_in_the_end_by_none() {
        let (mut roster, mut now) = (Roster::new(3), Instant::now());
        assert_eq!(fill(&mut roster, now), 3);
        now += MILLI;
        // The first wave is one failure, not three.
        (0..3).for_each(|seat| roster.ended(seat, now, true));
        let mut pauses = Vec::new();
        while !roster.is_hopeless() {
            assert_eq!(roster.to_fill(now), None, "not at once");
            let due = roster.due().expect("a pause");
            pauses.push((due - now).as_millis());
            now = due;
            assert_eq!(fill(&mut roster, now), 1, "one alone");
            now += MILLI;
            roster.ended(0, now, true);
        }
        assert_eq!(pauses, [4, 8, 16, 32, 64, 128, 256, 512, 1000]);
    }

    #[test]
    fn one_that_proves_itself_brings_the_others_back() {
        for lives in [true, false] {
            let (mut roster, mut now) = (Roster::new(3), Instant::now());
            fill(&mut roster, now);
            (0..3).for_each(|seat| roster.ended(seat, now + MILLI, true));
            now = roster.due().expect("a pause");
            assert_eq!(fill(&mut roster, now), 1);
            let due = roster.due().expect("its probation");
            assert_eq!(due, now + PROVEN);
            if lives {
                now = due;
            }
            roster.look(now, |_| !lives);
            assert_eq!(fill(&mut roster, now), 2, "lives: {lives}");
        }
    }

    #[test]
    fn it_is_not_hopeless_as_long_as_somebody_lives() {
        let (mut roster, mut now) = (Roster::new(2), Instant::now());
        fill(&mut roster, now);
        for _ in 0..2 * TRIES {
            now += MILLI;
            roster.ended(1, now, true);
            now = roster.due().expect("a pause");
            assert_eq!(fill(&mut roster, now), 1);
        }
        assert!(!roster.is_hopeless());
        roster.ended(0, now, true);
        roster.ended(1, now, true);
        assert!(roster.is_hopeless());
    }

    #[test]
    fn who_has_lived_for_a_second_did_not_die_of_its_start() {
        let (mut roster, now) = (Roster::new(1), Instant::now());
        fill(&mut roster, now);
        roster.ended(0, now + PROVEN, true);
        assert_eq!(roster.to_fill(now + PROVEN), Some(0));
    }
}
