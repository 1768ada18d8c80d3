//! Everything else: the end, what is refused, what works as with threads.

use std::net::SocketAddr;
use std::process::{exit, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};
use socketserver::{
    AmplificationLimit, Builder, ChildEnd, ForkingStyleUdpServer, HandlerError, Isolation,
    RateLimit, ReplyLoops, ServeError, SocketHandle,
};

use crate::client::Client;
use crate::deaths::{bind, builder, obey};
use crate::trial::{children_of, served, until};

cases! {
    shutdowns_under_load_take_no_longer_than_they_may,
    shutdowns_at_rest_miss_no_signal,
    a_handler_that_does_not_return_is_abandoned_at_the_deadline,
    a_handler_ends_the_server_by_its_handle,
    what_needs_threads_is_refused_with_a_word,
    options_that_need_shared_state_are_refused_at_bind,
    the_service_child_does_what_is_due_and_is_replaced,
    replies_leave_from_the_address_that_was_asked,
    what_a_child_prints_and_counts_is_there_once,
    a_socket_that_does_not_block_is_waited_for,
}

fn shutdowns_under_load_take_no_longer_than_they_may() {
    for round in 0..200 {
        let began = Instant::now();
        let report = served(
            || bind(builder(3).drain_timeout(Duration::from_secs(2))),
            |client| {
                for at in 0..round + 1 {
                    client.tell(if at % 8 == 0 { "nap" } else { "well?" });
                }
                // The next step ends the server, in the middle of it.
            },
        );
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(2),
            "the deadline was needed: {took:?}"
        );
        let report = report.expect("served");
        assert_eq!(report.abandoned, 0, "{}", report.stats.table());
    }
}

fn shutdowns_at_rest_miss_no_signal() {
    for round in 0..200_u64 {
        let began = Instant::now();
        let report = served(
            || bind(builder(4)),
            |_| sleep(Duration::from_micros(round * 10)),
        );
        assert!(report.is_ok());
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(4),
            "the deadline was needed: {took:?}"
        );
    }
}

fn a_handler_that_does_not_return_is_abandoned_at_the_deadline() {
    let builder = builder(3).drain_timeout(Duration::from_millis(200));
    let report = served(
        || bind(builder),
        |client| {
            client.tell("spin");
            client.tell("loop");
            until("both are in it", || {
                client.ask("stats").contains("3 in flight")
            });
        },
    );
    let report = report.expect("served");
    assert_eq!(report.abandoned, 2, "{}", report.stats.table());
    assert_eq!(report.stats.lost_with_child.total(), 0);
}

fn a_handler_ends_the_server_by_its_handle() {
    let report = served(
        || bind(builder(3)),
        |client| {
            let parent = getppid();
            let count = || {
                children_of(parent.as_raw() as u32)
                    .split_whitespace()
                    .count()
            };
            until("three children and this client", || count() == 4);
            client.ask("stop");
            until("only this client is left", || count() == 1);
        },
    );
    assert_eq!(report.expect("served").stats.handled, 1);
    let server = bind(builder(3));
    let handle = server.handle();
    handle.shutdown();
    assert!(handle.is_shutting_down());
    assert_eq!(server.serve_forever().expect("served").stats.received, 0);
    assert_eq!(handle.stats().workers, 0);
}

fn what_needs_threads_is_refused_with_a_word() {
    let refused = |error: ServeError| {
        assert!(matches!(error, ServeError::Isolation { .. }), "{error}");
    };
    let mut server = bind(builder(2));
    refused(server.handle_request(None).expect_err("no processes"));
    refused(server.spawn().join().expect_err("a thread"));
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || wait.recv());
    refused(bind(builder(2)).serve_forever().expect_err("two threads"));
    drop(done);
    let _ = other.join().expect("it only waits");
}

fn options_that_need_shared_state_are_refused_at_bind() {
    let options: [(&str, Builder<ForkingStyleUdpServer>); 12] = [
        (
            "rate_limit",
            builder(2).rate_limit(RateLimit::per_second(9)),
        ),
        (
            "break_reply_loops",
            builder(2).break_reply_loops(ReplyLoops::new()),
        ),
        (
            "amplification_limit",
            builder(2).amplification_limit(AmplificationLimit::new()),
        ),
        ("order_per_peer", builder(2).order_per_peer(true)),
        ("order_by", builder(2).order_by(|_, peer| peer)),
        ("coalesce_receives", builder(2).coalesce_receives(true)),
        ("shards", builder(2).shards(2)),
        (
            "shed_older_than",
            builder(2).shed_older_than(Duration::from_secs(1)),
        ),
        (
            "max_requests_per_child",
            builder(2).max_requests_per_child(0),
        ),
        ("child_timeout", builder(2).child_timeout(Duration::ZERO)),
        (
            "child_timeout",
            builder(2)
                .isolation(Isolation::Thread)
                .child_timeout(Duration::MAX),
        ),
        (
            "max_requests_per_child",
            builder(2)
                .isolation(Isolation::Thread)
                .max_requests_per_child(9),
        ),
    ];
    for (option, builder) in options {
        let error = builder.bind_fn("127.0.0.1:0", obey).expect_err(option);
        assert!(
            error.to_string().starts_with(&format!("{option}: ")),
            "{error}"
        );
    }
    let all = builder(2).bind_all(["127.0.0.1:0", "127.0.0.2:0"], || Never);
    let error = all.expect_err("two sockets").to_string();
    assert!(
        error.starts_with("bind_all: not with Isolation::Process"),
        "{error}"
    );
    let defers = |_: &[u8], _: SocketAddr, socket: &SocketHandle| match socket.defer() {
        Ok(_) => Ok(()),
        Err(error) => Ok(socket.reply(error.to_string().as_bytes())?),
    };
    let server = || builder(2).bind_fn("127.0.0.1:0", defers).expect("loopback");
    let report = served(server, |client| {
        assert!(
            client
                .ask("later?")
                .starts_with("cannot defer another answer")
        );
    });
    assert!(report.is_ok());
}

