//! What `/proc` tells of this process, beside what all tests ask there.

use std::fs;

/// Memory of this process that is resident, in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let size = size.and_then(|size| size.trim().parse().ok());
    size.expect("a size in KiB")
}
