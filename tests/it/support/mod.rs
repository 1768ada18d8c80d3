//! The vocabulary of the tests.

mod gate;
#[cfg(target_os = "linux")]
pub(crate) mod process;
mod servers;

pub(crate) use gate::Gate;
pub(crate) use servers::{Handle, ServerBuilder, UdpServer, for_both_servers};

use std::cell::Cell;
use std::fmt::Display;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Deref;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use socketserver::{
    DatagramHandler, FailureCause, HandlerError, HandlerFailure, RunningServer, ServerHandle,
    ShutdownReport, SocketHandle, Stats,
};

/// Where all tests bind: loopback, any port.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// After this long a condition counts as never met.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A handler that sends back what it is sent.
pub(crate) fn echo(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    Ok(socket.reply(bytes)?)
}

/// A server on a thread of its own, stopped, joined and looked over when it is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    running: Option<RunningServer>,
}

impl TestServer {
    pub(crate) fn spawn(server: impl UdpServer) -> Self {
        Self {
            running: Some(server.spawn()),
        }
    }

    /// Stops it; its report adds up.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ShutdownReport {
        let running = self.running.take().expect("stopped only once");
        let report = running.stop().expect("the server ends in order");
        assert_conserved(&report.stats);
        report
    }

    /// Waits until `count` datagrams are settled.
    #[track_caller]
    pub(crate) fn wait_until_settled(&self, count: u64) {
        wait_until("the datagrams are settled", || {
            self.stats().settled() >= count
        });
    }
}

impl Deref for TestServer {
    type Target = ServerHandle;

    fn deref(&self) -> &ServerHandle {
        self.running.as_ref().expect("not stopped yet")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if std::thread::panicking() {
            // The test has failed; only its own panic should be heard.
            drop(running);
            return;
        }
        let report = running.stop().expect("the server ends in order");
        assert_conserved(&report.stats);
    }
}

/// The law of conservation, at rest.
#[track_caller]
pub(crate) fn assert_conserved(stats: &Stats) {
    let fates = stats.handled
        + stats.failed
        + stats.panicked
        + stats.refused.total()
        + stats.shed.total()
        + stats.abandoned;
    assert_eq!(
        stats.received, fates,
        "every datagram received has exactly one fate:\n{stats}"
    );
    assert_eq!(stats.in_flight, 0, "nothing is in flight at rest:\n{stats}");
}

/// A client on loopback that loses patience after a few seconds.
#[derive(Debug)]
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    #[track_caller]
    pub(crate) fn of(server: SocketAddr) -> Self {
        let own = if server.is_ipv4() {
            ANY_PORT
        } else {
            "[::1]:0"
        };
        Self::at(own, server)
    }

    /// A client that sends from this address.
    #[track_caller]
    pub(crate) fn at(own: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).expect("a client's socket");
        socket
            .set_read_timeout(Some(DEADLINE / 2))
            .expect("a timeout");
        Self { socket, server }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.send_to(bytes, self.server);
    }

    #[track_caller]
    pub(crate) fn send_to(&self, bytes: &[u8], to: SocketAddr) {
        let sent = self.socket.send_to(bytes, to);
        assert_eq!(sent.expect("loopback sends"), bytes.len(), "sent whole");
    }

    /// The next datagram, which must come from the server.
    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        let (bytes, from) = self.receive_from();
        assert_eq!(from, self.server, "only the server answers");
        bytes
    }

    /// The next datagram, and where it came from.
    #[track_caller]
    pub(crate) fn receive_from(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    buffer.truncate(len);
                    return (buffer, from);
                }
                // A receive with a timeout is not restarted (signal(7)), and
                // a child of some test may have ended.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no reply came to {}: {error}", self.addr()),
            }
        }
    }

    #[track_caller]
    pub(crate) fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        self.receive()
    }

    /// The next datagram is this one.
    #[track_caller]
    pub(crate) fn expect_reply(&self, expected: &[u8]) {
        let reply = self.receive();
        assert!(
            reply == expected,
            "expected {:?}, got {:?}",
            String::from_utf8_lossy(&expected[..expected.len().min(80)]),
            String::from_utf8_lossy(&reply[..reply.len().min(80)])
        );
    }

    /// Nothing has come and is waiting. Loopback delivers while the sender
    /// sends: so what a stopped server sent is here, and this need not wait.
    #[track_caller]
    pub(crate) fn expect_silence(&self) {
        self.socket.set_nonblocking(true).expect("a flag");
        let mut buffer = vec![0; 65_536];
        let got = self.socket.recv_from(&mut buffer);
        self.socket.set_nonblocking(false).expect("a flag");
        match got {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("not silence but an error: {error}"),
            Ok((len, from)) => panic!(
                "not silence but {:?} from {from}",
                String::from_utf8_lossy(&buffer[..len.min(80)])
            ),
        }
    }
}

/// For options that only some tests set.
#[cfg(unix)]
impl std::os::fd::AsFd for Client {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for a condition; the one place where a test sleeps for something.
#[track_caller]
pub(crate) fn wait_until(what: impl Display, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs one test in a process of its own, where it passes.
#[track_caller]
pub(crate) fn assert_passes(command: &mut Command) {
    let output = command.output().expect("a process for the test");
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "in a process of its own, the test ended with {}:\n{said}\n{cried}",
        output.status
    );
}

/// What happened, in order, from whichever thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn note(&self, line: impl Into<String>) {
        self.lines().push(line.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.lines().clone()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Log lines of this process, as `level: text`.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collector;

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{}: {}", record.level(), record.args());
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn flush(&self) {}
}

thread_local! {
    /// Lines that were there when the test of this thread began.
    static EARLIER: Cell<usize> = const { Cell::new(0) };
}

/// From now on, the log is kept, and what other tests logged before is passed over:
/// a server may be given the address that theirs had.
pub(crate) fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Collector).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
    let lines = LOG.lock().unwrap_or_else(PoisonError::into_inner).len();
    EARLIER.set(lines);
}

/// Lines of the log that contain `text`, from [`keep_log`] on.
pub(crate) fn logged(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter()
        .skip(EARLIER.get())
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}

/// Binds the port: that works only once it is free.
#[track_caller]
pub(crate) fn assert_port_is_free(addr: SocketAddr) {
    UdpSocket::bind(addr).expect("the port is free");
}

/// Asserts that it is made, used, finished and dropped on one thread.
pub(crate) struct HomeBound {
    pub(crate) home: ThreadId,
    /// What could not be moved to another thread.
    pub(crate) calls: Rc<Cell<u64>>,
    pub(crate) journal: Journal,
}

impl HomeBound {
    fn check(&self, when: &str) {
        self.calls.set(self.calls.get() + 1);
        if std::thread::current().id() != self.home {
            self.journal.note(format!("{when} elsewhere"));
        }
    }
}

impl DatagramHandler for HomeBound {
    fn setup(&mut self) -> Result<(), HandlerError> {
        self.check("setup");
        Ok(())
    }

    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.check("handle");
        Ok(socket.reply(bytes)?)
    }

    fn finish(&mut self) {
        self.check("finish");
        self.journal.note("finished");
    }
}

impl Drop for HomeBound {
    fn drop(&mut self) {
        self.check("drop");
    }
}

pub(crate) fn cause_of(failure: &HandlerFailure) -> String {
    match failure.cause() {
        FailureCause::Error(error) => format!("error: {error}"),
        FailureCause::Panic(message) => format!("panic: {message}"),
        _ => "something new".to_owned(),
    }
}
