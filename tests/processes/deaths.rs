//! What can become of processes, and what the server makes of it.

use std::collections::HashSet;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::{abort, exit, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use socketserver::{
    Builder, ChildEnd, ChildExit, ForkingStyleUdpServer, HandlerError, Isolation, SocketHandle,
    Stats,
};

use crate::client::Client;
use crate::trial::{children_of, served, until};

cases! {
    every_way_to_die_costs_its_datagram_and_nobody_elses,
    one_in_a_hundred_crashes_and_all_others_are_answered,
    children_that_are_killed_under_load_are_replaced,
    children_leave_when_the_parent_is_killed,
    who_dies_of_its_start_is_tried_later_and_later_and_then_no_more,
    a_start_that_fails_for_a_while_costs_no_more_than_that,
    who_takes_too_long_is_killed_and_nobody_else,
    children_are_recycled_after_so_many_datagrams,
    a_child_has_only_as_much_memory_as_it_may,
    a_child_of_the_program_is_left_to_the_program,
}

pub(crate) fn builder(children: usize) -> Builder<ForkingStyleUdpServer> {
    ForkingStyleUdpServer::builder()
        .isolation(Isolation::Process)
        .max_children(children)
        .drain_timeout(Duration::from_secs(5))
}

pub(crate) fn bind(builder: Builder<ForkingStyleUdpServer>) -> ForkingStyleUdpServer {
    builder.bind_fn("127.0.0.1:0", obey).expect("loopback")
}

/// Does what it is told, and otherwise answers with the number of its process.
pub(crate) fn obey(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    match bytes {
        b"abort" => abort(),
        b"exit" => exit(3),
        b"exit well" => exit(0),
        // The runtime's own handler of it lets the first one pass.
        b"segv" => (0..2).for_each(|_| raise(Signal::SIGSEGV).expect("to itself")),
        b"overflow" => drop(black_box(deeper(1))),
        b"panic" => panic!("as it was told"),
        b"fail" => return Err("as it was told".into()),
        b"loop" => loop {
            sleep(Duration::from_secs(1));
        },
        b"spin" => loop {
            std::hint::spin_loop();
        },
        b"nap" => sleep(Duration::from_millis(2)),
        b"eat" => drop(black_box(vec![1_u8; 1 << 30])),
        b"stop" => socket.server().shutdown(),
        b"stats" => return Ok(socket.reply(socket.server().stats().to_string().as_bytes())?),
        _ => {}
    }
    Ok(socket.reply(id().to_string().as_bytes())?)
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 512]);
    deeper(depth + 1) + room[7]
}

/// For an answer that does not come.
const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) fn lost(stats: Stats) -> [u64; 3] {
    let lost = stats.lost_with_child;
    [lost.exited, lost.signalled, lost.timed_out]
}

fn every_way_to_die_costs_its_datagram_and_nobody_elses() {
    let ends = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&ends);
    let note = move |child: &ChildExit| {
        let digit = match child.end {
            ChildEnd::Exited(3) => 1,
            ChildEnd::Exited(0) => 10,
            ChildEnd::Signalled(6) => 100,
            ChildEnd::Signalled(11) => 1_000,
            ChildEnd::TimedOut => 10_000,
            ChildEnd::ShutDown => 100_000,
            _ => 1_000_000_000,
        };
        seen.fetch_add(digit, Relaxed);
    };
    let builder = builder(4)
        .child_timeout(Duration::from_millis(300))
        .on_child_exit(note)
        .stderr_errors(false);
    let ways = [
        "abort",
        "exit",
        "exit well",
        "segv",
        "overflow",
        "spin",
        "loop",
    ];
    let report = served(
        || bind(builder),
        |client| {
            for way in ways.iter().chain(&["panic", "fail"]) {
                client.tell(way);
                for _ in 0..20 {
                    client.ask("well?");
                }
            }
            until("both loops have timed out", || {
                client.ask("stats").contains("7 lost")
            });
        },
    );
    let stats = report.expect("served").stats;
    // An overflow of the stack is SIGABRT, by the runtime's own handler.
    assert_eq!(lost(stats), [2, 3, 2], "{}", stats.table());
    assert_eq!((stats.panicked, stats.failed), (1, 1));
    assert_eq!(ends.load(Relaxed), 421_211);
}

