//! The loop that sends a queue of messages and skips exactly the one that fails.
//!
//! `sendmmsg(2)` stops at the first message that fails and returns how many went
//! out before it; the error itself only shows when the *first* message of a call
//! fails. So: after a short count go on from there; when the first message fails,
//! that one is dropped with its reason, and all behind it are still sent.
//! One forged source address must not cost other clients their replies.
//!
//! The error need not even be the message's own: on a socket with `IP_RECVERR`
//! (ip(7)) the next call, whatever it sends, returns the pending socket error of an earlier
//! datagram, and sends nothing. Returning it clears it. So what may be such an error
//! gets a second try, and only an error that stays is the message's. Other threads
//! that send to peers that are gone make them all the while: as long as there was
//! more of it, an error has not stayed.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Egress, SendFault, SendQueue, Socket};

/// How long a flush may wait for room in the socket's send buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all: what finds no room stays queued.
    None,
    /// Until this moment: what finds no room by then is dropped and counted.
    Until(Instant),
}

/// Where datagrams go: a socket, or a script in tests.
pub(super) trait Wire {
    /// Sends one datagram now, or says why not.
    fn send_now(&mut self, bytes: &[u8], to: SocketAddr, egress: &Egress) -> io::Result<()>;

    /// Waits for room in the send buffer, at most this long.
    fn wait_writable(&mut self, timeout: Duration);

    /// Waits out a shortage of memory.
    fn pause(&mut self, length: Duration);

    /// Forgets a pending socket error that is queued; whether there was any (`false` where
    /// that cannot be known).
    fn discard_pending_errors(&mut self) -> bool;
}

impl Wire for &Socket {
    fn send_now(&mut self, bytes: &[u8], to: SocketAddr, egress: &Egress) -> io::Result<()> {
        Socket::send_now(self, bytes, to, egress)
    }

    fn wait_writable(&mut self, timeout: Duration) {
        Socket::wait_writable(self, timeout);
    }

    fn pause(&mut self, length: Duration) {
        std::thread::sleep(length);
    }

    fn discard_pending_errors(&mut self) -> bool {
        Socket::discard_pending_errors(self)
    }
}

/// Messages to be sent, in order. A message is what the kernel takes or refuses
/// as a whole: one datagram, or several as one segmented send.
///
/// The messages keep their own place: the loop knows only the first one, so
/// nothing can go on in the middle of one. Each call moves on before it reports.
pub(super) trait Messages<W> {
    fn is_empty(&self) -> bool;

    /// Sends from the first message on. `Ok` says that at least the first one
    /// is gone from here; an error, that none is.
    fn send(&mut self, wire: &mut W) -> io::Result<()>;

    /// Cuts the first message into its datagrams, if it has several.
    fn split(&mut self) -> bool {
        false
    }

    /// Gives the first message up.
    fn give_up(&mut self, error: &io::Error);
}

/// Is told how datagrams ended.
pub(crate) trait SendReport {
    /// A system call was made, which sent so many datagrams with so many bytes
    /// of payload in all.
    fn called(&mut self, sent: u64, bytes: u64);

    /// A datagram of `len` bytes was given up.
    fn failed(&mut self, len: usize, to: SocketAddr, error: &io::Error);
}

impl SendQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.ledger.is_empty()
    }

    /// Whether a datagram of `len` bytes finds room.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.ledger.has_room(len)
    }

    /// Sends what is queued, in order. Without patience, what finds no room stays.
    pub(crate) fn flush(
        &mut self,
        mut socket: &Socket,
        patience: Patience,
        report: &mut impl SendReport,
    ) {
        self.flush_to(&mut socket, patience, report);
    }
}

