//! State for each peer: `PerPeer`.

mod due;
mod ends;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socketserver::{
    EndReason, HandlerError, Peer, PerPeer, Refusal, Session, SocketHandle, ThreadingUdpServer,
};

use crate::support::{
    ANY_PORT, Client, Gate, Journal, ServerBuilder, UdpServer, cause_of, for_both_servers,
    wait_until,
};

for_both_servers! {
    each_peer_has_a_session_of_its_own_made_once,
    datagrams_of_a_peer_are_handled_in_order_whoever_works,
    a_panic_costs_the_session_and_the_next_datagram_makes_a_new_one,
    a_panic_of_the_maker_costs_the_datagram,
    an_error_costs_the_datagram_and_not_the_session,
    a_hung_session_delays_its_own_peer_alone,
    who_is_not_admitted_has_no_session_and_may_be_answered,
    handle_request_keeps_sessions,
}

/// What tests want of sessions: a closure for each method.
pub(super) struct Scripted<H> {
    pub(super) number: usize,
    pub(super) handle: H,
    pub(super) journal: Journal,
}

impl<H> Session for Scripted<H>
where
    H: FnMut(&[u8], &Peer, &SocketHandle) -> Result<(), HandlerError> + Send + 'static,
{
    fn handle(
        &mut self,
        bytes: &[u8],
        peer: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        (self.handle)(bytes, peer, socket)
    }

    fn end(&mut self, _: &Peer, reason: EndReason) {
        self.journal.note(format!("{}: {reason}", self.number));
    }
}

impl<H> Drop for Scripted<H> {
    fn drop(&mut self) {
        self.journal.note(format!("{}: dropped", self.number));
    }
}

/// Sessions that are numbered as they are made, each with its own `handle`.
pub(super) fn scripted<H>(
    journal: &Journal,
    handle: impl Fn(usize) -> H + Send + Sync + 'static,
) -> PerPeer
where
    H: FnMut(&[u8], &Peer, &SocketHandle) -> Result<(), HandlerError> + Send + 'static,
{
    let (made, journal) = (AtomicUsize::new(0), journal.clone());
    PerPeer::new(move |_| {
        let number = made.fetch_add(1, SeqCst);
        Scripted {
            number,
            handle: handle(number),
            journal: journal.clone(),
        }
    })
}

/// A session that answers with its number and what it was sent, and how often.
pub(super) fn counting(
    number: usize,
) -> impl FnMut(&[u8], &Peer, &SocketHandle) -> Result<(), HandlerError> + Send {
    let mut count = 0;
    move |bytes, peer, socket| {
        count += 1;
        match bytes {
            b"fail" => return Err("as asked".into()),
            b"panic" => panic!("as asked"),
            b"bye" => assert!(peer.end(), "it was not asked for before"),
            _ => {}
        }
        Ok(socket.reply(format!("{number}: {count}").as_bytes())?)
    }
}

fn each_peer_has_a_session_of_its_own_made_once<S: UdpServer>() {
    let journal = Journal::new();
    let sessions = scripted(&journal, counting);
    let peers = sessions.peers();
    assert!(peers.is_empty(), "before the server is bound");
    let server = S::builder().at_most(4).serving_handlers(sessions);
    let (one, other) = (
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    );
    for count in 1..=3 {
        assert_eq!(one.ask(b"hello"), format!("0: {count}").as_bytes());
        assert_eq!(other.ask(b"hello"), format!("1: {count}").as_bytes());
    }
    assert_eq!(peers.len(), 2);
    let mut addrs: Vec<SocketAddr> = peers.iter().map(|peer| peer.addr()).collect();
    addrs.sort_unstable();
    let mut clients = [one.addr(), other.addr()];
    clients.sort_unstable();
    assert_eq!(addrs, clients);
    assert_eq!(
        peers.get(one.addr()).expect("it has one").addr(),
        one.addr()
    );
    assert!(peers.get(([127, 0, 0, 1], 9).into()).is_none());
    assert_eq!(journal.read(), [""; 0], "none is over");
}

