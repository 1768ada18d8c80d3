//! Load: many datagrams in one system call, floods, and a clientele whose
//! waiting times are measured.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, MultiHeaders, recv, sendmmsg};
use socketserver::ServerHandle;

use crate::support::{Client, wait_until};

/// The most datagrams in one call.
pub(crate) const MOST: usize = 32;

/// A connected socket that sends many datagrams with one call.
pub(crate) struct Sender {
    pub(crate) socket: UdpSocket,
    headers: MultiHeaders<()>,
}

impl Sender {
    #[track_caller]
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::bound("127.0.0.1:0", server)
    }

    /// One elsewhere than on loopback.
    #[track_caller]
    pub(crate) fn bound(own: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).expect("a client's socket");
        socket.connect(server).expect("the server's address");
        Self {
            socket,
            headers: MultiHeaders::preallocate(MOST, None),
        }
    }

    /// Sends up to [`MOST`] datagrams; how many the kernel took: all of them,
    /// unless nobody listens there any more.
    pub(crate) fn send<D: AsRef<[u8]>>(&mut self, datagrams: &[D]) -> usize {
        let slices: Vec<_> = datagrams
            .iter()
            .map(|datagram| [IoSlice::new(datagram.as_ref())])
            .collect();
        let socket = self.socket.as_raw_fd();
        let flags = MsgFlags::empty();
        let mut sent = 0;
        while sent < slices.len() {
            let rest = &slices[sent..];
            match sendmmsg(socket, &mut self.headers, rest, [None; MOST], [], flags) {
                Ok(results) => sent += results.count(),
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        sent
    }
}

/// A thread that sends one datagram over and over until it is told to end.
pub(crate) struct Flood {
    ends: Arc<AtomicBool>,
    /// Returns how many datagrams were sent.
    thread: Option<JoinHandle<u64>>,
}

impl Flood {
    /// As fast as it can be.
    pub(crate) fn start(server: SocketAddr, datagram: &[u8]) -> Self {
        Self::with_pause(server, datagram, Duration::ZERO)
    }

    /// About `rate` datagrams per second.
    pub(crate) fn at_rate(server: SocketAddr, datagram: &[u8], rate: f64) -> Self {
        Self::with_pause(
            server,
            datagram,
            Duration::from_secs_f64(MOST as f64 / rate),
        )
    }

    /// [`MOST`] datagrams, then the next so much later.
    fn with_pause(server: SocketAddr, datagram: &[u8], pause: Duration) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let datagrams = vec![datagram.to_vec(); MOST];
        let thread = std::thread::spawn(move || {
            let mut sender = Sender::to(server);
            let mut sent = 0;
            let mut next = Instant::now();
            while !told.load(Relaxed) {
                sent += sender.send(&datagrams) as u64;
                next += pause;
                // The load's own pace.
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            sent
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }

    /// Ends it; how many datagrams it sent.
    pub(crate) fn end(mut self) -> u64 {
        self.ends.store(true, Relaxed);
        let thread = self.thread.take().expect("ended only once");
        thread.join().expect("a flood does not panic")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic would only hide that of the test.
            let _ = thread.join();
        }
    }
}

/// Many clients that send at a steady rate, whether they are answered or not.
pub(crate) struct Clientele {
    clients: Vec<UdpSocket>,
    epoll: Epoll,
}

impl Clientele {
    #[track_caller]
    pub(crate) fn of(server: SocketAddr, count: usize) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll");
        let clients: Vec<_> = (0..count)
            .map(|number| {
                let client = Sender::to(server).socket;
                client.set_nonblocking(true).expect("a flag");
                let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
                epoll.add(&client, event).expect("it is watched");
                client
            })
            .collect();
        Self { clients, epoll }
    }

    /// Sends for so long, `rate` datagrams per second in all, each with the
    /// moment in it, to a server that sends them back. Returns how long each
    /// reply took, sorted; fails if one is missing.
    #[track_caller]
    pub(crate) fn measure(&self, rate: u64, time: Duration) -> Vec<Duration> {
        let total = (time.as_secs_f64() * rate as f64) as usize;
        let began = Instant::now();
        let due = |number: usize| Duration::from_micros(number as u64 * 1_000_000 / rate);
        let mut waits = Vec::with_capacity(total);
        let mut sent = 0;
        while waits.len() < total {
            while sent < total && due(sent) <= began.elapsed() {
                let now = began.elapsed().as_nanos() as u64;
                let client = &self.clients[sent % self.clients.len()];
                client.send(&now.to_be_bytes()).expect("it is sent");
                sent += 1;
            }
            let patience = began.elapsed() < time + LAST_REPLY;
            assert!(patience, "{} of {total} replies came", waits.len());
            self.receive(began, &mut waits);
        }
        waits.sort_unstable();
        waits
    }

    /// Takes in what comes within a millisecond.
    fn receive(&self, began: Instant, waits: &mut Vec<Duration>) {
        let mut events = [EpollEvent::empty(); 64];
        let ready = self.epoll.wait(&mut events, 1_u16).expect("a wait");
        for event in &events[..ready] {
            let mut reply = [0; 8];
            while let Ok(len) = self.clients[event.data() as usize].recv(&mut reply) {
                assert_eq!(len, reply.len(), "a reply is what was sent");
                let asked = Duration::from_nanos(u64::from_be_bytes(reply));
                waits.push(began.elapsed().saturating_sub(asked));
            }
        }
    }
}

/// Takes a reply if there is one.
pub(crate) fn has_reply(client: &Client) -> bool {
    let mut buffer = [0; 64];
    recv(
        client.as_fd().as_raw_fd(),
        &mut buffer,
        MsgFlags::MSG_DONTWAIT,
    )
    .is_ok()
}

/// The value that so many per cent of sorted ones do not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Waits until each of these datagrams was dealt with or dropped by the kernel.
#[track_caller]
pub(crate) fn wait_until_accounted(server: &ServerHandle, sent: u64) {
    let softnet = softnet_drops();
    let accounted = || {
        let stats = server.stats();
        stats.settled() + stats.kernel_drops.expect("Linux tells")
    };
    wait_until(
        format_args!("{sent} datagrams are accounted for, before the socket {softnet} were lost"),
        || accounted() == sent,
    );
}

/// Packets that the system as a whole dropped before any socket saw them.
pub(crate) fn softnet_drops() -> u64 {
    let table = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let dropped = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    dropped
        .filter_map(|count| u64::from_str_radix(count, 16).ok())
        .sum()
}

/// For the last reply, after all was sent.
const LAST_REPLY: Duration = Duration::from_secs(10);
