//! What sessions do without a datagram: ticks.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use socketserver::{HandlerError, Peer, PerPeer, Session, SocketHandle};

use crate::support::{
    Client, DEADLINE, Gate, ServerBuilder, TestServer, UdpServer, for_both_servers, keep_log,
    logged, wait_until,
};

for_both_servers! {
    ticks_come_to_all_and_may_send,
    ticks_that_a_busy_session_misses_are_one_and_counted,
    sessions_that_hang_in_a_tick_delay_no_other_tick_and_no_other_datagram,
    a_datagram_waits_for_a_tick_and_ticks_that_take_too_long_let_it_through,
    a_panic_in_a_tick_costs_the_session,
}

const EVERY: Duration = Duration::from_millis(20);

/// What happens with a tick, beside that it is counted.
type OnTick = Arc<dyn Fn(&mut Ticking, &Peer) + Send + Sync>;

/// Counts ticks.
struct Ticking {
    last: Vec<u8>,
    made: Instant,
    ticks: u64,
    missed: u64,
    handled_by: Option<ThreadId>,
    gate: Gate,
    on_tick: OnTick,
}

impl Session for Ticking {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.last = bytes.to_vec();
        self.handled_by = Some(std::thread::current().id());
        if bytes == b"block" {
            self.gate.pass();
        }
        Ok(socket.reply(format!("{} {}", self.ticks, self.missed).as_bytes())?)
    }

    fn tick(&mut self, peer: &Peer, missed: u64) {
        self.ticks += 1;
        self.missed += missed;
        let on_tick = Arc::clone(&self.on_tick);
        on_tick(self, peer);
    }
}

fn ticking(gate: &Gate, on_tick: impl Fn(&mut Ticking, &Peer) + Send + Sync + 'static) -> PerPeer {
    let (gate, on_tick) = (gate.clone(), Arc::new(on_tick) as OnTick);
    let make = move |_: &Peer| Ticking {
        last: Vec::new(),
        made: Instant::now(),
        ticks: 0,
        missed: 0,
        handled_by: None,
        gate: gate.clone(),
        on_tick: Arc::clone(&on_tick),
    };
    PerPeer::new(make).tick_every(EVERY)
}

/// The ticks that a client's session has run.
fn ticks_of(client: &Client) -> u64 {
    let text = String::from_utf8(client.ask(b"how many?")).expect("text");
    let (ticks, _missed) = text.split_once(' ').expect("two numbers");
    ticks.parse().expect("a number")
}

fn serving<S: UdpServer>(sessions: PerPeer) -> TestServer {
    S::builder().at_most(8).serving_handlers(sessions)
}

fn ticks_come_to_all_and_may_send<S: UdpServer>() {
    let server = serving::<S>(ticking(&Gate::new(), |session, peer| {
        let due = session.ticks + session.missed;
        let elapsed = session.made.elapsed();
        // Not before it is due: the first may come at once.
        let in_time = elapsed >= EVERY * (due as u32 - 1);
        let line = format!("tick {due}{}", if in_time { "" } else { " too early" });
        peer.send(line.as_bytes()).expect("sent");
    }));
    let clients = [(); 10].map(|()| Client::of(server.local_addr()));
    for client in &clients {
        client.send(b"hello");
    }
    for client in &clients {
        let mut ticks = Vec::new();
        while ticks.len() < 4 {
            let text = String::from_utf8(client.receive()).expect("text");
            if let Some(number) = text.strip_prefix("tick ") {
                ticks.push(number.parse::<u64>().expect("in time"));
            }
        }
        assert!(ticks.is_sorted_by(|one, next| one < next), "{ticks:?}");
    }
}

/// The tick that is due runs when the datagram is done, before anything else.
fn ticks_that_a_busy_session_misses_are_one_and_counted<S: UdpServer>() {
    let gate = Gate::new();
    let (tell, told) = mpsc::channel();
    let of_others = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&of_others);
    let server = serving::<S>(ticking(&gate, move |session, _| {
        let by_worker = session.handled_by == Some(std::thread::current().id());
        if session.last == b"block" {
            let _ = tell.send((session.ticks, session.missed, by_worker));
        } else {
            counted.fetch_max(session.ticks + session.missed, SeqCst);
        }
    }));
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    client.send(b"block");
    gate.wait_for(1);
    // Of so many peers only one in the same lane of 511 would have to wait.
    for _ in 0..5 {
        Client::of(server.local_addr()).send(b"hello");
    }
    wait_until("others have run five", || of_others.load(SeqCst) >= 5);
    let before = of_others.load(SeqCst);
    gate.open();
    client.expect_reply(b"0 0");
    let (ticks, missed, by_worker) = told.recv_timeout(DEADLINE).expect("a tick");
    assert_eq!(
        (ticks, by_worker),
        (1, true),
        "one for all, behind the datagram"
    );
    assert!(
        missed + 1 >= before,
        "{missed} missed, while others ran {before}"
    );
}

fn sessions_that_hang_in_a_tick_delay_no_other_tick_and_no_other_datagram<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = serving::<S>(ticking(&gate, move |session, _| {
        if session.last == b"hang" {
            held.pass();
        }
    }));
    let _open = gate.open_on_drop();
    let hung = [(); 3].map(|()| Client::of(server.local_addr()));
    for client in &hung {
        client.ask(b"hang");
    }
    gate.wait_for(3);
    let others = [(); 5].map(|()| Client::of(server.local_addr()));
    wait_until("others' ticks go on", || ticks_of(&others[0]) >= 5);
    assert_eq!(gate.waiting(), 3, "they hang all the while");
    hung[0].send(b"behind");
    let before = server.stats().replies.sent;
    for other in &others {
        other.send(b"how many?");
    }
    // Of so many peers only one in the same lane of 511 would have to wait.
    wait_until("most are answered", || {
        server.stats().replies.sent >= before + 4
    });
    hung[0].expect_silence();
    gate.open();
    hung[0].receive();
}

fn a_datagram_waits_for_a_tick_and_ticks_that_take_too_long_let_it_through<S: UdpServer>() {
    let server = serving::<S>(ticking(&Gate::new(), |_, _| std::thread::sleep(2 * EVERY)));
    let client = Client::of(server.local_addr());
    // The first datagram comes before any tick, and so it goes on while they are rare.
    wait_until("both get their turn, and not each tick", || {
        let text = String::from_utf8(client.ask(b"hello")).expect("text");
        let (ticks, missed) = text.split_once(' ').expect("two numbers");
        ticks != "0" && missed != "0"
    });
}

fn a_panic_in_a_tick_costs_the_session<S: UdpServer>() {
    keep_log();
    let panics = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&panics);
    let sessions = ticking(&Gate::new(), move |session, peer| {
        if session.last == b"panic" {
            counted.fetch_add(1, SeqCst);
            panic!("bad tick of {}", peer.addr());
        }
    });
    let peers = sessions.peers();
    let server = serving::<S>(sessions);
    let (bad, good) = (
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    );
    good.ask(b"hello");
    bad.ask(b"panic");
    wait_until("it is gone", || peers.get(bad.addr()).is_none());
    wait_until("others' ticks go on", || ticks_of(&good) >= 3);
    assert_eq!(peers.len(), 1);
    bad.ask(b"hello");
    assert_eq!(peers.len(), 2, "a new one");
    let stats = server.stop().stats;
    assert_eq!((stats.hook_panics, panics.load(SeqCst)), (1, 1), "counted");
    let line = format!("ERROR: a tick panicked: bad tick of {}", bad.addr());
    assert_eq!(logged(&line).len(), 1, "logged");
}
