//! The server's sockets as all share them, until it is closed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use super::answers::Answers;
#[cfg(feature = "testing")]
use super::bench::Recorder;
use super::protocol::DoorId;
use crate::error::SendError;
use crate::logging::{Admitted, LogLimit};
use crate::sys::{Egress, LocalName, Ready, Socket, UnixAddr, Waker, max_payload};

/// Is asked before each datagram is sent, while no lock is held.
pub(crate) trait SendGuard: std::fmt::Debug + Send + Sync {
    /// Whether so many bytes may go there now. What was permitted counts as sent.
    /// May write to the log.
    fn permits(&self, to: SocketAddr, len: usize) -> bool;
}

/// How all that a server sends leaves, where that has to be known here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SendDefaults {
    /// Answers leave by the interface that the datagram came in by.
    pub(crate) by_interface: bool,
    /// The DSCP of what says none of its own.
    pub(crate) dscp: u8,
    /// Each datagram leaves whole or not at all.
    pub(crate) dont_fragment: bool,
}

/// The one place that owns the server's sockets: one, or several, which may share
/// an address or have different ones.
///
/// Who uses one borrows it for one call and no longer; never while a handler
/// runs. So closing waits for calls that are bounded in time, not for handlers,
/// and then the port is free, whoever still has a handle.
#[derive(Debug)]
pub(crate) struct SharedSocket {
    /// A line for each door, all open until the end: what waits at a socket is
    /// lost with it, and the kernel would send its peers to the others.
    lines: RwLock<Option<Box<[Line]>>>,
    /// Set before the sockets go, so that asking costs no lock.
    closed: AtomicBool,
    /// The process that made the wakers; 0 as long as nobody did.
    wakers_of: AtomicU32,
    /// What is known of the socket at each door, also once it is closed.
    ends: Box<[End]>,
    /// The address of a Unix socket, which is the only one then.
    unix_addr: Option<Box<UnixAddr>>,
    defaults: SendDefaults,
    send_errors: LogLimit,
    /// Whom to ask before sending, if anyone. It may have a lot of memory, and
    /// handles outlive the server: so it is not kept by this.
    guard: OnceLock<Weak<dyn SendGuard>>,
    answers: Answers,
    /// Who keeps what is sent, on a test bench: there are no sockets.
    #[cfg(feature = "testing")]
    recorder: Option<Arc<Recorder>>,
}

impl SharedSocket {
    pub(crate) fn new(sockets: Vec<Arc<Socket>>, answers: Answers, defaults: SendDefaults) -> Self {
        let ends = sockets.iter().map(|socket| End {
            local_addr: socket.local_addr(),
            reaches_v4: socket.reaches_v4(),
        });
        let ends = ends.collect();
        let unix_addr = sockets[0].unix_addr().copied().map(Box::new);
        let line = |socket| Line {
            socket,
            waker: None,
        };
        let lines = sockets.into_iter().map(line);
        Self {
            ends,
            unix_addr,
            defaults,
            lines: RwLock::new(Some(lines.collect())),
            closed: AtomicBool::new(false),
            wakers_of: AtomicU32::new(0),
            send_errors: LogLimit::new(),
            guard: OnceLock::new(),
            answers,
            #[cfg(feature = "testing")]
            recorder: None,
        }
    }