fn one_in_a_hundred_crashes_and_all_others_are_answered() {
    let report = served(
        || bind(builder(8)),
        |client| {
            let mut answered = 0;
            for round in 0..100 {
                for at in 0..100 {
                    let crash = ["abort", "exit", "segv", "exit well"][round % 4];
                    client.tell(if at == round { crash } else { "well?" });
                }
                for _ in 0..99 {
                    client.answer().expect("nobody else is lost");
                    answered += 1;
                }
            }
            assert_eq!(answered, 9_900);
        },
    );
    let stats = report.expect("served").stats;
    assert_eq!(stats.received, 10_000, "{}", stats.table());
    assert_eq!(stats.handled, 9_900);
    assert_eq!(stats.replies.sent, 9_900);
    assert_eq!(lost(stats), [50, 50, 0]);
    assert_eq!(stats.kernel_drops, Some(0));
}

fn children_that_are_killed_under_load_are_replaced() {
    let report = served(
        || bind(builder(4)),
        |client| {
            let mut answered = 0;
            for _ in 0..30 {
                // Who is killed while it waits may take one along as its last.
                let pid = (0..3).find_map(|_| {
                    client.tell("who?");
                    client.answer_within(PATIENCE)
                });
                let pid = pid.expect("an answer").parse().expect("a number");
                kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
                for _ in 0..50 {
                    client.tell("well?");
                }
                // One may be lost with it.
                let answers = (0..50)
                    .map_while(|_| client.answer_within(PATIENCE))
                    .count();
                answered += answers;
            }
            assert!(answered >= 30 * 49, "{answered}");
            let pids = client.hear_from(4);
            assert_eq!(pids.len(), 4, "all places are filled again");
        },
    );
    let stats = report.expect("served").stats;
    assert_eq!(stats.peak_workers, 4);
    assert!(lost(stats)[1] <= 30, "{}", stats.table());
}

fn children_leave_when_the_parent_is_killed() {
    for way in ["nap", "loop", "spin"] {
        let builder = builder(3).drain_timeout(Duration::from_millis(200));
        let server = bind(builder);
        let addr = server.local_addr();
        let parent = match fork().expect("a process") {
            Fork::Parent(pid) => Pid::from_raw(pid),
            Fork::Child => {
                let _ = server.serve_forever();
                exit(0);
            }
        };
        let client = Client::new(addr);
        let pids = client.hear_from(3);
        client.tell(way);
        let all = children_of(parent.as_raw() as u32);
        assert_eq!(all.split_whitespace().count(), 3);
        kill(parent, Signal::SIGKILL).expect("it is there");
        let end = WaitStatus::Signaled(parent, Signal::SIGKILL, false);
        assert_eq!(waitpid(parent, None), Ok(end));
        let are_gone = || !pids.iter().any(|pid| is_running(*pid));
        until("all children have left", are_gone);
    }
}

/// Whether a process is there that is no zombie: whoever adopts orphans may be slow.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn who_dies_of_its_start_is_tried_later_and_later_and_then_no_more() {
    for way in [0, 1] {
        let exits = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&exits);
        let builder = builder(4)
            .stderr_errors(false)
            .on_child_start(move || match way {
                0 => Err("no database".into()),
                _ => abort(),
            })
            .on_child_exit(move |_| {
                let _ = seen.fetch_add(1, Relaxed);
            });
        let began = Instant::now();
        let error = served(|| bind(builder), |_| sleep(Duration::from_secs(4)));
        let error = error.expect_err("nobody is kept alive").to_string();
        let took = began.elapsed();
        assert!(error.contains("after 10 tries: the last one "), "{error}");
        // The first wave, and nine alone.
        assert_eq!(exits.load(Relaxed), 13);
        assert!(took > Duration::from_secs(1), "it took only {took:?}");
    }
}

