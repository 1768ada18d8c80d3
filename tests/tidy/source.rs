//! The files of this package, as the rules read them.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file: its path from the package's root, with `/`, and its text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// All Rust files under this folder of the package; none if it does not exist.
    pub(crate) fn under(folder: &str) -> Vec<Self> {
        let mut sources = Vec::new();
        collect(&root().join(folder), &mut sources);
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    /// Lines with their numbers, from 1 on, without comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(index, line)| (index + 1, without_comment(line)))
    }

    /// Where a rule was broken, as editors understand it.
    pub(crate) fn at(&self, line: usize, problem: &str) -> String {
        format!("{}:{line}: {problem}", self.path)
    }
}

/// Any file of the package.
#[track_caller]
pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all that was found, a line each.
#[track_caller]
pub(crate) fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(root()).expect("it is in the package");
            sources.push(Source {
                path: inside.to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(&path).expect("a source file is UTF-8"),
            });
        }
    }
}

/// Cuts a line comment off. Good enough for sources that `cargo fmt` wrote: a
/// `//` inside a string would be taken for one, which only hides the rest of
/// that line from the rules.
fn without_comment(line: &str) -> &str {
    match line.find("//") {
        Some(start) => &line[..start],
        None => line,
    }
}

#[test]
fn comments_are_not_code() {
    let source = Source {
        path: "x.rs".to_owned(),
        text: "//! doc\ncode(); // why\n/// doc".to_owned(),
    };
    let code: Vec<_> = source.code().collect();
    assert_eq!(code, [(1, ""), (2, "code(); "), (3, "")]);
    assert_eq!(source.at(2, "odd"), "x.rs:2: odd");
}
