//! In the steady state a datagram costs no allocation: not for receiving it, not
//! for handling it, not for replying to it.
//!
//! The allocator counts what all threads of the process do. So there is a single
//! test here, and its client works with memory that it has beforehand.

#[cfg(unix)]
mod unix;

use std::alloc::System;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socketserver::{
    AmplificationLimit, BindError, Builder, DatagramHandler, ForkingStyleUdpServer, HandlerError,
    Peer, PerPeer, RateLimit, ReplyLoops, RunningServer, SocketHandle, ThreadingUdpServer,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A server, a load, and what that costs.
struct Case {
    name: &'static str,
    start: fn() -> RunningServer,
    clients: usize,
    /// Datagrams that each client sends before it waits for the replies.
    in_flight: usize,
    /// In a window; divided by what all clients have in flight.
    datagrams: usize,
    /// Allocations for one datagram.
    expected: usize,
}

/// One that costs nothing, with so many clients and datagrams in flight for each.
const fn case(name: &'static str, load: [usize; 2], start: fn() -> RunningServer) -> Case {
    let [clients, in_flight] = load;
    Case {
        name,
        start,
        clients,
        in_flight,
        datagrams: DATAGRAMS,
        expected: 0,
    }
}

const CASES: &[Case] = &[
    case("a datagram at a time", [1, 1], || echoing(threads())),
    case("replies that are coalesced", [1, 16], || echoing(threads())),
    case("many clients", [16, 2], || echoing(threads())),
    case(
        "a wildcard address, replies from where the clients wrote to",
        [4, 4],
        || spawn(threads().bind("0.0.0.0:0", || Echo)),
    ),
    case("a closure", [4, 4], || {
        spawn(threads().bind_fn(ANY_PORT, |bytes, _, socket| Ok(socket.reply(bytes)?)))
    }),
    case("a reply that is written piece by piece", [4, 4], || {
        spawn(threads().bind(ANY_PORT, || Written))
    }),
    case("forking style, an instance without state", [4, 4], || {
        children().bind(ANY_PORT, || Echo).expect(BOUND).spawn()
    }),
    case("order per peer", [16, 2], || {
        echoing(threads().order_per_peer(true))
    }),
    case("order by a key", [16, 2], || {
        echoing(threads().order_by(|bytes, _| bytes.first().copied()))
    }),
    case("a session for each peer, with ticks", [16, 2], || {
        let sessions = PerPeer::new(|_| Session(0)).tick_every(Duration::from_millis(5));
        spawn(threads().bind(ANY_PORT, sessions))
    }),
    case("every guard", [16, 2], || {
        let builder = threads()
            .refuse_responder_ports(true)
            .allow_networks(["127.0.0.0/8"])
            .deny_networks(["192.0.2.0/24", "2001:db8::/32"])
            .rate_limit(RateLimit::per_second(1_000_000).trust(["192.0.2.1"]))
            .break_reply_loops(ReplyLoops::default().trust(["192.0.2.1"]))
            .amplification_limit(AmplificationLimit::default());
        echoing(builder)
    }),
    case("receives that may be coalesced", [4, 4], || {
        echoing(threads().coalesce_receives(true))
    }),
    #[cfg(all(target_os = "linux", not(socketserver_portable)))]
    case("two sockets", [16, 2], || echoing(threads().shards(2))),
    #[cfg(all(target_os = "linux", not(socketserver_portable)))]
    case(
        "all that is known of a datagram, and a marked reply",
        [4, 4],
        || {
            let builder = threads()
                .receive_time(true)
                .receive_hop_limit(true)
                .receive_traffic_class(true)
                .reply_by_interface(true);
            spawn(builder.bind_fn("0.0.0.0:0", |bytes, _, socket| {
                let meta = socket.meta();
                let hops = meta.hop_limit().ok_or("no hop limit")?;
                let options = socketserver::SendOptions::new().dscp(46).hop_limit(hops);
                Ok(socket.reply_with(bytes, &options)?)
            }))
        },
    ),
    #[cfg(all(target_os = "linux", not(socketserver_portable)))]
    case("an age above which datagrams are shed", [4, 4], || {
        echoing(threads().shed_older_than(Duration::from_secs(60)))
    }),
    // Handlers are quick, but for one in a hundred: the supervisor looks more
    // closely at who is in that one.
    Case {
        datagrams: 4_000,
        ..case("a handler that waits now and then", [1, 1], || {
            spawn(threads().bind_fn(ANY_PORT, |bytes, _, socket| {
                if number_of(bytes) % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(socket.reply(bytes)?)
            }))
        })
    },
    // This also shows that what allocates is noticed.
    Case {
        expected: 1,
        ..case("forking style, an instance with state", [4, 4], || {
            let server = children().bind(ANY_PORT, || Counting { calls: 0 });
            server.expect(BOUND).spawn()
        })
    },
];

#[test]
fn a_datagram_costs_no_allocation() {
    for case in CASES {
        let server = (case.start)();
        let clients = Clients::of(server.local_addr(), case);
        let datagrams = case.datagrams;
        clients.exchange(datagrams / WARM_UP_PART);
        let expected = datagrams * case.expected;
        let mut windows = Vec::with_capacity(MOST_WINDOWS);
        let is_exact = |window: &&usize| **window == expected;
        while windows.iter().filter(is_exact).count() < EXACT_WINDOWS {
            assert!(
                windows.len() < MOST_WINDOWS,
                "{}: {windows:?} allocations with {datagrams} datagrams each, not {expected}",
                case.name
            );
            windows.push(allocations_during(|| clients.exchange(datagrams)));
        }
        let report = server.stop().expect("the server ends in order");
        let sent = (datagrams / WARM_UP_PART + windows.len() * datagrams) as u64;
        assert_eq!(report.stats.handled, sent, "{}: all handled", case.name);
    }
    #[cfg(unix)]
    unix::a_datagram_costs_no_allocation();
}

const DATAGRAMS: usize = 16_000;
/// Of a window.
const WARM_UP_PART: usize = 5;

const EXACT_WINDOWS: usize = 2;
/// What is made once and then kept, such as a worker's second batch, may fall
/// into a window. The pool has a fixed size, so there are fewer such things than
/// windows. What is made for each datagram or batch falls into all of them.
const MOST_WINDOWS: usize = 10;

/// Two, and no more: a thread that starts allocates, and where the server's
/// threads have to wait for a processor an elastic pool grows.
const WORKERS: usize = 2;

/// Allocations while something goes on.
fn allocations_during(action: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    action();
    let change = region.change();
    change.allocations + change.reallocations
}

fn threads() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder().workers(WORKERS)
}