fn a_start_that_fails_for_a_while_costs_no_more_than_that() {
    let path = std::env::temp_dir().join(format!("socketserver-{}", id()));
    let (to_be, looked_for) = (path.clone(), path.clone());
    let builder = builder(4).stderr_errors(false);
    let builder = builder.on_child_start(move || match looked_for.exists() {
        true => Ok(()),
        false => Err("not yet".into()),
    });
    let report = served(
        || bind(builder),
        |client| {
            client.tell("well?");
            sleep(Duration::from_millis(100));
            std::fs::write(to_be, "now").expect("a file");
            client.answer().expect("it waited in the kernel");
            assert_eq!(client.hear_from(4).len(), 4);
        },
    );
    std::fs::remove_file(path).expect("it is there");
    assert!(report.is_ok());
}

fn who_takes_too_long_is_killed_and_nobody_else() {
    let limit = Duration::from_millis(200);
    let builder = builder(3).child_timeout(limit);
    let report = served(
        || bind(builder),
        |client| {
            let pids = client.hear_from(3);
            let began = Instant::now();
            client.tell("spin");
            client.tell("loop");
            let mut answers = 0;
            until("both are replaced", || {
                client.ask("stats").contains("2 lost")
            });
            let took = began.elapsed();
            assert!(took >= limit, "killed after {took:?}");
            for _ in 0..100 {
                client.ask("well?");
                answers += 1;
            }
            assert_eq!(answers, 100);
            let now = client.hear_from(3);
            assert_eq!(pids.intersection(&now).count(), 1, "one lives on");
        },
    );
    assert_eq!(lost(report.expect("served").stats), [0, 0, 2]);
}

fn children_are_recycled_after_so_many_datagrams() {
    for (most, datagrams) in [(1, 300_u64), (2, 300), (1_000, 3_000)] {
        let (recycled, served_by) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (seen, sum) = (Arc::clone(&recycled), Arc::clone(&served_by));
        let builder = builder(3).max_requests_per_child(most);
        let builder = builder.on_child_exit(move |child| {
            sum.fetch_add(child.served, Relaxed);
            match child.end {
                ChildEnd::Recycled => {
                    assert_eq!(child.served, most);
                    seen.fetch_add(1, Relaxed);
                }
                end => assert_eq!(end, ChildEnd::ShutDown),
            }
        });
        let report = served(
            || bind(builder),
            |client| {
                let pids: HashSet<_> = (0..datagrams).map(|_| client.ask("who?")).collect();
                let least = datagrams / most;
                assert!(pids.len() as u64 >= least, "{} of {least}", pids.len());
            },
        );
        let stats = report.expect("served").stats;
        assert_eq!(stats.hook_panics, 0);
        assert_eq!(stats.handled, datagrams);
        assert_eq!(served_by.load(Relaxed), datagrams, "told of each");
        assert!(recycled.load(Relaxed) >= (datagrams / most).saturating_sub(2));
    }
}

fn a_child_has_only_as_much_memory_as_it_may() {
    let builder = builder(2).on_child_start(|| {
        let limit = 512 << 20;
        Ok(setrlimit(Resource::RLIMIT_AS, limit, limit)?)
    });
    let report = served(
        || bind(builder),
        |client| {
            client.tell("eat");
            for _ in 0..100 {
                client.ask("well?");
            }
            until("it has died", || client.ask("stats").contains("1 lost"));
        },
    );
    let stats = report.expect("served").stats;
    assert_eq!(lost(stats), [0, 1, 0], "no memory is an abort");
}

fn a_child_of_the_program_is_left_to_the_program() {
    let foreign = match fork().expect("a process") {
        Fork::Parent(pid) => Pid::from_raw(pid),
        Fork::Child => exit(7),
    };
    let exits = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&exits);
    let builder = builder(2).on_child_exit(move |_| {
        let _ = seen.fetch_add(1, Relaxed);
    });
    let report = served(
        || bind(builder),
        |client| {
            for _ in 0..20 {
                client.tell("exit");
                client.ask("well?");
            }
        },
    );
    assert!(report.is_ok());
    // The last one may have no successor any more.
    assert!((21..=22).contains(&exits.load(Relaxed)));
    assert_eq!(waitpid(foreign, None), Ok(WaitStatus::Exited(foreign, 7)));
}
