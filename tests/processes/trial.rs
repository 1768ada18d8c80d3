//! How a case is run, and what must be as before when it is over.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};
use socketserver::{ForkingStyleUdpServer, ServeError, ShutdownReport};

use crate::client::Client;

pub(crate) type Case = (&'static str, fn());

/// Runs the cases that the arguments ask for, or the one that this process is for.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = &arguments[..] {
        if flag == CASE {
            let case = cases.iter().find(|(own, _)| own == name);
            case.expect("a case of this program").1();
            return ExitCode::SUCCESS;
        }
    }
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let parts: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let is_asked = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(*part));
    let mut failed = 0;
    for (name, _) in cases.iter().filter(|(name, _)| is_asked(name)) {
        let began = Instant::now();
        let problem = passes(name);
        let took = began.elapsed().as_secs_f64();
        println!(
            "test {name} ... {} ({took:.1} s)",
            if problem.is_none() { "ok" } else { "FAILED" }
        );
        if let Some(problem) = problem {
            println!("{problem}");
            failed += 1;
        }
    }
    println!("{failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

/// What a case has to say that did not pass.
fn passes(name: &str) -> Option<String> {
    let program = std::env::current_exe().expect("its own path");
    let mut case = Command::new(program)
        .args([CASE, name])
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::inherit())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut told = String::new();
    let errors = case.stderr.take();
    let reader = std::thread::spawn(move || {
        let _ = errors.expect("piped").read_to_string(&mut told);
        told
    });
    let deadline = Instant::now() + LONGEST;
    let status = loop {
        if let Some(status) = case.try_wait().expect("a child of this process") {
            break Some(status);
        }
        if Instant::now() > deadline {
            let _ = case.kill();
            let _ = case.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let told = match status {
        Some(_) => reader.join().expect("it only reads"),
        None => "it took too long".to_owned(),
    };
    status
        .filter(|status| status.success())
        .is_none()
        .then_some(told)
}

/// What a process has beside its memory.
#[derive(Debug, PartialEq, Eq)]
struct Estate {
    descriptors: usize,
    children: String,
    signals: Vec<String>,
    shared: usize,
}

impl Estate {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let of_signals = |line: &&str| {
            ["SigBlk", "SigIgn", "SigCgt"]
                .iter()
                .any(|s| line.starts_with(s))
        };
        let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
        Self {
            descriptors: fs::read_dir("/proc/self/fd").expect("Linux has it").count(),
            children: children_of(std::process::id()),
            signals: status
                .lines()
                .filter(of_signals)
                .map(str::to_owned)
                .collect(),
            shared: maps
                .lines()
                .filter(|line| line.contains("/dev/zero"))
                .count(),
        }
    }
}

/// The children of a process with one thread, zombies too.
pub(crate) fn children_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
}

/// Serves while `client` runs in a process of its own, which is no child of the
/// server's. In the end the server gets SIGTERM. Nothing may be left behind.
pub(crate) fn served(
    bind: impl FnOnce() -> ForkingStyleUdpServer,
    client: impl FnOnce(Client),
) -> Result<ShutdownReport, ServeError> {
    // Without a server the signal ends nothing: a client may be late.
    let late = Arc::new(AtomicBool::new(false));
    let own = signal_hook::flag::register(Signal::SIGTERM as i32, late);
    own.expect("a signal that may be caught");
    let before = Estate::now();
    let server = bind();
    let client = foreign(server.local_addr(), client);
    let served = server.serve_forever();
    let status = waitpid(client, None).expect("it is not the server's to reap");
    assert_eq!(status, WaitStatus::Exited(client, 0), "the client");
    assert_eq!(Estate::now(), before, "what is left behind");
    if let Ok(report) = &served {
        let stats = report.stats;
        assert_eq!(stats.received, stats.settled(), "{}", stats.table());
    }
    served
}

/// Forks a process for the client; it ends the server when it is done.
fn foreign(addr: SocketAddr, client: impl FnOnce(Client)) -> Pid {
    match fork().expect("a process") {
        Fork::Parent(pid) => Pid::from_raw(pid),
        Fork::Child => {
            // Not before there is a server to end.
            let has_begun = || children_of(getppid().as_raw() as u32).trim().contains(' ');
            let patience = Instant::now() + Duration::from_secs(2);
            while !has_begun() && Instant::now() < patience {
                std::thread::sleep(Duration::from_micros(100));
            }
            let run = std::panic::AssertUnwindSafe(|| client(Client::new(addr)));
            let is_well = std::panic::catch_unwind(run).is_ok();
            let _ = kill(getppid(), Signal::SIGTERM);
            exit(if is_well { 0 } else { 1 });
        }
    }
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const CASE: &str = "--case";
const LONGEST: Duration = Duration::from_secs(100);