struct Never;

impl socketserver::DatagramHandler for Never {
    fn handle(&mut self, _: &[u8], _: SocketAddr, _: &SocketHandle) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn the_service_child_does_what_is_due_and_is_replaced() {
    let exits = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&exits);
    let file = std::env::temp_dir().join(format!("socketserver-service-{}", id()));
    let (written, timed) = (file.clone(), file.with_extension("timer"));
    let told = timed.clone();
    let builder = builder(2)
        .poll_interval(Duration::from_millis(5))
        .service_actions(move |server| {
            let line = format!("{} {}", id(), server.stats().received);
            let _ = std::fs::write(&written, line);
        })
        .on_child_exit(move |child| {
            if child.is_service && child.end == ChildEnd::Signalled(9) {
                seen.fetch_add(1, Relaxed);
            }
        });
    let read = || -> Option<(i32, u64)> {
        let line = std::fs::read_to_string(&file).ok()?;
        let (pid, count) = line.split_once(' ')?;
        Some((pid.parse().ok()?, count.parse().ok()?))
    };
    let server = || {
        let server = bind(builder);
        let due = Duration::from_millis(20);
        let timer = server.after(due, move |_| drop(std::fs::write(&told, id().to_string())));
        timer.expect("a timer");
        server
    };
    let report = served(server, |client| {
        let pids = client.hear_from(2);
        until("it sees what others have received", || {
            read().is_some_and(|(_, count)| count > 1)
        });
        let (first, _) = read().expect("a line");
        assert!(!pids.contains(&(first as u32)), "it handles none");
        until("the timer has run", || {
            std::fs::read_to_string(&timed).is_ok_and(|t| !t.is_empty())
        });
        let ran_in = std::fs::read_to_string(&timed).expect("it is there");
        assert_eq!(ran_in, first.to_string());
        kill(Pid::from_raw(first), Signal::SIGKILL).expect("it is there");
        until("another does it", || {
            read().is_some_and(|(pid, _)| pid != first)
        });
    });
    assert!(report.is_ok());
    assert_eq!(exits.load(Relaxed), 1);
    for path in [&file, &timed] {
        let _ = std::fs::remove_file(path);
    }
}

fn replies_leave_from_the_address_that_was_asked() {
    let server = || builder(2).bind_fn("0.0.0.0:0", obey).expect("any address");
    let report = served(server, |_| ());
    assert!(report.is_ok());
    let server = builder(2)
        .max_packet_size(8)
        .bind_fn("0.0.0.0:0", obey)
        .expect("any");
    let port = server.local_addr().port();
    let child = match fork().expect("a process") {
        Fork::Parent(pid) => Pid::from_raw(pid),
        Fork::Child => {
            // Connected: an answer from another address is not received.
            let client = Client::new(([127, 0, 0, 9], port).into());
            client.tell("longer than it may be");
            let is_well = client.ask("well?").parse::<u32>().is_ok();
            let _ = kill(getppid(), Signal::SIGINT);
            exit(i32::from(!is_well));
        }
    };
    let report = server.serve_forever().expect("served");
    assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
    assert_eq!(report.stats.refused.total(), 1, "truncated");
    assert_eq!(report.stats.handled, 1);
}

fn what_a_child_prints_and_counts_is_there_once() {
    let builder = builder(2).max_requests_per_child(2);
    let report = served(
        || bind(builder),
        |client| {
            for _ in 0..50 {
                client.tell("panic");
                client.ask("well?");
            }
            let all = || client.ask("stats").contains("50 panicked");
            until("all panics are counted", all);
        },
    );
    let stats = report.expect("served").stats;
    assert_eq!(stats.batches, stats.received);
    assert_eq!(stats.panicked, 50);
    assert_eq!(stats.replies.sent, stats.handled);
}

fn a_socket_that_does_not_block_is_waited_for() {
    let server = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_nonblocking(true).expect("an option");
        builder(2)
            .from_socket(socket, socketserver::from_fn(obey))
            .expect("a socket")
    };
    let report = served(server, |client| {
        client.hear_from(2);
        let used = cpu_of_children();
        sleep(Duration::from_millis(200));
        let used = cpu_of_children() - used;
        assert!(used < 5, "{used} ticks at rest");
    });
    assert!(report.is_ok());
}

/// What the server's children have used of processors, in ticks.
fn cpu_of_children() -> u64 {
    let pids = children_of(getppid().as_raw() as u32);
    let ticks = |pid: &str| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat.split_whitespace().collect();
        [13, 14]
            .iter()
            .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
            .sum()
    };
    let others = pids
        .split_whitespace()
        .filter(|pid| **pid != id().to_string());
    others.map(ticks).sum()
}
