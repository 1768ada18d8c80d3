//! What reviewers would otherwise have to look for, as tests.

mod names;
mod ranks;
mod source;

use source::{Source, assert_none, read};

/// Everything that is compiled.
fn all_sources() -> Vec<Source> {
    ["src", "examples", "tests", "benches", "crates"]
        .into_iter()
        .flat_map(Source::under)
        .collect()
}

/// Lines of code, outside the folders excepted, that a rule objects to.
fn offenders(
    sources: &[Source],
    allowed_under: &[&str],
    objection: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        if allowed_under
            .iter()
            .any(|folder| source.path.starts_with(folder))
        {
            continue;
        }
        for (number, line) in source.code() {
            if let Some(problem) = objection(line) {
                found.push(source.at(number, problem));
            }
        }
    }
    found
}

/// Whether `word` stands in the line, not as a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c == '_' || c.is_alphanumeric();
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part)
    })
}

#[test]
fn only_sys_asks_which_platform_this_is() {
    let sources = Source::under("src");
    assert_none(&offenders(&sources, &["src/sys/"], |line| {
        let squeezed = line.replace(' ', "");
        ["target_os", "target_family", "target_env"]
            .iter()
            .any(|key| squeezed.contains(key))
            .then_some("a platform is asked for outside src/sys")
    }));
}

#[test]
fn only_sys_talks_to_the_system() {
    let calls =
        |line: &str, name: &str| has_word(line, name) && line.contains(&format!("{name}::"));
    let sources = all_sources();
    // What refuses system calls has to name them.
    let exempt = ["src/sys/", "tests/tidy/", "tests/faults/sandbox.rs"];
    assert_none(&offenders(&sources, &exempt, |line| {
        ["libc", "socket2"]
            .iter()
            .any(|name| calls(line, name))
            .then_some("`libc` or `socket2` outside src/sys")
    }));
    // Tests use `nix` as any program would.
    let library = Source::under("src");
    assert_none(&offenders(&library, &["src/sys/"], |line| {
        calls(line, "nix").then_some("`nix` outside src/sys")
    }));
}

#[test]
fn files_stay_small() {
    let mut long = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            long.push(source.at(lines, "a file this long has more than one purpose"));
        }
    }
    assert_none(&long);
}

/// In lines; about 300 are comfortable.
const LONGEST_FILE: usize = 450;

#[test]
fn the_changelog_and_the_readme_know_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    let heading = format!("## [{version}] - ");
    let changelog = read("CHANGELOG.md");
    assert!(
        changelog.lines().any(|line| line.starts_with(&heading)),
        "CHANGELOG.md has a heading that begins with {heading:?}"
    );
    for line in read("README.md").lines() {
        if let Some(required) = line.strip_prefix("socketserver = ") {
            let required = required.trim().trim_matches('"');
            assert!(
                version.starts_with(required),
                "README.md asks for version {required}, this is {version}"
            );
        }
    }
}

#[test]
fn words_are_told_from_their_parts() {
    assert!(has_word("use libc::c_int;", "libc"));
    assert!(has_word("(libc::close)(3)", "libc"));
    assert!(!has_word("use my_libc::c_int;", "libc"));
}
