//! Handlers without sockets, for the tests of programs. Needs the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! socketserver = { version = "*", features = ["testing"] }
//! ```
//!
//! A [`Bench`] gives a handler bytes from a peer and returns the handler's result
//! with all that was sent. There is no socket and no thread, and time passes when the
//! test says so; what runs in between is the code that a server runs.
//!
//! # Examples
//! ```
//! use socketserver::testing::Bench;
//! use socketserver::{DatagramHandler, HandlerError, SocketHandle};
//! use std::net::SocketAddr;
//!
//! #[derive(Default)]
//! struct Room {
//!     members: Vec<SocketAddr>,
//! }
//!
//! impl DatagramHandler for Room {
//!     fn handle(
//!         &mut self,
//!         bytes: &[u8],
//!         addr: SocketAddr,
//!         socket: &SocketHandle,
//!     ) -> Result<(), HandlerError> {
//!         if bytes == b"join" {
//!             self.members.push(addr);
//!             return Ok(socket.reply(b"welcome")?);
//!         }
//!         for member in self.members.iter().filter(|member| **member != addr) {
//!             socket.send_to(bytes, *member)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut bench = Bench::new(Room::default());
//! assert_eq!(bench.from("192.0.2.1:1111").handle("join").reply(), b"welcome");
//! assert_eq!(bench.from("192.0.2.2:2222").handle("join").reply(), b"welcome");
//!
//! let outcome = bench.handle("hello");
//! assert!(outcome.result.is_ok());
//! assert_eq!(outcome.sent.len(), 1, "to all others");
//! assert_eq!(outcome.sent[0].bytes, b"hello");
//! assert_eq!(outcome.sent[0].to, "192.0.2.1:1111".parse().unwrap());
//! assert_eq!(bench.handler().members.len(), 2);
//! ```

mod arrival;
mod outcome;

pub use outcome::{Outcome, Sent};

use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::engine::{Engine, Recorder};
use crate::guard::{Keys, Timeline, ValidatedPeers};
use crate::handler::{DatagramHandler, HandlerError};
use crate::server::{Reach, ServerHandle};
use crate::socket_handle::{FailureSink, InServer, SocketHandle};
use crate::stats::Fate;
use arrival::Arrival;

/// Runs one handler instance on bytes from any peer, and keeps what is sent.
///
/// All of [`SocketHandle`] works, with what it gives away: detached handles,
/// [`server()`](SocketHandle::server), its sends and its timers. Guards and hooks
/// belong to a server and are not asked. The server says that it is bound to
/// `[::]:4000`, reaches both families, and joins no groups ([`ChangeError::Closed`](crate::ChangeError::Closed)).
///
/// `setup` is called before the first datagram, and again before the next one if it
/// failed; `finish` by [`finish`](Self::finish) alone. A panic of the handler is the
/// test's.
///
/// # Examples
/// ```
/// use socketserver::testing::Bench;
///
/// let mut bench = Bench::from_fn(|bytes, _, socket| {
///     Ok(socket.reply(&bytes.to_ascii_uppercase())?)
/// });
/// assert_eq!(bench.handle("hello").reply(), b"HELLO");
/// ```
#[derive(Debug)]
pub struct Bench<H> {
    handler: H,
    is_set_up: bool,
    arrival: Arrival,
    socket: SocketHandle,
    recorder: Arc<Recorder>,
    /// Sent between two datagrams.
    between: Vec<Sent>,
    /// Last: what the others still send finds it open.
    open: Open,
}

/// Nobody hears of answers that fail later.
struct Unheard;

impl FailureSink<SocketAddr> for Unheard {
    fn failed(&self, _: &SocketAddr, _: usize, _: HandlerError) {}
}

/// Closes the engine when it is dropped.
#[derive(Debug)]
struct Open(Arc<Engine>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.leave_bench();
    }
}

