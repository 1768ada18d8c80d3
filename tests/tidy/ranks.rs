//! Dependencies between the rooms of the crate point one way: down.

use crate::source::{Source, assert_none};

/// Every top-level module, and how high it stands. A module uses only modules
/// that stand lower. This table is the architecture.
const RANKS: &[(&str, usize)] = &[
    ("contain", 0),
    ("poll_once", 0),
    ("logging", 1),
    ("sys", 2),
    ("error", 3),
    ("guard", 3),
    ("metadata", 3),
    ("stats", 4),
    ("activation", 4),
    ("engine", 5),
    ("socket_handle", 6),
    ("handler", 7),
    ("server", 8),
    ("forking", 9),
    ("fuzzing", 9),
    ("per_peer", 9),
    ("testing", 9),
    ("threading", 9),
    ("unix", 9),
    ("lib", 10),
];

fn rank(module: &str) -> Option<usize> {
    let found = RANKS.iter().find(|(name, _)| *name == module);
    found.map(|(_, rank)| *rank)
}

/// What breaks the order in these files.
fn disorder(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(disorder_in).collect()
}

fn disorder_in(source: &Source) -> Vec<String> {
    let inside = source.path.trim_start_matches("src/");
    let module = inside.split('/').next().unwrap_or(inside);
    let module = module.trim_end_matches(".rs");
    let Some(own) = rank(module) else {
        return vec![source.at(
            1,
            &format!("module `{module}` is not in the table of ranks"),
        )];
    };
    let mut problems = Vec::new();
    let is_root_file = !inside.contains('/');
    for (number, line) in source.code() {
        // A way round the table: the root itself, and what it re-exports.
        let climbs = line.contains("super::super::")
            || line.contains("use crate::*")
            || line.contains("use crate::{")
            || (is_root_file && line.starts_with("use super::"));
        if climbs && module != "lib" {
            problems.push(source.at(number, "name the module: `use crate::module::…`"));
        }
        for used in modules_used(line) {
            match rank(used) {
                _ if used == module => {}
                Some(theirs) if theirs < own => {}
                Some(theirs) => problems.push(source.at(
                    number,
                    &format!("`{module}` (rank {own}) uses `{used}` (rank {theirs})"),
                )),
                None if is_import_of_root(line, used) => problems.push(source.at(
                    number,
                    &format!("`{module}` imports `{used}` from the root: name its module"),
                )),
                // A public name, as macros for other modules spell it.
                None if used.starts_with(char::is_uppercase) => {}
                None => problems.push(source.at(
                    number,
                    &format!("module `{used}` is not in the table of ranks"),
                )),
            }
        }
    }
    problems
}

/// The names that follow `crate::` in a line of code.
fn modules_used(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter_map(|(start, path)| {
        let rest = &line[start + path.len()..];
        let end = rest
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

fn is_import_of_root(line: &str, used: &str) -> bool {
    used.starts_with(char::is_uppercase) && line.contains(&format!("use crate::{used}"))
}

#[test]
fn dependencies_point_downwards() {
    assert_none(&disorder(&Source::under("src")));
}

#[test]
fn every_module_has_a_rank_and_every_rank_a_module() {
    let sources = Source::under("src");
    let gone: Vec<_> = RANKS
        .iter()
        .filter(|(name, _)| {
            let (file, folder) = (format!("src/{name}.rs"), format!("src/{name}/"));
            !sources
                .iter()
                .any(|source| source.path == file || source.path.starts_with(&folder))
        })
        .map(|(name, _)| format!("module `{name}` is in the table of ranks, but not in src"))
        .collect();
    assert_none(&gone);
}

#[test]
fn disorder_would_be_found() {
    let judge = |path: &str, text: &str| {
        disorder(&[Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
    };
    assert_eq!(judge("src/stats.rs", "use crate::sys::Waker;"), [""; 0]);
    assert_eq!(
        judge("src/stats.rs", "// use crate::engine::Engine;"),
        [""; 0]
    );
    assert_eq!(judge("src/engine/a.rs", "use crate::engine::b;"), [""; 0]);
    for (path, text, problem) in [
        (
            "src/engine/batch.rs",
            "\nuse crate::server::Core;",
            "src/engine/batch.rs:2: `engine` (rank 5) uses `server` (rank 8)",
        ),
        (
            "src/forking.rs",
            "let x = crate::threading::x();",
            "src/forking.rs:1: `forking` (rank 9) uses `threading` (rank 9)",
        ),
        (
            "src/novelty/mod.rs",
            "",
            "src/novelty/mod.rs:1: module `novelty` is not in the table of ranks",
        ),
        (
            "src/server/core.rs",
            "use crate::novelty::x;",
            "src/server/core.rs:1: module `novelty` is not in the table of ranks",
        ),
        (
            "src/sys/open.rs",
            "use crate::Error;",
            "src/sys/open.rs:1: `sys` imports `Error` from the root: name its module",
        ),
        (
            "src/sys/open.rs",
            "use super::super::engine;",
            "src/sys/open.rs:1: name the module: `use crate::module::…`",
        ),
        (
            "src/error.rs",
            "use super::engine;",
            "src/error.rs:1: name the module: `use crate::module::…`",
        ),
        (
            "src/sys/open.rs",
            "use crate::{engine, server};",
            "src/sys/open.rs:1: name the module: `use crate::module::…`",
        ),
    ] {
        assert_eq!(judge(path, text), [problem], "{text:?} in {path}");
    }
}
