//! The send queue against a kernel that does what a script says: what the queue
//! counts is what the kernel took. The same for every platform.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What a kernel answers to one call.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Takes so many messages at most, one at least.
    AtMost(usize),
    /// Fails with this error.
    Fails(i32),
}

/// A kernel that answers by its script, and then takes everything; but hosts
/// have their own ways. It keeps what it took.
#[derive(Default)]
struct Kernel {
    script: VecDeque<Answer>,
    taken: Vec<(SocketAddr, Vec<u8>)>,
    calls: u64,
    /// Messages of several datagrams that it took.
    segmented: u64,
}

impl Kernel {
    fn answer(&mut self) -> io::Result<usize> {
        self.calls += 1;
        match self.script.pop_front() {
            None => Ok(usize::MAX),
            Some(Answer::AtMost(count)) => Ok(count),
            Some(Answer::Fails(code)) => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Takes one message, of one datagram or several, unless its host is one of
    /// those with ways of their own.
    fn take(&mut self, to: SocketAddr, datagrams: &[Vec<u8>]) -> io::Result<()> {
        let code = match host(to) {
            ABSENT => libc::ENETUNREACH,
            NO_SEGMENTS | MANY.. if datagrams.len() > 1 => libc::EINVAL,
            NO_OFFLOAD if datagrams.len() > 1 => libc::EIO,
            _ => {
                self.segmented += u64::from(datagrams.len() > 1);
                self.taken
                    .extend(datagrams.iter().map(|bytes| (to, bytes.clone())));
                return Ok(());
            }
        };
        Err(io::Error::from_raw_os_error(code))
    }

    /// Takes messages up to the first that fails, as sendmmsg(2) does.
    fn take_many(&mut self, messages: &[(SocketAddr, Vec<Vec<u8>>)]) -> io::Result<usize> {
        let at_most = self.answer()?;
        for (count, (to, datagrams)) in messages.iter().take(at_most).enumerate() {
            if let Err(error) = self.take(*to, datagrams) {
                return if count == 0 { Err(error) } else { Ok(count) };
            }
        }
        Ok(at_most.min(messages.len()))
    }
}

impl Wire for Kernel {
    fn send_now(&mut self, bytes: &[u8], to: SocketAddr, _: &Egress) -> io::Result<()> {
        self.take_many(&[(to, vec![bytes.to_vec()])]).map(drop)
    }

    fn wait_writable(&mut self, _timeout: Duration) {}

    fn pause(&mut self, _length: Duration) {}

    fn discard_pending_errors(&mut self) -> bool {
        false
    }
}

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
impl SendMany for Kernel {
    unsafe fn send_many(&mut self, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
        let messages: Vec<_> = headers
            .iter()
            // SAFETY: the queue promises that its headers lead to readable memory.
            .map(|header| unsafe { read_message(&header.msg_hdr) })
            .collect();
        self.take_many(&messages)
    }
}

/// The datagrams that a message becomes.
///
/// # Safety
/// The header must lead to readable memory, and to an address as
/// [`RawAddress`] has it.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
unsafe fn read_message(header: &libc::msghdr) -> (SocketAddr, Vec<Vec<u8>>) {
    // SAFETY: as the caller promises; the length is that of the address.
    let to = unsafe { *header.msg_name.cast::<RawAddress>() }.decode(header.msg_namelen);
    // SAFETY: as the caller promises.
    let vectors = unsafe { std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen as _) };
    let mut payload = Vec::new();
    for vector in vectors {
        // SAFETY: as the caller promises.
        payload.extend_from_slice(unsafe {
            std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len)
        });
    }
    let to = to.expect("an address to send to");
    if vectors.len() == 1 {
        return (to, vec![payload]);
    }
    let end: usize = header.msg_controllen as _;
    // SAFETY: as the caller promises. The segment size is the data of the last
    // control message, padded to eight bytes.
    let segment = unsafe {
        let last = header.msg_control.cast::<u8>().add(end - 8);
        last.cast::<u16>().read_unaligned()
    };
    let datagrams = payload.chunks(usize::from(segment));
    (to, datagrams.map(<[u8]>::to_vec).collect())
}

/// What a queue has told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) sent: u64,
    pub(super) bytes: u64,
    pub(super) calls: u64,
    pub(super) failed: Vec<(usize, SocketAddr)>,
}

