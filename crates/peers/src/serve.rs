//! The servers in Rust. Each runs in a process of its own: this program again,
//! with a hidden argument. All do the same: what the scenario says, then ASCII
//! to upper case.

use std::error::Error;
use std::io::{self, IoSliceMut, Write};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use load_generator::Work;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt, sockopt};
use socketserver::{
    AmplificationLimit, Builder, DatagramHandler, ForkingStyleUdpServer, HandlerError, Isolation,
    RateLimit, ReplyLoops, SocketHandle, ThreadingUdpServer, poll_once,
};

use crate::contestant::{POOL, RECEIVE_BUFFER};
use crate::options::Options;
use crate::redis;

type Served = Result<(), Box<dyn Error>>;

/// What handlers do, and the port of the Redis that they ask, if any.
type Job = (Work, Option<u16>);

/// Serves as `name` says, until the process is ended; so it is when the process
/// that started it ends.
pub(crate) fn serve(name: &str, options: Options) -> Served {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let work = options.work();
    let job = (work, options.redis);
    match name {
        "ours" => threading(|builder| builder, job),
        "ours-1" => threading(|builder| builder.workers(1), job),
        "ours-guarded" => threading(guarded, job),
        "ours-forking" => forking(|builder| builder, job),
        "ours-processes" => forking(processes, job),
        "ours-processes-1" => forking(|b| processes(b).max_requests_per_child(1), job),
        "std-loop" => std_threads(1, job),
        "std-pool" => std_pool(job),
        "std-threads" => std_threads(POOL, job),
        "mmsg-pool" => mmsg_pool(job),
        "ours-async" => ours_async(work),
        "tokio-task" => tokio_task(work),
        "exec" => exec(&options.command),
        _ => Err(format!("no server called {name}").into()),
    }
}

/// Becomes another program, which keeps the signal asked for above.
fn exec(command: &[String]) -> Served {
    let (program, args) = command.split_first().ok_or("no program to become")?;
    Err(Command::new(program).args(args).exec().into())
}

/// One handler: there is one for each thread.
struct Upper {
    job: Job,
    redis: Option<redis::Client>,
    /// Kept between datagrams, so that a reply need not be allocated.
    reply: Vec<u8>,
}

impl Upper {
    fn new(job: Job) -> Self {
        let (redis, reply) = (None, Vec::new());
        Self { job, redis, reply }
    }

    /// What precedes the reply.
    fn work(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (work, redis) = self.job;
        work.run(bytes);
        let Some(port) = redis.filter(|_| Work::is_for(bytes)) else {
            return Ok(());
        };
        match &mut self.redis {
            Some(client) => client.get(),
            none => none.insert(redis::Client::connect(port)?).get(),
        }
    }

    /// Works, and turns the datagram into its reply.
    fn answer(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.work(bytes)?;
        bytes.make_ascii_uppercase();
        Ok(())
    }
}

impl DatagramHandler for Upper {
    fn handle(
        &mut self,
        bytes: &[u8],
        _addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.work(bytes)?;
        self.reply.clear();
        self.reply.extend_from_slice(bytes);
        self.reply.make_ascii_uppercase();
        Ok(socket.reply(&self.reply)?)
    }
}

type Threading = Builder<ThreadingUdpServer>;

