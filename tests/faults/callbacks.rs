//! Users' code that takes its time wherever it is called, and users' code that
//! calls back: none of it runs under a lock, or on a thread that others need.

mod places;
mod scene;
mod sessions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};

use self::places::{Place, When};
use self::scene::Scene;
use crate::harness::{Case, alone, cases};
use crate::support::{Client, DEADLINE, Gate};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            users_code_that_blocks_holds_up_nobody_else_wherever_it_is,
            users_code_may_call_back_wherever_it_is,
            users_code_of_handle_request_may_call_back_wherever_it_is,
        }
    }
}

fn users_code_that_blocks_holds_up_nobody_else_wherever_it_is() {
    if !alone("users_code_that_blocks_holds_up_nobody_else_wherever_it_is") {
        return;
    }
    for place in places::of_workers() {
        blocks(&Scene::of_workers(place, 8));
    }
    for place in places::of_children() {
        blocks(&Scene::of_children(place, 8));
    }
    for place in places::of_sessions() {
        blocks(&Scene::of_sessions(place, 8));
    }
}

/// While this code is where it is, others are answered, and the server tells its
/// stats, sends what detached handles send, and ends.
fn blocks(scene: &Scene) {
    let place = scene.place;
    let gate = Gate::new();
    let server = scene.spawn();
    let _open = gate.open_on_drop();
    let handle = server.handle();
    let lent = scene.borrow_a_handle(&handle);
    let held = gate.clone();
    scene.trap.set(place, move || held.pass());
    (place.provoke)(handle.local_addr());
    let mut server = Some(server);
    let mut stop = || {
        let server = server.take().expect("stopped only once");
        in_background(move || server.stop())
    };
    let stopped = (place.when == When::Ending).then(&mut stop);
    gate.wait_for(1);
    if place.when == When::Serving {
        let client = Client::of(handle.local_addr());
        for number in 0..20 {
            assert_eq!(client.ask(&[number]), [number], "{place}: others");
        }
    }
    if let Some(lent) = lent {
        let sent = in_time(place, "a handle sends", move || lent.reply(b"more"));
        assert!(sent.is_ok() || stopped.is_some(), "{place}: {sent:?}");
    }
    let asked = handle.clone();
    in_time(place, "stats are told", move || asked.stats());
    let told = handle.clone();
    in_time(place, "it hears of its end", move || told.shutdown());
    let stopped = stopped.unwrap_or_else(stop);
    let report = came(place, "the server ends", &stopped);
    report.unwrap_or_else(|error| panic!("{place}: {error}"));
    in_time(place, "the last stats are told", move || handle.stats());
    assert_eq!(gate.waiting(), 1, "{place}: it blocks all the while");
}

fn users_code_may_call_back_wherever_it_is() {
    if !alone("users_code_may_call_back_wherever_it_is") {
        return;
    }
    for place in places::of_workers() {
        calls_back(&Scene::of_workers(place, 1));
    }
    for place in places::of_children() {
        calls_back(&Scene::of_children(place, 1));
    }
    for place in places::of_sessions() {
        calls_back(&Scene::of_sessions(place, 1));
    }
}

/// There is one worker alone: whatever is locked, is locked by it.
fn calls_back(scene: &Scene) {
    let place = scene.place;
    let server = scene.spawn();
    let came_back = scene.call_back(&server);
    (place.provoke)(server.local_addr());
    let ended = in_background(move || match place.when {
        When::Serving => server.join(),
        When::Ending => server.stop(),
    });
    came(place, "it is called and returns", &came_back);
    let report = came(place, "the server ends", &ended);
    report.unwrap_or_else(|error| panic!("{place}: {error}"));
}

fn users_code_of_handle_request_may_call_back_wherever_it_is() {
    if !alone("users_code_of_handle_request_may_call_back_wherever_it_is") {
        return;
    }
    for place in places::of_handle_request() {
        calls_back_one_by_one(&Scene::of_workers(place, 1));
    }
    for place in places::of_children() {
        calls_back_one_by_one(&Scene::of_children(place, 1));
    }
    for place in places::of_sessions() {
        calls_back_one_by_one(&Scene::of_sessions(place, 1));
    }
}

/// The calling thread does it all, and drops the server in the end.
fn calls_back_one_by_one(scene: &Scene) {
    let place = scene.place;
    let is_over = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let ended = in_background(scene.serve_one_by_one(Arc::clone(&is_over), tell));
    let handle = came(place, "it is bound", &told);
    let came_back = scene.call_back(&handle);
    (place.provoke)(handle.local_addr());
    if place.when == When::Ending {
        is_over.store(true, Relaxed);
    }
    came(place, "it is called and returns", &came_back);
    is_over.store(true, Relaxed);
    came(place, "the server is dropped", &ended);
}

/// Runs it on another thread.
fn in_background<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody is there to hear it if the test has failed meanwhile.
        let _ = tell.send(f());
    });
    told
}

#[track_caller]
fn came<T>(place: &Place, what: &str, told: &Receiver<T>) -> T {
    let result = told.recv_timeout(DEADLINE);
    result.unwrap_or_else(|_| panic!("{place}: in vain waited until {what}"))
}

/// Runs it on another thread, which must come back in time.
#[track_caller]
fn in_time<T: Send + 'static>(
    place: &Place,
    what: &str,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    came(place, what, &in_background(f))
}
