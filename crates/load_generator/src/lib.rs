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
//! [`program`] is the example `udp_load`, with its `options` and its `report`.
//! [`Work`] is the server's side: what a handler does for a datagram that is
//! marked as slow.
//!
//! The batched system calls are Linux's; elsewhere this crate is empty.
#![cfg(target_os = "linux")]

mod batch;
mod driver;
mod ledger;
mod options;
mod pace;
mod payload;
pub mod program;
mod report;
mod tally;
mod work;

pub use driver::{Plan, Progress, Wish, run};
pub use payload::{Expect, SHORTEST};
pub use tally::Tally;
pub use work::Work;
