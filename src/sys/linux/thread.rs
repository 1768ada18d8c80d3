//! What the system knows of a thread: its name, whether it runs, and whether
//! there is room for one more.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Starts a thread that ends at once: whether the system has one more like it.
///
/// A thread that has been joined counts against limits for some microseconds
/// more. So this waits until the kernel has forgotten its number: otherwise the
/// last thread to be had would be refused to the very one it was tried for.
pub(crate) fn try_thread(thread: thread::Builder) -> io::Result<()> {
    // SAFETY: takes and touches nothing, and cannot fail (gettid(2)).
    let Ok(id) = thread.spawn(|| unsafe { libc::gettid() })?.join() else {
        return Ok(());
    };
    let deadline = Instant::now() + FORGETTING;
    while is_known(id) && Instant::now() < deadline {
        thread::yield_now();
    }
    Ok(())
}

/// Whether a thread of this process has the number.
fn is_known(id: libc::pid_t) -> bool {
    // SAFETY: signal 0 is sent to nobody: the kernel only looks the thread up
    // (tgkill(2), kill(2)).
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, 0) == 0 }
}

/// Far longer than a thread takes to end, lest another that was given the same
/// number be waited for.
const FORGETTING: Duration = Duration::from_millis(50);

/// Names the calling thread. The kernel keeps 15 bytes (prctl(2), `PR_SET_NAME`):
/// a longer name loses its middle, so that a number at its end stays visible.
pub(crate) fn name_thread(name: &str) {
    let Ok(name) = CString::new(shorten(name)) else {
        return;
    };
    // It fails only for an invalid address, and a name is only for people.
    // SAFETY: a string that ends with zero and lives through the call.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// What the calling thread has used so far (getrusage(2), `RUSAGE_THREAD`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadUsage {
    cpu: Duration,
    /// Voluntary context switches: times that it waited for something.
    waits: libc::c_long,
    /// Involuntary ones: times that it was preempted.
    preemptions: libc::c_long,
}

impl ThreadUsage {
    /// Takes about half a microsecond.
    pub(crate) fn now() -> Self {
        // SAFETY: all-zero is a valid `rusage`.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // It fails only for an invalid address or selector (getrusage(2)).
        // SAFETY: `usage` is writable and lives through the call.
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
        let time = |time: libc::timeval| {
            Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
        };
        Self {
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            waits: usage.ru_nvcsw,
            preemptions: usage.ru_nivcsw,
        }
    }

    /// How much of the time `wall` that has passed since this was taken the
    /// thread waited: what it did not compute, if it gave up its processor of
    /// its own accord. `None` when it was preempted as well: then nobody can tell.
    pub(crate) fn waited_since(self, wall: Duration) -> Option<Duration> {
        let now = Self::now();
        if now.waits == self.waits {
            Some(Duration::ZERO)
        } else if now.preemptions == self.preemptions {
            Some(wall.saturating_sub(now.cpu.saturating_sub(self.cpu)))
        } else {
            None
        }
    }
}

/// Looks at a thread from outside.
#[derive(Debug, Default)]
pub(crate) struct ThreadProbe {
    /// Its number; 0 as long as nobody is watched.
    id: AtomicI32,
}

impl ThreadProbe {
    /// Watches the calling thread from now on.
    pub(crate) fn watch_current(&self) {
        // SAFETY: takes and touches nothing, and cannot fail (gettid(2)).
        self.id.store(unsafe { libc::gettid() }, Relaxed);
    }

