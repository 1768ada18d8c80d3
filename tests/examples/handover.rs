//! A server that is replaced under load, twice, without losing a datagram.

mod deaths;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::program::{PATIENCE, Program, example_path};

/// Datagrams that a client has on their way at a time; the buffers hold more.
const WINDOW: u64 = 64;
/// Answers between two hand-overs.
const STRETCH: u64 = 10_000;

/// A client that asks without a pause, with numbers that count up.
struct Load {
    answers: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    client: JoinHandle<Answers>,
}

/// What became of the questions.
struct Answers {
    asked: u64,
    /// How often each was answered, if not once.
    odd: BTreeMap<u64, u64>,
    /// How many each process answered.
    by_process: BTreeMap<i32, u64>,
}

impl Load {
    fn on(server: SocketAddr) -> Self {
        let answers = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let client = std::thread::spawn(move || ask(server, &counted, &stopped));
        Self {
            answers,
            stop,
            client,
        }
    }

    /// Waits until so many more have been answered.
    #[track_caller]
    fn wait_for_more(&self, count: u64) {
        let wanted = self.answers.load(Relaxed) + count;
        let deadline = Instant::now() + 3 * PATIENCE;
        while self.answers.load(Relaxed) < wanted {
            assert!(Instant::now() < deadline, "the load does not get on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(self) -> Answers {
        self.stop.store(true, Relaxed);
        self.client.join().expect("the client does not panic")
    }
}

fn ask(server: SocketAddr, counted: &AtomicU64, stopped: &AtomicBool) -> Answers {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(server).expect("loopback");
    // Long past anything that only takes its time: what has not come is lost.
    socket
        .set_read_timeout(Some(PATIENCE / 4))
        .expect("not zero");
    let mut times: Vec<u64> = Vec::new();
    let mut by_process = BTreeMap::new();
    let mut on_their_way = 0;
    loop {
        while on_their_way < WINDOW && !stopped.load(Relaxed) {
            let number = times.len().to_string();
            socket.send(number.as_bytes()).expect("loopback sends");
            times.push(0);
            on_their_way += 1;
        }
        let mut answer = [0; 64];
        let Ok(len) = crate::program::uninterrupted(|| socket.recv(&mut answer)) else {
            break;
        };
        let answer = std::str::from_utf8(&answer[..len]).expect("it is text");
        let (process, number) = answer.split_once(' ').expect("a process and a number");
        let number: usize = number.parse().expect("a number that was asked");
        times[number] += 1;
        *by_process
            .entry(process.parse().expect("a process id"))
            .or_default() += 1;
        counted.fetch_add(1, Relaxed);
        on_their_way -= 1;
        if on_their_way == 0 && stopped.load(Relaxed) {
            // Whether one comes twice, after all have come.
            socket
                .set_read_timeout(Some(Duration::from_millis(200)))
                .expect("not zero");
            on_their_way = 1;
        }
    }
    let asked = times.len() as u64;
    let odd = (0..).zip(times).filter(|(_, times)| *times != 1).collect();
    Answers {
        asked,
        odd,
        by_process,
    }
}

/// A process that another one started; ended with the test.
struct Successor(Pid);

impl Successor {
    /// The one that the next line of the first process tells of.
    #[track_caller]
    fn announced_by(program: &mut Program) -> Self {
        let line = program.stdout.line_with(": serving ");
        let pid = line.split(':').next().and_then(|pid| pid.parse().ok());
        Self(Pid::from_raw(pid.expect("a line begins with the process")))
    }

    /// Waits until it has ended by itself, in order. Its parent has ended
    /// before, and so it is this process's child.
    #[track_caller]
    fn wait(self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match waitpid(self.0, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => break assert_eq!(code, 0, "in order"),
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => {}
                other => panic!("it ended otherwise: {other:?}"),
            }
            assert!(Instant::now() < deadline, "{} does not end", self.0);
            std::thread::sleep(Duration::from_millis(5));
        }
        // The number may be another's already.
        std::mem::forget(self);
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

#[test]
fn two_hand_overs_under_load_lose_nothing() {
    // Whose parent has ended becomes a child of this process.
    nix::sys::prctl::set_child_subreaper(true).expect("an attribute");
    // Each answer takes a moment, so that whoever does not finish what it has
    // received loses it.
    let mut first = Program::example("handover", &["127.0.0.1:0", "--work", "100"]);
    let line = first.stdout.line_with(": serving ");
    let addr = served_address(&line);

    let load = Load::on(addr);
    load.wait_for_more(STRETCH);
    first.type_in("next\n");
    let second = Successor::announced_by(&mut first);
    first.stdout.line_with(": ended, ");
    let status = first.wait();
    assert!(status.success(), "the first process: {status}");

    load.wait_for_more(STRETCH);
    kill(second.0, Signal::SIGHUP).expect("it serves");
    let third = Successor::announced_by(&mut first);
    first.stdout.line_with(": ended, ");
    second.wait();

    load.wait_for_more(STRETCH);
    let answers = load.end();
    kill(third.0, Signal::SIGTERM).expect("it serves");
    first.stdout.line_with(": ended, ");
    third.wait();

    assert!(
        answers.odd.is_empty(),
        "of {} each is answered once; how often others were: {:?}",
        answers.asked,
        answers.odd
    );
    assert!(answers.asked >= 3 * STRETCH, "{}", answers.asked);
    let processes: BTreeSet<_> = answers.by_process.keys().collect();
    assert_eq!(processes.len(), 3, "{:?}", answers.by_process);
    println!("{} answered, by {:?}", answers.asked, answers.by_process);
    std::net::UdpSocket::bind(addr).expect("the port is free again");
}

#[test]
fn a_successor_that_does_not_start_leaves_the_server_as_it_was() {
    let folder = std::env::temp_dir().join(format!("handover-test-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder of its own");
    let program = folder.join("handover");
    std::fs::copy(crate::program::example_path("handover"), &program).expect("a copy");
    let mut server = Program::start(
        "handover",
        std::process::Command::new(&program).arg("127.0.0.1:0"),
    );
    let line = server.stdout.line_with(": serving ");
    let addr = served_address(&line);
    std::fs::remove_dir_all(&folder).expect("it is there");
    server.type_in("next\n");
    let line = server.stderr.line_with("not handed over");
    assert!(
        line.contains("the successor ended: exit status: 127"),
        "{line}"
    );

    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.set_read_timeout(Some(PATIENCE)).expect("not zero");
    client.send_to(b"still there?", addr).expect("loopback");
    let mut answer = [0; 64];
    let (len, _) = client.recv_from(&mut answer).expect("an answer");
    assert!(answer[..len].ends_with(b" still there?"));
    server.interrupt();
    assert!(server.end().status.success(), "in order");
}

/// The address in the first line of a process.
#[track_caller]
fn served_address(line: &str) -> SocketAddr {
    let addr = line.split([' ', ';']).nth(2);
    addr.and_then(|addr| addr.parse().ok()).expect("an address")
}

/// The process that answers at this address.
#[track_caller]
fn who_serves(addr: SocketAddr) -> i32 {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.set_read_timeout(Some(PATIENCE)).expect("not zero");
    client.send_to(b"who?", addr).expect("loopback");
    let mut answer = [0; 64];
    let len = crate::program::uninterrupted(|| client.recv(&mut answer)).expect("an answer");
    let answer = std::str::from_utf8(&answer[..len]).expect("it is text");
    let process = answer.strip_suffix(" who?").expect("the answer to this");
    process.parse().expect("a process id")
}

/// Systemd's socket has such a name in containers: without a file, behind an `@`.
#[test]
#[cfg(target_os = "linux")]
fn a_service_manager_is_told_under_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let name = format!("socketserver-handover-{}", std::process::id());
    let addr = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&addr).expect("nobody else has it");
    manager.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut command = std::process::Command::new(example_path("handover"));
    command
        .arg("127.0.0.1:0")
        .env("NOTIFY_SOCKET", format!("@{name}"));
    let mut server = Program::start("handover", &mut command);
    let mut word = [0; 100];
    let len = manager.recv(&mut word).expect("it is told");
    let expected = format!("READY=1\nMAINPID={}", server.id());
    assert_eq!(String::from_utf8_lossy(&word[..len]), expected);
    server.signal("TERM");
    assert!(server.wait().success());
}