/// With a worker for each datagram, and handlers that take their time now and then.
fn datagrams_of_a_peer_are_handled_in_order_whoever_works<S: UdpServer>() {
    const PEERS: usize = 16;
    const EACH: u16 = 200;
    let mistakes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&mistakes);
    let sessions = scripted(&Journal::new(), move |_| {
        let (mut next, noted) = (0, Arc::clone(&noted));
        move |bytes: &[u8], peer: &Peer, socket: &SocketHandle| {
            let number = u16::from_be_bytes(bytes.try_into()?);
            if number != next {
                let mistake = format!("{peer:?}: {number} instead of {next}");
                noted.lock().expect("no panic").push(mistake);
            }
            next = number + 1;
            if number % 50 == 17 {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(socket.reply(bytes)?)
        }
    });
    let server = S::builder().at_most(8).serving_handlers(sessions);
    let clients: Vec<_> = (0..PEERS)
        .map(|_| Client::of(server.local_addr()))
        .collect();
    for first in (0..EACH).step_by(10) {
        for number in first..first + 10 {
            for client in &clients {
                client.send(&number.to_be_bytes());
            }
        }
        for client in &clients {
            for number in first..first + 10 {
                client.expect_reply(&number.to_be_bytes());
            }
        }
    }
    assert_eq!(*mistakes.lock().expect("no panic"), [""; 0]);
}

fn a_panic_costs_the_session_and_the_next_datagram_makes_a_new_one<S: UdpServer>() {
    let (journal, told) = (Journal::new(), Journal::new());
    let tell = told.clone();
    let server = S::builder()
        .handle_error(move |failure| tell.note(cause_of(failure)))
        .serving_handlers(scripted(&journal, counting));
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"hello"), b"0: 1");
    client.send(b"panic");
    assert_eq!(client.ask(b"hello"), b"1: 1", "a new one");
    assert_eq!(journal.read(), ["0: dropped"], "without a word");
    assert_eq!(told.read(), ["panic: as asked"]);
    let stats = server.stop().stats;
    assert_eq!(
        (stats.handled, stats.panicked, stats.hook_panics),
        (2, 1, 0)
    );
}

fn a_panic_of_the_maker_costs_the_datagram<S: UdpServer>() {
    let journal = Journal::new();
    let sessions = scripted(&journal, |number| {
        assert_ne!(number, 0, "as asked");
        counting(number)
    });
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let client = Client::of(server.local_addr());
    client.send(b"hello");
    server.wait_until_settled(1);
    assert!(peers.is_empty(), "there is no session");
    assert_eq!(client.ask(b"hello"), b"1: 1");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.panicked), (1, 1));
}

fn an_error_costs_the_datagram_and_not_the_session<S: UdpServer>() {
    let told = Journal::new();
    let tell = told.clone();
    let server = S::builder()
        .handle_error(move |failure| tell.note(cause_of(failure)))
        .serving_handlers(scripted(&Journal::new(), counting));
    let client = Client::of(server.local_addr());
    client.send(b"fail");
    assert_eq!(client.ask(b"hello"), b"0: 2");
    assert_eq!(told.read(), ["error: as asked"]);
    assert_eq!(server.stop().stats.failed, 1);
}

fn a_hung_session_delays_its_own_peer_alone<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let sessions = scripted(&Journal::new(), move |_| {
        let held = held.clone();
        move |bytes: &[u8], _: &Peer, socket: &SocketHandle| {
            if bytes == b"hang" {
                held.pass();
            }
            Ok(socket.reply(bytes)?)
        }
    });
    let server = S::builder().at_most(2).serving_handlers(sessions);
    let _open = gate.open_on_drop();
    let (hung, clients) = (Client::of(server.local_addr()), [(); 20]);
    hung.send(b"hang");
    gate.wait_for(1);
    hung.send(b"behind");
    // Of so many peers only those in the same lane of 511 would have to wait.
    let clients = clients.map(|()| Client::of(server.local_addr()));
    for client in &clients {
        client.send(b"hello");
    }
    wait_until("most are answered", || server.stats().replies.sent >= 19);
    gate.open();
    hung.expect_reply(b"hang");
    hung.expect_reply(b"behind");
    for client in &clients {
        client.expect_reply(b"hello");
    }
}