    /// The processor time that the thread has used, from a clock of its own
    /// (clock_getres(2), `pthread_getcpuclockid`); `None` when it is gone. Takes
    /// less than a microsecond.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let id = self.id.load(Relaxed);
        // CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK (include/linux/posix-timers_types.h)
        let clock = (!id << 3) | 6;
        // SAFETY: all-zero is a valid `timespec`.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: `time` is writable and lives through the call. A clock of a
        // thread that is gone, or of another process, is an error.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        (result == 0 && id != 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Whether the thread runs or would, were a processor free; `false` when it
    /// waits for something, or when that cannot be known. Reads a line of
    /// `/proc` (proc(5), `stat`), which takes some microseconds.
    pub(crate) fn is_runnable(&self) -> bool {
        let mut stat = [0; STAT_BYTES];
        // The state follows the name, which is in parentheses and may contain some.
        read_stat(self.id.load(Relaxed), &mut stat).is_ok_and(|stat| {
            let name_end = stat.iter().rposition(|byte| *byte == b')');
            name_end.is_some_and(|end| stat.get(end + 2) == Some(&b'R'))
        })
    }
}

/// Reads how the thread's `stat` begins, into memory of the caller: the
/// supervisor asks while there is traffic, and allocates nothing then.
fn read_stat(thread: i32, stat: &mut [u8]) -> io::Result<&[u8]> {
    let mut path = io::Cursor::new([0; "/proc/self/task/-2147483648/stat".len()]);
    write!(path, "/proc/self/task/{thread}/stat")?;
    let length = path.position() as usize;
    let path = OsStr::from_bytes(&path.get_ref()[..length]);
    let length = File::open(path)?.read(stat)?;
    Ok(&stat[..length])
}

/// Room for the thread's number, its name of up to 15 bytes and its state.
const STAT_BYTES: usize = 64;

fn shorten(name: &str) -> String {
    if name.len() <= KEPT {
        return name.to_owned();
    }
    let tail = name.rfind('-').map_or("", |dash| &name[dash..]);
    let mut head = KEPT.saturating_sub(tail.len());
    while !name.is_char_boundary(head) {
        head -= 1;
    }
    format!("{}{tail}", &name[..head])
}

const KEPT: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_is_told_from_one_that_waits() {
        let probe = std::sync::Arc::new(ThreadProbe::default());
        assert!(!probe.is_runnable(), "nobody is watched");
        probe.watch_current();
        assert!(probe.is_runnable(), "it is running this line");
        let (watched, hold) = (probe.clone(), std::sync::mpsc::channel::<()>());
        let waits = std::thread::spawn(move || {
            watched.watch_current();
            hold.1.recv()
        });
        while probe.id.load(Relaxed) == 0 || probe.is_runnable() {
            std::thread::yield_now();
        }
        drop(hold.0);
        assert!(waits.join().expect("it does not panic").is_err());
    }

    #[test]
    fn computing_is_told_from_waiting() {
        let probe = ThreadProbe::default();
        assert_eq!(probe.cpu_time(), None, "nobody is watched");
        probe.watch_current();
        let (began, before) = (ThreadUsage::now(), probe.cpu_time().expect("it runs"));
        let computed = Duration::from_millis(20);
        while probe.cpu_time().expect("it runs") < before + computed {}
        let wall = Duration::from_secs(1);
        let waited = began.waited_since(wall);
        // On a busy machine it may have been preempted.
        assert_ne!(waited, Some(wall), "it computed");
        let began = ThreadUsage::now();
        thread::sleep(Duration::from_millis(1));
        if let Some(waited) = began.waited_since(wall) {
            assert!(
                waited > wall / 2,
                "it slept, and hardly computed: {waited:?}"
            );
        }
    }

    #[test]
    fn a_thread_that_was_tried_is_gone_and_one_that_cannot_be_had_is_an_error() {
        try_thread(thread::Builder::new()).expect("there is room for one");
        // No address space has room for such a stack.
        let huge = thread::Builder::new().stack_size(usize::MAX / 4);
        let error = try_thread(huge).expect_err("too large");
        assert!(error.raw_os_error().is_some(), "the system's own: {error}");
    }

    #[test]
    fn the_number_survives_a_long_name() {
        assert_eq!(shorten("echo-3"), "echo-3");
        assert_eq!(shorten("socketserver-255"), "socketserve-255");
        assert_eq!(shorten("服务器服务器服务器-7"), "服务器服-7");
    }
}
