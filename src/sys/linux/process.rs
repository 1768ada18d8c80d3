//! Processes: a parent that forks, and children that block in a receive call and
//! miss no signal all the same.
//!
//! A child receives by a descriptor of its own, the *inlet*, a duplicate of the
//! socket's. Its handler of SIGTERM sets a flag and puts `/dev/null` in the inlet's
//! place (dup2(2) is safe there, signal-safety(7)). So a signal that comes during the
//! receive has the call restarted at what is no socket, and one that comes just
//! before lets it begin there: either way it returns, and the flag is seen. Replies
//! leave by the socket's own descriptor.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::wait::{entry, ppoll};
use super::{ReceiveBlock, Socket, Waker, check};
use crate::sys::{Death, Hark};

/// Whether a server can have processes.
pub(crate) const PROCESSES: bool = true;

/// What the handler of SIGTERM needs. There is one parent at a time: it has no
/// threads.
static IS_TOLD_TO_LEAVE: AtomicBool = AtomicBool::new(false);
static INLET: AtomicI32 = AtomicI32::new(-1);
static NOTHING: AtomicI32 = AtomicI32::new(-1);
static PARENT: AtomicI32 = AtomicI32::new(0);
/// Microseconds.
static ORPHANS_GRACE: AtomicU64 = AtomicU64::new(0);

/// A process that forks children, as long as it does: what it hears of by
/// descriptors, and what has to be set back.
#[derive(Debug)]
pub(crate) struct Parent {
    /// SIGTERM and SIGINT, which are blocked.
    signals: OwnedFd,
    /// Open as long as children may need them: see `INLET` and `NOTHING`.
    _kept: [OwnedFd; 2],
    mask: libc::sigset_t,
    actions: Vec<(libc::c_int, libc::sigaction)>,
}

/// A child that was not reaped yet.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
}

