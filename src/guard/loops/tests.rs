//! The breaker with a clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use super::*;
use crate::guard::keys::Keys;

fn peer(port: u16) -> Hashed {
    let key = Keys::new([1; Keys::BYTES]).table;
    key.peer(SocketAddr::from(([192, 0, 2, 1], port)))
}

fn at(millis: u64) -> Timestamp {
    Timestamp::after(Duration::from_millis(millis))
}

fn watching(loops: ReplyLoops) -> LoopBreaker {
    LoopBreaker::new(&loops).expect("memory for a table")
}

/// Breaks loops after 4 exchanges, for a second.
fn breaker() -> LoopBreaker {
    watching(ReplyLoops::new().exchanges(4))
}

/// Receives and answers once a millisecond, from `start` on; how many were let through.
fn talk<'a>(
    breaker: &LoopBreaker,
    start: u64,
    datagrams: impl IntoIterator<Item = &'a [u8]>,
) -> usize {
    let mut passed = 0;
    for (bytes, millis) in datagrams.into_iter().zip(start..) {
        if breaker.received(peer(1), bytes, at(millis)) == Overheard::Talk {
            breaker.sent(peer(1), at(millis));
            passed += 1;
        }
    }
    passed
}

#[test]
fn a_loop_ends_after_so_many_exchanges() {
    let breaker = breaker();
    let error = b"error: what?".as_slice();
    assert_eq!(talk(&breaker, 0, [error; 100]), 4, "then it is over");
    assert_eq!(talk(&breaker, 101, [b"hello".as_slice()]), 1, "other words");
    assert_eq!(talk(&breaker, 190, [error; 10]), 0, "what was under way");
    let other = breaker.received(peer(2), error, at(201));
    assert_eq!(other, Overheard::Talk, "another peer");
}

#[test]
fn after_the_mute_a_loop_is_heard_out_again() {
    let breaker = breaker();
    let error = b"error: what?".as_slice();
    assert_eq!(talk(&breaker, 0, [error; 8]), 4);
    assert_eq!(talk(&breaker, 1_005, [error; 8]), 4);
}

/// What comes to the server in a minute, one after another.
struct Traffic {
    /// When each datagram arrives, in microseconds, and whether it is the client's.
    arrivals: BinaryHeap<Reverse<(u64, bool)>>,
}

impl Traffic {
    const MINUTE: u64 = 60_000_000;

    fn new() -> Self {
        Self {
            arrivals: BinaryHeap::new(),
        }
    }

    fn with(mut self, per_second: u64, is_client: bool) -> Self {
        let interval = 1_000_000 / per_second;
        // Not in step with each other.
        let offset = if is_client { 777 } else { 0 };
        let times = (0..Self::MINUTE).step_by(interval as usize);
        self.arrivals
            .extend(times.map(|time| Reverse((time + offset, is_client))));
        self
    }

    /// Adds what somebody sends in the client's name in a rhythm of his own: so many
    /// datagrams as make a loop, silence while it is measured what comes without
    /// one, then so many at once and so many one by one, and again.
    fn with_rhythm(mut self, at_once: u64, behind: u64, interval: u64) -> Self {
        const LOOP: u64 = 36;
        let mut begin = 0;
        while begin < Self::MINUTE {
            let first = (0..LOOP).map(|number| begin + number * 2_000);
            let again = begin + LOOP * 2_000 + 230_000;
            let burst = (0..at_once).map(|_| again);
            let then = (0..behind).map(|number| again + number * interval);
            let all = first
                .chain(burst)
                .chain(then)
                .map(|time| Reverse((time, false)));
            self.arrivals.extend(all);
            begin = again + (behind * interval).max(950_000);
        }
        self
    }

