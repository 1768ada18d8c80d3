//! System calls that fail.

use std::thread;
use std::time::Duration;

use crate::harness::{Case, Need, cases};
use crate::injection::Injection;

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::FastPath, Need::Tool("strace")] => {
            receives_that_fail_now_and_then_lose_nothing_and_are_counted,
            receives_that_always_fail_neither_spin_nor_keep_from_ending,
            errors_that_tell_of_others_cost_nobody_a_pause_however_many_in_a_row,
            a_receive_error_that_does_not_end_ends_the_server_with_it,
            sends_that_fail_now_and_then_lose_nothing,
            sends_that_fail_again_lose_one_reply_each_and_are_counted_by_reason,
            sends_that_always_fail_are_counted_and_do_not_spin,
            a_socket_that_is_gone_ends_the_server_with_the_reason,
        }
    }
}

/// Shortages, an error that nobody foresaw, and a pending socket error, which
/// tells of what was sent earlier.
const SHORTAGES: [&str; 4] = ["ENOMEM", "ENOBUFS", "ENETDOWN", "EIO"];
const PENDING_ERRORS: &str = "ECONNREFUSED";

/// How often a reply is tried that a shortage keeps back: again after a pause.
const TRIES_FOR_MEMORY: u64 = 2;
/// How often one is tried whose error may be a pending socket error about another.
const TRIES_FOR_NEWS: u64 = 2;

fn receives_that_fail_now_and_then_lose_nothing_and_are_counted() {
    for error in SHORTAGES.into_iter().chain([PENDING_ERRORS]) {
        let server = Injection::of(error, "recvmmsg", "3+4");
        server.ask_all(60);
        let end = server.end();
        let injected = end.injected("recvmmsg");
        assert!(injected >= 10, "{error}: {end:?}");
        assert_eq!(end.count("receive errors"), injected, "{error}: {end:?}");
        assert_eq!(end.count("handled"), 60, "{error}: {end:?}");
        assert_eq!(end.count("replies sent"), 60, "{error}: {end:?}");
    }
}

fn receives_that_always_fail_neither_spin_nor_keep_from_ending() {
    for error in ["ENOMEM", PENDING_ERRORS] {
        let server = Injection::of(error, "recvmmsg", "5+");
        let replies = server.ask_some(10);
        assert!((1..10).contains(&replies), "{error}: {replies} of 10 came");
        // The time that is measured.
        let before = server.cpu_ticks();
        thread::sleep(Duration::from_secs(1));
        let used = server.cpu_ticks() - before;
        let end = server.end();
        assert!(used <= 20, "{error}: {used} ticks in a second: {end:?}");
        let injected = end.injected("recvmmsg");
        // A shortage pauses for 4 ms each, a flood of the other every 16, after
        // many quick ones.
        let most = if error == PENDING_ERRORS {
            50_000
        } else {
            2_000
        };
        assert!((5..most).contains(&injected), "{error}: {end:?}");
        assert_eq!(end.count("receive errors"), injected, "{error}: {end:?}");
        end.assert_said("receive failed");
    }
}

/// With pauses that grow, as for a shortage, these would take half a minute.
fn errors_that_tell_of_others_cost_nobody_a_pause_however_many_in_a_row() {
    let server = Injection::of("ECONNRESET", "recvmmsg", "5..504");
    server.ask_all(20);
    let end = server.end();
    let injected = end.injected("recvmmsg");
    assert!(injected >= 500, "{end:?}");
    assert_eq!(end.count("receive errors"), injected, "{end:?}");
    assert_eq!(end.count("handled"), 20, "{end:?}");
}

fn a_receive_error_that_does_not_end_ends_the_server_with_it() {
    for error in ["ENOTCONN", "EIO"] {
        ends_with_the_reason(error, "5+");
    }
}

/// A shortage gets a pause and a second try, and so does what may be a pending socket error
/// about another datagram.
fn sends_that_fail_now_and_then_lose_nothing() {
    for error in SHORTAGES.into_iter().chain([PENDING_ERRORS, "EAGAIN"]) {
        let server = Injection::of(error, "sendmmsg", "2+2");
        server.ask_all(40);
        let end = server.end();
        assert!(end.injected("sendmmsg") >= 10, "{error}: {end:?}");
        assert_eq!(end.count("replies sent"), 40, "{error}: {end:?}");
        assert_eq!(end.count("replies failed"), 0, "{error}: {end:?}");
    }
}

/// Of each thread, the second send fails and those after it, as many as there
/// are tries for one reply.
fn sends_that_fail_again_lose_one_reply_each_and_are_counted_by_reason() {
    for (error, tries, reason) in [
        ("ENOMEM", TRIES_FOR_MEMORY, "no memory"),
        ("ENOBUFS", TRIES_FOR_MEMORY, "no memory"),
        ("ENETDOWN", TRIES_FOR_NEWS, "unreachable"),
        ("ECONNREFUSED", TRIES_FOR_NEWS, "unreachable"),
        ("EIO", TRIES_FOR_NEWS, "other errors"),
        ("EINVAL", 1, "bad address"),
    ] {
        let server = Injection::of(error, "sendmmsg", &format!("2..{}", 1 + tries));
        let soon = server.ask_some(10);
        let end = server.end();
        let lost = end.injected("sendmmsg") / tries;
        assert!(lost >= 1, "{error}: {soon} came; {end:?}");
        assert_eq!(end.injected("sendmmsg"), tries * lost, "{error}: {end:?}");
        assert_eq!(end.count(reason), lost, "{error}: {end:?}");
        assert_eq!(end.count("replies failed"), lost, "{error}: {end:?}");
        assert_eq!(end.count("replies sent"), 10 - lost, "{error}: {end:?}");
        assert_eq!(soon, 10 - lost, "{error}: all others came: {end:?}");
        assert_eq!(end.count("handled"), 10, "{error}: {end:?}");
    }
}

fn sends_that_always_fail_are_counted_and_do_not_spin() {
    for (error, tries, reason) in [
        ("ENOBUFS", TRIES_FOR_MEMORY, "no memory"),
        ("EIO", TRIES_FOR_NEWS, "other errors"),
    ] {
        // The very first call has nothing to send: whether there is such a call.
        let server = Injection::of(error, "sendmmsg", "1+");
        let replies = server.ask_some(5);
        assert_eq!(replies, 0, "{error}: nothing is sent");
        let before = server.cpu_ticks();
        // The time that is measured.
        thread::sleep(Duration::from_millis(500));
        let used = server.cpu_ticks() - before;
        let end = server.end();
        assert!(used <= 10, "{error}: {used} ticks at rest: {end:?}");
        assert_eq!(end.count(reason), 5, "{error}: {end:?}");
        assert_eq!(end.injected("sendmmsg"), 1 + 5 * tries, "{error}: {end:?}");
        end.assert_said("cannot send");
    }
}

fn a_socket_that_is_gone_ends_the_server_with_the_reason() {
    for error in ["EBADF", "ENOTSOCK"] {
        ends_with_the_reason(error, "3+");
    }
}

/// A server whose receives fail from some call on ends by itself and says why.
fn ends_with_the_reason(error: &str, calls: &str) {
    let server = Injection::of(error, "recvmmsg", calls);
    server.ask_some(5);
    let end = server.end_by_itself();
    assert!(!end.status.success(), "{error}: {end:?}");
    let reason = "uppercase_echo: cannot receive on ";
    let told = end.stderr.iter().any(|line| line.starts_with(reason));
    assert!(told, "{error}: {end:?}");
}
