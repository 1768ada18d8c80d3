//! What the system knows of a thread: its name and whether it runs.

use std::ffi::CString;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

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

    /// Whether the thread runs or would, were a processor free; `false` when it
    /// waits for something, or when that cannot be known. Reads a line of
    /// `/proc` (proc(5), `stat`), which takes some microseconds.
    pub(crate) fn is_runnable(&self) -> bool {
        let id = self.id.load(Relaxed);
        let stat = std::fs::read(format!("/proc/self/task/{id}/stat"));
        // The state follows the name, which is in parentheses and may contain some.
        stat.is_ok_and(|stat| {
            let name_end = stat.iter().rposition(|byte| *byte == b')');
            name_end.is_some_and(|end| stat.get(end + 2) == Some(&b'R'))
        })
    }
}

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
    fn the_number_survives_a_long_name() {
        assert_eq!(shorten("echo-3"), "echo-3");
        assert_eq!(shorten("socketserver-255"), "socketserve-255");
        assert_eq!(shorten("服务器服务器服务器-7"), "服务器服-7");
    }
}
