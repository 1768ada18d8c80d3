//! The servers in Rust. Each runs in a process of its own: this program again,
//! with a hidden argument. All do the same work: ASCII to upper case, after
//! having blocked when the datagram begins with `w`.

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{
    DatagramHandler, ForkingStyleUdpServer, HandlerError, SocketHandle, ThreadingUdpServer,
};

/// The receive buffer every server asks for, so that none wins by it.
pub(crate) const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// As many threads as this crate's server starts at most, for those pools that
/// have to know beforehand.
const POOL: usize = 256;

type Served = Result<(), Box<dyn Error>>;

/// Serves as `name` says, until the process is ended; so it is when the process
/// that started it ends.
pub(crate) fn serve(name: &str, block: Duration, rest: &[String]) -> Served {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    match name {
        "threading" => threading(block),
        "forking" => forking(block),
        "std-loop" => std_loop(block),
        "std-pool" => std_pool(block),
        "tokio-loop" => tokio_loop(block),
        "tokio-task" => tokio_task(block),
        "exec" => exec(rest),
        _ => Err(format!("no server called {name}").into()),
    }
}

/// Becomes another program, which keeps the signal asked for above.
fn exec(command: &[String]) -> Served {
    let (program, args) = command.split_first().ok_or("no program to become")?;
    Err(Command::new(program).args(args).exec().into())
}

/// This crate's handler.
struct Upper {
    block: Duration,
    /// Kept between datagrams, so that a reply need not be allocated.
    reply: Vec<u8>,
}

impl Upper {
    fn new(block: Duration) -> Self {
        let reply = Vec::new();
        Self { block, reply }
    }
}

impl DatagramHandler for Upper {
    fn handle(
        &mut self,
        bytes: &[u8],
        _addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        if blocks(bytes) {
            thread::sleep(self.block);
        }
        self.reply.clear();
        self.reply.extend_from_slice(bytes);
        self.reply.make_ascii_uppercase();
        Ok(socket.reply(&self.reply)?)
    }
}

fn threading(block: Duration) -> Served {
    let server = ThreadingUdpServer::builder()
        .receive_buffer(RECEIVE_BUFFER)
        .bind("127.0.0.1:0", move || Upper::new(block))?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

fn forking(block: Duration) -> Served {
    let server = ForkingStyleUdpServer::builder()
        .receive_buffer(RECEIVE_BUFFER)
        .bind("127.0.0.1:0", move || Upper::new(block))?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

/// What one writes first: receive, work, send.
fn std_loop(block: Duration) -> Served {
    let socket = bind()?;
    let mut bytes = vec![0; LONGEST];
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        let bytes = &mut bytes[..len];
        if blocks(bytes) {
            thread::sleep(block);
        }
        bytes.make_ascii_uppercase();
        let _ = socket.send_to(bytes, peer);
    }
}

/// What one writes next: one thread receives, and a pool behind a channel works.
fn std_pool(block: Duration) -> Served {
    let socket = Arc::new(bind()?);
    let (jobs, queue) = mpsc::channel::<(Vec<u8>, SocketAddr)>();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..POOL {
        let (socket, queue) = (Arc::clone(&socket), Arc::clone(&queue));
        thread::spawn(move || {
            loop {
                let job = queue.lock().map(|queue| queue.recv());
                let Ok(Ok((mut bytes, peer))) = job else {
                    return;
                };
                if blocks(&bytes) {
                    thread::sleep(block);
                }
                bytes.make_ascii_uppercase();
                let _ = socket.send_to(&bytes, peer);
            }
        });
    }
    let mut bytes = vec![0; LONGEST];
    loop {
        if let Ok((len, peer)) = socket.recv_from(&mut bytes) {
            jobs.send((bytes[..len].to_vec(), peer))?;
        }
    }
}

/// The loop again, asynchronous: whatever it waits for, it waits for alone.
fn tokio_loop(block: Duration) -> Served {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = tokio_socket()?;
        let mut bytes = vec![0; LONGEST];
        loop {
            let Ok((len, peer)) = socket.recv_from(&mut bytes).await else {
                continue;
            };
            let bytes = &mut bytes[..len];
            if blocks(bytes) {
                tokio::time::sleep(block).await;
            }
            bytes.make_ascii_uppercase();
            let _ = socket.send_to(bytes, peer).await;
        }
    })
}

/// A task for each datagram, on a thread for each CPU.
fn tokio_task(block: Duration) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = Arc::new(tokio_socket()?);
        let mut bytes = vec![0; LONGEST];
        loop {
            let Ok((len, peer)) = socket.recv_from(&mut bytes).await else {
                continue;
            };
            let mut bytes = bytes[..len].to_vec();
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                if blocks(&bytes) {
                    tokio::time::sleep(block).await;
                }
                bytes.make_ascii_uppercase();
                let _ = socket.send_to(&bytes, peer).await;
            });
        }
    })
}

fn tokio_socket() -> io::Result<tokio::net::UdpSocket> {
    let socket = bind()?;
    socket.set_nonblocking(true)?;
    tokio::net::UdpSocket::from_std(socket)
}

/// A socket that has told its port.
fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    announce(socket.local_addr()?)?;
    Ok(socket)
}

fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", addr.port())?;
    stdout.flush()
}

/// Whether a handler is to block on this datagram.
fn blocks(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'w')
}

const LONGEST: usize = 65_535;
