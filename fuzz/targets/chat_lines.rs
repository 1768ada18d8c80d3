//! What chat clients and servers send each other, as any text at all.
#![no_main]
#![allow(dead_code, reason = "the parsers alone are called")]

#[path = "../../examples/chat_server/command.rs"]
mod command;
#[path = "../../examples/chat_shared/name.rs"]
mod name;
#[path = "../../examples/chat_server/proof.rs"]
mod proof;
#[path = "../../examples/chat_shared/text.rs"]
mod text;
#[path = "../../examples/chat_shared/wire.rs"]
mod wire;

use command::Command;
use wire::Notice;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(line) = std::str::from_utf8(bytes) else {
        return;
    };
    let command = Command::parse(line);
    if let Command::Join {
        token: Some(token), ..
    } = command
    {
        assert!(line.trim_end().ends_with(token), "a token is the last word");
    }
    if let Some(notice) = Notice::parse(line) {
        // What is understood is written so that it is understood the same.
        let written = notice.to_string();
        assert_eq!(Notice::parse(&written), Some(notice), "{written:?}");
    }
});
