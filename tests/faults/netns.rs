//! Networks of their own: a thread in a fresh network namespace, which sockets
//! made on that thread belong to. It has no name and leaves nothing behind: it
//! vanishes with its thread and the last socket.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use crate::support::wait_until;

/// A network namespace with its loopback up, and the thread that lives in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// `None` once the thread is told to end.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    path: String,
}

type Order = Box<dyn FnOnce() + Send>;

impl Namespace {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let (orders, inbox) = mpsc::channel::<Order>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
            let (process, thread) = (std::process::id(), nix::unistd::gettid());
            tell.send(format!("/proc/{process}/task/{thread}/ns/net"))
                .expect("somebody waits for it");
            inbox.iter().for_each(|order| order());
        });
        let path = told.recv().expect("a network namespace");
        let namespace = Self {
            orders: Some(orders),
            thread: Some(thread),
            path,
        };
        namespace.ip("link set lo up");
        namespace
    }

    /// Two of them, joined by a link called `veth`: 10.0.0.1/24 and fd00::1/64
    /// in the first, 10.0.0.2/24 and fd00::2/64 in the second.
    #[track_caller]
    pub(crate) fn pair() -> (Self, Self) {
        let (one, two) = (Self::new(), Self::new());
        one.join(&two, "veth");
        for (namespace, host) in [(&one, 1), (&two, 2)] {
            namespace.ip(&format!("address add 10.0.0.{host}/24 brd + dev veth"));
            namespace.add_v6("veth", &format!("fd00::{host}/64"));
        }
        (one, two)
    }

    /// Makes a link to `other`, called so on both ends, where this end is
    /// fe80::1/64 and the other fe80::2/64.
    #[track_caller]
    pub(crate) fn join(&self, other: &Self, link: &'static str) {
        let peer = format!("peer name {link} netns {}", other.path);
        self.ip(&format!("link add {link} type veth {peer}"));
        for (namespace, host) in [(self, 1), (other, 2)] {
            namespace.ip(&format!("link set {link} addrgenmode none"));
            namespace.ip(&format!("link set {link} up"));
            namespace.add_v6(link, &format!("fe80::{host}/64"));
        }
    }

    /// Adds an IPv6 address, and waits until the host hears by it: the kernel
    /// sets it up later, on a thread of its own.
    #[track_caller]
    pub(crate) fn add_v6(&self, link: &'static str, address: &str) {
        self.ip(&format!("address add {address} dev {link} nodad"));
        let (ip, _) = address.split_once('/').expect("an address and its prefix");
        let ip: Ipv6Addr = ip.parse().expect("an address");
        self.run(move || {
            let scope = match ip.is_unicast_link_local() {
                true => if_nametoindex(link).expect("the link is there"),
                false => 0,
            };
            wait_until("the address is heard by", || {
                hears_itself(SocketAddrV6::new(ip, 0, 0, scope)).unwrap_or(false)
            });
        });
    }

    /// Runs this in the namespace: sockets and threads made by it stay there.
    /// A panic passes through.
    #[track_caller]
    pub(crate) fn run<T, F>(&self, f: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (tell, told) = mpsc::sync_channel(1);
        let order = move || {
            // Nobody is there to hear it if the caller has panicked meanwhile.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(f)));
        };
        let orders = self.orders.as_ref().expect("the thread is there");
        orders.send(Box::new(order)).expect("the thread listens");
        match told.recv().expect("the thread answers") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// `ip` with these arguments, in the namespace.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) {
        self.command("ip", arguments);
    }

    /// Sets what `/proc/sys/net` has under this name, in the namespace.
    #[track_caller]
    pub(crate) fn set(&self, name: &str, value: &'static str) {
        let path = format!("/proc/sys/net/{name}");
        let written = self.run({
            let path = path.clone();
            move || std::fs::write(path, value)
        });
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Any program with these arguments, in the namespace. Returns what it said.
    #[track_caller]
    pub(crate) fn command(&self, program: &str, arguments: &str) -> String {
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        self.output_of(command)
    }

    /// Runs a program in the namespace to its end. Returns what it said.
    #[track_caller]
    pub(crate) fn output_of(&self, mut command: Command) -> String {
        let shown = format!("{command:?}");
        let output = self.run(move || command.stdin(Stdio::null()).output());
        let output = output.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert!(
            output.status.success(),
            "{shown}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Pieces into which this host has split packets so far, of both IP versions.
    #[track_caller]
    pub(crate) fn fragments_made(&self) -> u64 {
        let v6 = self.read("snmp6");
        let v6 = v6
            .lines()
            .find_map(|line| line.strip_prefix("Ip6FragCreates"));
        let v6 = v6.and_then(|text| text.trim().parse::<u64>().ok());
        self.counter("Ip", "FragCreates") + v6.expect("a counter")
    }

    /// What the kernel has counted here for IPv4: snmp(5) has the names.
    #[track_caller]
    pub(crate) fn counter(&self, protocol: &str, name: &str) -> u64 {
        let text = self.read("snmp");
        // A line of names, and below it one of values.
        let of_protocol = |line: &&str| line.split(':').next() == Some(protocol);
        let mut lines = text.lines().filter(of_protocol);
        let (names, values) = lines.next().zip(lines.next()).expect("two lines");
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        let found = pairs.find(|pair| pair.0 == name);
        let value = found.and_then(|(_, value)| value.parse().ok());
        value.unwrap_or_else(|| panic!("no counter {protocol} {name} in {text}"))
    }

    /// A file of the namespace's own `/proc/net`.
    #[track_caller]
    fn read(&self, file: &str) -> String {
        // The thread's own view; `/proc/net` is that of the first thread.
        let path = format!("/proc/thread-self/net/{file}");
        self.run(|| std::fs::read_to_string(path).expect("proc is mounted"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.orders = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        let ended = thread.join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the thread of a namespace panicked"
        );
    }
}

/// Whether a datagram to this address comes back to the same host.
fn hears_itself(addr: SocketAddrV6) -> io::Result<bool> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    socket.send_to(b"hear me", socket.local_addr()?)?;
    Ok(socket.recv(&mut [0; 16])? > 0)
}