impl Parent {
    /// Begins to listen for signals. What a child needs is made here, so that
    /// forking one costs little.
    ///
    /// A child whose parent has died gets so long for the datagram at hand.
    pub(crate) fn begin(socket: &Socket, grace: Duration) -> io::Result<Self> {
        // Better known now than with the first child.
        // SAFETY: no pointers are passed.
        drop(open_pidfd(unsafe { libc::getpid() })?);
        let nothing = OwnedFd::from(File::open("/dev/null")?);
        let inlet = socket.duplicate()?;
        let caught = set_of(&[libc::SIGTERM, libc::SIGINT]);
        let mut mask = set_of(&[]);
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is valid for the call.
        let signals = unsafe { libc::signalfd(-1, &raw const caught, flags) };
        check(signals)?;
        // SAFETY: a fresh descriptor that nobody else owns.
        let signals = unsafe { OwnedFd::from_raw_fd(signals) };
        // SAFETY: both sets are valid for the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const caught, &raw mut mask) };
        INLET.store(inlet.as_raw_fd(), Relaxed);
        NOTHING.store(nothing.as_raw_fd(), Relaxed);
        PARENT.store(own_pid(), Relaxed);
        let micros = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX);
        ORPHANS_GRACE.store(micros.clamp(1_000, LONGEST_GRACE), Relaxed);
        let mut parent = Self {
            signals,
            _kept: [inlet, nothing],
            mask,
            actions: Vec::new(),
        };
        parent.act(libc::SIGTERM, leave_soon as *const () as libc::sighandler_t);
        // Ctrl-C reaches all processes of a terminal: what follows is the parent's.
        parent.act(libc::SIGINT, pass_over as *const () as libc::sighandler_t);
        if action_of(libc::SIGCHLD).sa_sigaction == libc::SIG_IGN {
            // Or the system would reap.
            parent.act(libc::SIGCHLD, libc::SIG_DFL);
        }
        Ok(parent)
    }

    /// Forks; `None` in the child.
    ///
    /// What users' code has printed and not flushed would be printed twice.
    pub(crate) fn fork(&self) -> io::Result<Option<Child>> {
        let _ = io::stdout().flush();
        // SAFETY: this process has one thread, so the child may do what it likes.
        let pid = unsafe { libc::fork() };
        check(pid)?;
        if pid == 0 {
            self.grow_up();
            return Ok(None);
        }
        match open_pidfd(pid) {
            Ok(pidfd) => Ok(Some(Child { pid, pidfd })),
            Err(error) => {
                // Nobody would hear of its end.
                // SAFETY: a child of this process that was not reaped.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                wait_for(pid, 0);
                Err(error)
            }
        }
    }

    /// The child's first steps: it leaves with its parent, and hears signals as the
    /// process did before, and those that end it.
    fn grow_up(&self) {
        // SAFETY: plain numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong) };
        let mut mask = self.mask;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGALRM] {
            // SAFETY: a valid set and a valid number.
            unsafe { libc::sigdelset(&raw mut mask, signal) };
        }
        // SAFETY: the set is valid for the call.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()) };
        if is_orphan() {
            // The parent has died before it could be said that this matters.
            IS_TOLD_TO_LEAVE.store(true, Relaxed);
        }
    }

    /// Waits until a signal or the waker asks for something, a child has ended, or
    /// the time is up. The places of children that have ended are added to `ended`.
    pub(crate) fn wait(
        &self,
        waker: &Waker,
        children: &[Option<Child>],
        timeout: Option<Duration>,
        ended: &mut Vec<usize>,
    ) -> Hark {
        let fds = children.iter().map(|child| {
            let pidfd = child.as_ref().map(|child| child.pidfd.as_raw_fd());
            pidfd.unwrap_or(-1)
        });
        let fds = [self.signals.as_raw_fd(), waker.fd()]
            .into_iter()
            .chain(fds);
        let mut entries: Vec<_> = fds.map(|fd| entry(fd, libc::POLLIN)).collect();
        ppoll(&mut entries, timeout);
        let ready = |(at, entry): (usize, &libc::pollfd)| (entry.revents != 0).then_some(at);
        ended.extend(entries[2..].iter().enumerate().filter_map(ready));
        let was_woken = entries[1].revents != 0 && waker.clear();
        let was_signalled = entries[0].revents != 0 && self.take_signals();
        match (was_signalled, was_woken) {
            (true, _) => Hark::Stop,
            (false, true) => Hark::Woken,
            (false, false) => Hark::Nothing,
        }
    }

    /// Takes the signals that wait; whether there were any.
    fn take_signals(&self) -> bool {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        let mut any = false;
        loop {
            let (fd, to) = (self.signals.as_raw_fd(), info.as_mut_ptr().cast());
            // SAFETY: as many bytes are written to a local array as it has.
            if unsafe { libc::read(fd, to, info.len()) } <= 0 {
                return any;
            }
            any = true;
        }
    }

    /// Sets what a signal does, and notes what it did.
    fn act(&mut self, signal: libc::c_int, handler: libc::sighandler_t) {
        let before = action_of(signal);
        // SAFETY: all-zero is a valid `sigaction`: no flags, no signals.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler;
        // Users' code does not notice; and what is no socket ends the receive.
        action.sa_flags = libc::SA_RESTART;
        set_action(signal, &action);
        self.actions.push((signal, before));
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // What came while the server was ending asked for nothing else.
        self.take_signals();
        for (signal, before) in &self.actions {
            set_action(*signal, before);
        }
        // SAFETY: the set is valid for the call.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.mask,
                std::ptr::null_mut(),
            )
        };
        INLET.store(-1, Relaxed);
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Asks it to leave.
    pub(crate) fn ask_to_leave(&self) {
        self.signal(libc::SIGTERM);
    }

    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Reaps it, if it has ended.
    pub(crate) fn reap(&self) -> Option<Death> {
        wait_for(self.pid, libc::WNOHANG)
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a child of this process that was not reaped, so the number is its own.
        unsafe { libc::kill(self.pid, signal) };
    }
}

