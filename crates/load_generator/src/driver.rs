//! The loop: one thread that waits for any of the sockets, and never for one.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::batch::{Batch, MOST};
use crate::ledger::Ledger;
use crate::pace::{Pace, SHORTEST_SLEEP_NS, SPIN_NS};
use crate::payload::{Expect, Payload, Tag};
use crate::tally::Tally;

/// What load to put on whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub server: SocketAddr,
    /// How many sockets, each with a port of its own; at most 65,536.
    pub peers: usize,
    /// Closed loop: how many datagrams each has in flight.
    pub window: usize,
    /// Open loop: datagrams per second over all, whatever is in flight.
    pub rate: Option<f64>,
    /// The length of a datagram in bytes.
    pub size: usize,
    /// What share of the datagrams is marked as slow, from 0 to 1.
    pub slow_share: f64,
    /// How long to send.
    pub duration: Duration,
    /// After how long a datagram without reply is lost.
    pub timeout: Duration,
    /// What a reply has to be.
    pub expect: Expect,
}

/// How far a load has come.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Since the first datagram.
    pub elapsed: Duration,
    /// The counts so far.
    pub tally: &'a Tally,
}

/// What whoever watches a load wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To go on as planned.
    GoOn,
    /// To send no more, and to wait for late replies a fifth of a second.
    WindUp,
    /// To end at once.
    End,
}

/// Puts a load on a server, and waits for the last replies. `watch` is called
/// ten times a second; once it wishes no more `GoOn`, no more is sent, and what
/// is not answered when the load ends is counted as pending. A load on a port
/// where nobody listens ends after half a second.
///
/// # Errors
/// If sockets cannot be opened or waited for. What fails on a single datagram
/// is counted instead.
pub fn run(plan: &Plan, watch: &mut dyn FnMut(&Progress<'_>) -> Wish) -> io::Result<Tally> {
    let mut driver = Driver::new(plan)?;
    driver.run(watch)?;
    Ok(driver.tally)
}

/// One peer of the server.
struct Peer {
    socket: UdpSocket,
    ledger: Ledger,
}

/// A load under way. Times are nanoseconds since `start`.
struct Driver<'a> {
    plan: &'a Plan,
    /// Tells this run's datagrams from those of others.
    run: u16,
    payload: Payload,
    batch: Batch,
    peers: Vec<Peer>,
    epoll: Epoll,
    /// Of an open loop, with what wakes when the next datagram is due.
    pace: Option<(Pace, TimerFd)>,
    /// Whose turn it is in an open loop.
    next_peer: usize,
    /// Reaches 1 when the next datagram is a slow one.
    slow_due: f64,
    /// Over all peers.
    in_flight: usize,
    tally: Tally,
    start: Instant,
}

