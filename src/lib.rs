//! A UDP server in a handler: write one function that is called for each
//! datagram, and many clients are served at once.
//!
//! It keeps the shape of Python's `socketserver` and is made to be depended on:
//! the number of threads and all memory are bounded, nothing is lost silently,
//! a handler that blocks or panics costs its own datagram only, and shutting
//! down answers what was received.
//!
//! ```no_run
//! socketserver::serve("127.0.0.1:8080", |bytes, _addr, socket| {
//!     Ok(socket.reply(&bytes.to_ascii_uppercase())?)
//! })?;
//! # Ok::<(), socketserver::Error>(())
//! ```
//!
//! With state of its own, a handler is a type; with a server in hand, it can be
//! watched, tested and stopped:
//!
//! ```
//! use socketserver::{DatagramHandler, HandlerError, SocketHandle, ThreadingUdpServer};
//! use std::net::{SocketAddr, UdpSocket};
//!
//! #[derive(Default)]
//! struct Shout {
//!     reply: Vec<u8>,
//! }
//!
//! impl DatagramHandler for Shout {
//!     fn handle(
//!         &mut self,
//!         bytes: &[u8],
//!         _addr: SocketAddr,
//!         socket: &SocketHandle,
//!     ) -> Result<(), HandlerError> {
//!         self.reply.clear();
//!         self.reply.extend_from_slice(bytes);
//!         self.reply.make_ascii_uppercase();
//!         Ok(socket.reply(&self.reply)?)
//!     }
//! }
//!
//! let server = ThreadingUdpServer::bind("127.0.0.1:0", Shout::default)?.spawn();
//!
//! let client = UdpSocket::bind("127.0.0.1:0").unwrap();
//! client.send_to(b"hello", server.local_addr()).unwrap();
//! let mut reply = [0; 16];
//! let (len, _) = client.recv_from(&mut reply).unwrap();
//! assert_eq!(&reply[..len], b"HELLO");
//!
//! let report = server.stop()?;
//! assert_eq!(report.stats.handled, 1);
//! # Ok::<(), socketserver::Error>(())
//! ```
//!
//! # How do I …
//!
//! | | |
//! |---|---|
//! | choose a server? | [`ThreadingUdpServer`]: an instance of the handler lives as long as its worker, or with [`fresh_instance(true)`](Builder::fresh_instance) for one datagram, as in Python. [`ForkingStyleUdpServer`]: a fresh one for each datagram; with [`Isolation::Process`], on Linux, in a process that may crash. [`Server`] stands for both |
//! | share state? | the factory captures an `Arc` and gives each instance a clone: [`DatagramHandler`] |
//! | answer later? | from another thread or a task, with [`SocketHandle::defer`]: [`guide::awaiting`] |
//! | push? | from any thread, with [`ServerHandle::send_to`]; in a handler, [`SocketHandle::server`]: [`guide::push`] |
//! | send all of a reply, or nothing? | piece by piece, with [`SocketHandle::writer`] |
//! | keep state for each peer? | [`PerPeer`], a factory that keeps a [`Session`] for each: in order, idle ones ended, with ticks; the example `game_lobby` |
//! | keep each peer's datagrams in order? | [`Builder::order_per_peer`] |
//! | set an option? | [`ThreadingUdpServer::builder`] gives a [`Builder`]; searching this page for a name of POSIX or of Python finds the option |
//! | test a handler? | without sockets, with the feature `testing`. With them: port 0, [`spawn`](ThreadingUdpServer::spawn), a client, [`stop`](RunningServer::stop) |
//! | see what goes wrong? | start any logger of the `log` crate, such as `env_logger::init()`; without one, errors go to standard error. [`Builder::handle_error`] is told each failure, [`Stats`] counts them |
//! | stop? | [`ServerHandle::shutdown`], from any thread: [on Ctrl-C](guide::serving#ending-it-on-ctrl-c) |
//! | do something now and then, or later? | [`Builder::service_actions`], [`ServerHandle::after`] |
//! | face the internet? | [`guide::hostile_network`] |
//! | serve a Unix socket? | with `ThreadingUnixDatagramServer`, of the module `unix`, on Unix |
//! | take a socket from systemd, hand it on, join a group? | [`guide::sockets`] |
//!
//! The guides are pages of their own: [`guide`].
// A library logs, and through crate::logging alone (`clippy.toml`).
#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod activation;
mod contain;
mod engine;
mod error;
mod forking;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod handler;
mod logging;
mod metadata;
mod per_peer;
mod poll_once;
mod server;
mod socket_handle;
mod stats;
#[allow(unsafe_code, reason = "system calls that no safe wrapper has")]
mod sys;
#[cfg(feature = "testing")]
pub mod testing;
mod threading;
#[cfg(unix)]
pub mod unix;