impl Socket {
    /// In a child: waits for one datagram, or several that came as one. None at all
    /// says that the child is to leave.
    pub(crate) fn receive_or_leave(&self, block: &mut ReceiveBlock) -> io::Result<usize> {
        let inlet = INLET.load(Relaxed);
        loop {
            if is_told_to_leave() {
                return Ok(0);
            }
            match block.fill_by(self, inlet, 0, 1) {
                Ok(count) => return Ok(count),
                Err(_) if is_told_to_leave() => return Ok(0),
                // Somebody has made it non-blocking, or limits its waits.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ppoll(&mut [entry(inlet, libc::POLLIN)], None);
                }
                Err(error) => {
                    self.discard_pending_errors();
                    return Err(error);
                }
            }
        }
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::fcntl(self.raw(), libc::F_DUPFD_CLOEXEC, 0) };
        check(fd)?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// In a child that receives nothing: `waker`, which nobody rings, stands for the socket.
pub(crate) fn listen_to(waker: &Waker) {
    let (from, to) = (waker.fd(), INLET.load(Relaxed));
    // SAFETY: two descriptors that are open, and no pointers.
    unsafe { libc::dup2(from, to) };
}

/// In such a child: waits so long, or until it is to leave.
pub(crate) fn rest(timeout: Option<Duration>) {
    if !is_told_to_leave() {
        // It is ready as soon as `/dev/null` is there.
        ppoll(&mut [entry(INLET.load(Relaxed), libc::POLLIN)], timeout);
    }
}

/// Whether this child is to leave.
pub(crate) fn is_told_to_leave() -> bool {
    IS_TOLD_TO_LEAVE.load(Relaxed)
}

/// Ends a child, and runs nothing of what the parent has set up for its own end.
pub(crate) fn leave(code: i32) -> ! {
    let _ = io::stdout().flush();
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// How many threads this process has, if that is known.
pub(crate) fn threads() -> Option<usize> {
    Some(fs::read_dir("/proc/self/task").ok()?.count())
}

/// The handler of SIGTERM in a child. Does what is safe there, and nothing else.
extern "C" fn leave_soon(_: libc::c_int) {
    // SAFETY: the calling thread's own; dup2(2) may change it.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    IS_TOLD_TO_LEAVE.store(true, Relaxed);
    // SAFETY: plain numbers.
    unsafe { libc::dup2(NOTHING.load(Relaxed), INLET.load(Relaxed)) };
    if is_orphan() {
        end_in_time();
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

extern "C" fn pass_over(_: libc::c_int) {}

/// Nobody is left who would end a handler that does not return.
fn end_in_time() {
    // SAFETY: all-zero is a valid `sigaction`, and stands for the default.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    set_action(libc::SIGALRM, &default);
    let micros = ORPHANS_GRACE.load(Relaxed);
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: (micros / 1_000_000) as _,
            tv_usec: (micros % 1_000_000) as _,
        },
    };
    // SAFETY: the timer is valid for the call.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn is_orphan() -> bool {
    // SAFETY: no arguments.
    let parent = unsafe { libc::getppid() };
    parent != PARENT.load(Relaxed)
}

fn own_pid() -> libc::pid_t {
    // SAFETY: no arguments.
    unsafe { libc::getpid() }
}

fn open_pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    check(fd as libc::c_int)?;
    // SAFETY: a fresh descriptor that nobody else owns; it is closed in an exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn wait_for(pid: libc::pid_t, flags: libc::c_int) -> Option<Death> {
    let mut status = 0;
    // SAFETY: the status is written to a local variable.
    match unsafe { libc::waitpid(pid, &raw mut status, flags) } {
        0 => None,
        ended if ended == pid && libc::WIFSIGNALED(status) => {
            Some(Death::Signalled(libc::WTERMSIG(status)))
        }
        ended if ended == pid => Some(Death::Exited(libc::WEXITSTATUS(status))),
        // Somebody else in this process has reaped it.
        _ => Some(Death::Unknown),
    }
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: it is filled by the next call.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a local set, and valid numbers.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: as above.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

fn action_of(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: all-zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the action is written to a local variable.
    unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    action
}

fn set_action(signal: libc::c_int, action: &libc::sigaction) {
    // SAFETY: the action is valid for the call, and what it leads to is a function of
    // the program or none.
    unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
}

/// What `setitimer` takes: a year is enough.
const LONGEST_GRACE: u64 = 365 * 24 * 3_600 * 1_000_000;
