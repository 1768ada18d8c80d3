//! The servers in Rust. Each runs in a process of its own: this program again,
//! with a hidden argument. All do the same: ASCII to upper case, after the
//! scenario's [`Work`].

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{
    Builder, DatagramHandler, ForkingStyleUdpServer, HandlerError, SocketHandle, ThreadingUdpServer,
};

use crate::contestant::{POOL, RECEIVE_BUFFER};
use crate::guards;
use crate::work::Work;

type Served = Result<(), Box<dyn Error>>;

/// Serves as `name` says, until the process is ended; so it is when the process
/// that started it ends.
pub(crate) fn serve(name: &str, work: Work, rest: &[String]) -> Served {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    match name {
        "threading" => threading(|builder| builder, work),
        "threading-1" => threading(|builder| builder.workers(1), work),
        "threading-guarded" => threading(guards::all, work),
        "forking" => forking(work),
        "std-loop" => std_loop(work),
        "std-pool" => std_pool(work),
        "tokio-loop" => tokio_loop(work),
        "tokio-task" => tokio_task(work),
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
    work: Work,
    /// Kept between datagrams, so that a reply need not be allocated.
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
        self.work.work(bytes);
        self.reply.clear();
        self.reply.extend_from_slice(bytes);
        self.reply.make_ascii_uppercase();
        Ok(socket.reply(&self.reply)?)
    }
}

type Threading = Builder<ThreadingUdpServer>;

fn threading(knobs: impl FnOnce(Threading) -> Threading, work: Work) -> Served {
    let builder = ThreadingUdpServer::builder().receive_buffer(RECEIVE_BUFFER);
    let server = knobs(builder).bind("127.0.0.1:0", move || Upper::new(work))?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

fn forking(work: Work) -> Served {
    let server = ForkingStyleUdpServer::builder()
        .receive_buffer(RECEIVE_BUFFER)
        .bind("127.0.0.1:0", move || Upper::new(work))?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

/// What one writes first: receive, work, send.
fn std_loop(work: Work) -> Served {
    let socket = bind()?;
    let mut bytes = vec![0; LONGEST];
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        let bytes = &mut bytes[..len];
        work.work(bytes);
        bytes.make_ascii_uppercase();
        let _ = socket.send_to(bytes, peer);
    }
}

/// What one writes next: one thread receives, and a pool behind a channel works.
fn std_pool(work: Work) -> Served {
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
                work.work(&bytes);
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
fn tokio_loop(work: Work) -> Served {
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
            work_async(work, bytes).await;
            bytes.make_ascii_uppercase();
            let _ = socket.send_to(bytes, peer).await;
        }
    })
}

/// A task for each datagram, on a thread for each CPU.
fn tokio_task(work: Work) -> Served {
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
                work_async(work, &bytes).await;
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

/// [`Work::work`], but a task sleeps without keeping its thread.
async fn work_async(work: Work, bytes: &[u8]) {
    if !Work::is_for(bytes) {
        return;
    }
    if !work.block.is_zero() {
        tokio::time::sleep(work.block).await;
    }
    work.compute();
}

const LONGEST: usize = 65_535;