impl SendReport for Told {
    fn called(&mut self, sent: u64, bytes: u64) {
        self.sent += sent;
        self.bytes += bytes;
        self.calls += 1;
    }

    fn failed(&mut self, len: usize, to: SocketAddr, _error: &io::Error) {
        self.failed.push((len, to));
    }
}

/// A queue, its kernel, and all that is known of both.
struct World {
    queue: SendQueue,
    kernel: Kernel,
    told: Told,
    pushed: Vec<(SocketAddr, Vec<u8>)>,
}

impl World {
    fn new(coalesce: bool) -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 9));
        Self {
            queue: SendQueue::new(local, QueueOptions { coalesce }).expect("memory"),
            kernel: Kernel::default(),
            told: Told::default(),
            pushed: Vec::new(),
        }
    }

    /// Pushes a datagram that begins with its number, if there is room.
    fn push(&mut self, host: u8, len: usize) {
        if self.queue.has_room(len) {
            let mut bytes = (self.pushed.len() as u32).to_be_bytes().to_vec();
            bytes.resize(len, host);
            let to = peer(host);
            self.queue.push(&bytes, to, &Egress::default());
            self.pushed.push((to, bytes));
        }
    }

    fn flush(&mut self, patience: Patience, script: Vec<Answer>) {
        self.kernel.script = script.into();
        self.queue
            .flush_to(&mut self.kernel, patience, &mut self.told);
    }

    /// What was counted is what happened.
    #[track_caller]
    fn check(&self) {
        let (taken, told) = (&self.kernel.taken, &self.told);
        let bytes: usize = taken.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(
            (told.sent, told.bytes, told.calls),
            (taken.len() as u64, bytes as u64, self.kernel.calls),
            "datagrams and bytes counted as sent, and calls, are those of the kernel"
        );
        for datagram in taken {
            assert!(self.pushed.contains(datagram), "as it was pushed");
        }
        for host in HOSTS {
            let is_to = |to: &SocketAddr| *to == peer(host);
            let taken: Vec<_> = taken.iter().filter(|(to, _)| is_to(to)).collect();
            assert!(
                taken.is_sorted_by(|(_, one), (_, two)| one[..4] < two[..4]),
                "each at most once, and in order: {taken:?}"
            );
            if self.queue.is_empty() {
                let failed = told.failed.iter().filter(|(_, to)| is_to(to));
                let pushed = self.pushed.iter().filter(|(to, _)| is_to(to));
                assert_eq!(taken.len() + failed.count(), pushed.count(), "each ends");
            }
        }
    }
}

fn peer(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], 4_000))
}

fn host(to: SocketAddr) -> u8 {
    match to {
        SocketAddr::V4(to) => to.ip().octets()[3],
        SocketAddr::V6(_) => unreachable!("nobody here has one"),
    }
}

const GOOD: u8 = 1;
const OTHER: u8 = 2;
/// Its route takes no segments: so long, or none.
const NO_SEGMENTS: u8 = 3;
/// The device there has no checksum offload.
const NO_OFFLOAD: u8 = 4;
const ABSENT: u8 = 5;
/// From this one on, hosts are like [`NO_SEGMENTS`].
const MANY: u8 = 100;
const HOSTS: [u8; 5] = [GOOD, OTHER, NO_SEGMENTS, NO_OFFLOAD, ABSENT];