fn who_is_not_admitted_has_no_session_and_may_be_answered<S: UdpServer>() {
    let sessions = scripted(&Journal::new(), counting).admit(|bytes, _, socket| {
        let is_admitted = bytes == b"join";
        if !is_admitted {
            socket.reply(b"who are you?").expect("sent");
        }
        is_admitted
    });
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"hello"), b"who are you?");
    assert!(peers.is_empty(), "it has none");
    assert_eq!(client.ask(b"join"), b"0: 1");
    assert_eq!(client.ask(b"hello"), b"0: 2", "not asked again");
    let stats = server.stop().stats;
    assert_eq!(stats.refused.by(Refusal::NotAdmitted), 1, "{stats}");
}

fn handle_request_keeps_sessions<S: UdpServer>() {
    let journal = Journal::new();
    let sessions = scripted(&journal, counting);
    let peers = sessions.peers();
    let mut server = S::builder().bind(ANY_PORT, sessions).expect("a free port");
    let client = Client::of(server.local_addr());
    for count in 1..=3 {
        client.send(b"hello");
        assert!(server.handle_request(None).expect("served").is_handled());
        client.expect_reply(format!("0: {count}").as_bytes());
    }
    assert_eq!(peers.len(), 1);
    drop(server);
    assert_eq!(journal.read(), ["0: the server shuts down", "0: dropped"]);
    assert!(peers.is_empty());
}

/// It is the key's order then; a session is in one hand all the same.
#[test]
fn with_another_order_a_session_still_handles_one_datagram_at_a_time() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let sessions = scripted(&Journal::new(), move |_| {
        let (inside, peak) = (Arc::clone(&inside), Arc::clone(&peak));
        move |bytes: &[u8], _: &Peer, socket: &SocketHandle| {
            peak.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::sleep(Duration::from_millis(1));
            inside.fetch_sub(1, SeqCst);
            Ok(socket.reply(bytes)?)
        }
    });
    let server = ThreadingUdpServer::builder()
        .order_by(|bytes, _| bytes.first().copied())
        .serving_handlers(sessions);
    let client = Client::of(server.local_addr());
    for number in 0..50 {
        client.send(&[number]);
    }
    let mut numbers: Vec<u8> = (0..50).map(|_| client.receive()[0]).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..50), "each is answered");
    assert_eq!(most.load(SeqCst), 1, "never two at the same time");
}

#[test]
fn options_that_make_no_sense_are_refused_at_bind() {
    let sessions = || scripted(&Journal::new(), counting);
    for (sessions, problem) in [
        (
            sessions().max_peers(0),
            "max_peers: 0 peers cannot be served",
        ),
        (
            sessions().idle_after(Duration::ZERO),
            "idle_after: after no time at all every session is idle",
        ),
        (
            sessions().tick_every(Duration::from_micros(999)),
            "tick_every: less than a millisecond between two ticks leaves no time for datagrams",
        ),
    ] {
        let refused = ThreadingUdpServer::bind(ANY_PORT, sessions);
        assert_eq!(refused.expect_err("nonsense").to_string(), problem);
    }
}

/// On a wildcard, whoever writes to 127.0.0.2 hears from there.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[test]
fn what_a_session_sends_leaves_from_the_address_that_its_peer_wrote_to() {
    let sessions = scripted(&Journal::new(), |_| {
        |bytes: &[u8], peer: &Peer, socket: &SocketHandle| {
            if bytes == b"all" {
                let told = peer.peers().send_to_all(b"for all")?;
                assert_eq!((told.sent, told.failures.len()), (2, 0));
            } else {
                socket.reply(b"answer")?;
                peer.send(b"more")?;
                assert_eq!(peer.local_addr(), socket.local_addr());
            }
            Ok(())
        }
    });
    let server = ThreadingUdpServer::bind("0.0.0.0:0", sessions).expect("a free port");
    let port = server.local_addr().port();
    let server = crate::support::TestServer::spawn(server);
    let at = |last| SocketAddr::from(([127, 0, 0, last], port));
    let clients = [2, 3].map(|last| Client::of(at(last)));
    for client in &clients {
        client.send(b"hello");
        // `Client` looks where it comes from.
        client.expect_reply(b"answer");
        client.expect_reply(b"more");
    }
    clients[0].send(b"all");
    for client in &clients {
        client.expect_reply(b"for all");
    }
    clients[0].send_to(b"hello", at(4));
    for expected in [b"answer".as_slice(), b"more"] {
        let (bytes, from) = clients[0].receive_from();
        assert_eq!((bytes.as_slice(), from), (expected, at(4)), "the last one");
    }
    assert_eq!(server.stop().stats.failed, 0);
}
