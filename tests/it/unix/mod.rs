//! Unix datagram sockets: what differs from UDP, and that the rest does not.
//!
//! | module | subject |
//! |---|---|
//! | `sends` | what is sent, and what is not |
//! | `files` | paths, names and files: who makes them and who removes them |
//! | `datagrams` | what a handler is shown, in which order, and what becomes of it |
//! | `programs` | clients in other languages |

mod datagrams;
mod files;
mod programs;
mod sends;

use std::ops::Deref;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use socketserver::unix::UnixAddr;
use socketserver::{
    Builder, HandlerError, RunningServer, ServerHandle, ShutdownReport, SocketHandle,
    ThreadingUnixDatagramServer,
};

use crate::support::{DEADLINE, assert_conserved, wait_until};

type UnixBuilder = Builder<ThreadingUnixDatagramServer, UnixAddr>;

fn builder() -> UnixBuilder {
    // Handlers that are meant to fail do so in silence.
    ThreadingUnixDatagramServer::builder().stderr_errors(false)
}

fn echo(bytes: &[u8], _: UnixAddr, socket: &SocketHandle<UnixAddr>) -> Result<(), HandlerError> {
    Ok(socket.reply(bytes)?)
}

/// A folder of its own for the sockets of one test, removed when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("unix-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a folder for sockets");
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where servers are bound.
    fn server(&self) -> PathBuf {
        self.join("server")
    }

    /// A client with a name, which loses patience after a few seconds.
    #[track_caller]
    fn client(&self, name: &str) -> Client {
        Client::at(self.join(name), self.server())
    }

    /// A client without a name.
    #[track_caller]
    fn unnamed(&self) -> Client {
        let socket = UnixDatagram::unbound().expect("a client's socket");
        Client::on(socket, self.server())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Client {
    socket: UnixDatagram,
    server: PathBuf,
}

impl Client {
    #[track_caller]
    fn at(own: impl AsRef<Path>, server: PathBuf) -> Self {
        let socket = UnixDatagram::bind(own).expect("a client's socket");
        Self::on(socket, server)
    }

    #[track_caller]
    fn on(socket: UnixDatagram, server: PathBuf) -> Self {
        let patience = Some(DEADLINE / 2);
        socket.set_read_timeout(patience).expect("a timeout");
        socket.set_write_timeout(patience).expect("a timeout");
        Self { socket, server }
    }

    fn addr(&self) -> UnixAddr {
        UnixAddr::from(&self.socket.local_addr().expect("a socket"))
    }

    #[track_caller]
    fn send(&self, bytes: &[u8]) {
        let sent = self.socket.send_to(bytes, &self.server);
        assert_eq!(sent.expect("the server receives"), bytes.len());
    }

    #[track_caller]
    fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 300_000];
        let len = self.socket.recv(&mut bytes).expect("a reply in time");
        bytes.truncate(len);
        bytes
    }

    #[track_caller]
    fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        self.receive()
    }

    /// Nothing waits: all that was sent before is settled.
    #[track_caller]
    fn expect_nothing(&self) {
        self.socket.set_nonblocking(true).expect("a flag");
        let received = self.socket.recv(&mut [0; 16]);
        self.socket.set_nonblocking(false).expect("a flag");
        let error = received.expect_err("nothing was sent here");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}

/// A server on a thread of its own, stopped, joined and looked over when it is dropped.
#[derive(Debug)]
struct TestServer(Option<RunningServer<UnixAddr>>);

impl TestServer {
    fn spawn(server: ThreadingUnixDatagramServer) -> Self {
        Self(Some(server.spawn()))
    }

    #[track_caller]
    fn stop(mut self) -> ShutdownReport {
        let running = self.0.take().expect("stopped only once");
        let report = running.stop().expect("the server ends in order");
        assert_conserved(&report.stats);
        report
    }

    #[track_caller]
    fn wait_until_settled(&self, count: u64) {
        wait_until("the datagrams are settled", || {
            self.stats().settled() >= count
        });
    }
}

impl Deref for TestServer {
    type Target = ServerHandle<UnixAddr>;

    fn deref(&self) -> &ServerHandle<UnixAddr> {
        self.0.as_ref().expect("not stopped yet")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let Some(running) = self.0.take() else {
            return;
        };
        if std::thread::panicking() {
            drop(running);
            return;
        }
        let report = running.stop().expect("the server ends in order");
        assert_conserved(&report.stats);
    }
}

/// Options that end in a server which serves at the usual place.
trait Serving {
    #[track_caller]
    fn serving<F>(self, folder: &Folder, f: F) -> TestServer
    where
        F: Fn(&[u8], UnixAddr, &SocketHandle<UnixAddr>) -> Result<(), HandlerError>
            + Send
            + Sync
            + 'static;
}

impl Serving for UnixBuilder {
    fn serving<F>(self, folder: &Folder, f: F) -> TestServer
    where
        F: Fn(&[u8], UnixAddr, &SocketHandle<UnixAddr>) -> Result<(), HandlerError>
            + Send
            + Sync
            + 'static,
    {
        TestServer::spawn(self.bind_fn(folder.server(), f).expect("bound"))
    }
}
