//! How sessions end: idle, evicted, on request, at the shutdown.

use std::time::{Duration, Instant};

use socketserver::{
    EndReason, HandlerError, Peer, PerPeer, Refusal, SendError, Session, SocketHandle, WhenFull,
};

use super::{counting, scripted};
use crate::support::{
    Client, Gate, Journal, ServerBuilder, UdpServer, for_both_servers, keep_log, logged, wait_until,
};

for_both_servers! {
    an_idle_session_is_told_and_dropped_and_a_busy_peer_keeps_its_own,
    no_more_peers_than_allowed_have_a_session_and_others_are_refused,
    the_oldest_makes_room,
    a_session_ends_on_request_from_within_and_from_elsewhere,
    at_the_shutdown_all_are_told_and_may_still_send,
    sessions_that_hang_at_their_end_delay_neither_others_nor_the_shutdown,
}

const IDLE: Duration = Duration::from_millis(100);

fn an_idle_session_is_told_and_dropped_and_a_busy_peer_keeps_its_own<S: UdpServer>() {
    let journal = Journal::new();
    let sessions = scripted(&journal, counting).idle_after(IDLE);
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let (quiet, busy) = (
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    );
    let heard = Instant::now();
    assert_eq!(quiet.ask(b"hello"), b"0: 1");
    let mut asked = Instant::now();
    let mut longest = Duration::ZERO;
    wait_until("the quiet one is gone", || {
        longest = longest.max(asked.elapsed());
        asked = Instant::now();
        busy.ask(b"hello");
        peers.get(quiet.addr()).is_none()
    });
    assert!(heard.elapsed() >= IDLE, "after {:?}", heard.elapsed());
    wait_until("it is dropped", || {
        journal.read().contains(&"0: dropped".to_owned())
    });
    assert_eq!(journal.read()[0], "0: idle for too long");
    if longest < IDLE {
        assert!(peers.get(busy.addr()).is_some(), "the other is not idle");
    }
    assert!(quiet.ask(b"hello").ends_with(b": 1"), "a new one");
}

fn no_more_peers_than_allowed_have_a_session_and_others_are_refused<S: UdpServer>() {
    keep_log();
    let sessions = scripted(&Journal::new(), counting).max_peers(2);
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let clients = [(); 3].map(|()| Client::of(server.local_addr()));
    assert_eq!(clients[0].ask(b"hello"), b"0: 1");
    assert_eq!(clients[1].ask(b"hello"), b"1: 1");
    clients[2].send(b"hello");
    server.wait_until_settled(3);
    assert_eq!(peers.len(), 2);
    assert_eq!(clients[0].ask(b"hello"), b"0: 2", "who has one keeps it");
    let line = format!(
        "no session for {}: there are 2 (max_peers)",
        clients[2].addr()
    );
    assert_eq!(logged(&line).len(), 1, "logged");
    assert!(peers.get(clients[0].addr()).expect("it has one").end());
    assert_eq!(clients[2].ask(b"hello"), b"2: 1", "there is room");
    clients[2].expect_silence();
    let stats = server.stop().stats;
    assert_eq!(stats.refused.by(Refusal::PeersFull), 1, "{stats}");
}

fn the_oldest_makes_room<S: UdpServer>() {
    let journal = Journal::new();
    let sessions = scripted(&journal, counting)
        .max_peers(2)
        .when_full(WhenFull::EvictOldest);
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let clients = [(); 3].map(|()| Client::of(server.local_addr()));
    assert_eq!(clients[0].ask(b"hello"), b"0: 1");
    assert_eq!(clients[1].ask(b"hello"), b"1: 1");
    assert_eq!(clients[0].ask(b"hello"), b"0: 2");
    // The reply may be here before the session is given back.
    wait_until("a session rests", || {
        clients[2].ask(b"hello") == b"2: 1" || server.stats().refused.total() > 0
    });
    assert_eq!(journal.read(), ["1: made room for another", "1: dropped"]);
    assert_eq!(peers.len(), 2);
    assert_eq!(clients[0].ask(b"hello"), b"0: 3", "it was heard later");
}

