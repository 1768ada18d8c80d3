//! Who is measured, and how each is started.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::scenario::Kind::{self, Computing, Light, Quick, Quiet, Waiting};
use crate::scenario::Scenario;
use Program::{Async, Before, C, Python, Rust};

/// The receive buffer every server asks for, so that none wins by it.
pub(crate) const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// How many threads each pool has: as many as this crate's servers start at
/// most, which is their default.
pub(crate) const POOL: usize = 256;

/// What the others are compared with.
pub(crate) const OURS: &str = "ours";
/// The other one of ours.
pub(crate) const FORKING: &str = "ours-forking";
/// The same with processes.
pub(crate) const PROCESSES: &str = "ours-processes";
/// With one process for each datagram.
pub(crate) const PER_FORK: &str = "ours-processes-1";
/// And its answers, deferred to tasks.
pub(crate) const ASYNC: &str = "ours-async";
/// What another build of this program measures as [`OURS`].
pub(crate) const BEFORE: &str = "before";
/// The rivals that handle each datagram on one of [`POOL`] threads.
pub(crate) const POOLS: &[&str] = &["std-pool", "std-threads", "mmsg-pool"];

/// A server to be measured.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// As on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    program: Program,
    /// Where it takes part if nobody asks for it.
    kinds: &'static [Kind],
}

/// What has to be run for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// This one again, which has threads for handlers.
    Rust,
    /// The same, asynchronous.
    Async,
    /// A class of Python's `socketserver`, or `asyncio`.
    Python,
    /// The loop in C.
    C,
    /// Another build of this one.
    Before,
}

/// All of them.
#[rustfmt::skip]
pub(crate) const ALL: &[Contestant] = &[
    is(OURS, "this crate's ThreadingUdpServer", Rust, ANY),
    is(BEFORE, "that of another build (--before)", Before, ANY),
    is(FORKING, "this crate's ForkingStyleUdpServer", Rust, OFTEN),
    is(PROCESSES, "the same, with processes", Rust, QUICK),
    is(PER_FORK, "the same, a fork per datagram", Rust, QUICK),
    is(ASYNC, "ours, a task per datagram on tokio", Async, OFTEN),
    is("ours-guarded", "ours, with every guard", Rust, QUICK),
    is("ours-1", "ours, with one worker", Rust, &[Computing]),
    is("c-mmsg", "C, recvmmsg and sendmmsg", C, &[Quick, Light]),
    is("std-loop", "a loop, recv_from and send_to", Rust, LOOP),
    is("std-pool", "recv_from, a channel, 256 threads", Rust, ANY),
    is("std-threads", "256 threads in recv_from", Rust, POOLED),
    is("mmsg-pool", "recvmmsg, a channel, 256 threads", Rust, POOLED),
    is("tokio-task", "tokio, a task per datagram", Async, POOLED),
    is("ThreadingUDPServer", "Python's", Python, QUICK),
    is("ForkingUDPServer", "Python's", Python, QUICK),
    is("asyncio", "Python's, with a DatagramProtocol", Python, QUICK),
];

const ANY: &[Kind] = &[Quick, Light, Computing, Waiting, Quiet];
const OFTEN: &[Kind] = &[Quick, Waiting, Quiet];
const POOLED: &[Kind] = &[Quick, Computing, Waiting];
const LOOP: &[Kind] = &[Quick, Light, Computing];
const QUICK: &[Kind] = &[Quick];

const fn is(
    name: &'static str,
    what: &'static str,
    program: Program,
    kinds: &'static [Kind],
) -> Contestant {
    Contestant {
        name,
        what,
        program,
        kinds,
    }
}

impl Contestant {
    /// Whether it takes part in a scenario if nobody says who does.
    pub(crate) fn takes_part(&self, scenario: &Scenario) -> bool {
        self.kinds.contains(&scenario.kind()) && self.is_able(scenario)
    }

    /// Whether its handlers can do what a scenario wants.
    pub(crate) fn is_able(&self, scenario: &Scenario) -> bool {
        let is_rust = !matches!(self.program, Python | C);
        let asks_redis = is_rust && self.program != Async;
        (asks_redis || !scenario.redis) && (is_rust || scenario.work.compute.is_zero())
    }

    /// What starts it, given another build and a Redis. The process started is
    /// the one to measure; it ends with this one.
    pub(crate) fn command(
        &self,
        scenario: &Scenario,
        before: Option<&Path>,
        redis: Option<u16>,
    ) -> io::Result<Command> {
        let wait_us = scenario.work.wait.as_micros().to_string();
        let compute_us = scenario.work.compute.as_micros().to_string();
        let mut command = match (self.program, before) {
            (Before, Some(program)) => Command::new(program),
            _ => Command::new(env::current_exe()?),
        };
        command.args(["--wait-us", &wait_us, "--compute-us", &compute_us]);
        if let Some(redis) = redis {
            command.arg("--redis").arg(redis.to_string());
        }
        command.arg("--serve");
        let buffer = RECEIVE_BUFFER.to_string();
        match self.program {
            Rust | Async => command.arg(self.name),
            Before => command.arg(OURS),
            Python => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/echo.py");
                command.args([
                    "exec",
                    "--",
                    &python()?,
                    script,
                    self.name,
                    &wait_us,
                    &buffer,
                ])
            }
            C => {
                command.args(["exec", "--"]).arg(&*C_ECHO);
                command.args([&wait_us, &buffer])
            }
        };
        Ok(command)
    }
}

/// The one of this name.
#[cfg(test)]
pub(crate) fn find(name: &str) -> Option<&'static Contestant> {
    ALL.iter().find(|one| one.name == name)
}

/// The interpreter itself: what is on the `PATH` may be a script in front of it.
fn python() -> io::Result<String> {
    let mut python = Command::new("python3");
    python.args(["-c", "import sys; print(sys.executable, end='')"]);
    Ok(String::from_utf8_lossy(&python.output()?.stdout).into_owned())
}

/// The program in C, compiled to stand beside this one; nothing if there is no
/// compiler.
static C_ECHO: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = env::current_exe().unwrap_or_default();
    let program = program.with_file_name("peers-echo");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/echo.c");
    let mut compiler = Command::new("cc");
    let compiled = compiler.args(["-O2", source, "-o"]).arg(&program).status();
    if let Err(error) = compiled {
        eprintln!("peers: cc: {error}");
    }
    program
});