/// Sends all messages, or all that find room at once if there is no patience.
pub(super) fn send_all<W: Wire>(messages: &mut impl Messages<W>, wire: &mut W, patience: Patience) {
    let mut paused = false;
    let mut passed_over = 0;
    while !messages.is_empty() {
        let error = match messages.send(wire) {
            Ok(()) => {
                (paused, passed_over) = (false, 0);
                continue;
            }
            Err(error) => error,
        };
        let fault = SendFault::of(&error);
        match fault {
            SendFault::Interrupted => continue,
            SendFault::WouldBlock => match patience {
                Patience::None => return,
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
                    return;
                }
                wire.pause(SHORTAGE_PAUSE);
                paused = true;
                continue;
            }
            fault if fault.may_be_pending_error() && passed_over < MOST_PENDING_ERRORS => {
                passed_over += 1;
                if passed_over == 1 || wire.discard_pending_errors() {
                    continue;
                }
            }
            _ => {}
        }
        // What makes a message of several fail, a segment above the route's MTU
        // or a device without checksum offload, need not be wrong with its
        // datagrams. A full buffer is: the kernel looks only at what is in it
        // (sock_alloc_send_pskb), not at what comes.
        let is_full = fault == SendFault::WouldBlock;
        if is_full || !messages.split() {
            messages.give_up(&error);
        }
        (paused, passed_over) = (false, 0);
    }
}

/// Sends one datagram outside any queue, with the same judgement of errors.
pub(crate) fn send_one(
    socket: &Socket,
    bytes: &[u8],
    to: SocketAddr,
    egress: &Egress,
    patience: Patience,
) -> io::Result<()> {
    struct Single<'a> {
        bytes: &'a [u8],
        to: SocketAddr,
        egress: &'a Egress,
        end: Option<io::Result<()>>,
    }

    impl<W: Wire> Messages<W> for Single<'_> {
        fn is_empty(&self) -> bool {
            self.end.is_some()
        }

        fn send(&mut self, wire: &mut W) -> io::Result<()> {
            wire.send_now(self.bytes, self.to, self.egress)?;
            self.end = Some(Ok(()));
            Ok(())
        }

        fn give_up(&mut self, error: &io::Error) {
            self.end = Some(Err(same(error)));
        }
    }

    let mut single = Single {
        bytes,
        to,
        egress,
        end: None,
    };
    send_all(&mut single, &mut &*socket, patience);
    // Without patience, what finds no room stays.
    single.end.unwrap_or(Err(io::ErrorKind::WouldBlock.into()))
}

/// The same error once more, as system calls return them.
pub(crate) fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// Errors in a row that are taken for pending socket errors about others: no flood of them
/// may hold a worker up for long.
const MOST_PENDING_ERRORS: u32 = 64;

