//! Throughput against the number of workers, for a cheap handler and for one
//! that blocks, on both servers.
//!
//! A round is one datagram from each of 64 clients, and all their replies. With
//! a handler that blocks 5 ms, a round takes about 5 ms × 64 / workers.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use socketserver::{
    DatagramHandler, ForkingStyleUdpServer, HandlerError, RunningServer, SocketHandle,
    ThreadingUdpServer,
};

const CLIENTS: usize = 64;
const PAYLOAD: &[u8; 64] = &[b'a'; 64];

/// Upper-cases, after having blocked for a while.
struct Upper {
    blocks: Duration,
    reply: Vec<u8>,
}

impl DatagramHandler for Upper {
    fn handle(
        &mut self,
        bytes: &[u8],
        _addr: std::net::SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        if !self.blocks.is_zero() {
            thread::sleep(self.blocks);
        }
        self.reply.clear();
        self.reply.extend_from_slice(bytes);
        self.reply.make_ascii_uppercase();
        Ok(socket.reply(&self.reply)?)
    }
}

fn threading(workers: usize, blocks: Duration) -> RunningServer {
    ThreadingUdpServer::builder()
        .workers(workers)
        .bind("127.0.0.1:0", move || upper(blocks))
        .expect("a free port on loopback")
        .spawn()
}

fn forking(workers: usize, blocks: Duration) -> RunningServer {
    ForkingStyleUdpServer::builder()
        .max_children(workers)
        .bind("127.0.0.1:0", move || upper(blocks))
        .expect("a free port on loopback")
        .spawn()
}

fn upper(blocks: Duration) -> Upper {
    let reply = Vec::new();
    Upper { blocks, reply }
}

struct Clients {
    sockets: Vec<UdpSocket>,
}

impl Clients {
    fn of(server: &RunningServer) -> Self {
        let connect = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
            socket.connect(server.local_addr()).expect("loopback");
            let patience = Some(Duration::from_secs(10));
            socket.set_read_timeout(patience).expect("not zero");
            socket
        };
        let sockets = (0..CLIENTS).map(connect).collect();
        Self { sockets }
    }

    fn round(&self) {
        for socket in &self.sockets {
            socket.send(PAYLOAD).expect("loopback");
        }
        let mut reply = [0; 128];
        for socket in &self.sockets {
            let len = socket.recv(&mut reply).expect("a reply within ten seconds");
            assert_eq!(&reply[..len], &[b'A'; 64], "the reply in upper case");
        }
    }
}

type Start = fn(usize, Duration) -> RunningServer;

const SERVERS: [(&str, Start); 2] = [("threading", threading), ("forking style", forking)];

fn rounds(
    criterion: &mut Criterion,
    name: &str,
    blocks: Duration,
    workers: &[usize],
    samples: usize,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(CLIENTS as u64));
    group.sample_size(samples);
    group.warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(3));
    for (server_name, start) in SERVERS {
        for &workers in workers {
            let server = start(workers, blocks);
            let clients = Clients::of(&server);
            let id = BenchmarkId::new(server_name, workers);
            group.bench_function(id, |bencher| bencher.iter(|| clients.round()));
        }
    }
    group.finish();
}

fn cheap(criterion: &mut Criterion) {
    rounds(criterion, "cheap handler", Duration::ZERO, &[1, 2, 8], 50);
}

fn blocking(criterion: &mut Criterion) {
    let blocks = Duration::from_millis(5);
    rounds(criterion, "handler blocks 5 ms", blocks, &[4, 16, 64], 10);
}

criterion_group!(benches, cheap, blocking);
criterion_main!(benches);
