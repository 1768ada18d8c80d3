//! What the system tells this process of itself and allows it, beside what all
//! tests ask and do.

use std::fs::{self, File};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Memory of this process that is resident, in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let size = size.and_then(|size| size.trim().parse().ok());
    size.expect("a size in KiB")
}

/// No descriptor is left to this process until this is dropped; what is open
/// stays open.
pub(crate) struct NoDescriptors {
    /// The limits until then.
    limits: (rlim_t, rlim_t),
}

impl NoDescriptors {
    #[track_caller]
    pub(crate) fn left() -> Self {
        // The limit is one above the greatest number that may be given out, and
        // standard input, output and error have those below.
        Self::beyond(3)
    }

    /// As [`left`](Self::left), with a limit below what is open. Also poll(2)
    /// takes no more descriptors than that, and a server's takes two.
    #[track_caller]
    pub(crate) fn beyond(limit: rlim_t) -> Self {
        let limits = getrlimit(Resource::RLIMIT_NOFILE).expect("its limits");
        setrlimit(Resource::RLIMIT_NOFILE, limit, limits.1).expect("it may be lowered");
        assert!(File::open("/dev/null").is_err(), "no descriptor is left");
        Self { limits }
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        let (soft, hard) = self.limits;
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("back to the old limit");
    }
}