impl<'a> Driver<'a> {
    fn new(plan: &'a Plan) -> io::Result<Self> {
        allow_open_files(plan.peers);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut peers = Vec::with_capacity(plan.peers);
        for index in 0..plan.peers {
            let socket = connect(plan.server)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            let ledger = Ledger::default();
            peers.push(Peer { socket, ledger });
        }
        let pace = match plan.rate {
            Some(rate) => {
                let timer = TimerFd::new(
                    ClockId::CLOCK_MONOTONIC,
                    TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
                )?;
                epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
                Some((Pace::new(rate), timer))
            }
            None => None,
        };
        let payload = Payload::new(plan.size, plan.expect);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self {
            plan,
            run: since_epoch.map_or(0, |time| time.as_micros() as u16),
            batch: Batch::new(&payload),
            payload,
            peers,
            epoll,
            pace,
            next_peer: 0,
            slow_due: 0.0,
            in_flight: 0,
            tally: Tally::default(),
            start: Instant::now(),
        })
    }

    fn run(&mut self, watch: &mut dyn FnMut(&Progress<'_>) -> Wish) -> io::Result<()> {
        let end = nanos(self.plan.duration);
        let timeout = nanos(self.plan.timeout);
        let mut sending = true;
        let mut events = [EpollEvent::empty(); 256];
        let (mut next_look, mut next_watch) = (LOOK_NS, WATCH_NS);
        let mut last_reply = 0;
        let mut cut_off = u64::MAX;
        self.start = Instant::now();
        self.fill_all();
        loop {
            let wait = if sending { self.arm()? } else { LOOK_MS };
            let ready = match self.epoll.wait(&mut events, wait) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..ready] {
                if event.data() == TIMER {
                    self.quiet_timer();
                    continue;
                }
                let index = event.data() as usize;
                self.receive(index);
                last_reply = self.now();
                if sending && self.pace.is_none() {
                    self.fill(index);
                }
            }
            let now = self.now();
            if sending {
                self.send_due(now);
            }
            if now >= next_look {
                next_look = now + LOOK_NS;
                self.expire(now.saturating_sub(timeout));
                if sending {
                    self.fill_all();
                }
            }
            let mut stop = now >= end;
            if now >= CLOSED_NS && self.tally.is_refused() {
                cut_off = cut_off.min(now);
                stop = true;
            }
            if now >= next_watch {
                next_watch = now + WATCH_NS;
                let elapsed = Duration::from_nanos(now);
                let tally = &self.tally;
                match watch(&Progress { elapsed, tally }) {
                    Wish::GoOn => {}
                    Wish::WindUp => cut_off = cut_off.min(now + LATE_NS),
                    Wish::End => cut_off = now,
                }
                stop |= cut_off < u64::MAX;
            }
            if sending && stop {
                sending = false;
                self.tally.sending = Duration::from_nanos(now);
                self.tally.answered_sending = self.tally.answered;
            }
            // Once all are answered, there may still be a second reply to one.
            let is_settled = self.in_flight == 0 && now >= last_reply + GRACE_NS;
            if !sending && (is_settled || now >= cut_off) {
                self.tally.pending = self.in_flight as u64;
                return Ok(());
            }
        }
    }

    fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// Closed loop: lets every peer send what its window has room for.
    fn fill_all(&mut self) {
        if self.pace.is_none() {
            for index in 0..self.peers.len() {
                self.fill(index);
            }
        }
    }

    /// Closed loop: lets a peer send what its window has room for.
    fn fill(&mut self, index: usize) {
        let mut room = self
            .plan
            .window
            .saturating_sub(self.peers[index].ledger.in_flight());
        while room > 0 {
            let count = room.min(MOST);
            let now = self.now();
            if self.send(index, count, |_| now) < count {
                break;
            }
            room -= count;
        }
    }

    /// Open loop: sends what is due, in turn from each peer.
    fn send_due(&mut self, now: u64) {
        let Some((mut pace, timer)) = self.pace.take() else {
            return;
        };
        let mut due = pace.due(now).min(MOST_DUE);
        while due > 0 {
            // Peers that are due more than once send that in one call.
            let rounds = due.div_ceil(self.peers.len() as u64);
            let count = rounds.min(MOST as u64) as usize;
            let mut times = [0; MOST];
            times[..count].fill_with(|| pace.take());
            self.send(self.next_peer, count, |index| times[index]);
            self.next_peer = (self.next_peer + 1) % self.peers.len();
            due -= count as u64;
        }
        self.pace = Some((pace, timer));
    }

    /// Sends `count` datagrams, at most a batch; how many the kernel took.
    fn send(&mut self, index: usize, count: usize, since: impl Fn(usize) -> u64) -> usize {
        let peer = &mut self.peers[index];
        for place in 0..count {
            self.slow_due += self.plan.slow_share;
            let slow = self.slow_due >= 1.0;
            if slow {
                self.slow_due -= 1.0;
            }
            let tag = Tag {
                run: self.run,
                peer: index as u16,
                sequence: peer.ledger.send(since(place), slow),
                slow,
            };
            self.batch.tag(place, &self.payload, tag);
        }
        let sent = match self.batch.send(&peer.socket, count) {
            Ok(sent) => sent,
            Err(error) => {
                self.tally.error(error);
                0
            }
        };
        peer.ledger.unsend(count - sent);
        self.in_flight += sent;
        self.tally.sent += sent as u64;
        sent
    }

    /// Takes in all that a peer has got.
    fn receive(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        // One more than is expected, so that mostly one call is enough.
        let most = (peer.ledger.in_flight() + 1).min(MOST);
        loop {
            let count = match self.batch.receive(&peer.socket, most) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.tally.error(error),
            };
            let now = nanos(self.start.elapsed());
            let before = peer.ledger.in_flight();
            for place in 0..count {
                let sequence = if self.plan.expect == Expect::Any {
                    peer.ledger.oldest()
                } else {
                    let tag = self.payload.read(self.batch.reply(place));
                    tag.filter(|tag| tag.run == self.run && usize::from(tag.peer) == index)
                        .map(|tag| tag.sequence)
                };
                match sequence {
                    Some(sequence) => self.tally.answer(peer.ledger.answer(sequence, now)),
                    None => self.tally.wrong += 1,
                }
            }
            self.in_flight -= before - peer.ledger.in_flight();
            if count < most {
                return;
            }
        }
    }

    /// Gives up what was sent before `deadline`.
    fn expire(&mut self, deadline: u64) {
        for peer in &mut self.peers {
            let lost = peer.ledger.expire(deadline);
            self.tally.lost += lost as u64;
            self.in_flight -= lost;
        }
    }

    /// Open loop: has the wait end when the next datagram is due; for how many
    /// milliseconds to wait at most.
    fn arm(&self) -> io::Result<u8> {
        let Some((pace, timer)) = &self.pace else {
            return Ok(LOOK_MS);
        };
        let mut left = pace.next().saturating_sub(self.now());
        if pace.is_slow() {
            left = left.saturating_sub(SPIN_NS);
            if left == 0 {
                return Ok(0);
            }
        }
        let sleep = Duration::from_nanos(left.max(SHORTEST_SLEEP_NS));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(sleep));
        timer.set(expiration, TimerSetTimeFlags::empty())?;
        Ok(LOOK_MS)
    }

    fn quiet_timer(&self) {
        if let Some((_, timer)) = &self.pace {
            // It does not block: the event says that it has expired.
            let _ = timer.wait();
        }
    }
}

/// A socket of its own for a peer.
fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // What did not fit here would look as if the server had lost it.
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    Ok(socket)
}

/// Raises the soft limit of open files as far as needed and allowed. If that is
/// not enough, opening sockets says so.
fn allow_open_files(peers: usize) {
    let needed = peers as u64 + 64;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed.min(hard)), hard);
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// A limit, not memory taken; the kernel grants what it allows.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// The event that is not a socket's.
const TIMER: u64 = u64::MAX;
/// How long a server may take to start. After that, a load that is refused and
/// has had no reply at all ends.
const CLOSED_NS: u64 = 500_000_000;
/// How often to look for what was lost.
const LOOK_MS: u8 = 10;
/// The same in nanoseconds.
const LOOK_NS: u64 = LOOK_MS as u64 * 1_000_000;
/// How often whoever watches is told.
const WATCH_NS: u64 = 100_000_000;
/// How long to listen for duplicates in the end.
const GRACE_NS: u64 = 15_000_000;
/// How long to wait for late replies when the load is to wind up.
const LATE_NS: u64 = 200_000_000;
/// The most datagrams sent between two looks for replies, so that a generator
/// that has fallen behind does not go deaf.
const MOST_DUE: u64 = 1_024;
