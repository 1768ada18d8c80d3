//! The loop that sends a queue of datagrams and skips exactly the entry that
//! fails.
//!
//! `sendmmsg(2)` stops at the first entry that fails and returns how many went
//! out before it; the error itself only shows when the *first* entry of a call
//! fails. So: after a short count go on from there; when the first entry fails,
//! that one entry is dropped with its reason, and all behind it are still sent.
//! One forged source address must not cost other clients their replies.
//!
//! The error need not even be the entry's own: on a socket with `IP_RECVERR`
//! (ip(7)) the next call, whatever it sends, returns late news about an earlier
//! datagram, and sends nothing. Returning it clears it. So what may be such news
//! gets a second try, and only an error that stays is the entry's. Other threads
//! that send to peers that are gone make news all the while: as long as there was
//! more of it, an error has not stayed.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{LocalEnd, SendFault, Socket};

/// How long a flush may wait for room in the socket's send buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all: what finds no room stays queued.
    None,
    /// Until this moment: what finds no room by then is dropped and counted.
    Until(Instant),
}

/// Whether a flush settled everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Every entry was sent or failed for good.
    All,
    /// Without patience and without room, entries from this index on stay.
    From(usize),
}

/// The kernel's side of the loop, so that tests can stand in for it.
pub(super) trait Wire {
    /// Sends entries from `first` on; `Ok` is how many went out, at least one.
    fn send(&mut self, first: usize) -> io::Result<usize>;

    /// Waits for room in the send buffer, at most this long.
    fn wait_writable(&mut self, timeout: Duration);

    /// Waits out a shortage of memory.
    fn pause(&mut self, length: Duration);

    /// Forgets late news that is queued; whether there was any (`false` where
    /// that cannot be known).
    fn discard_late_news(&mut self) -> bool;
}

/// Sends the entries `0..count` and tells `settle` the end of each, in order.
pub(super) fn send_all(
    count: usize,
    wire: &mut impl Wire,
    patience: Patience,
    mut settle: impl FnMut(usize, io::Result<()>),
) -> Flushed {
    let mut next = 0;
    let mut paused = false;
    let mut news_heard = 0;
    while next < count {
        let error = match wire.send(next) {
            Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
            Ok(sent) => {
                for index in next..next + sent {
                    settle(index, Ok(()));
                }
                next += sent;
                (paused, news_heard) = (false, 0);
                continue;
            }
            Err(error) => error,
        };
        match SendFault::of(&error) {
            SendFault::Interrupted => continue,
            SendFault::WouldBlock => match patience {
                Patience::None => return Flushed::From(next),
                Patience::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !left.is_zero() {
                        wire.wait_writable(left);
                        continue;
                    }
                }
            },
            SendFault::NoMemory if !paused => {
                if let Patience::None = patience {
                    return Flushed::From(next);
                }
                wire.pause(SHORTAGE_PAUSE);
                paused = true;
                continue;
            }
            fault if fault.may_be_late_news() && news_heard < MOST_NEWS => {
                news_heard += 1;
                if news_heard == 1 || wire.discard_late_news() {
                    continue;
                }
            }
            _ => {}
        }
        settle(next, Err(error));
        next += 1;
        (paused, news_heard) = (false, 0);
    }
    Flushed::All
}

/// Sends one datagram outside any queue, with the same judgement of errors.
pub(crate) fn send_one(
    socket: &Socket,
    bytes: &[u8],
    to: SocketAddr,
    from: Option<LocalEnd>,
    patience: Patience,
) -> io::Result<()> {
    struct Single<'a> {
        socket: &'a Socket,
        bytes: &'a [u8],
        to: SocketAddr,
        from: Option<LocalEnd>,
    }

    impl Wire for Single<'_> {
        fn send(&mut self, _first: usize) -> io::Result<usize> {
            let Self {
                bytes, to, from, ..
            } = *self;
            self.socket.send_now(bytes, to, from).map(|()| 1)
        }

        fn wait_writable(&mut self, timeout: Duration) {
            self.socket.wait_writable(timeout);
        }

        fn pause(&mut self, length: Duration) {
            std::thread::sleep(length);
        }

        fn discard_late_news(&mut self) -> bool {
            self.socket.discard_late_news()
        }
    }

    let mut single = Single {
        socket,
        bytes,
        to,
        from,
    };
    let mut end = Err(io::ErrorKind::WouldBlock.into());
    send_all(1, &mut single, patience, |_, result| end = result);
    end
}

/// Errors in a row that are taken for late news about others: no flood of it
/// may hold a worker up for long.
const MOST_NEWS: u32 = 64;