fn a_session_ends_on_request_from_within_and_from_elsewhere<S: UdpServer>() {
    let journal = Journal::new();
    let sessions = scripted(&journal, counting);
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"bye"), b"0: 1", "what it sends leaves");
    assert_eq!(client.ask(b"hello"), b"1: 1", "a new one");
    assert_eq!(journal.read(), ["0: as requested", "0: dropped"]);
    // Its first answer may be here before it is given back.
    let peer = peers.get(client.addr()).expect("it has one");
    assert!(peer.end(), "asked for once");
    assert!(!peer.end(), "and not twice");
    wait_until("it is gone", || journal.read().len() == 4);
    assert_eq!(journal.read()[2..], ["1: as requested", "1: dropped"]);
    assert!(peers.is_empty());
    assert_eq!(client.ask(b"hello"), b"2: 1", "a new one");
    assert!(!peer.end(), "that is another session");
    peer.send(b"still there?").expect("sent");
    client.expect_reply(b"still there?");
    server.stop();
    assert!(matches!(peer.send(b"gone"), Err(SendError::Closed)));
}

/// Says goodbye.
struct Polite {
    journal: Journal,
}

impl Session for Polite {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        Ok(socket.reply(bytes)?)
    }

    fn end(&mut self, peer: &Peer, reason: EndReason) {
        self.journal.note(reason.to_string());
        peer.send(b"goodbye").expect("the server is not closed yet");
    }
}

fn at_the_shutdown_all_are_told_and_may_still_send<S: UdpServer>() {
    const PEERS: usize = 100;
    let journal = Journal::new();
    let noted = journal.clone();
    let sessions = PerPeer::new(move |_| Polite {
        journal: noted.clone(),
    });
    let peers = sessions.peers();
    let server = S::builder().serving_handlers(sessions);
    let clients: Vec<_> = (0..PEERS)
        .map(|_| Client::of(server.local_addr()))
        .collect();
    for client in &clients {
        assert_eq!(client.ask(b"hello"), b"hello");
    }
    let stats = server.stop().stats;
    assert_eq!(stats.replies.sent, 2 * PEERS as u64, "counted");
    assert_eq!(journal.read(), ["the server shuts down"; PEERS]);
    for client in &clients {
        client.expect_reply(b"goodbye");
    }
    assert!(peers.is_empty());
    assert!(matches!(peers.send_to_all(b"gone"), Err(SendError::Closed)));
}

/// Is held at its end if its peer said so.
struct Reluctant {
    gate: Gate,
    hangs: bool,
    journal: Journal,
}

impl Session for Reluctant {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.hangs = bytes == b"hang";
        Ok(socket.reply(bytes)?)
    }

    fn end(&mut self, _: &Peer, _: EndReason) {
        if self.hangs {
            self.gate.pass();
        }
        self.journal.note("ended");
    }
}

fn sessions_that_hang_at_their_end_delay_neither_others_nor_the_shutdown<S: UdpServer>() {
    keep_log();
    let (gate, journal) = (Gate::new(), Journal::new());
    let (held, noted) = (gate.clone(), journal.clone());
    let sessions = PerPeer::new(move |_| Reluctant {
        gate: held.clone(),
        hangs: false,
        journal: noted.clone(),
    });
    let server = S::builder()
        .drain_timeout(Duration::from_millis(500))
        .serving_handlers(sessions);
    let _open = gate.open_on_drop();
    let addr = server.local_addr();
    for bytes in [b"hang", b"hang", b"easy", b"easy", b"hang", b"easy"] {
        assert_eq!(Client::of(addr).ask(bytes), bytes);
    }
    let told = Instant::now();
    server.stop();
    assert!(told.elapsed() >= Duration::from_millis(500), "it waits");
    assert_eq!(gate.waiting(), 3, "and leaves them behind");
    assert_eq!(journal.read(), ["ended"; 3], "all others are told");
    let line = format!("{addr}: a session has not ended, and is left behind");
    assert_eq!(logged(&line).len(), 1, "logged");
}
