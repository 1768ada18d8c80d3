//! The chat of the examples `chat_server` and `chat_client`: its rules and its
//! console, without a server.
//!
//! | modules | of | what is in them |
//! |---|---|---|
//! | [`room`], [`members`], [`guests`], [`command`], [`outcome`], [`proof`] | the server | pure logic on lines, addresses and time |
//! | [`session`] | the client | pure logic on lines and time |
//! | [`network`], [`event`] | the client | its socket |
//! | [`wire`], [`name`], [`text`] | both | what goes from one to the other |
//! | [`console`], [`screen`], [`terminal`], [`options`] | both | what people see and type |

pub mod alike;
pub mod bucket;
pub mod command;
pub mod console;
pub mod event;
pub mod guests;
pub mod host;
pub mod members;
pub mod name;
pub mod network;
pub mod options;
pub mod outcome;
pub mod proof;
pub mod room;
pub mod screen;
pub mod session;
pub mod terminal;
pub mod text;
pub mod wire;
