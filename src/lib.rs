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
//! watched and stopped:
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
//! # Ending it on Ctrl-C
//! With the `ctrlc` crate, as the examples do; `shutdown` takes a lock, so it
//! does not belong into a raw signal handler, but into a thread that is told by one.
//!
//! ```no_run
//! use socketserver::ThreadingUdpServer;
//!
//! let server = ThreadingUdpServer::bind_fn("127.0.0.1:8080", |bytes, _addr, socket| {
//!     Ok(socket.reply(bytes)?)
//! })?;
//! let handle = server.handle();
//! ctrlc::set_handler(move || handle.shutdown())?;
//! let report = server.serve_forever()?;
//! println!("{}", report.stats);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which server
//! - [`ThreadingUdpServer`]: a handler instance lives as long as its worker
//!   thread and may keep what it likes between datagrams. The one to choose.
//! - [`ForkingStyleUdpServer`]: a fresh instance for each datagram, at most
//!   [`max_children`](Builder::max_children) at a time.
//!
//! Both are set up with the same [`Builder`] and have the same life:
//!
//! | | [`shutdown`](ServerHandle::shutdown) | datagrams |
//! |---|---|---|
//! | bound | is remembered: serving will return at once | wait in the kernel |
//! | serving | never blocks, may be called from a handler, any number of times | are handled |
//! | draining | has no effect | received before: handled and answered. Not yet read from the kernel: dropped with the socket; [`unread_bytes`](ShutdownReport::unread_bytes) tells how much that was |
//! | closed: `serve_forever` has returned | has no effect | the port is free, also when a handler is still stuck |
//!
//! A server is not restartable: bind again.
//!
//! # What becomes of a datagram
//! Every datagram read from the kernel ends in exactly one of `handled`,
//! `failed`, `panicked`, `refused`, `shed` and `abandoned`, and [`Stats`] counts
//! them; what the kernel had to drop stands beside them in
//! [`kernel_drops`](Stats::kernel_drops). Every reply ends as sent, failed for a
//! reason, or withheld ([`Replies`]).
//!
//! Refused before any handler, always: datagrams from port 0, from unspecified,
//! multicast and broadcast addresses, and from the server's own address. Nobody
//! sends from there; they are forged or a fault, and answering does harm.
//! [On a hostile network](#on-a-hostile-network) more can be asked for.
//!
//! # Handlers that block
//! They may. Each occupies one worker; the others go on, and the pool grows up
//! to its maximum (256 by default, see [`workers`](Builder::workers)). With all
//! of them blocked, datagrams wait in the kernel's receive buffer, and what does
//! not fit there is dropped and counted.
//!
//! # Panics
//! A panic in a handler, its factory or a hook is contained, counted and
//! reported, and never ends the server: under the default `panic = "unwind"`.
//! With `panic = "abort"` the first one ends the process. What is contained is
//! still announced by the program's panic hook: `std`'s writes to standard error
//! each time, however often; replace it where peers can make handlers panic.
//!
//! # Platform notes
//! Linux has the fast path: batches of system calls, exact counts of what the
//! kernel dropped. Elsewhere everything works with one datagram per call on what
//! `std` offers; `kernel_drops` and `unread_bytes` are `None` there. On Linux
//! `--cfg socketserver_portable` builds that form.
#![doc = include_str!("docs/awaiting.md")]
#![doc = include_str!("docs/guards.md")]
#![doc = include_str!("docs/architecture.md")]
#![doc = include_str!("docs/faults.md")]
#![doc = include_str!("docs/migration.md")]
#![doc = include_str!("docs/sockets.md")]
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
mod poll_once;
mod server;
mod socket_handle;
mod stats;
#[allow(unsafe_code, reason = "system calls that no safe wrapper has")]
mod sys;
mod threading;

pub use activation::{ActivatedSocket, activated_sockets};
pub use error::Error;
pub use forking::ForkingStyleUdpServer;
pub use guard::{AmplificationLimit, RateLimit, ReplyLoops, Token};
pub use handler::{DatagramHandler, HandlerError};
pub use poll_once::poll_once;
pub use server::{
    Builder, FailureCause, HandlerFailure, OnTruncated, RunningServer, ServerHandle, ShutdownReport,
};
pub use socket_handle::{DeferredAnswer, DetachedHandle, SocketHandle};
pub use stats::{ReceiveBuffer, Refusal, Refused, Replies, SendFailures, Shed, Stats};
pub use sys::Interface;
pub use threading::{ThreadingUdpServer, Workers};

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
    A: ToSocketAddrs,
    F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    ThreadingUdpServer::bind_fn(addr, f)?.serve_forever()
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
