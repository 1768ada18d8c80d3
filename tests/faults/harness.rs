//! How a fault becomes a test: what it needs, whether that is here, and a
//! process of its own for what is measured by the process.

use std::process::Command;

use libtest_mimic::{Completion, Trial};

use crate::support::assert_passes;

/// What a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "not every need has its test on every platform")]
pub(crate) enum Need {
    /// The rights of root: raw sockets and network namespaces.
    Root,
    /// A program, found in `PATH`.
    Tool(&'static str),
    /// The `scapy` module of the system's Python.
    Scapy,
    /// A cgroup with a memory limit.
    CgroupMemory,
    /// Batches of system calls, which the portable twin does not have.
    FastPath,
}

impl Need {
    /// Why this need is not met; `None` if it is.
    fn missing(self) -> Option<String> {
        match self {
            Self::Root => (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned()),
            Self::Tool(tool) => (!is_in_path(tool)).then(|| format!("needs the program {tool}")),
            Self::Scapy => (!has_scapy()).then(|| format!("needs scapy for {SYSTEM_PYTHON}")),
            Self::CgroupMemory => crate::cgroup::missing(),
            Self::FastPath => cfg!(socketserver_portable)
                .then(|| "says nothing about the portable twin".to_owned()),
        }
    }

    /// Whether this may be missing even where all faults must be tested.
    fn is_a_choice(self) -> bool {
        self == Self::FastPath
    }
}

/// One test. Its name says what it shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(),
}

impl Case {
    /// The test as the harness takes it: ignored if a need is not met, or
    /// failed if [`REQUIRE`] says that it must run.
    pub(crate) fn into_trial(self) -> Trial {
        Trial::ignorable_test(self.name, move || {
            for need in self.needs {
                let Some(reason) = need.missing() else {
                    continue;
                };
                if is_set(REQUIRE) && !need.is_a_choice() {
                    return Err(format!("{reason}, and {REQUIRE} is set").into());
                }
                return Ok(Completion::ignored_with(reason));
            }
            (self.run)();
            Ok(Completion::Completed)
        })
    }
}

/// The tests of a module, by what they need; each is named as its function.
macro_rules! cases {
    ($($needs:expr => { $($test:ident),+ $(,)? })+) => {
        vec![$($($crate::harness::Case {
            name: stringify!($test),
            needs: $needs,
            run: $test,
        }),+),+]
    };
}
pub(crate) use cases;

/// How much longer than by default the long tests take: the value of
/// [`SCALE`], 1 by default, 100 for the full length.
pub(crate) fn scale() -> u64 {
    match std::env::var(SCALE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{SCALE}={text}: {error}")),
        Err(_) => 1,
    }
}

/// Runs the calling test again in a process of its own, where it alone uses
/// memory, descriptors and signals. `true` says that this is that process: go on.
#[track_caller]
pub(crate) fn alone(test: &str) -> bool {
    alone_under(test, &[])
}

/// Whether this is a process for one test alone.
pub(crate) fn is_alone() -> bool {
    is_set(ALONE)
}

/// As [`alone`], started by a program that changes the conditions, like
/// `prlimit` with its options.
#[track_caller]
pub(crate) fn alone_under(test: &str, starter: &[&str]) -> bool {
    if is_alone() {
        return true;
    }
    let this = std::env::current_exe().expect("the path of this program");
    let mut command = match starter {
        [] => Command::new(this),
        [program, options @ ..] => {
            let mut command = Command::new(program);
            command.args(options).arg(this);
            command
        }
    };
    command
        .args(["--exact", test, "--test-threads", "1", "--nocapture"])
        .env(ALONE, "1");
    assert_passes(&mut command);
    false
}

/// Set to fail tests whose needs are not met, instead of ignoring them.
const REQUIRE: &str = "SOCKETSERVER_REQUIRE_FAULT_TESTS";

const SCALE: &str = "SOCKETSERVER_FAULTS_SCALE";

/// Set in a process that runs one test alone.
const ALONE: &str = "SOCKETSERVER_FAULTS_ALONE";

/// Where distributions install their `python3-scapy` for.
pub(crate) const SYSTEM_PYTHON: &str = "/usr/bin/python3";

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty() && value != "0")
}

fn is_in_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn has_scapy() -> bool {
    Command::new(SYSTEM_PYTHON)
        .args(["-c", "import scapy.layers.inet"])
        .output()
        .is_ok_and(|output| output.status.success())
}