#[cfg(unix)]
pub use activation::ActivatedDescriptor;
pub use activation::{ActivatedSocket, ActivatedSockets, activated_sockets};
pub use engine::{ChildEnd, ChildExit, SentToAll};
pub use error::{
    BindError, ChangeError, ConfigError, Error, MembershipError, SendError, ServeError,
};
pub use forking::ForkingStyleUdpServer;
pub use guard::{AmplificationLimit, RateLimit, ReplyLoops, Token};
pub use handler::{DatagramHandler, HandlerError, HandlerFactory, from_fn};
pub use metadata::{DatagramMeta, Destination, Ecn};
pub use per_peer::{EndReason, Peer, Peers, PerPeer, Session, WhenFull};
pub use poll_once::poll_once;
pub use server::{
    Builder, FailureCause, HandlerFailure, Isolation, OnTruncated, RequestOutcome, RunningServer,
    Server, ServerHandle, ShutdownReport, Timer, Workers,
};
pub use socket_handle::{DeferredAnswer, DetachedHandle, SendOptions, SocketHandle};
pub use stats::{
    LostWithChild, ReceiveBuffer, Refusal, Refused, Replies, Sample, SampleKind, SendFailures,
    Shed, Stats,
};
pub use sys::Interface;
pub use threading::ThreadingUdpServer;
#[cfg(unix)]
pub use unix::ThreadingUnixDatagramServer;

use std::fmt::Debug;
use std::net::{SocketAddr, ToSocketAddrs};

/// Serves `f` on `addr`, on the calling thread, until the process ends: the
/// shortest form, for a [`ThreadingUdpServer`] that nobody has to stop.
///
/// # Errors
/// As [`ThreadingUdpServer::bind_fn`] and [`ThreadingUdpServer::serve_forever`].
///
/// # Examples
/// ```no_run
/// socketserver::serve("127.0.0.1:8080", |bytes, _addr, socket| {
///     Ok(socket.reply(&bytes.to_ascii_uppercase())?)
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
pub fn serve<A, F>(addr: A, f: F) -> Result<ShutdownReport, Error>
where
    A: ToSocketAddrs + Debug,
    F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    Ok(ThreadingUdpServer::bind_fn(addr, f)?.serve_forever()?)
}

/// Guides: pages of documentation, without code.
///
/// | page | what it is about |
/// |---|---|
/// | [`serving`](guide::serving) | the life of a server and of a datagram, Ctrl-C, handlers that block or panic |
/// | [`awaiting`](guide::awaiting) | answers that are given later, handlers that await |
/// | [`push`](guide::push) | sending what nobody asked for; timers |
/// | [`sockets`](guide::sockets) | sockets from systemd, for a successor, and below port 1024; groups and broadcasts |
/// | [`hostile_network`](guide::hostile_network) | guards against floods, forged sources, loops, and being an amplifier |
/// | [`platforms`](guide::platforms) | what only some systems have |
/// | [`migration`](guide::migration) | a row for every name of Python's `socketserver` |
/// | [`architecture`](guide::architecture) | how it works, and what is bounded |
/// | [`faults`](guide::faults) | what can go wrong, what happens then, and the test that shows it |
pub mod guide {
    #[allow(unused_imports, reason = "what the pages link to")]
    use crate::*;

    #[doc = include_str!("docs/serving.md")]
    pub mod serving {}

    #[doc = include_str!("docs/awaiting.md")]
    pub mod awaiting {}

    #[doc = include_str!("docs/push.md")]
    pub mod push {}

    #[doc = include_str!("docs/sockets.md")]
    pub mod sockets {}

    #[doc = include_str!("docs/guards.md")]
    pub mod hostile_network {}

    #[doc = include_str!("docs/platforms.md")]
    pub mod platforms {}

    #[doc = include_str!("docs/migration.md")]
    pub mod migration {}

    #[doc = include_str!("docs/architecture.md")]
    pub mod architecture {}

    #[doc = include_str!("docs/faults.md")]
    pub mod faults {}
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