    /// How many requests of the client are answered, and how many of the others.
    /// Each answer has so many copies of the datagram come back, so many
    /// microseconds later.
    fn pass(mut self, copies: u64, round_trip: u64) -> (usize, usize) {
        let breaker = watching(ReplyLoops::new());
        let mut passed = (0, 0);
        while let Some(Reverse((time, is_client))) = self.arrivals.pop() {
            let now = Timestamp::after(Duration::from_micros(time));
            if breaker.received(peer(1), b"same", now) == Overheard::Loop {
                continue;
            }
            breaker.sent(peer(1), now);
            match is_client {
                true => passed.0 += 1,
                false => passed.1 += 1,
            }
            for copy in 0..copies {
                let time = time + round_trip + copy;
                self.arrivals.push(Reverse((time, false)));
            }
            assert!(self.arrivals.len() < 1_000_000, "it explodes");
        }
        passed
    }
}

#[test]
fn who_repeats_a_clients_request_in_its_name_does_not_mute_it() {
    const PER_SECOND: u64 = 5;
    for forged in [40, 200, 1_000, 10_000] {
        let traffic = Traffic::new().with(PER_SECOND, true).with(forged, false);
        let (answered, _) = traffic.pass(0, 0);
        let asked = PER_SECOND as usize * 60;
        assert!(
            answered * 4 >= asked * 3,
            "{answered} of {asked}, beside {forged} forged ones a second"
        );
    }
}

#[test]
fn who_is_silent_while_it_is_measured_does_not_mute_a_client() {
    // 42 a second, some at once; and some more, one by one.
    for (at_once, behind, interval) in [(16, 0, 0), (0, 16, 60_000), (0, 32, 30_000)] {
        for per_second in [5, 1] {
            let traffic = Traffic::new()
                .with(per_second, true)
                .with_rhythm(at_once, behind, interval);
            let (answered, _) = traffic.pass(0, 0);
            let asked = per_second as usize * 60;
            assert!(
                answered * 4 >= asked * 3,
                "{answered} of {asked}, {per_second} a second beside {at_once} and {behind}"
            );
        }
    }
}

/// Some to use up what may pass at once, and the others as it grows again: 76 and
/// 95 a second.
#[test]
fn how_much_it_takes_to_halve_a_client_is_as_documented() {
    for (behind, interval, least) in [(50, 20_000, 180), (71, 14_000, 140)] {
        let traffic = Traffic::new().with(5, true);
        let (answered, _) = traffic.with_rhythm(12, behind, interval).pass(0, 0);
        assert!(answered >= least, "{answered} of 300, beside {behind}");
    }
}

#[test]
fn a_client_that_asks_the_same_all_the_time_is_answered_most_of_the_time() {
    for per_second in [20, 100, 1_000] {
        let traffic = Traffic::new().with(per_second, true);
        let (answered, _) = traffic.pass(0, 0);
        let asked = per_second as usize * 60;
        assert!(answered * 4 >= asked * 3, "{answered} of {asked}");
    }
}

/// Whoever begins a loop again and again, so that it looks like a client: it
/// costs the two servers not much more than he pays for.
#[test]
fn a_loop_dies_however_often_it_is_begun() {
    for (bait, copies) in [(1, 1), (1, 2), (20, 1), (20, 2), (200, 1), (200, 2)] {
        for round_trip in [100, 2_000, 50_000] {
            let traffic = Traffic::new().with(bait, false);
            let (_, answered) = traffic.pass(copies, round_trip);
            // Twice the bait, and the exchanges that it takes each time.
            let most = (2 * bait + 2 * 32) as usize * 60;
            assert!(
                answered <= most,
                "{bait} a second, {copies} copies, {round_trip} us: {answered} answers"
            );
        }
    }
}

#[test]
fn copies_under_way_end_with_it() {
    let breaker = breaker();
    let mut under_way = 10;
    for round in 0..2 {
        let mut answered = 0;
        for _ in 0..under_way {
            if breaker.received(peer(1), b"error", at(round)) == Overheard::Talk {
                breaker.sent(peer(1), at(round));
                answered += 1;
            }
        }
        under_way = answered;
    }
    assert_eq!(under_way, 0, "the first is refused, and then all");
}

