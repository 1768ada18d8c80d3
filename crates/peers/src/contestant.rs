//! Who is measured, and how each is started.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::scenario::Kind::{self, Alone, Computing, Light, Quick, Quiet, Waiting};
use crate::scenario::Scenario;

/// The receive buffer every server asks for, so that none wins by it.
pub(crate) const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// How many threads each pool has: as many as this crate's servers start at
/// most, which is their default.
pub(crate) const POOL: usize = 256;

/// What the others are compared with.
pub(crate) const OURS: &str = "ours";
/// The other one of ours.
pub(crate) const FORKING: &str = "ours-forking";
/// What another build of this program measures as [`OURS`].
pub(crate) const BEFORE: &str = "before";
/// The rivals that handle each datagram on one of [`POOL`] threads.
pub(crate) const POOLS: [&str; 3] = ["std-pool", "std-threads", "mmsg-pool"];

/// A server to be measured.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// As on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// Where it takes part if nobody asks for it.
    kinds: &'static [Kind],
    program: Program,
}

/// What has to be run for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// This one again, which has threads for handlers.
    Rust,
    /// The same, asynchronous.
    Async,
    /// A class of Python's `socketserver`, or `asyncio`.
    Python(&'static str),
    /// The loop in C.
    C,
    /// Another build of this one.
    Before,
}

const fn one(
    name: &'static str,
    what: &'static str,
    program: Program,
    kinds: &'static [Kind],
) -> Contestant {
    Contestant {
        name,
        what,
        kinds,
        program,
    }
}

/// All of them.
pub(crate) const ALL: &[Contestant] = &[
    one(
        OURS,
        "this crate's ThreadingUdpServer",
        Program::Rust,
        EVERYWHERE,
    ),
    one(
        BEFORE,
        "the same of another build (--before)",
        Program::Before,
        EVERYWHERE,
    ),
    one(
        "ours-1",
        "the same with one worker",
        Program::Rust,
        &[Computing],
    ),
    one(
        "ours-guarded",
        "the same with every guard",
        Program::Rust,
        &[Quick],
    ),
    one(
        FORKING,
        "this crate's ForkingStyleUdpServer",
        Program::Rust,
        &[Quick, Waiting, Quiet],
    ),
    one(
        "c-mmsg",
        "a loop in C, recvmmsg and sendmmsg",
        Program::C,
        &[Quick, Alone, Light],
    ),
    one(
        "std-loop",
        "recv_from and send_to in a loop",
        Program::Rust,
        &[Quick, Alone, Light, Computing],
    ),
    one(
        "std-pool",
        "one receives, a channel to 256 threads",
        Program::Rust,
        EVERYWHERE,
    ),
    one(
        "std-threads",
        "256 threads in recv_from",
        Program::Rust,
        &[Quick, Alone, Computing, Waiting],
    ),
    one(
        "mmsg-pool",
        "one in recvmmsg, a channel to 256 threads",
        Program::Rust,
        &[Quick, Alone, Computing, Waiting],
    ),
    one(
        "tokio-loop",
        "tokio, one task for all datagrams",
        Program::Async,
        &[Quick, Alone],
    ),
    one(
        "tokio-task",
        "tokio, a task for each datagram",
        Program::Async,
        &[Quick, Alone, Light, Computing, Waiting],
    ),
    one(
        "py-threading",
        "Python's ThreadingUDPServer",
        Program::Python("ThreadingUDPServer"),
        &[Quick],
    ),
    one(
        "py-forking",
        "Python's ForkingUDPServer",
        Program::Python("ForkingUDPServer"),
        &[Quick],
    ),
    one(
        "py-asyncio",
        "Python's asyncio, a DatagramProtocol",
        Program::Python("asyncio"),
        &[Quick],
    ),
];

const EVERYWHERE: &[Kind] = &[Quick, Alone, Light, Computing, Waiting, Quiet];

impl Contestant {
    /// Whether it takes part in a scenario if nobody says who does.
    pub(crate) fn takes_part(&self, scenario: &Scenario) -> bool {
        self.kinds.contains(&scenario.kind()) && self.is_able(scenario)
    }

    /// Whether its handlers can do what a scenario wants.
    pub(crate) fn is_able(&self, scenario: &Scenario) -> bool {
        let foreign = matches!(self.program, Program::Python(_) | Program::C);
        let asks_redis = !foreign && self.program != Program::Async;
        (!scenario.redis || asks_redis) && (scenario.work.compute.is_zero() || !foreign)
    }

    /// What starts it, if this machine has what that takes. The process started
    /// is the one to measure; it ends with this one.
    pub(crate) fn command(
        &self,
        tools: &Tools,
        scenario: &Scenario,
        redis: Option<u16>,
    ) -> Option<Command> {
        let wait_us = scenario.work.wait.as_micros().to_string();
        let compute_us = scenario.work.compute.as_micros().to_string();
        let program = match self.program {
            Program::Before => tools.before.as_ref()?,
            _ => &tools.this,
        };
        let mut command = Command::new(program);
        command.args(["--wait-us", &wait_us, "--compute-us", &compute_us]);
        if let Some(port) = redis {
            command.args(["--redis", &port.to_string()]);
        }
        command.arg("--serve");
        let buffer = RECEIVE_BUFFER.to_string();
        match self.program {
            Program::Rust | Program::Async => command.arg(self.name),
            Program::Before => command.arg(OURS),
            Program::Python(class) => {
                let python = tools.python.as_ref()?;
                command.args(["exec", "--"]).arg(python);
                command.args(["-c", include_str!("echo.py"), class, &wait_us, &buffer])
            }
            Program::C => {
                command.args(["exec", "--"]).arg(tools.c_echo.as_ref()?);
                command.args([&wait_us, &buffer])
            }
        };
        Some(command)
    }
}

/// The one of this name.
pub(crate) fn find(name: &str) -> Option<&'static Contestant> {
    ALL.iter().find(|one| one.name == name)
}

/// What this machine has.
#[derive(Debug)]
pub(crate) struct Tools {
    this: PathBuf,
    before: Option<PathBuf>,
    python: Option<PathBuf>,
    c_echo: Option<PathBuf>,
}

impl Tools {
    /// Looks for Python, and compiles the C program into `folder`.
    pub(crate) fn find(folder: &Path, before: Option<PathBuf>) -> std::io::Result<Self> {
        Ok(Self {
            this: env::current_exe()?,
            before,
            python: python(),
            c_echo: c_echo(folder),
        })
    }
}

/// The interpreter itself: what is on the `PATH` may be a script in front of it.
fn python() -> Option<PathBuf> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !path.trim().is_empty()).then(|| PathBuf::from(path.trim()))
}

fn c_echo(folder: &Path) -> Option<PathBuf> {
    let (source, program) = (folder.join("echo.c"), folder.join("echo"));
    std::fs::write(&source, include_str!("echo.c")).ok()?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O2", "-Wall", "-o"])
        .args([&program, &source]);
    compiler.status().ok()?.success().then_some(program)
}
