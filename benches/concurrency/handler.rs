//! The handlers, and the servers that they are served by.

use std::net::SocketAddr;
use std::time::Duration;

use load_generator::Work;
use socketserver::{
    Builder, DatagramHandler, ForkingStyleUdpServer, HandlerError, RunningServer, SocketHandle,
    ThreadingUdpServer,
};

/// A kind of handler, and with how many workers it is worth a look.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What share of the datagrams has work, from 0 to 1.
    pub(crate) slow_share: f64,
    /// What work.
    pub(crate) work: Work,
    pub(crate) workers: [usize; 3],
}

/// All of them.
pub(crate) const KINDS: [Kind; 4] = [
    Kind {
        name: "cheap",
        slow_share: 0.0,
        work: Work::NONE,
        workers: [1, 2, 8],
    },
    Kind {
        name: "computes 20 µs",
        slow_share: 1.0,
        work: Work {
            compute: Duration::from_micros(20),
            ..Work::NONE
        },
        workers: [1, 2, 8],
    },
    Kind {
        name: "blocks 5 ms",
        slow_share: 1.0,
        work: Work {
            wait: Duration::from_millis(5),
            ..Work::NONE
        },
        workers: [4, 16, 64],
    },
    Kind {
        name: "1 % blocks 100 ms",
        slow_share: 0.01,
        work: Work {
            wait: Duration::from_millis(100),
            ..Work::NONE
        },
        workers: [4, 16, 64],
    },
];

/// Starts a server with so many workers.
pub(crate) type Start = fn(usize, Work) -> RunningServer;

/// Both servers.
pub(crate) const SERVERS: [(&str, Start); 2] =
    [("threading", threading), ("forking style", forking)];

fn threading(workers: usize, work: Work) -> RunningServer {
    guarded(workers, work, |builder| builder)
}

/// One with guards.
pub(crate) fn guarded(
    workers: usize,
    work: Work,
    guards: fn(Builder<ThreadingUdpServer>) -> Builder<ThreadingUdpServer>,
) -> RunningServer {
    guards(ThreadingUdpServer::builder().workers(workers))
        .bind("127.0.0.1:0", move || Upper::new(work))
        .expect("a free port on loopback")
        .spawn()
}

fn forking(workers: usize, work: Work) -> RunningServer {
    ForkingStyleUdpServer::builder()
        .max_children(workers)
        .bind("127.0.0.1:0", move || Upper::new(work))
        .expect("a free port on loopback")
        .spawn()
}

/// Works, and replies in upper case.
struct Upper {
    work: Work,
    reply: Vec<u8>,
}

impl Upper {
    fn new(work: Work) -> Self {
        let reply = Vec::new();
        Self { work, reply }
    }
}

impl DatagramHandler for Upper {
    fn handle(
        &mut self,
        bytes: &[u8],
        _addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.work.run(bytes);
        self.reply.clear();
        self.reply.extend_from_slice(bytes);
        self.reply.make_ascii_uppercase();
        Ok(socket.reply(&self.reply)?)
    }
}