/// Lets `under_way` datagrams go round, each handled for 5 ms beside the
/// others; how many rounds until none is left, up to `most`.
fn rounds_until_silence(mut under_way: Vec<Vec<u8>>, most: u64) -> u64 {
    let breaker = breaker();
    for round in 0..most {
        let now = at(round * 6);
        under_way.retain(|bytes| breaker.received(peer(1), bytes, now) == Overheard::Talk);
        if under_way.is_empty() {
            return round;
        }
        for _ in &under_way {
            breaker.sent(peer(1), at(round * 6 + 5));
        }
    }
    most
}

#[test]
fn many_copies_end_though_several_come_before_one_is_answered() {
    let copies = vec![b"error".to_vec(); 64];
    assert_eq!(rounds_until_silence(copies, 1_000), 4);
}

#[test]
fn different_datagrams_that_go_round_all_end() {
    let different = |count: u8| (0..count).map(|number| vec![b'e', number]).collect();
    assert_eq!(rounds_until_silence(different(8), 1_000), 4, "side by side");
    let rounds = rounds_until_silence(different(40), 10_000);
    assert!(rounds < 200, "in turns: {rounds} rounds, 6 ms each");
}

#[test]
fn a_loop_ends_though_its_peer_says_other_things_as_well() {
    let breaker = breaker();
    let mut passed = 0;
    for step in 0..100_u64 {
        for bytes in [b"error".to_vec(), step.to_string().into_bytes()] {
            if breaker.received(peer(1), &bytes, at(step)) == Overheard::Talk {
                breaker.sent(peer(1), at(step));
                passed += 1;
            }
        }
    }
    assert_eq!(passed, 4 + 100, "the loop is cut, and the talk passes");
}

#[test]
fn what_changes_is_no_loop() {
    let numbers: Vec<_> = (0..500).map(|n: u32| n.to_string()).collect();
    let changing = numbers.iter().map(|text| text.as_bytes());
    assert_eq!(talk(&breaker(), 0, changing), 500);
}

#[test]
fn who_takes_its_time_or_gets_no_answer_is_in_no_loop() {
    let slow = breaker();
    for step in 0..100 {
        let now = at(step * 101);
        assert_eq!(slow.received(peer(1), b"tick", now), Overheard::Talk);
        slow.sent(peer(1), now);
    }
    let silent = breaker();
    for step in 0..100 {
        let heard = silent.received(peer(1), b"tick", at(step));
        assert_eq!(heard, Overheard::Talk, "we are not in it");
    }
}

#[test]
fn a_flood_of_sources_hides_no_loop() {
    let breaker = watching(ReplyLoops::new().exchanges(8).table_entries(64));
    let mut passed = 0;
    for step in 0..100 {
        if breaker.received(peer(1), b"error", at(step)) == Overheard::Talk {
            breaker.sent(peer(1), at(step));
            passed += 1;
        }
        for port in 0..5 {
            let stranger = peer(2 + (step as u16) * 5 + port);
            breaker.received(stranger, b"flood", at(step));
        }
    }
    assert_eq!(passed, 8);
}

#[test]
fn fingerprints_tell_datagrams_apart() {
    let mut prints = vec![fingerprint(b"")];
    for len in [1, 7, 8, 9, 16, 100] {
        let zeros = vec![0; len];
        prints.push(fingerprint(&zeros));
        for at in 0..len {
            let mut other = zeros.clone();
            other[at] = 1;
            prints.push(fingerprint(&other));
        }
    }
    let count = prints.len();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), count);
}

#[test]
fn nonsense_is_refused_in_words() {
    let loops = ReplyLoops::new;
    for (loops, words) in [
        (loops().exchanges(1), "1 exchanges"),
        (loops().gap(Duration::ZERO), "a gap of 0"),
        (loops().mute(Duration::ZERO), "a mute of 0"),
        (loops().table_entries(0), "a table of 0 entries"),
    ] {
        let problem = loops.check().expect_err(words);
        assert!(problem.starts_with(words), "{problem}");
    }
    assert_eq!(loops().check(), Ok(()));
}

#[test]
fn memory_is_as_documented() {
    assert_eq!(Table::<Exchange>::bytes(16_384), 16_384 * 225);
}