impl<F> Bench<F>
where
    F: FnMut(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>,
{
    /// A bench for a closure.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
    /// assert_eq!(bench.handle("hello").reply(), b"hello");
    /// ```
    pub fn from_fn(f: F) -> Self {
        Self::new(f)
    }
}

impl<H: DatagramHandler> Bench<H> {
    /// A bench for this handler. Until [`from`](Self::from) says otherwise, datagrams
    /// come from `192.0.2.1:50000`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DatagramHandler, HandlerError, SocketHandle, testing::Bench};
    /// # use std::net::SocketAddr;
    /// struct Echo;
    ///
    /// impl DatagramHandler for Echo {
    ///     fn handle(
    ///         &mut self,
    ///         bytes: &[u8],
    ///         _addr: SocketAddr,
    ///         socket: &SocketHandle,
    ///     ) -> Result<(), HandlerError> {
    ///         Ok(socket.reply(bytes)?)
    ///     }
    /// }
    ///
    /// assert_eq!(Bench::new(Echo).handle("hello").reply(), b"hello");
    /// ```
    pub fn new(handler: H) -> Self {
        let recorder = Arc::new(Recorder::default());
        let engine = Arc::new(Engine::on_bench(BOUND, &recorder));
        // The same tokens in each run: a test has no secrets.
        let keys = Keys::new([0; Keys::BYTES]);
        let timeline = Timeline::new(Instant::now());
        let proofs = ValidatedPeers::new(&keys, timeline, Default::default());
        let proofs = Arc::new(proofs);
        let server = InServer {
            engine: Arc::clone(&engine),
            reach: Reach::on_bench(&engine, &proofs),
            proofs,
        };
        Self {
            handler,
            is_set_up: false,
            arrival: Arrival::new(),
            socket: SocketHandle::new(
                Arc::clone(engine.bench_outbox()),
                server,
                Weak::<Unheard>::new(),
            ),
            recorder,
            between: Vec::new(),
            open: Open(engine),
        }
    }

    /// From now on, datagrams come from this peer.
    ///
    /// # Panics
    /// If that is no address and port.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|_, addr, socket| {
    ///     Ok(socket.reply(addr.to_string().as_bytes())?)
    /// });
    /// assert_eq!(bench.from("[2001:db8::7]:7000").handle("").reply(), b"[2001:db8::7]:7000");
    /// assert_eq!(bench.handle("").reply(), b"[2001:db8::7]:7000");
    /// ```
    #[track_caller]
    pub fn from(&mut self, peer: impl ToSocketAddrs + Debug) -> &mut Self {
        let first = peer.to_socket_addrs().ok().and_then(|mut all| all.next());
        self.arrival.peer = first.unwrap_or_else(|| panic!("{peer:?} is no ADDRESS:PORT"));
        self
    }

    /// From now on, datagrams are sent to this address of the server's host, which
    /// replies leave from: `198.51.100.1` or `2001:db8::1` by default, according to
    /// the peer.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
    /// let outcome = bench.to([127, 0, 0, 2]).handle("hello");
    /// assert_eq!(outcome.sent[0].from, "127.0.0.2:4000".parse().unwrap());
    /// ```
    pub fn to(&mut self, local: impl Into<IpAddr>) -> &mut Self {
        self.arrival.to = Some(local.into());
        self
    }

    /// Whether datagrams, from now on, are the beginning of longer ones:
    /// [`SocketHandle::is_truncated`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|_, _, socket| match socket.is_truncated() {
    ///     true => Err("too long".into()),
    ///     false => Ok(()),
    /// });
    /// assert!(bench.truncated(true).handle("beginn").result.is_err());
    /// ```
    pub fn truncated(&mut self, is_truncated: bool) -> &mut Self {
        self.arrival.is_truncated = is_truncated;
        self
    }

    /// Gives the handler one datagram; returns what it returned, and what was sent
    /// meanwhile.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|bytes, _, socket| {
    ///     let number: u32 = std::str::from_utf8(bytes)?.parse()?;
    ///     Ok(socket.reply((2 * number).to_string().as_bytes())?)
    /// });
    /// assert_eq!(bench.handle("21").reply(), b"42");
    /// assert_eq!(bench.handle("?").result.unwrap_err().to_string(), "invalid digit found in string");
    /// ```
    pub fn handle(&mut self, bytes: impl AsRef<[u8]>) -> Outcome {
        self.keep_what_was_sent();
        let (bytes, peer) = (bytes.as_ref(), self.arrival.peer);
        self.socket.begin(peer, self.arrival.meta(), bytes.len());
        let called = self.call(bytes, peer);
        let fate = match &called {
            Ok(()) => Fate::Handled,
            Err(_) => Fate::Failed,
        };
        self.open
            .0
            .count_on_bench(bytes.len(), self.socket.end(fate));
        let result = called.and_then(|()| Ok(self.socket.commit()?));
        Outcome {
            result,
            sent: self.newly_sent(),
            peer,
        }
    }

    /// The handler, to look at.
    ///
    /// # Examples
    /// As for [`testing`](self).
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// The handler, to change it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DatagramHandler, HandlerError, SocketHandle, testing::Bench};
    /// # use std::net::SocketAddr;
    /// struct Limited {
    ///     left: u32,
    /// }
    ///
    /// impl DatagramHandler for Limited {
    ///     fn handle(&mut self, _: &[u8], _: SocketAddr, _: &SocketHandle) -> Result<(), HandlerError> {
    ///         self.left = self.left.checked_sub(1).ok_or("nothing left")?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut bench = Bench::new(Limited { left: 9 });
    /// bench.handler_mut().left = 0;
    /// assert!(bench.handle("one more").result.is_err());
    /// ```
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// The server that the handler seems to serve for. It has never begun; told to
    /// stop, it says so, and nothing else changes.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|bytes, _, socket| {
    ///     if bytes == b"stop" {
    ///         socket.server().shutdown();
    ///     }
    ///     Ok(())
    /// });
    /// bench.handle("stop");
    /// assert!(bench.server().is_shutting_down());
    /// assert_eq!(bench.server().stats().handled, 1);
    /// ```
    pub fn server(&self) -> ServerHandle {
        self.socket.server()
    }

    /// Lets time pass for timers ([`ServerHandle::after`]): what becomes due runs here,
    /// in its order, and also what that sets if it is due in time. Returns what was
    /// sent meanwhile. No other clock is touched.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// use std::time::Duration;
    ///
    /// let mut bench = Bench::from_fn(|_, addr, socket| {
    ///     let remind = move |server: &socketserver::ServerHandle| {
    ///         let _ = server.send_to(b"still there?", addr);
    ///     };
    ///     socket.server().after(Duration::from_secs(30), remind)?;
    ///     Ok(())
    /// });
    /// bench.handle("hello");
    /// assert!(bench.advance(Duration::from_secs(29)).is_empty());
    /// assert_eq!(bench.advance(Duration::from_secs(1))[0].bytes, b"still there?");
    /// ```
    pub fn advance(&mut self, by: Duration) -> Vec<Sent> {
        self.keep_what_was_sent();
        self.open.0.advance(by);
        self.newly_sent()
    }

    /// Takes what was sent neither while a datagram was handled nor while time
    /// passed: by the test itself, or by other threads.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|_, _, _| Ok(()));
    /// bench.server().send_to(b"news", "192.0.2.9:9".parse().unwrap())?;
    /// assert_eq!(bench.take_sent()[0].bytes, b"news");
    /// assert!(bench.take_sent().is_empty());
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn take_sent(&mut self) -> Vec<Sent> {
        self.keep_what_was_sent();
        std::mem::take(&mut self.between)
    }

    /// Ends the handler as a server does, with its `finish`, and returns it. From
    /// then on, whatever is still sent finds the server closed.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DatagramHandler, HandlerError, SocketHandle, testing::Bench};
    /// # use std::net::SocketAddr;
    /// struct Journal {
    ///     lines: Vec<&'static str>,
    /// }
    ///
    /// impl DatagramHandler for Journal {
    ///     fn handle(&mut self, _: &[u8], _: SocketAddr, _: &SocketHandle) -> Result<(), HandlerError> {
    ///         self.lines.push("a datagram");
    ///         Ok(())
    ///     }
    ///
    ///     fn finish(&mut self) {
    ///         self.lines.push("the end");
    ///     }
    /// }
    ///
    /// let mut bench = Bench::new(Journal { lines: Vec::new() });
    /// bench.handle("hello");
    /// assert_eq!(bench.finish().lines, ["a datagram", "the end"]);
    /// ```
    pub fn finish(mut self) -> H {
        self.handler.finish();
        self.handler
    }

    fn call(&mut self, bytes: &[u8], peer: SocketAddr) -> Result<(), HandlerError> {
        if !self.is_set_up {
            self.handler.setup()?;
            self.is_set_up = true;
        }
        self.handler.handle(bytes, peer, &self.socket)
    }

    fn keep_what_was_sent(&mut self) {
        let sent = self.newly_sent();
        self.between.extend(sent);
    }

    fn newly_sent(&self) -> Vec<Sent> {
        let sent = self.recorder.take().into_iter();
        sent.map(|recorded| Sent {
            bytes: recorded.bytes,
            to: recorded.to,
            from: recorded
                .from
                .map_or(BOUND, |ip| SocketAddr::new(ip, BOUND.port())),
        })
        .collect()
    }
}

const BOUND: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 4000);
