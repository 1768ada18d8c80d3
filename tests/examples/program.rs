//! An example, or any other program, as a child process with a deadline on
//! everything it is expected to say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A running program; killed when dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

/// How a program ended, and what it had still to say.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Program {
    /// Starts an example of this package, as built beside this test.
    #[track_caller]
    pub(crate) fn example(name: &str, args: &[&str]) -> Self {
        Self::start(name, Command::new(example_path(name)).args(args))
    }

    /// Starts any program.
    #[track_caller]
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            stdout: Lines::of(child.stdout.take().expect("it is piped")),
            stderr: Lines::of(child.stderr.take().expect("it is piped")),
            child,
        }
    }

    /// Starts `uppercase_echo` on a free port, and waits until it listens.
    #[track_caller]
    pub(crate) fn uppercase_echo(args: &[&str]) -> (Self, SocketAddr) {
        let args = [&["127.0.0.1:0"], args].concat();
        let mut server = Self::example("uppercase_echo", &args);
        let addr = server.listening();
        (server, addr)
    }

    /// Waits until it listens; where.
    #[track_caller]
    pub(crate) fn listening(&mut self) -> SocketAddr {
        let line = self.stdout.line_with("listening on ");
        let addr = line.trim_start_matches("listening on ");
        addr.parse().expect("an address follows")
    }

    /// Types this.
    #[track_caller]
    pub(crate) fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its stdin is still open");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Closes its stdin: the end of a pipe.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Presses Ctrl-C.
    #[track_caller]
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends the signal of this name.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own `kill`: there is always a shell, not always the program.
        let kill = format!("kill -{name} {}", self.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("there is a shell").success(), "{kill}");
    }

    /// Waits until it has ended, also if others go on writing where it wrote.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn end(mut self) -> End {
        let stdout = self.stdout.rest(&self.name);
        let stderr = self.stderr.rest(&self.name);
        // Both pipes are closed, so it has ended or is about to.
        let status = self.child.wait().expect("it can be waited for");
        End {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or is not needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of one output of a program, as they come.
pub(crate) struct Lines {
    lines: Receiver<String>,
    /// What was passed over, for whoever waits in vain.
    seen: Vec<String>,
}

impl Lines {
    fn of(output: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let seen = Vec::new();
        Self { lines, seen }
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.line_with("")
    }

    /// The next line that has `text` in it.
    #[track_caller]
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no line with {text:?} ({error}); before: {:#?}", self.seen),
            }
        }
    }

    /// All lines up to the end.
    #[track_caller]
    fn rest(&mut self, name: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut rest = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("{name} does not end: {rest:#?}"),
            }
        }
    }
}

/// Receives again whenever a signal came in between: a receive with a timeout is
/// not restarted by the system (signal(7)), and children end all the time here.
pub(crate) fn uninterrupted<T>(mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether there is this program; if not, it says what is skipped.
pub(crate) fn has(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        let thread = std::thread::current();
        println!("skipped {}: no {tool} here", thread.name().unwrap_or("?"));
    }
    found
}

/// Examples lie beside the folder of test executables.
#[track_caller]
pub(crate) fn example_path(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    let profile = this
        .parent()
        .and_then(|deps| deps.parent())
        .expect("tests lie in target/<profile>/deps");
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = profile.join("examples").join(file);
    let release = match profile.ends_with("release") {
        true => " --release",
        false => "",
    };
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --examples{release}` first",
        path.display()
    );
    path
}

/// For anything a program is expected to do; two cores may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
