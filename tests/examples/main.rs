//! The examples as a user runs them: as programs, in terminals and pipes.
//!
//! They need a shell to send Ctrl-C with.
#![cfg(unix)]
// Some tests are Linux's alone, and with them what they use.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod client;
#[cfg(target_os = "linux")]
mod discovery;
#[cfg(target_os = "linux")]
mod handover;
#[cfg(target_os = "linux")]
mod load;
mod lobby;
mod others;
mod program;
mod server;

use std::collections::BTreeSet;
use std::path::Path;

use program::Program;

/// The names of all examples of this package.
fn examples() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).expect("the package has examples");
    entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| match path.extension() {
            Some(extension) => extension == "rs",
            None => path.join("main.rs").exists(),
        })
        .map(|path| {
            let name = path.file_stem().expect("it has a name");
            name.to_string_lossy().into_owned()
        })
        .collect()
}

#[test]
fn every_example_explains_itself() {
    let names = examples();
    assert!(names.contains("uppercase_echo"), "found only {names:?}");
    for name in names {
        let end = Program::example(&name, &["--help"]).end();
        assert!(end.status.success(), "{name} --help: {end:?}");
        let has_usage = end.stdout.iter().any(|line| line.starts_with("Usage: "));
        assert!(has_usage, "{name} --help says how it is used: {end:?}");
        assert!(end.stderr.is_empty(), "{name} --help: {end:?}");
    }
}

#[test]
fn unknown_options_are_refused_by_every_example() {
    for name in examples() {
        let end = Program::example(&name, &["--no-such-option"]).end();
        assert_eq!(end.status.code(), Some(2), "{name}: {end:?}");
        let told = end
            .stderr
            .iter()
            .any(|line| line.contains("--no-such-option"));
        assert!(told, "{name} names the option: {end:?}");
    }
}

#[test]
fn a_nonsense_address_is_a_one_line_error() {
    for (name, problem) in [
        (
            "uppercase_echo",
            r#"cannot resolve "nonsense": expected HOST:PORT"#,
        ),
        ("echo_client", "nonsense: invalid socket address"),
    ] {
        let end = Program::example(name, &["nonsense"]).end();
        assert_eq!(end.status.code(), Some(1), "{name}: {end:?}");
        assert_eq!(end.stderr.len(), 1, "one line from {name}: {end:?}");
        assert_eq!(end.stderr[0], format!("{name}: {problem}"));
    }
}

#[test]
fn message_boundaries_shows_what_it_promises() {
    let end = Program::example("message_boundaries", &[]).end();
    assert!(end.status.success(), "it checks itself: {end:?}");
    let count = |text: &str| end.stdout.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count(": 5 bytes, \"baby~\""), 3, "three of five: {end:?}");
    assert_eq!(count(": 0 bytes, \"\""), 2, "two empty ones: {end:?}");
    assert_eq!(count("65507 bytes, in one piece"), 1, "{end:?}");
    assert_eq!(count("refused, counted"), 1, "{end:?}");
    assert_eq!(count("the first 16 bytes"), 1, "{end:?}");
    assert_eq!(count("uptime"), 1, "one table is enough: {end:?}");
    assert_eq!(end.stdout.last().map(String::as_str), Some("all as told"));
}
