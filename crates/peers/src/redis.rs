//! A Redis that is 0.7 ms away, and the client that handlers have.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a handler has: a connection of its own.
#[derive(Debug)]
pub(crate) struct Client(UnixStream);

impl Client {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        UnixStream::connect(socket).map(Self)
    }

    /// Asks, after the time that the way takes, and waits for the right answer.
    pub(crate) fn get(&mut self) -> io::Result<()> {
        thread::sleep(DISTANCE);
        self.ask(GET, GOT)
    }

    fn ask(&mut self, request: &[u8], expected: &[u8]) -> io::Result<()> {
        self.0.write_all(request)?;
        let mut answer = [0; GOT.len()];
        let answer = &mut answer[..expected.len()];
        self.0.read_exact(answer)?;
        match answer == expected {
            true => Ok(()),
            false => Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// The server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    /// It listens nowhere else.
    pub(crate) socket: PathBuf,
}

impl Redis {
    /// Starts it. Fails if `redis-server` is not installed.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = env::temp_dir().join(format!("peers-{}.redis", process::id()));
        // By way of this program, so that it ends with this one, however that ends.
        let child = Command::new(env::current_exe()?)
            .args(["--serve", "exec", "--", "redis-server", "--port", "0"])
            .args(["--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()?;
        let mut redis = Self { child, socket };
        redis.connect()?.ask(SET, b"+OK\r\n")?;
        Ok(redis)
    }

    /// Waits until it listens, or has ended.
    fn connect(&mut self) -> io::Result<Client> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match Client::connect(&self.socket) {
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

/// The time that requests and answers are on their way.
const DISTANCE: Duration = Duration::from_micros(700);
/// In the protocol of Redis: what is stored, asked for and answered.
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
const GOT: &[u8; 11] = b"$5\r\nvalue\r\n";
