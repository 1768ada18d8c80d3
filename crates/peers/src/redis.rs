//! A Redis that is 0.7 ms away: `redis-server`, a proxy that delays each request
//! on its way there, and the client that handlers have.

use std::collections::{HashMap, VecDeque};
use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// What a handler has: a connection of its own.
#[derive(Debug)]
pub(crate) struct Client(TcpStream);

impl Client {
    /// To the proxy.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Asks, and waits for the right answer.
    pub(crate) fn get(&mut self) -> io::Result<()> {
        self.0.write_all(GET)?;
        let mut answer = [0; GOT.len()];
        self.0.read_exact(&mut answer)?;
        if answer != *GOT {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "not what was stored",
            ));
        }
        Ok(())
    }
}

/// The server and the proxy; dropping it ends the server.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    /// The server's, which listens nowhere else.
    socket: PathBuf,
    /// The proxy's.
    pub(crate) port: u16,
}

impl Redis {
    /// Starts both. Fails if `redis-server` is not installed.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = env::temp_dir().join(format!("peers-{}.redis", process::id()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        // By way of this program, so that it ends with this one, however that ends.
        let child = Command::new(env::current_exe()?)
            .args(["--serve", "exec", "--", "redis-server", "--port", "0"])
            .args(["--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut redis = Self {
            child,
            socket,
            port,
        };
        let mut stream = redis.connect()?;
        stream.write_all(SET)?;
        stream.read_exact(&mut [0; b"+OK\r\n".len()])?;
        let mut proxy = Proxy::new(listener, stream)?;
        thread::spawn(move || proxy.run());
        Ok(redis)
    }

    /// Waits until it listens, or has ended.
    fn connect(&mut self) -> io::Result<UnixStream> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match UnixStream::connect(&self.socket) {
                Err(error) if self.child.try_wait()?.is_some() || Instant::now() > deadline => {
                    return Err(error);
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
                connected => return connected,
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Gives each request to the server [`DELAY`] later, all over one connection,
/// on which answers come in the order of the requests.
struct Proxy {
    epoll: Epoll,
    timer: TimerFd,
    listener: TcpListener,
    server: UnixStream,
    clients: HashMap<u64, TcpStream>,
    /// Counts up.
    next_client: u64,
    /// On their way: when each arrives, and whose it is.
    requests: VecDeque<(Instant, u64, Vec<u8>)>,
    /// Who waits for an answer.
    asked: VecDeque<u64>,
    /// The beginning of an answer.
    answers: Vec<u8>,
}

impl Proxy {
    fn new(listener: TcpListener, server: UnixStream) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(&server, EpollEvent::new(EpollFlags::EPOLLIN, SERVER))?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self {
            epoll,
            timer,
            listener,
            server,
            clients: HashMap::new(),
            next_client: TIMER + 1,
            requests: VecDeque::new(),
            asked: VecDeque::new(),
            answers: Vec::new(),
        })
    }

    /// Until the server is gone.
    fn run(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let ready = self.epoll.wait(&mut events, EpollTimeout::NONE)?;
            for event in &events[..ready] {
                match event.data() {
                    LISTENER => self.accept()?,
                    SERVER => self.answer()?,
                    TIMER => self.timer.wait()?,
                    client => self.request(client),
                }
            }
            self.deliver()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let (client, _) = self.listener.accept()?;
        client.set_nodelay(true)?;
        let id = self.next_client;
        self.next_client += 1;
        self.epoll
            .add(&client, EpollEvent::new(EpollFlags::EPOLLIN, id))?;
        self.clients.insert(id, client);
        Ok(())
    }

    /// A client writes a request at once, and then waits: what is read is one.
    fn request(&mut self, id: u64) {
        let mut bytes = [0; 256];
        let read = self
            .clients
            .get_mut(&id)
            .map(|client| client.read(&mut bytes));
        match read {
            Some(Ok(len @ 1..)) => {
                let due = Instant::now() + DELAY;
                self.requests.push_back((due, id, bytes[..len].to_vec()));
            }
            _ => drop(self.clients.remove(&id)),
        }
    }

    /// Gives the server what has been on its way for long enough.
    fn deliver(&mut self) -> io::Result<()> {
        let (now, mut bytes) = (Instant::now(), Vec::new());
        while let Some((_, id, request)) = self.requests.pop_front_if(|(due, ..)| *due <= now) {
            bytes.extend_from_slice(&request);
            self.asked.push_back(id);
        }
        self.server.write_all(&bytes)?;
        if let Some((due, ..)) = self.requests.front() {
            let expiration = Expiration::OneShot(TimeSpec::from_duration(*due - now));
            self.timer.set(expiration, TimerSetTimeFlags::empty())?;
        }
        Ok(())
    }

    /// Gives answers to those who asked.
    fn answer(&mut self) -> io::Result<()> {
        let mut bytes = [0; 65_536];
        let len = self.server.read(&mut bytes)?;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.answers.extend_from_slice(&bytes[..len]);
        let whole = self.answers.len() / GOT.len() * GOT.len();
        for answer in self.answers[..whole].chunks_exact(GOT.len()) {
            let id = self.asked.pop_front();
            if let Some(client) = id.and_then(|id| self.clients.get_mut(&id)) {
                // Who is gone is noticed when it is read from.
                let _ = client.write_all(answer);
            }
        }
        self.answers.drain(..whole);
        Ok(())
    }
}

/// Of a request on its way.
const DELAY: Duration = Duration::from_micros(700);
/// In the protocol of Redis: what is stored, asked for and answered.
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
const GOT: &[u8; 11] = b"$5\r\nvalue\r\n";
/// Events that are no client's.
const LISTENER: u64 = 0;
const SERVER: u64 = 1;
const TIMER: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// What `redis-server` does, for as many requests as there are bytes for.
    fn stand_in(mut server: UnixStream) {
        let mut request = [0; GET.len()];
        while server.read_exact(&mut request).is_ok() && request == *GET {
            server.write_all(GOT).expect("the proxy reads");
        }
    }

    #[test]
    fn each_request_is_answered_and_none_too_early() {
        let (server, proxys) = UnixStream::pair().expect("a pair of sockets");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let mut proxy = Proxy::new(listener, proxys).expect("descriptors");
        thread::spawn(move || stand_in(server));
        thread::spawn(move || proxy.run());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = Client::connect(port).expect("the proxy listens");
                    for _ in 0..20 {
                        let start = Instant::now();
                        client.get().expect("the right answer");
                        assert!(start.elapsed() >= DELAY);
                    }
                });
            }
        });
    }
}
