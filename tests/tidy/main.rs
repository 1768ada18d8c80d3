//! What reviewers would otherwise have to look for, as tests.

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
fn unsafe_code_stays_under_sys() {
    // The rules themselves have to spell what they look for.
    let sources = all_sources();
    assert_none(&offenders(&sources, &["src/sys/", "tests/tidy/"], |line| {
        has_word(line, "unsafe").then_some("`unsafe` outside src/sys")
    }));
}

#[test]
fn every_unsafe_block_has_its_reason() {
    let sources = Source::under("src/sys");
    assert!(!sources.is_empty(), "src/sys is where it should be");
    let missing: Vec<_> = sources.iter().flat_map(blocks_without_reason).collect();
    assert_none(&missing);
}

/// Unsafe blocks and implementations without `// SAFETY:` above their statement.
fn blocks_without_reason(source: &Source) -> Vec<String> {
    let lines: Vec<_> = source.text.lines().map(str::trim).collect();
    let is_block = |line: &str| {
        has_word(line, "unsafe") && (line.contains("unsafe {") || line.contains("unsafe impl"))
    };
    source
        .code()
        .filter(|(_, line)| is_block(line))
        .filter(|(number, _)| !has_reason(&lines[..number - 1]))
        .map(|(number, _)| source.at(number, "no `// SAFETY:` says why this is sound"))
        .collect()
}

/// Whether the lines above an unsafe block end with its reason, and then at
/// most with the beginning of the statement that it is in.
fn has_reason(above: &[&str]) -> bool {
    let ends_statement = |line: &str| line.is_empty() || line.ends_with([';', '{', '}']);
    above
        .iter()
        .rev()
        .skip_while(|line| !line.starts_with("//") && !ends_statement(line))
        .take_while(|line| line.starts_with("//"))
        .any(|line| line.starts_with("// SAFETY: "))
}

#[test]
fn an_unsafe_block_without_reason_would_be_found() {
    let source = |text: &str| Source {
        path: "src/sys/x.rs".to_owned(),
        text: text.to_owned(),
    };
    let block = "let x = unsafe { *p };";
    assert_eq!(
        blocks_without_reason(&source(block)),
        ["src/sys/x.rs:1: no `// SAFETY:` says why this is sound"]
    );
    let reasoned = format!("// SAFETY: p is valid.\n{block}");
    assert_eq!(blocks_without_reason(&source(&reasoned)), [""; 0]);
    let inside = format!("// SAFETY: p is valid.\nlet x: Long =\n    {block}");
    assert_eq!(blocks_without_reason(&source(&inside)), [""; 0]);
    for other in ["let y = 1;", "if y {", "}", "// Another thought.\n"] {
        let far = format!("// SAFETY: p is valid.\n{other}\n{block}");
        assert_eq!(blocks_without_reason(&source(&far)).len(), 1, "{far}");
    }
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
    let sources = all_sources();
    assert_none(&offenders(&sources, &["src/sys/", "tests/tidy/"], |line| {
        ["libc", "socket2"]
            .iter()
            .any(|name| has_word(line, name) && line.contains(&format!("{name}::")))
            .then_some("`libc` or `socket2` outside src/sys")
    }));
}

#[test]
fn every_line_for_the_log_is_contained() {
    // A logger is users' code, and may panic: `src/logging.rs` says more.
    assert_none(&offenders(
        &Source::under("src"),
        &["src/logging"],
        |line| {
            let is_bare = has_word(line, "log") && line.contains("log::");
            (is_bare && !line.contains("log::set_max_level"))
                .then_some("use `log_error!`, `log_warn!` or `log_debug!` of crate::logging")
        },
    ));
}

#[test]
fn the_library_prints_nothing() {
    assert_none(&offenders(&Source::under("src"), &[], |line| {
        ["println!", "eprintln!", "print!", "eprint!"]
            .iter()
            .any(|name| line.contains(name))
            .then_some("a library logs, it does not print")
    }));
}

#[test]
fn nothing_is_left_undone() {
    let marks = ["todo!", "unimplemented!", "dbg!", "FIXME"];
    let sources = all_sources();
    let mut found = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !source.path.starts_with("tests/tidy/"))
    {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                found.push(source.at(index + 1, &format!("{mark} is left")));
            }
        }
    }
    assert_none(&found);
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
    assert!(has_word("unsafe {", "unsafe"));
    assert!(has_word("pub unsafe fn f()", "unsafe"));
    assert!(!has_word("unsafe_op_in_unsafe_fn", "unsafe"));
}
