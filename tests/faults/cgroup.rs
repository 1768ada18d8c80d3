//! Limits of memory: a cgroup of its own for one test.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::alone_under;

/// A cgroup that limits memory, of version 1 or 2; removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    /// Who runs in it does not remove it.
    is_guest: bool,
}

/// Runs the calling test again in a process of its own, in a fresh group. The
/// group says that this is that process: go on.
#[track_caller]
pub(crate) fn alone_in_group(test: &str) -> Option<Group> {
    if let Some(path) = std::env::var_os(GROUP) {
        return Some(Group {
            path: path.into(),
            is_guest: true,
        });
    }
    let group = Group::new();
    let path = group.path.to_str().expect("a path in UTF-8");
    // Who joins first and becomes the test then is charged from its first page on.
    let join = format!("echo $$ >\"$0/cgroup.procs\" && {GROUP}=\"$0\" exec \"$@\"");
    alone_under(test, &["sh", "-c", &join, path]);
    None
}

impl Group {
    #[track_caller]
    fn new() -> Self {
        let parent = parent().expect("the need was checked");
        let path = parent.join(format!("socketserver-test-{}", std::process::id()));
        fs::create_dir(&path).expect("root may make a cgroup");
        Self {
            path,
            is_guest: false,
        }
    }

    /// Allows so many bytes more than are in use.
    #[track_caller]
    pub(crate) fn limit_growth(&self, bytes: u64) {
        let used = self.used();
        let (_, limit) = self.files();
        let limit = self.path.join(limit);
        fs::write(limit, (used + bytes).to_string()).expect("a limit above what is used");
    }

    /// Bytes in use.
    #[track_caller]
    pub(crate) fn used(&self) -> u64 {
        let (usage, _) = self.files();
        let text = fs::read_to_string(self.path.join(usage)).expect("its usage");
        text.trim().parse().expect("a number")
    }

    /// Processes of the group that were killed for want of memory.
    #[track_caller]
    pub(crate) fn kills(&self) -> u64 {
        let events = ["memory.events", "memory.oom_control"]
            .into_iter()
            .find_map(|file| fs::read_to_string(self.path.join(file)).ok());
        let events = events.expect("one of the two versions");
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills.map_or(0, |count| count.trim().parse().expect("a number"))
    }

    /// The files for usage and limit.
    fn files(&self) -> (&'static str, &'static str) {
        if self.path.join("memory.max").exists() {
            ("memory.current", "memory.max")
        } else {
            ("memory.usage_in_bytes", "memory.limit_in_bytes")
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_guest {
            return;
        }
        let removed = fs::remove_dir(&self.path);
        assert!(
            removed.is_ok() || std::thread::panicking(),
            "{} stays behind: {removed:?}",
            self.path.display()
        );
    }
}

/// Why no cgroup can limit memory here; `None` if one can.
pub(crate) fn missing() -> Option<String> {
    if parent().is_none() {
        return Some("needs a cgroup with the memory controller".to_owned());
    }
    (!nix::unistd::geteuid().is_root()).then(|| "needs root to limit memory".to_owned())
}

/// Where a group with a memory limit can be made: at the top of either version.
fn parent() -> Option<PathBuf> {
    let controls = |root: &Path| {
        let children = fs::read_to_string(root.join("cgroup.subtree_control"));
        children.is_ok_and(|list| list.split_whitespace().any(|name| name == "memory"))
    };
    let v2 = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|root| controls(root));
    let v1 = PathBuf::from("/sys/fs/cgroup/memory");
    v2.or_else(|| v1.join("memory.limit_in_bytes").exists().then_some(v1))
}

/// Set in a process that runs in a group, to the group's path.
const GROUP: &str = "SOCKETSERVER_FAULTS_GROUP";
