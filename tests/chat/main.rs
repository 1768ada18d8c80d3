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
//! The rules of both programs are here as well, with the tests written beside
//! them: an example is either a program, as the tests here need it, or a set
//! of tests.
#![cfg(unix)]
#![allow(unreachable_pub, reason = "a program has no outside")]

mod article;
mod clients;
mod lines;
mod names;
mod operator;
mod people;
mod server;
mod strangers;
mod talk;

#[path = "../examples/program.rs"]
#[allow(dead_code, reason = "it serves the tests of other examples as well")]
mod program;

#[path = "../../examples/chat_server/command.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod command;
#[path = "../../examples/chat_shared/console.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod console;
#[path = "../../examples/chat_client/event.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod event;
#[path = "../../examples/chat_server/guests.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod guests;
#[path = "../../examples/chat_server/members.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod members;
#[path = "../../examples/chat_shared/name.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod name;
#[path = "../../examples/chat_client/network.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod network;
#[path = "../../examples/chat_shared/options.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod options;
#[path = "../../examples/chat_server/outcome.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod outcome;
#[path = "../../examples/chat_server/proof.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod proof;
#[path = "../../examples/chat_server/room/mod.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod room;
#[path = "../../examples/chat_shared/screen.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod screen;
#[path = "../../examples/chat_client/session/mod.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod session;
#[path = "../../examples/chat_shared/terminal.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod terminal;
#[path = "../../examples/chat_shared/text.rs"]
#[allow(dead_code, reason = "of the program, only its rules are here")]
mod text;
#[path = "../../examples/chat_shared/wire.rs"]
mod wire;