    /// None, for a test bench that reaches peers of both families.
    #[cfg(feature = "testing")]
    pub(super) fn on_bench(
        local_addr: SocketAddr,
        answers: Answers,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            lines: RwLock::new(None),
            closed: AtomicBool::new(false),
            wakers_of: AtomicU32::new(0),
            ends: Box::new([End {
                local_addr,
                reaches_v4: true,
            }]),
            unix_addr: None,
            defaults: SendDefaults::default(),
            send_errors: LogLimit::new(),
            guard: OnceLock::new(),
            answers,
            recorder: Some(recorder),
        }
    }

    /// Whether what is sent is kept.
    #[cfg(feature = "testing")]
    pub(super) fn is_on_bench(&self) -> bool {
        self.recorder.is_some()
    }

    /// What becomes of a datagram where there is no socket: on a test bench it is
    /// kept.
    #[cfg(feature = "testing")]
    pub(super) fn send_without_socket(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        egress: &Egress,
    ) -> Result<(), SendError> {
        let recorder = self.recorder.as_ref().filter(|_| !self.is_closed());
        recorder.ok_or(SendError::Closed)?.record(bytes, to, egress);
        Ok(())
    }

    /// What becomes of a datagram where there is no socket: the server is closed.
    #[cfg(not(feature = "testing"))]
    pub(super) fn send_without_socket(
        &self,
        _: &[u8],
        _: SocketAddr,
        _: &Egress,
    ) -> Result<(), SendError> {
        Err(SendError::Closed)
    }

    /// Makes the wakers, before anyone waits at a socket. Whoever wakes before
    /// that has written down first what for.
    ///
    /// They are made by the process that waits: one that was forked from it
    /// would share them, and each wake-up would reach one of the two.
    pub(crate) fn make_wakers(&self) -> io::Result<()> {
        let me = std::process::id();
        if self.wakers_of.load(Ordering::Relaxed) == me {
            return Ok(());
        }
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter_mut().flatten() {
            line.waker = Some(Waker::new(&line.socket)?);
        }
        self.wakers_of.store(me, Ordering::Relaxed);
        Ok(())
    }

    /// From now on, `guard` is asked before each datagram is sent. The first
    /// one stays.
    pub(crate) fn guard_sends(&self, guard: Weak<dyn SendGuard>) {
        self.guard.get_or_init(|| guard);
    }

    /// The address of the first socket, which stands for the server in errors
    /// and the log.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr_at(FIRST)
    }

    /// The address of the socket at a door.
    pub(crate) fn addr_at(&self, door: DoorId) -> SocketAddr {
        self.ends[door].local_addr
    }

    /// The addresses of all sockets, in their order; one that several share is
    /// there once.
    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        let mut addrs: Vec<_> = self.ends.iter().map(|end| end.local_addr).collect();
        addrs.dedup();
        addrs
    }

    /// The first door whose socket is bound to this address.
    pub(crate) fn door_at(&self, addr: SocketAddr) -> Option<DoorId> {
        self.ends.iter().position(|end| end.local_addr == addr)
    }

    /// What the server is bound to, for the log.
    pub(crate) fn name(&self) -> LocalName<'_> {
        self.name_at(FIRST)
    }

    pub(crate) fn name_at(&self, door: DoorId) -> LocalName<'_> {
        match &self.unix_addr {
            Some(addr) => LocalName::Unix(addr),
            None => LocalName::Ip(self.addr_at(door)),
        }
    }

    /// The address of a Unix socket; `None` of any other.
    pub(crate) fn unix_addr(&self) -> Option<&UnixAddr> {
        self.unix_addr.as_deref()
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    pub(crate) fn defaults(&self) -> SendDefaults {
        self.defaults
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Borrows the socket at a door for one call.
    pub(crate) fn borrow(&self, door: DoorId) -> Option<BorrowedSocket<'_>> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        lines.is_some().then_some(BorrowedSocket { lines, door })
    }

    /// Does something with all sockets, which stay open meanwhile; `None` once
    /// they are closed.
    pub(crate) fn with_all<T>(
        &self,
        act: impl FnOnce(&mut dyn Iterator<Item = &Socket>) -> T,
    ) -> Option<T> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        let mut sockets = lines.as_ref()?.iter().map(|line| &*line.socket);
        Some(act(&mut sockets))
    }

    /// Wakes whoever waits at a door, or the next that would.
    pub(crate) fn wake(&self, door: DoorId) {
        if let Some(socket) = self.borrow(door) {
            socket.line().wake();
        }
    }

    /// Wakes whoever waits at any door.
    pub(crate) fn wake_all(&self) {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter().flatten() {
            line.wake();
        }
    }

    /// Waits until one of several sockets can be received from, the nearest from
    /// door `near` on, or who waits at the first door is woken.
    pub(crate) fn wait_for_any(
        &self,
        near: DoorId,
        timeout: Option<Duration>,
    ) -> Option<io::Result<Ready>> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.as_ref()?;
        let sockets: Vec<&Socket> = lines.iter().map(|line| &*line.socket).collect();
        Some(Socket::wait_for_any(
            &sockets,
            near,
            lines[FIRST].waker(),
            timeout,
        ))
    }

    /// The sum over all sockets of what the kernel tells, if it tells.
    pub(crate) fn sum(&self, tell: impl Fn(&Socket) -> Option<u64>) -> Option<u64> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        lines.as_ref()?.iter().map(|line| tell(&line.socket)).sum()
    }

    /// Limits what the kernel queues at each socket, in bytes as they are asked.
    /// One that could not get back what it was granted goes on as it is.
    pub(crate) fn limit_receive_buffers(&self, bytes: usize) {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter().flatten() {
            line.socket.limit_receive_buffer(bytes);
        }
    }

    /// Closes the sockets, once all calls on them have ended. Returns the bytes
    /// that waited unread, where that is known.
    pub(crate) fn close(&self) -> Option<u64> {
        self.closed.store(true, Ordering::Release);
        let mut slot = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        let lines = slot.take()?;
        lines.iter().map(|line| line.socket.unread_bytes()).sum()
    }

    /// Whether a datagram of `len` bytes may be sent there now: the one judgement
    /// for all that is sent, however it leaves. In this order: what can be known
    /// of the datagram alone, whether the server is closed, and last the guard,
    /// which counts as sent what it permits.
    ///
    /// Says which socket it leaves by: the one at door `near`, or the first of the
    /// family, if that one has another.
    ///
    /// Asked while no lock is held: the guard may write to the log.
    pub(crate) fn judge(
        &self,
        len: usize,
        to: SocketAddr,
        near: DoorId,
    ) -> Result<DoorId, SendError> {
        let max = max_payload(&to);
        if len > max {
            return Err(SendError::TooLong { len, max, to });
        }
        if to.port() == 0 {
            return Err(SendError::PortZero { to });
        }
        if to.ip().to_canonical().is_unspecified() {
            return Err(SendError::UnspecifiedAddress { to });
        }
        let Some(door) = self.door_to(to, near) else {
            let from = self.addr_at(near);
            return Err(SendError::AddressFamily { to, from });
        };
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        match self.guard.get().map(Weak::upgrade) {
            Some(Some(guard)) if !guard.permits(to, len) => Err(SendError::Withheld { len, to }),
            // A guard goes with its server, once nothing can be sent any more.
            _ => Ok(door),
        }
    }

    /// The door whose socket can send there: this one, or else the first.
    fn door_to(&self, to: SocketAddr, near: DoorId) -> Option<DoorId> {
        if self.ends[near].reaches(to) {
            return Some(near);
        }
        self.ends.iter().position(|end| end.reaches(to))
    }

    /// Whether the log may be told of one more batched send that failed.
    pub(super) fn admit_failed_send(&self) -> Option<Admitted> {
        self.send_errors.admit()
    }
}