/// The one pause that a shortage of memory gets.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    /// A kernel that fails chosen entries, each with its errors in turn.
    #[derive(Default)]
    struct Script {
        count: usize,
        errors: BTreeMap<usize, VecDeque<i32>>,
        at_most: usize,
        waits: usize,
        pauses: usize,
        /// How often there is still news to forget.
        news: usize,
    }

    impl Script {
        fn new(count: usize, errors: &[(usize, &[i32])]) -> Self {
            Self {
                count,
                errors: errors
                    .iter()
                    .map(|(index, codes)| (*index, codes.iter().copied().collect()))
                    .collect(),
                at_most: usize::MAX,
                ..Self::default()
            }
        }
    }

    impl Wire for Script {
        fn send(&mut self, first: usize) -> io::Result<usize> {
            if let Some(code) = self.errors.get_mut(&first).and_then(VecDeque::pop_front) {
                return Err(io::Error::from_raw_os_error(code));
            }
            let mut sent = 1;
            while first + sent < self.count
                && sent < self.at_most
                && self
                    .errors
                    .get(&(first + sent))
                    .is_none_or(VecDeque::is_empty)
            {
                sent += 1;
            }
            Ok(sent)
        }

        fn wait_writable(&mut self, _timeout: Duration) {
            self.waits += 1;
        }

        fn pause(&mut self, _length: Duration) {
            self.pauses += 1;
        }

        fn discard_late_news(&mut self) -> bool {
            let had_some = self.news > 0;
            self.news = self.news.saturating_sub(1);
            had_some
        }
    }

    fn run(script: &mut Script, patience: Patience) -> (Flushed, Vec<Result<usize, usize>>) {
        let mut ends = Vec::new();
        let count = script.count;
        let flushed = send_all(count, script, patience, |index, result| {
            ends.push(result.map(|()| index).map_err(|_| index));
        });
        (flushed, ends)
    }

    fn long() -> Patience {
        Patience::Until(Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn exactly_the_failing_entries_are_skipped() {
        let mut script = Script::new(
            8,
            &[
                (0, &[libc::EINVAL]),
                (3, &[libc::EPERM; 2]),
                (4, &[libc::ENETUNREACH; 2]),
                (7, &[libc::EMSGSIZE; 2]),
            ],
        );
        let (flushed, ends) = run(&mut script, long());
        assert_eq!(flushed, Flushed::All);
        assert_eq!(
            ends,
            [Err(0), Ok(1), Ok(2), Err(3), Err(4), Ok(5), Ok(6), Err(7)],
            "each failing entry is skipped, every other one is sent, in order"
        );
    }

    #[test]
    fn late_news_about_others_costs_no_entry_its_turn() {
        for code in [
            libc::ECONNREFUSED,
            libc::EHOSTUNREACH,
            libc::EMSGSIZE,
            libc::EACCES,
            libc::EPROTO,
        ] {
            let mut script = Script::new(3, &[(0, &[code]), (2, &[code])]);
            let (_, ends) = run(&mut script, Patience::None);
            assert_eq!(ends, [Ok(0), Ok(1), Ok(2)], "errno {code}");

            let mut storm = Script::new(2, &[(0, &[code; 10]), (1, &[code; 3])]);
            storm.news = 9 + 1;
            let (_, ends) = run(&mut storm, Patience::None);
            assert_eq!(ends, [Ok(0), Err(1)], "errno {code}: the last one stays");
        }
    }

    #[test]
    fn interruptions_and_short_counts_lose_nothing() {
        let mut script = Script::new(5, &[(2, &[libc::EINTR, libc::EINTR])]);
        script.at_most = 1;
        let (_, ends) = run(&mut script, long());
        assert_eq!(ends, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    }

    #[test]
    fn a_full_buffer_is_waited_for() {
        let mut script = Script::new(3, &[(1, &[libc::EAGAIN, libc::EAGAIN])]);
        let (_, ends) = run(&mut script, long());
        assert_eq!(ends, [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(script.waits, 2);
    }

    #[test]
    fn a_buffer_full_past_the_deadline_drops_one_and_tries_the_next() {
        let mut script = Script::new(3, &[(1, &[libc::EAGAIN])]);
        let (flushed, ends) = run(&mut script, Patience::Until(Instant::now()));
        assert_eq!(flushed, Flushed::All);
        assert_eq!(ends, [Ok(0), Err(1), Ok(2)]);
    }

    #[test]
    fn without_patience_what_finds_no_room_stays() {
        let mut script = Script::new(4, &[(2, &[libc::EAGAIN])]);
        let (flushed, ends) = run(&mut script, Patience::None);
        assert_eq!(flushed, Flushed::From(2));
        assert_eq!(ends, [Ok(0), Ok(1)]);
    }

    #[test]
    fn a_shortage_gets_one_pause_then_the_entry_is_dropped() {
        let mut script = Script::new(
            3,
            &[(0, &[libc::ENOBUFS]), (1, &[libc::ENOMEM, libc::ENOMEM])],
        );
        let (_, ends) = run(&mut script, long());
        assert_eq!(ends, [Ok(0), Err(1), Ok(2)]);
        assert_eq!(script.pauses, 2);
    }
}
