//! Lines that were kept from fuzzing: whatever is sent, both programs make
//! something of it, and the same of what they wrote themselves.

use std::fs;
use std::path::Path;

use chat::command::Command;
use chat::wire::Notice;

#[test]
fn no_line_that_was_kept_is_misread() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/seeds/chat_lines");
    let mut count = 0;
    for seed in fs::read_dir(&folder).expect("there are lines") {
        let bytes = fs::read(seed.expect("a readable folder").path()).expect("a line");
        let line = String::from_utf8_lossy(&bytes);
        let _ = Command::parse(&line);
        if let Some(notice) = Notice::parse(&line) {
            let written = notice.to_string();
            assert_eq!(Notice::parse(&written), Some(notice), "{written:?}");
        }
        count += 1;
    }
    assert!(count > 0, "{}: no lines", folder.display());
}
