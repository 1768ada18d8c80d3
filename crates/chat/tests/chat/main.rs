//! The chat as people use it: the server as a program with a keyboard, members
//! on plain sockets such as `nc -u` opens, and the client as a program.
//!
//! The server is given one datagram after the other and handles them in that
//! order. So nobody waits here to see that nothing comes: once the server has
//! answered a later datagram, it has sent all that it will ever send about the
//! earlier ones, and over the loopback interface what was sent is there.
//!
//! They need a shell to send Ctrl-C with.
//!
//! The rules of both programs, and their tests, are in `crates/chat`.
#![cfg(unix)]

mod article;
mod clients;
mod lines;
mod names;
mod operator;
mod people;
mod server;
mod shares;
mod strangers;
mod talk;
mod terminal;

#[path = "../../../../tests/examples/program.rs"]
#[allow(dead_code, reason = "it serves the tests of other examples as well")]
mod program;
