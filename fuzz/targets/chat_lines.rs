//! What chat clients and servers send each other, as any text at all.
#![no_main]

use chat::command::Command;
use chat::name::Name;
use chat::wire::Notice;

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
    if let Ok(name) = Name::parse(line) {
        assert_eq!(Name::parse(name.as_str()), Ok(name), "a name stays one");
    }
    if let Some(notice) = Notice::parse(line) {
        // What is understood is written so that it is understood the same.
        let written = notice.to_string();
        assert_eq!(Notice::parse(&written), Some(notice), "{written:?}");
    }
});