fn threading(options: impl FnOnce(Threading) -> Threading, job: Job) -> Served {
    let builder = ThreadingUdpServer::builder().receive_buffer(RECEIVE_BUFFER);
    let server = options(builder).bind("127.0.0.1:0", move || Upper::new(job))?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

/// Every guard there is. None refuses or withholds anything of this load.
fn guarded(builder: Threading) -> Threading {
    builder
        .refuse_responder_ports(true)
        .deny_networks(["192.0.2.0/24", "2001:db8::/32"])
        .break_reply_loops(ReplyLoops::new())
        .rate_limit(RateLimit::per_second(1_000_000))
        .amplification_limit(AmplificationLimit::new())
}

/// As many processes as there are by default.
const CHILDREN: usize = 40;

type Forking = Builder<ForkingStyleUdpServer>;

fn processes(builder: Forking) -> Forking {
    builder.isolation(Isolation::Process).max_children(CHILDREN)
}

fn forking(options: impl FnOnce(Forking) -> Forking, job: Job) -> Served {
    let builder = ForkingStyleUdpServer::builder()
        .receive_buffer(RECEIVE_BUFFER)
        .max_children(POOL);
    let server = options(builder).bind("127.0.0.1:0", move || Upper::new(job))?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

/// What one writes first, receive, work, send, or next: the same in many threads.
fn std_threads(count: usize, job: Job) -> Served {
    let socket = Arc::new(bind()?);
    for _ in 1..count {
        let socket = Arc::clone(&socket);
        thread::spawn(move || receive_and_reply(&socket, job).map_err(drop));
    }
    receive_and_reply(&socket, job)
}

fn receive_and_reply(socket: &UdpSocket, job: Job) -> Served {
    let (mut handler, mut bytes) = (Upper::new(job), vec![0; LONGEST]);
    loop {
        if let Ok((len, peer)) = socket.recv_from(&mut bytes) {
            let bytes = &mut bytes[..len];
            handler.answer(bytes)?;
            let _ = socket.send_to(bytes, peer);
        }
    }
}

/// Or this: one thread receives, and a pool behind a channel works.
fn std_pool(job: Job) -> Served {
    let socket = Arc::new(bind()?);
    let (jobs, queue) = mpsc::channel::<(Vec<u8>, SocketAddr)>();
    let queue = Arc::new(Mutex::new(queue));
    pool(&socket, job, move || queue.lock().ok()?.recv().ok());
    let mut bytes = vec![0; LONGEST];
    loop {
        if let Ok((len, peer)) = socket.recv_from(&mut bytes) {
            jobs.send((bytes[..len].to_vec(), peer))?;
        }
    }
}

/// The pool again, but many datagrams are received in one call, and the channel
/// is made for many receivers.
fn mmsg_pool(job: Job) -> Served {
    let socket = Arc::new(bind()?);
    let (jobs, queue) = crossbeam_channel::unbounded::<(Vec<u8>, SocketAddr)>();
    pool(&socket, job, move || queue.recv().ok());
    let mut bytes = vec![0; LONGEST * BATCH];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    loop {
        let places = bytes.chunks_exact_mut(LONGEST);
        let mut slices: Vec<_> = places.map(|place| [IoSliceMut::new(place)]).collect();
        let fd = socket.as_raw_fd();
        let Ok(received) = recvmmsg(
            fd,
            &mut headers,
            &mut slices,
            MsgFlags::MSG_WAITFORONE,
            None,
        ) else {
            continue;
        };
        let received: Vec<_> = received.map(|one| (one.address, one.bytes)).collect();
        for (place, (peer, len)) in bytes.chunks_exact(LONGEST).zip(received) {
            if let Some(peer) = peer {
                jobs.send((place[..len].to_vec(), SocketAddrV4::from(peer).into()))?;
            }
        }
    }
}

/// Starts the threads of a pool.
fn pool<Next>(socket: &Arc<UdpSocket>, job: Job, next: Next)
where
    Next: Fn() -> Option<(Vec<u8>, SocketAddr)> + Clone + Send + 'static,
{
    for _ in 0..POOL {
        let (socket, next, mut handler) = (Arc::clone(socket), next.clone(), Upper::new(job));
        thread::spawn(move || {
            while let Some((mut bytes, peer)) = next() {
                if handler.answer(&mut bytes).is_ok() {
                    let _ = socket.send_to(&bytes, peer);
                }
            }
        });
    }
}

/// A task for each datagram, on a thread for each CPU.
fn tokio_task(work: Work) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = bind()?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
        let mut bytes = vec![0; LONGEST];
        loop {
            if let Ok((len, peer)) = socket.recv_from(&mut bytes).await {
                let (mut bytes, socket) = (bytes[..len].to_vec(), Arc::clone(&socket));
                tokio::spawn(async move {
                    work_async(work, &mut bytes).await;
                    let _ = socket.send_to(&bytes, peer).await;
                });
            }
        }
    })
}

/// Handlers that await: each defers its answer to a task on the same runtime.
fn ours_async(work: Work) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let tasks = runtime.handle().clone();
    let server = ThreadingUdpServer::builder()
        .receive_buffer(RECEIVE_BUFFER)
        .bind_fn("127.0.0.1:0", move |bytes, _, socket| {
            let (answer, mut bytes) = (socket.defer()?, bytes.to_vec());
            let _context = tasks.enter();
            let task = poll_once(async move {
                work_async(work, &mut bytes).await;
                answer.reply(&bytes)
            });
            task.map(|task| tasks.spawn(task));
            Ok(())
        })?;
    announce(server.local_addr())?;
    server.serve_forever()?;
    Ok(())
}

/// As [`Upper::answer`], but a task sleeps without keeping its thread.
async fn work_async(work: Work, bytes: &mut [u8]) {
    if Work::is_for(bytes) {
        if !work.wait.is_zero() {
            tokio::time::sleep(work.wait).await;
        }
        work.compute();
    }
    bytes.make_ascii_uppercase();
}

/// A socket that has told its port.
fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    announce(socket.local_addr()?)?;
    Ok(socket)
}

/// Tells the process that started this one where it listens.
fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", addr.port())?;
    stdout.flush()
}

const LONGEST: usize = 65_535;
/// As this crate's and the C loop's.
const BATCH: usize = 32;
