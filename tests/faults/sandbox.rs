//! System calls that the system does not have, or forbids: old kernels, and
//! sandboxes that close before or while a server runs.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};
use socketserver::ThreadingUdpServer;

use crate::harness::{Case, Need, alone, cases};
use crate::support::{ANY_PORT, Client, TestServer, echo, keep_log, logged, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[] => {
            batched_calls_that_are_missing_are_done_without,
            batched_calls_that_are_forbidden_are_done_without,
            batched_calls_that_go_missing_while_serving_are_done_without,
            batched_calls_that_become_forbidden_while_serving_are_done_without,
            a_socket_that_cannot_be_set_up_is_told_from_one_that_was_handed_in,
        }
        &[Need::FastPath] => {
            whatever_else_is_optional_is_done_without,
            waits_that_become_forbidden_while_serving_are_done_without,
        }
    }
}

const BATCHES: [i64; 2] = [libc::SYS_recvmmsg, libc::SYS_sendmmsg];

/// A rule for the first arguments of a call that hold neither address nor length.
#[track_caller]
fn option(level: libc::c_int, name: libc::c_int) -> SeccompRule {
    let is = |argument, value| {
        let (len, op) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        SeccompCondition::new(argument, len, op, value as u64).expect("an argument")
    };
    SeccompRule::new(vec![is(1, level), is(2, name)]).expect("a rule")
}

/// From now on, these calls fail in the whole process; without rules, always.
#[track_caller]
fn refuse(calls: impl IntoIterator<Item = (i64, Vec<SeccompRule>)>, errno: Errno) {
    let filter = SeccompFilter::new(
        calls.into_iter().collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().expect("a known one"),
    );
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    apply_filter_all_threads(&filter).expect("any process may");
}

#[track_caller]
fn refuse_all(calls: &[i64], errno: Errno) {
    refuse(calls.iter().map(|call| (*call, Vec::new())), errno);
}

/// What was refused costs nothing but speed, and is in the log once.
#[track_caller]
fn serves_all_the_same(server: TestServer, client: &Client, before: u64, refused: &[&str]) {
    for number in 0..50_u8 {
        assert_eq!(client.ask(&[number]), [number]);
    }
    for call in refused {
        let is_told = || logged(&format!("the system refuses {call}")).len() == 1;
        wait_until(format!("{call} is in the log"), is_told);
    }
    let stats = server.stop().stats;
    assert_eq!(stats.handled, before + 50, "{stats}");
    assert_eq!(stats.replies.sent, before + 50, "{stats}");
    assert_eq!(stats.receive_errors, 0, "{stats}");
    for call in refused {
        let told = logged(&format!("the system refuses {call}"));
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

/// The portable twin makes no such call, and has nothing to say.
fn in_batches() -> &'static [&'static str] {
    if cfg!(socketserver_portable) {
        &[]
    } else {
        &["recvmmsg", "sendmmsg"]
    }
}

#[track_caller]
fn without_batches_from_the_start(errno: Errno) {
    keep_log();
    refuse_all(&BATCHES, errno);
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let client = Client::of(server.local_addr());
    serves_all_the_same(TestServer::spawn(server), &client, 0, in_batches());
}

#[track_caller]
fn without_batches_from_then_on(errno: Errno) {
    keep_log();
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let client = Client::of(server.local_addr());
    let server = TestServer::spawn(server);
    assert_eq!(client.ask(b"with"), b"with");
    refuse_all(&BATCHES, errno);
    serves_all_the_same(server, &client, 1, in_batches());
}

fn batched_calls_that_are_missing_are_done_without() {
    if alone("batched_calls_that_are_missing_are_done_without") {
        without_batches_from_the_start(Errno::ENOSYS);
    }
}

fn batched_calls_that_are_forbidden_are_done_without() {
    if alone("batched_calls_that_are_forbidden_are_done_without") {
        without_batches_from_the_start(Errno::EPERM);
    }
}

fn batched_calls_that_go_missing_while_serving_are_done_without() {
    if alone("batched_calls_that_go_missing_while_serving_are_done_without") {
        without_batches_from_then_on(Errno::ENOSYS);
    }
}

fn batched_calls_that_become_forbidden_while_serving_are_done_without() {
    if alone("batched_calls_that_become_forbidden_while_serving_are_done_without") {
        without_batches_from_then_on(Errno::EPERM);
    }
}

/// All that a server asks of the system for speed or for knowledge.
fn whatever_else_is_optional_is_done_without() {
    if !alone("whatever_else_is_optional_is_done_without") {
        return;
    }
    keep_log();
    // include/uapi/asm-generic/socket.h
    const SO_MEMINFO: libc::c_int = 55;
    let set = [
        option(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        option(libc::IPPROTO_IP, libc::IP_PKTINFO),
        option(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
        option(libc::SOL_UDP, libc::UDP_GRO),
    ];
    let get = [
        option(libc::SOL_SOCKET, SO_MEMINFO),
        option(libc::SOL_UDP, libc::UDP_GRO),
    ];
    let calls = [libc::SYS_ppoll, libc::SYS_eventfd2].map(|call| (call, Vec::new()));
    let options = [
        (libc::SYS_setsockopt, set.to_vec()),
        (libc::SYS_getsockopt, get.to_vec()),
    ];
    refuse(calls.into_iter().chain(options), Errno::EPERM);
    let server = ThreadingUdpServer::builder()
        .coalesce_receives(true)
        .coalesce_replies(true)
        .shed_older_than(Duration::from_secs(1))
        .bind_fn("0.0.0.0:0", echo);
    let server = server.expect("bound");
    let port = server.local_addr().port();
    let client = Client::of(([127, 0, 0, 1], port).into());
    let server = TestServer::spawn(server);
    assert_eq!(server.stats().kernel_drops, None, "it cannot be known");
    serves_all_the_same(server, &client, 0, &["ppoll"]);
    for option in ["IP_PKTINFO", "SO_TIMESTAMPNS"] {
        assert_eq!(logged(option).len(), 1, "{option} is in the log");
    }
}

/// Whoever waits meanwhile is still heard, and so is the end.
fn waits_that_become_forbidden_while_serving_are_done_without() {
    if !alone("waits_that_become_forbidden_while_serving_are_done_without") {
        return;
    }
    keep_log();
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, echo).expect("bound");
    let client = Client::of(server.local_addr());
    let server = TestServer::spawn(server);
    assert_eq!(client.ask(b"with"), b"with");
    refuse_all(&[libc::SYS_ppoll], Errno::ENOSYS);
    serves_all_the_same(server, &client, 1, &["ppoll"]);
}

/// The server's own is one that cannot be bound: nobody handed anything over.
fn a_socket_that_cannot_be_set_up_is_told_from_one_that_was_handed_in() {
    if !alone("a_socket_that_cannot_be_set_up_is_told_from_one_that_was_handed_in") {
        return;
    }
    let handed_in = std::net::UdpSocket::bind(ANY_PORT).expect("a free port");
    let receive_buffer = option(libc::SOL_SOCKET, libc::SO_RCVBUF);
    refuse([(libc::SYS_getsockopt, vec![receive_buffer])], Errno::EPERM);
    let own = ThreadingUdpServer::bind(ANY_PORT, echo).expect_err("the system refuses");
    let text = format!("cannot bind {ANY_PORT}: permission denied");
    assert_eq!(own.to_string(), text);
    let given = ThreadingUdpServer::from_socket(handed_in, echo).expect_err("the system refuses");
    let text = "cannot take over the socket: permission denied";
    assert_eq!(given.to_string(), text);
}