fn long() -> Patience {
    Patience::Until(Instant::now() + Duration::from_secs(60))
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8, usize),
    Flush(Option<bool>, Vec<Answer>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lens = prop::sample::select(vec![4, 4, 4, 64, 65, 1_400, 40_000]);
    let push = (prop::sample::select(&HOSTS[..]), lens);
    let codes = [
        libc::EAGAIN,
        libc::EAGAIN,
        libc::EINTR,
        libc::ENOBUFS,
        libc::EPERM,
        libc::ECONNREFUSED,
        libc::EINVAL,
    ];
    let answer = prop_oneof![
        (1_usize..4).prop_map(Answer::AtMost),
        prop::sample::select(codes.to_vec()).prop_map(Answer::Fails),
    ];
    let script = prop::collection::vec(answer, 0..12);
    let step = prop_oneof![
        12 => push.prop_map(|(host, len)| Step::Push(host, len)),
        1 => (any::<Option<bool>>(), script).prop_map(|(patience, script)| Step::Flush(patience, script)),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #[test]
    fn what_counts_as_sent_is_what_the_kernel_took(steps in steps(), coalesce: bool) {
        let mut world = World::new(coalesce);
        for step in steps {
            match step {
                Step::Push(host, len) => world.push(host, len),
                Step::Flush(patience, script) => {
                    let patience = match patience {
                        None => Patience::None,
                        Some(false) => Patience::Until(Instant::now()),
                        Some(true) => long(),
                    };
                    world.flush(patience, script);
                }
            }
            world.check();
        }
        world.flush(long(), Vec::new());
        world.check();
        assert!(world.queue.is_empty(), "with patience all end");
    }
}

/// The message of several meets a full buffer past the deadline: none of it
/// counts as sent, and what follows is sent.
#[test]
fn a_message_that_finds_no_room_is_given_up_as_a_whole() {
    let mut world = World::new(true);
    for _ in 0..4 {
        world.push(GOOD, 64);
    }
    world.push(OTHER, 64);
    let full = vec![Answer::Fails(libc::EAGAIN)];
    world.flush(Patience::Until(Instant::now()), full);
    world.check();
    let given_up = if SEGMENTS { 4 } else { 1 };
    assert_eq!(world.told.failed.len(), given_up);
    assert_eq!(world.told.sent, 5 - given_up as u64);
}

/// What a host's route takes no segments of is found out once, and its parts
/// leave in the next call with all that follows.
#[test]
fn a_destination_that_takes_no_segments_costs_one_call_more_once() {
    if !SEGMENTS {
        return;
    }
    // EIO may be a pending socket error, so it is tried again before it is believed.
    for (host, failing) in [(NO_SEGMENTS, 1), (NO_OFFLOAD, 2)] {
        let mut world = World::new(true);
        for round in 1..=10 {
            for _ in 0..8 {
                world.push(OTHER, 64);
                world.push(host, 64);
                world.push(GOOD, 64);
            }
            world.flush(long(), Vec::new());
            world.check();
            // The message to the other host, then the failure, then the rest.
            assert_eq!(world.kernel.calls, round + failing + 1);
        }
        assert_eq!(world.told.failed, []);
    }
}

/// However many of them there are, and whether or not one is remembered, tries
/// that fail are few among the calls. (Elsewhere each datagram takes a call.)
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn many_destinations_that_take_no_segments_cost_few_calls_more() {
    const FLUSHES: u64 = 400;
    let mut world = World::new(true);
    let mut hosts = (MANY..=u8::MAX).cycle();
    for _ in 0..FLUSHES {
        for host in hosts.by_ref().take(16) {
            for _ in 0..4 {
                world.push(host, 64);
            }
        }
        world.flush(long(), Vec::new());
    }
    world.check();
    let calls = world.kernel.calls;
    assert!(calls * 10 <= FLUSHES * 13, "{calls} calls for {FLUSHES}");
}

/// Others pay for a try that failed with their coalescing for a few calls.
#[test]
fn where_one_destination_takes_no_segments_others_soon_get_theirs_again() {
    if !SEGMENTS {
        return;
    }
    let mut world = World::new(true);
    for _ in 0..20 {
        for host in [NO_SEGMENTS, GOOD] {
            world.push(host, 64);
            world.push(host, 64);
        }
        world.flush(long(), Vec::new());
        world.check();
    }
    let segmented = world.kernel.segmented;
    assert!(segmented >= 3, "{segmented} of 20");
}

/// Failures of a host that is not there are no reason to remember anything.
#[test]
fn a_destination_that_takes_nothing_at_all_is_tried_each_time() {
    let mut world = World::new(true);
    for round in 1..=3 {
        for _ in 0..3 {
            world.push(ABSENT, 64);
            world.push(GOOD, 64);
        }
        world.flush(long(), Vec::new());
        world.check();
        assert_eq!(world.told.failed.len(), 3 * round);
        assert_eq!(world.told.sent, 3 * round as u64);
    }
}

/// Whether this platform coalesces.
const SEGMENTS: bool = cfg!(all(target_os = "linux", not(socketserver_portable)));
