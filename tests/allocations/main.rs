//! In the steady state a datagram costs no allocation: not for receiving it, not
//! for handling it, not for replying to it.
//!
//! The allocator counts what all threads of the process do. So there is a single
//! test here, and its client works with memory that it has beforehand.

use std::alloc::System;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socketserver::{
    DatagramHandler, ForkingStyleUdpServer, HandlerError, RunningServer, SocketHandle,
    ThreadingUdpServer,
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
    /// Allocations for one datagram.
    expected: usize,
}

const CASES: [Case; 8] = [
    Case {
        name: "a datagram at a time",
        start: || threading("127.0.0.1:0"),
        clients: 1,
        in_flight: 1,
        expected: 0,
    },
    Case {
        name: "replies that are coalesced",
        start: || threading("127.0.0.1:0"),
        clients: 1,
        in_flight: 16,
        expected: 0,
    },
    Case {
        name: "many clients",
        start: || threading("127.0.0.1:0"),
        clients: 16,
        in_flight: 2,
        expected: 0,
    },
    Case {
        name: "a wildcard address, replies from where the clients wrote to",
        start: || threading("0.0.0.0:0"),
        clients: 4,
        in_flight: 4,
        expected: 0,
    },
    Case {
        name: "a closure",
        start: || {
            let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
                Ok(socket.reply(bytes)?)
            });
            server.expect("a free port on loopback").spawn()
        },
        clients: 4,
        in_flight: 4,
        expected: 0,
    },
    Case {
        name: "a reply that is written piece by piece",
        start: || {
            let server = ThreadingUdpServer::bind("127.0.0.1:0", || Written);
            server.expect("a free port on loopback").spawn()
        },
        clients: 4,
        in_flight: 4,
        expected: 0,
    },
    Case {
        name: "forking style, an instance without state",
        start: || {
            let server = ForkingStyleUdpServer::bind("127.0.0.1:0", || Echo);
            server.expect("a free port on loopback").spawn()
        },
        clients: 4,
        in_flight: 4,
        expected: 0,
    },
    // This also shows that what allocates is noticed.
    Case {
        name: "forking style, an instance with state",
        start: || {
            let server = ForkingStyleUdpServer::bind("127.0.0.1:0", || Counting { calls: 0 });
            server.expect("a free port on loopback").spawn()
        },
        clients: 4,
        in_flight: 4,
        expected: 1,
    },
];

#[test]
fn a_datagram_costs_no_allocation() {
    for case in &CASES {
        let server = (case.start)();
        let clients = Clients::of(server.local_addr(), case);
        clients.exchange(WARM_UP);
        let expected = DATAGRAMS * case.expected;
        let windows: [Window; WINDOWS] =
            std::array::from_fn(|_| Window::over(|| clients.exchange(DATAGRAMS)));
        // What is made once and then kept, as a second batch or another worker,
        // may fall into a window, but not into every one.
        assert!(
            windows.iter().any(|window| window.is_as_expected(expected)),
            "{}: {windows:?} with {DATAGRAMS} datagrams each, not {expected} allocations",
            case.name
        );
        let report = server.stop().expect("the server ends in order");
        let sent = (WARM_UP + WINDOWS * DATAGRAMS) as u64;
        assert_eq!(report.stats.handled, sent, "{}: all handled", case.name);
    }
}

/// Divided by what any client has in flight.
const DATAGRAMS: usize = 16_000;
const WARM_UP: usize = 3_200;
const WINDOWS: usize = 3;

/// Allocations while something goes on.
#[derive(Debug)]
struct Window {
    allocations: usize,
    elapsed: Duration,
}

impl Window {
    fn over(exchange: impl FnOnce()) -> Self {
        let (region, start) = (Region::new(ALLOCATOR), Instant::now());
        exchange();
        let change = region.change();
        Self {
            allocations: change.allocations + change.reallocations,
            elapsed: start.elapsed(),
        }
    }

    /// While there is traffic, the supervisor looks about once a millisecond,
    /// and its wait for the next look allocates once, however many datagrams
    /// there are.
    fn is_as_expected(&self, expected: usize) -> bool {
        let looks = self.elapsed.as_millis() as usize * 5 / 4 + 10;
        (expected..=expected + looks).contains(&self.allocations)
    }
}

fn threading(addr: &str) -> RunningServer {
    let server = ThreadingUdpServer::bind(addr, || Echo);
    server.expect("a free port").spawn()
}

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

    /// Sends so many datagrams, and receives as many replies.
    fn exchange(&self, datagrams: usize) {
        let round = self.sockets.len() * self.in_flight;
        assert_eq!(datagrams % round, 0, "whole rounds");
        let mut reply = [0; 128];
        for _ in 0..datagrams / round {
            for socket in &self.sockets {
                for _ in 0..self.in_flight {
                    socket.send(&[b'a'; 64]).expect("loopback");
                }
            }
            for socket in &self.sockets {
                for _ in 0..self.in_flight {
                    let len = socket.recv(&mut reply).expect("a reply");
                    assert_eq!(reply[..len], [b'a'; 64], "what was sent");
                }
            }
        }
    }
}
