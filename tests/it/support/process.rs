//! What only Linux tells about a process.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Descriptors that this process has open.
pub(crate) fn open_descriptors() -> usize {
    let listing = fs::read_dir("/proc/self/fd").expect("proc is mounted");
    // The listing itself needs one.
    listing.count() - 1
}

/// Threads of this process.
pub(crate) fn threads() -> usize {
    tasks().len()
}

/// Threads of this process whose names begin so. A name is cut after 15
/// bytes: the beginning should be short.
pub(crate) fn threads_named(beginning: &str) -> usize {
    named(beginning).len()
}

/// Clock ticks that threads of this name have used.
pub(crate) fn cpu_ticks_of(beginning: &str) -> u64 {
    named(beginning)
        .iter()
        .map(|task| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            // The name may contain anything; fields count from behind it.
            let fields = stat.rsplit(')').next().unwrap_or_default();
            let ticks = |at| -> u64 {
                let field = fields.split_whitespace().nth(at);
                field.and_then(|text| text.parse().ok()).unwrap_or(0)
            };
            ticks(11) + ticks(12)
        })
        .sum()
}

/// How often threads of this name went to sleep.
#[cfg_attr(
    socketserver_portable,
    allow(dead_code, reason = "not all who include this wait for a wait")
)]
pub(crate) fn waits_of(beginning: &str) -> u64 {
    named(beginning)
        .iter()
        .filter_map(|task| {
            let status = fs::read_to_string(task.join("status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

/// Runs the calling test again in a process of its own, where nobody else
/// opens descriptors or starts threads, with at most `memory` KiB of address
/// space. `true` says that this is that process: go on.
#[track_caller]
pub(crate) fn is_alone(module: &str, test: &str, memory: Option<u64>) -> bool {
    const ALONE: &str = "SOCKETSERVER_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let module = module.split_once("::").map_or("", |(_, module)| module);
    let limit = memory.map_or("unlimited".to_owned(), |kib| kib.to_string());
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -v \"$1\" && exec \"$0\" \"$2\" --exact --nocapture",
        ])
        .arg(std::env::current_exe().expect("this test"))
        .args([limit, format!("{module}::{test}")])
        .env(ALONE, "yes");
    super::assert_passes(&mut command);
    false
}

fn named(beginning: &str) -> Vec<PathBuf> {
    tasks()
        .into_iter()
        .filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(beginning))
        })
        .collect()
}

fn tasks() -> Vec<PathBuf> {
    let listing = fs::read_dir("/proc/self/task").expect("proc is mounted");
    listing.filter_map(|task| Some(task.ok()?.path())).collect()
}