fn children() -> Builder<ForkingStyleUdpServer> {
    ForkingStyleUdpServer::builder().max_children(WORKERS)
}

fn echoing(builder: Builder<ThreadingUdpServer>) -> RunningServer {
    spawn(builder.bind(ANY_PORT, || Echo))
}

fn spawn(server: Result<ThreadingUdpServer, BindError>) -> RunningServer {
    server.expect(BOUND).spawn()
}

const ANY_PORT: &str = "127.0.0.1:0";
const BOUND: &str = "a free port on loopback";

/// Sends back what it is sent.
struct Echo;

impl DatagramHandler for Echo {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        Ok(socket.reply(bytes)?)
    }
}

/// The same, and has a size.
struct Counting {
    calls: u64,
}

impl DatagramHandler for Counting {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.calls += 1;
        Ok(socket.reply(bytes)?)
    }
}

/// The same, for one peer.
struct Session(u64);

impl socketserver::Session for Session {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        Ok(socket.reply(bytes)?)
    }

    fn tick(&mut self, _: &Peer, missed: u64) {
        self.0 += 1 + missed;
    }
}

/// The same, in two pieces.
struct Written;

impl DatagramHandler for Written {
    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        use std::io::Write;

        let (head, tail) = bytes.split_at(bytes.len() / 2);
        let mut reply = socket.writer();
        reply.write_all(head)?;
        reply.write_all(tail)?;
        Ok(())
    }
}

/// Clients that allocate nothing once they are there.
struct Clients {
    sockets: Vec<UdpSocket>,
    in_flight: usize,
}

impl Clients {
    fn of(server: SocketAddr, case: &Case) -> Self {
        let connect = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
            let addr = ("127.0.0.1", server.port());
            socket.connect(addr).expect("loopback");
            let patience = Some(Duration::from_secs(30));
            socket.set_read_timeout(patience).expect("not zero");
            socket
        };
        Self {
            sockets: (0..case.clients).map(connect).collect(),
            in_flight: case.in_flight,
        }
    }

    /// Sends so many datagrams, and receives as many replies: each once, in
    /// whatever order, as two workers may share a batch.
    fn exchange(&self, datagrams: usize) {
        let round = self.sockets.len() * self.in_flight;
        assert_eq!(datagrams % round, 0, "whole rounds");
        // Numbered: the same question over and over is what loops look like.
        let datagram = |number: usize| {
            let mut bytes = [b'a'; 64];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let mut reply = [0; 128];
        for round in 0..datagrams / round {
            for socket in &self.sockets {
                for place in 0..self.in_flight {
                    let number = round * self.in_flight + place;
                    socket.send(&datagram(number)).expect("loopback");
                }
            }
            for socket in &self.sockets {
                let mut seen = 0_u64;
                for _ in 0..self.in_flight {
                    let len = socket.recv(&mut reply).expect("a reply");
                    let number = number_of(&reply[..len]);
                    assert_eq!(reply[..len], datagram(number), "what was sent");
                    let place = number.checked_sub(round * self.in_flight);
                    let place = place.filter(|place| *place < self.in_flight);
                    seen |= 1 << place.expect("a reply of this round");
                }
                assert_eq!(seen.count_ones() as usize, self.in_flight, "each once");
            }
        }
    }
}

/// The number that a datagram begins with.
fn number_of(datagram: &[u8]) -> usize {
    let number = datagram.first_chunk().expect("a numbered datagram");
    usize::from_be_bytes(*number)
}
