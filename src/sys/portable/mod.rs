//! The portable twin: what `std` and `socket2` offer everywhere, one datagram
//! per call.
//!
//! # How it waits and wakes
//! `std` has no wait for two things at once. So the one waiting thread blocks in
//! a receive, and the waker wakes it with a datagram that the socket sends to
//! itself. The other way, a short read timeout, was not taken:
//! it would cost an idle server CPU time for ever, and shutdown would take as
//! long as the timeout. A long timeout stands behind it all the same, for hosts
//! whose firewall eats the datagram.
//!
//! A Unix socket has no such datagram: a client could send the same. But where there are
//! Unix sockets there is poll(2), which waits for the socket and a pipe of the waker's.
//!
//! # What it cannot know
//! - how many datagrams the kernel dropped (`kernel_drops` is `None`);
//! - how many bytes wait in the kernel (`unread_bytes` is `None`);
//! - whether something is waiting without receiving it (`has_pending` says yes);
//! - which address of a host a datagram was sent to, on a socket bound to a
//!   wildcard: replies leave from the address that the route gives them;
//! - when the kernel received a datagram: none is ever shed for its age;
//! - what else its headers said, and how a single one is to leave;
//! - on Windows, the beginning of a truncated datagram: the receive fails with
//!   `WSAEMSGSIZE` and is counted as a receive error. (On Unix truncation is
//!   known: the buffer is one byte longer than the largest datagram.)
//!
//! # What it shares
//! A socket that another server has, too, while one hands over to the other:
//! the timeouts of receives and sends belong to the socket, and the waker's
//! datagram may reach the other server. One of this crate knows it for what it
//! is, whichever process it is in; then this one is woken at the end of
//! the long timeout.

mod alarm;
mod process;
mod receive;
mod send;
mod socket;
#[cfg(unix)]
mod unix;
mod waker;

pub(crate) use alarm::Alarm;
pub(crate) use process::{
    Child, PROCESSES, Parent, SharedWords, is_told_to_leave, leave, listen_to, rest, threads,
};
pub(crate) use receive::ReceiveBlock;
pub(crate) use send::SendQueue;
pub(crate) use socket::Socket;
pub(crate) use waker::Waker;

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::{Detail, Interface};

/// Whether several datagrams to one peer can leave as one: never, portably.
pub(crate) fn segments_work() -> bool {
    false
}

/// Nothing is told of a datagram beside its sender, portably.
pub(crate) fn ask_for(_socket: &UdpSocket, _detail: Detail) -> io::Result<()> {
    Err(unsupported("what a datagram says of itself is not told"))
}

/// No option for it is portable.
pub(crate) fn forbid_fragments(_socket: &UdpSocket) -> io::Result<()> {
    Err(unsupported("what becomes of long datagrams cannot be said"))
}

/// No option for it is portable.
pub(crate) fn set_unicast_interface(_socket: &UdpSocket, _on: &Interface) -> io::Result<()> {
    Err(unsupported("the interface to send by cannot be said"))
}

fn unsupported(problem: &str) -> io::Error {
    let problem = format!("{problem} on this platform");
    io::Error::new(io::ErrorKind::Unsupported, problem)
}

/// `std` names threads where they are started; renaming one is not portable.
pub(crate) fn name_thread(_name: &str) {}

/// Whether there is memory for so many bytes more.
pub(crate) fn has_memory(bytes: usize) -> io::Result<()> {
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(bytes)?;
    // Or it would be left out as having no effect.
    std::hint::black_box(&room);
    Ok(())
}

/// Starts a thread that ends at once: whether the system has one more like it.
pub(crate) fn try_thread(thread: std::thread::Builder) -> io::Result<()> {
    // It has nothing to panic with.
    let _ = thread.spawn(|| ())?.join();
    Ok(())
}

/// Not to be known portably: whoever is watched is taken to wait.
#[derive(Debug, Default)]
pub(crate) struct ThreadProbe(());

impl ThreadProbe {
    pub(crate) fn watch_current(&self) {}

    pub(crate) fn is_runnable(&self) -> bool {
        false
    }

    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        None
    }
}

/// Not to be known portably: a handler that takes long is taken to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadUsage(());

impl ThreadUsage {
    pub(crate) fn now() -> Self {
        Self(())
    }

    pub(crate) fn waited_since(self, wall: Duration) -> Option<Duration> {
        Some(if wall < LONG { Duration::ZERO } else { wall })
    }
}

/// Longer than most handlers compute.
const LONG: Duration = Duration::from_micros(100);

/// There are none, portably.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_control_messages(_bytes: &[u8]) {}