/// What is known of a socket, open or not.
#[derive(Debug, Clone, Copy)]
struct End {
    local_addr: SocketAddr,
    reaches_v4: bool,
}

impl End {
    /// Whether the socket's family can send there.
    fn reaches(&self, to: SocketAddr) -> bool {
        let is_v4 = match to {
            SocketAddr::V4(_) => true,
            SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().is_some(),
        };
        if is_v4 {
            self.reaches_v4
        } else {
            self.local_addr.is_ipv6()
        }
    }
}

/// A socket, and the waker of whoever waits there.
#[derive(Debug)]
struct Line {
    socket: Arc<Socket>,
    /// As soon as somebody may wait there.
    waker: Option<Waker>,
}

impl Line {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    fn waker(&self) -> &Waker {
        let waker = self.waker.as_ref();
        waker.expect("made before anyone waits at the socket")
    }
}

/// A socket, borrowed for one call.
#[derive(Debug)]
pub(crate) struct BorrowedSocket<'a> {
    lines: RwLockReadGuard<'a, Option<Box<[Line]>>>,
    door: DoorId,
}

impl BorrowedSocket<'_> {
    /// The waker of whoever waits at the socket.
    pub(crate) fn waker(&self) -> &Waker {
        self.line().waker()
    }

    fn line(&self) -> &Line {
        let lines = self.lines.as_ref();
        &lines.expect("only made of a guard with sockets")[self.door]
    }
}

impl std::ops::Deref for BorrowedSocket<'_> {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.line().socket
    }
}

/// There is one in every server.
pub(super) const FIRST: DoorId = 0;

/// How long a flush or a single send waits for room in the send buffer before
/// it drops and counts.
pub(crate) const SEND_DEADLINE: Duration = Duration::from_millis(50);
