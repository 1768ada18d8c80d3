//! Linux: batches with `recvmmsg` and `sendmmsg`, waits in `ppoll`, wakes by
//! `eventfd`.

mod address;
mod alarm;
mod coalesce;
mod control;
mod memory;
mod missing_calls;
mod options;
mod page;
mod process;
mod receive;
mod segments;
mod send;
mod slab;
mod socket;
mod thread;
mod wait;
mod waker;

pub(crate) use alarm::Alarm;
#[cfg(any(fuzzing, test))]
pub(crate) use control::read_control_messages;
pub(crate) use options::{ask_for, forbid_fragments, set_unicast_interface};
pub(crate) use page::SharedWords;
pub(crate) use process::{
    Child, PROCESSES, Parent, is_told_to_leave, leave, listen_to, rest, threads,
};
pub(crate) use receive::ReceiveBlock;
pub(crate) use segments::segments_work;
pub(crate) use send::SendQueue;
pub(crate) use slab::has_memory;
pub(crate) use socket::Socket;
pub(crate) use thread::{ThreadProbe, ThreadUsage, name_thread, try_thread};
pub(crate) use waker::Waker;

use std::io;

/// Turns the −1 of a system call into the error it stands for.
fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
