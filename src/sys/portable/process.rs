//! Processes that share a socket: none, portably. Nothing here can be had.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::{ReceiveBlock, Socket, Waker, unsupported};
use crate::sys::{Death, Hark};

/// Whether a server can have processes.
pub(crate) const PROCESSES: bool = false;

#[derive(Debug)]
pub(crate) struct Parent(Infallible);

#[derive(Debug)]
pub(crate) struct Child(Infallible);

#[derive(Debug)]
pub(crate) struct SharedWords(Infallible);

impl Parent {
    pub(crate) fn begin(_: &Socket, _: Duration) -> io::Result<Self> {
        Err(unsupported("processes do not share a socket"))
    }

    pub(crate) fn fork(&self) -> io::Result<Option<Child>> {
        match self.0 {}
    }

    pub(crate) fn wait(
        &self,
        _: &Waker,
        _: &[Option<Child>],
        _: Option<Duration>,
        _: &mut Vec<usize>,
    ) -> Hark {
        match self.0 {}
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        match self.0 {}
    }

    pub(crate) fn ask_to_leave(&self) {
        match self.0 {}
    }

    pub(crate) fn kill(&self) {
        match self.0 {}
    }

    pub(crate) fn reap(&self) -> Option<Death> {
        match self.0 {}
    }
}

impl SharedWords {
    pub(crate) fn new(_: usize) -> io::Result<Self> {
        Err(unsupported("processes do not share memory"))
    }

    pub(crate) fn all(&self) -> &[AtomicU64] {
        match self.0 {}
    }
}

impl Socket {
    pub(crate) fn receive_or_leave(&self, _: &mut ReceiveBlock) -> io::Result<usize> {
        Ok(0)
    }
}

pub(crate) fn listen_to(_: &Waker) {}

pub(crate) fn rest(_: Option<Duration>) {}

pub(crate) fn is_told_to_leave() -> bool {
    true
}

pub(crate) fn leave(code: i32) -> ! {
    std::process::exit(code)
}

pub(crate) fn threads() -> Option<usize> {
    None
}
