//! A server program some of whose system calls fail: `uppercase_echo` under
//! `strace`, which injects errors.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::load::Sender;
use crate::program::{End, Program, example_path};
use crate::support::Client;

/// The running program.
pub(crate) struct Injection {
    program: Program,
    addr: SocketAddr,
    trace: Trace,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How many calls of each kind failed as they were told.
    injected: BTreeMap<String, u64>,
    /// The stats that it printed, by the first words of each line.
    stats: BTreeMap<String, u64>,
    /// What it said on stderr.
    stderr: Vec<String>,
}

impl Injection {
    /// Starts it: the calls of these names fail with the error, each thread's
    /// own as `when` says: `3+5` is the third and from then on each fifth.
    #[track_caller]
    pub(crate) fn of(error: &str, calls: &str, when: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let process = std::process::id();
        let name = format!("socketserver-faults-{process}-{number}.trace");
        let trace = Trace(std::env::temp_dir().join(name));
        // With -D the child is the program itself, and strace a grandchild.
        let mut command = Command::new("strace");
        command
            .args(["-D", "-f", "-qq", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error={error}:when={when}")])
            .arg("-o")
            .arg(&trace.0)
            .arg(example_path("uppercase_echo"))
            .args(["127.0.0.1:0", "--quiet", "--workers", "2"]);
        let mut program = Program::start("uppercase_echo", &mut command);
        let addr = program.listening();
        Self {
            program,
            addr,
            trace,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::of(self.addr)
    }

    /// Asks so often, and is answered each time.
    #[track_caller]
    pub(crate) fn ask_all(&self, times: u64) {
        let client = self.client();
        for number in 0..times {
            let reply = client.ask(format!("number {number}").as_bytes());
            assert_eq!(reply, format!("NUMBER {number}").into_bytes());
        }
    }

    /// Asks so often, whether an answer comes or not. Returns how many came
    /// soon; the others may still come.
    pub(crate) fn ask_some(&self, times: u64) -> u64 {
        let client = Sender::to(self.addr).socket;
        let patience = Some(Duration::from_millis(100));
        client.set_read_timeout(patience).expect("a timeout");
        let mut buffer = [0; 64];
        let mut replies = 0;
        for _ in 0..times {
            // A server that has ended shows as an error here, and in its end.
            let _ = client.send(b"some");
            replies += u64::from(client.recv(&mut buffer).is_ok());
        }
        replies
    }

    /// Clock ticks (a hundredth of a second each) that it has used.
    #[track_caller]
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.program.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |at| -> u64 {
            let field = fields.split_whitespace().nth(at);
            field.and_then(|text| text.parse().ok()).expect("a number")
        };
        ticks(11) + ticks(12)
    }

    /// Waits until it ends without being told.
    #[track_caller]
    pub(crate) fn end_by_itself(self) -> End {
        self.program.end()
    }

    /// Ends it, in order.
    #[track_caller]
    pub(crate) fn end(self) -> Ended {
        self.program.interrupt();
        let end = self.program.end();
        assert!(end.status.success(), "it ends in order: {end:?}");
        Ended {
            injected: self.trace.injected(),
            stats: stats(&end.stdout),
            stderr: end.stderr,
        }
    }
}

impl Ended {
    /// How many calls failed as they were told.
    pub(crate) fn injected(&self, call: &str) -> u64 {
        self.injected.get(call).copied().unwrap_or(0)
    }

    /// A line of the stats; 0 if it was left out.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.stats.get(name).copied().unwrap_or(0)
    }

    /// It said so.
    #[track_caller]
    pub(crate) fn assert_said(&self, text: &str) {
        let said = self.stderr.iter().any(|line| line.contains(text));
        assert!(said, "{text}: {self:?}");
    }
}

/// The file that `strace` writes; removed when dropped.
struct Trace(PathBuf);

impl Trace {
    /// Calls that failed as they were told, by name. The lines look like
    /// `12 recvmmsg(3, …) = -1 EIO (Input/output error) (INJECTED)`, or, if
    /// another thread came in between, `12 <... recvmmsg resumed>…`.
    fn injected(&self) -> BTreeMap<String, u64> {
        let text = std::fs::read_to_string(&self.0).expect("strace has written it");
        let mut counts = BTreeMap::new();
        for line in text.lines().filter(|line| line.contains("(INJECTED)")) {
            let call = line
                .split_once(' ')
                .map_or("", |(_, call)| call.trim_start());
            let call = call.trim_start_matches("<... ");
            let end = call.find(['(', ' ']).unwrap_or(call.len());
            *counts.entry(call[..end].to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Without strace there was none.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The numbers of a printed table of stats.
pub(crate) fn stats(lines: &[String]) -> BTreeMap<String, u64> {
    lines
        .iter()
        .filter_map(|line| {
            let (name, rest) = line.split_at_checked(NAME_WIDTH)?;
            let value = rest.split_whitespace().next()?.replace(',', "");
            Some((name.trim().to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// Of the first column of the table.
const NAME_WIDTH: usize = 24;
