//! Signals, and system calls that they interrupt.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases, scale};
use crate::injection::Injection;
use crate::support::{ANY_PORT, Client, Gate, assert_conserved};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            a_storm_of_signals_to_all_threads_loses_no_reply,
        }
        &[Need::FastPath, Need::Tool("strace")] => {
            interrupted_system_calls_lose_no_reply,
        }
    }
}

/// Signals once a millisecond to each thread of the server. The handler is
/// installed with `SA_RESTART`: that makes no difference, since the calls that
/// block here, `ppoll` and a futex with a limit in time, are never restarted
/// after a handler ran (signal(7)), and all others do not block.
fn a_storm_of_signals_to_all_threads_loses_no_reply() {
    const WORKERS: usize = 4;
    const CLIENTS: usize = 8;
    let rounds = 2_000 * scale().min(50);
    let arrived = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::SIGALRM as i32, Arc::clone(&arrived))
        .expect("a handler is installed");
    // As numbers: with musl, a thread's name is a pointer.
    let threads = Arc::new(Mutex::new(Vec::<usize>::new()));
    let gate = Gate::new();
    let (workers, held) = (Arc::clone(&threads), gate.clone());
    // Each worker makes its handler, on its own thread, when it gets its first datagram.
    let server = ThreadingUdpServer::builder()
        .workers(WORKERS)
        .bind(ANY_PORT, move || {
            if let Ok(mut workers) = workers.lock() {
                workers.push(pthread_self() as usize);
            }
            let held = held.clone();
            move |bytes: &[u8],
                  _: std::net::SocketAddr,
                  socket: &SocketHandle|
                  -> Result<(), HandlerError> {
                if bytes == b"gather" {
                    held.pass();
                }
                Ok(socket.reply(bytes)?)
            }
        })
        .expect("bound");
    let handle = server.handle();
    let supervisor = Arc::clone(&threads);
    let serving = thread::spawn(move || {
        let mut threads = supervisor.lock().expect("no panic");
        threads.push(pthread_self() as usize);
        drop(threads);
        server.serve_forever()
    });
    let client = Client::of(handle.local_addr());
    for _ in 0..WORKERS {
        client.send(b"gather");
    }
    gate.wait_for(WORKERS);
    gate.open();
    for _ in 0..WORKERS {
        client.expect_reply(b"gather");
    }
    let threads = threads.lock().expect("no panic").clone();
    assert_eq!(threads.len(), WORKERS + 1, "the workers and the supervisor");
    let (calm, signals) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // All of them stay until the storm is over: there are no spare
            // workers that could leave, and nobody has stopped the server yet.
            while !calm.load(Relaxed) {
                for thread in &threads {
                    pthread_kill(*thread as Pthread, Signal::SIGALRM).expect("it is there");
                    signals.fetch_add(1, Relaxed);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let asking: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = Client::of(handle.local_addr());
                scope.spawn(move || {
                    for round in 0..rounds {
                        let question = format!("client {number}, round {round}");
                        assert_eq!(client.ask(question.as_bytes()), question.as_bytes());
                    }
                })
            })
            .collect();
        let ended: Vec<_> = asking.into_iter().map(|thread| thread.join()).collect();
        calm.store(true, Relaxed);
        assert!(ended.iter().all(|end| end.is_ok()), "each was answered");
    });
    let signals = signals.load(Relaxed);
    assert!(
        arrived.load(Relaxed),
        "of {signals} signals some are handled"
    );
    handle.shutdown();
    let report = serving.join().expect("no panic").expect("ends in order");
    assert_conserved(&report.stats);
    let expected = WORKERS as u64 + CLIENTS as u64 * rounds;
    assert_eq!(report.stats.replies.sent, expected, "each reply was sent");
    assert_eq!(report.stats.receive_errors, 0, "a signal is no error");
}

fn interrupted_system_calls_lose_no_reply() {
    let server = Injection::of("EINTR", "recvmmsg,sendmmsg,ppoll", "2+3");
    for _ in 0..20 {
        server.ask_all(5);
        // A pause in which the server has to wait.
        thread::sleep(Duration::from_millis(10));
    }
    let end = server.end();
    assert!(end.injected("recvmmsg") > 10, "{end:?}");
    assert!(end.injected("sendmmsg") > 10, "{end:?}");
    assert!(end.injected("ppoll") > 2, "{end:?}");
    assert_eq!(end.count("replies sent"), 100, "{end:?}");
    assert_eq!(
        end.count("receive errors"),
        0,
        "a signal is no error: {end:?}"
    );
}