/// The one pause that a shortage of memory gets.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    /// A kernel that fails chosen messages, each with its errors in turn.
    #[derive(Default)]
    struct Script {
        errors: BTreeMap<usize, VecDeque<i32>>,
        waits: usize,
        pauses: usize,
        /// How often there is still a pending error to forget.
        pending: usize,
    }

    impl Wire for Script {
        fn send_now(&mut self, _: &[u8], _: SocketAddr, _: &Egress) -> io::Result<()> {
            unreachable!("messages ask for their errors themselves")
        }

        fn wait_writable(&mut self, _timeout: Duration) {
            self.waits += 1;
        }

        fn pause(&mut self, _length: Duration) {
            self.pauses += 1;
        }

        fn discard_pending_errors(&mut self) -> bool {
            let had_some = self.pending > 0;
            self.pending = self.pending.saturating_sub(1);
            had_some
        }
    }

    /// Messages of one datagram each.
    struct Numbers {
        next: usize,
        count: usize,
        at_most: usize,
        ends: Vec<Result<usize, usize>>,
    }

    impl Messages<Script> for Numbers {
        fn is_empty(&self) -> bool {
            self.next == self.count
        }

        fn send(&mut self, script: &mut Script) -> io::Result<()> {
            let error_at = |at: &usize| script.errors.get(at).and_then(|codes| codes.front());
            if let Some(code) = error_at(&self.next).copied() {
                script.errors.entry(self.next).or_default().pop_front();
                return Err(io::Error::from_raw_os_error(code));
            }
            let end = self.count.min(self.next.saturating_add(self.at_most));
            let failing = (self.next..end).find(|at| error_at(at).is_some());
            let end = failing.unwrap_or(end);
            self.ends.extend((self.next..end).map(Ok));
            self.next = end;
            Ok(())
        }

        fn give_up(&mut self, _error: &io::Error) {
            self.ends.push(Err(self.next));
            self.next += 1;
        }
    }

    /// Sends `count` messages of which some fail; how each ended, and what the
    /// kernel was asked for.
    fn run(
        count: usize,
        errors: &[(usize, &[i32])],
        patience: Patience,
    ) -> (Vec<Result<usize, usize>>, Script) {
        let errors = errors
            .iter()
            .map(|(index, codes)| (*index, codes.iter().copied().collect()));
        let script = Script {
            errors: errors.collect(),
            ..Script::default()
        };
        run_script(count, usize::MAX, script, patience)
    }

    fn run_script(
        count: usize,
        at_most: usize,
        mut script: Script,
        patience: Patience,
    ) -> (Vec<Result<usize, usize>>, Script) {
        let mut numbers = Numbers {
            next: 0,
            count,
            at_most,
            ends: Vec::new(),
        };
        send_all(&mut numbers, &mut script, patience);
        (numbers.ends, script)
    }

    fn long() -> Patience {
        Patience::Until(Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn exactly_the_failing_entries_are_skipped() {
        let errors: [(usize, &[i32]); 4] = [
            (0, &[libc::EINVAL]),
            (3, &[libc::EPERM; 2]),
            (4, &[libc::ENETUNREACH; 2]),
            (7, &[libc::EMSGSIZE; 2]),
        ];
        let (ends, _) = run(8, &errors, long());
        assert_eq!(
            ends,
            [Err(0), Ok(1), Ok(2), Err(3), Err(4), Ok(5), Ok(6), Err(7)],
            "each failing entry is skipped, every other one is sent, in order"
        );
    }

    #[test]
    fn pending_error_about_others_costs_no_entry_its_turn() {
        for code in [
            libc::ECONNREFUSED,
            libc::EHOSTUNREACH,
            libc::EMSGSIZE,
            libc::EACCES,
            libc::EPROTO,
        ] {
            let (ends, _) = run(3, &[(0, &[code]), (2, &[code])], Patience::None);
            assert_eq!(ends, [Ok(0), Ok(1), Ok(2)], "errno {code}");

            let errors = [(0, [code; 10].into()), (1, [code; 3].into())];
            let storm = Script {
                errors: errors.into(),
                pending: 9 + 1,
                ..Script::default()
            };
            let (ends, _) = run_script(2, usize::MAX, storm, Patience::None);
            assert_eq!(ends, [Ok(0), Err(1)], "errno {code}: the last one stays");
        }
    }

    #[test]
    fn interruptions_and_short_counts_lose_nothing() {
        let script = Script {
            errors: [(2, [libc::EINTR, libc::EINTR].into())].into(),
            ..Script::default()
        };
        let (ends, _) = run_script(5, 1, script, long());
        assert_eq!(ends, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    }

    #[test]
    fn a_full_buffer_is_waited_for() {
        let (ends, script) = run(3, &[(1, &[libc::EAGAIN, libc::EAGAIN])], long());
        assert_eq!(ends, [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(script.waits, 2);
    }

    #[test]
    fn a_buffer_full_past_the_deadline_drops_one_and_tries_the_next() {
        let past = Patience::Until(Instant::now());
        let (ends, _) = run(3, &[(1, &[libc::EAGAIN])], past);
        assert_eq!(ends, [Ok(0), Err(1), Ok(2)]);
    }

    #[test]
    fn without_patience_what_finds_no_room_stays() {
        let (ends, _) = run(4, &[(2, &[libc::EAGAIN])], Patience::None);
        assert_eq!(ends, [Ok(0), Ok(1)]);
    }

    #[test]
    fn a_shortage_gets_one_pause_then_the_entry_is_dropped() {
        let errors: [(usize, &[i32]); 2] =
            [(0, &[libc::ENOBUFS]), (1, &[libc::ENOMEM, libc::ENOMEM])];
        let (ends, script) = run(3, &errors, long());
        assert_eq!(ends, [Ok(0), Err(1), Ok(2)]);
        assert_eq!(script.pauses, 2);
    }
}
