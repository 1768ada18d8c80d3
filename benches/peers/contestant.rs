//! Who is measured, and how each is started.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::work::Work;

/// The receive buffer every server asks for, so that none wins by it.
pub(crate) const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// As many threads as this crate's server starts at most, for those pools that
/// have to know beforehand.
pub(crate) const POOL: usize = 256;

/// A server to be measured.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// As on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// How it is started.
    kind: Kind,
}

/// What has to be run for it.
#[derive(Debug)]
enum Kind {
    /// This program again.
    Rust(&'static str),
    /// A class of Python's `socketserver`, or `asyncio`.
    Python(&'static str),
    /// The loop in C.
    C,
}

/// What the others are compared with.
pub(crate) const OURS: &str = "ours";

/// All of them.
pub(crate) const ALL: [Contestant; 13] = [
    Contestant {
        name: OURS,
        what: "this crate's ThreadingUdpServer",
        kind: Kind::Rust("threading"),
    },
    Contestant {
        name: "ours-1",
        what: "the same with one worker",
        kind: Kind::Rust("threading-1"),
    },
    Contestant {
        name: "ours-guarded",
        what: "the same with every guard",
        kind: Kind::Rust("threading-guarded"),
    },
    Contestant {
        name: "ours-forking",
        what: "this crate's ForkingStyleUdpServer",
        kind: Kind::Rust("forking"),
    },
    Contestant {
        name: "c-mmsg",
        what: "a loop in C, recvmmsg and sendmmsg",
        kind: Kind::C,
    },
    Contestant {
        name: "std-loop",
        what: "recv_from and send_to in a loop",
        kind: Kind::Rust("std-loop"),
    },
    Contestant {
        name: "std-pool",
        what: "a channel to a pool of 256 threads",
        kind: Kind::Rust("std-pool"),
    },
    Contestant {
        name: "tokio-loop",
        what: "tokio, one task for all datagrams",
        kind: Kind::Rust("tokio-loop"),
    },
    Contestant {
        name: "tokio-task",
        what: "tokio, a task for each datagram",
        kind: Kind::Rust("tokio-task"),
    },
    Contestant {
        name: "py-udp",
        what: "Python's UDPServer",
        kind: Kind::Python("UDPServer"),
    },
    Contestant {
        name: "py-threading",
        what: "Python's ThreadingUDPServer",
        kind: Kind::Python("ThreadingUDPServer"),
    },
    Contestant {
        name: "py-forking",
        what: "Python's ForkingUDPServer",
        kind: Kind::Python("ForkingUDPServer"),
    },
    Contestant {
        name: "py-asyncio",
        what: "Python's asyncio, a DatagramProtocol",
        kind: Kind::Python("asyncio"),
    },
];

impl Contestant {
    /// What starts it, if this machine has what that takes. The process started
    /// is the one to measure; it ends with this one.
    pub(crate) fn command(&self, tools: &Tools, work: Work) -> Option<Command> {
        let mut command = Command::new(&tools.this);
        let block_ms = work.block.as_millis().to_string();
        let spin_us = work.spin.as_micros().to_string();
        command.args(["--block-ms", &block_ms, "--spin-us", &spin_us, "--serve"]);
        match self.kind {
            Kind::Rust(name) => command.arg(name),
            Kind::Python(class) => {
                let python = tools.python.as_ref()?;
                command
                    .args(["exec", "--"])
                    .arg(python)
                    .args(["-c", SCRIPT]);
                command.args([class, &block_ms, &RECEIVE_BUFFER.to_string()])
            }
            Kind::C => {
                let program = tools.c_echo.as_ref()?;
                command.args(["exec", "--"]).arg(program);
                command.args([&block_ms, &RECEIVE_BUFFER.to_string()])
            }
        };
        Some(command)
    }
}

/// What this machine has.
#[derive(Debug)]
pub(crate) struct Tools {
    /// This program.
    this: PathBuf,
    /// The interpreter.
    python: Option<PathBuf>,
    /// The compiled C program.
    c_echo: Option<PathBuf>,
}

impl Tools {
    /// Looks for Python, and compiles the C program into `folder`.
    pub(crate) fn find(folder: &Path) -> std::io::Result<Self> {
        let this = env::current_exe()?;
        let (python, c_echo) = (python(), c_echo(folder));
        Ok(Self {
            this,
            python,
            c_echo,
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

/// Compiles the C program.
fn c_echo(folder: &Path) -> Option<PathBuf> {
    let source = folder.join("echo.c");
    let program = folder.join("echo");
    std::fs::write(&source, include_str!("echo.c")).ok()?;
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-o"])
        .args([&program, &source])
        .status()
        .ok()?;
    status.success().then_some(program)
}

/// The servers in Python.
const SCRIPT: &str = include_str!("echo.py");
