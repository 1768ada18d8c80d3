//! Load on a UDP server that echoes: many peers from one thread, every reply
//! checked, none lost without being counted.
//!
//! [`run`] does what a [`Plan`] says and returns a [`Tally`]. Everything that
//! can be thought through without a socket is in a module of its own:
//! - `payload`: what a datagram says, and whether a reply says it back;
//! - `ledger`: what one peer still waits for;
//! - `pace`: when the datagrams of an open loop are due;
//! - `tally`: the counts.
//!
//! `batch` has the batched system calls, `driver` the loop around them.

mod batch;
mod driver;
mod ledger;
mod pace;
mod payload;
mod tally;

pub(crate) use driver::{Plan, Progress, Wish, run};
pub(crate) use payload::{Expect, SHORTEST};
pub(crate) use tally::Tally;
