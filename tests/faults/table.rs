//! The table of faults in the crate's documentation, held against the tests.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use crate::harness::Case;

/// What the documentation says, section "What can go wrong".
const DOCUMENTED: &str = include_str!("../../src/docs/faults.md");

/// The test that each documented fault has its tests, and each test its row.
pub(crate) fn trial(cases: &[Case]) -> Trial {
    let tests: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(tests.len(), cases.len(), "no two tests have one name");
    Trial::test(
        "every_fault_documented_has_its_test_and_every_test_its_row",
        move || compare(&tests, &documented(DOCUMENTED)),
    )
}

fn compare(tests: &BTreeSet<&str>, documented: &BTreeSet<&str>) -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let missing = documented
        .difference(tests)
        .filter(|name| !is_elsewhere(&folder, name))
        .map(|name| format!("no test: {name}"));
    let hidden = tests
        .difference(documented)
        .map(|name| format!("no row: {name}"));
    let problems: Vec<_> = missing.chain(hidden).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!(
        "src/docs/faults.md and tests/faults differ\n{}",
        problems.join("\n")
    )
    .into())
}

/// Whether a test of that name is in another binary: one that needs neither root nor
/// other programs, or a process without threads.
fn is_elsewhere(folder: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.any(|path| match std::fs::read_to_string(&path) {
        Ok(text) => [format!("fn {name}("), format!("fn {name}<")]
            .iter()
            .any(|function| text.contains(function)),
        Err(_) => is_elsewhere(&path, name),
    })
}

/// Names in the last column of the tables.
fn documented(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter_map(|line| line.strip_suffix('|'));
    let columns = rows.filter_map(|row| row.rsplit('|').next());
    // Between backticks: every second piece.
    columns
        .flat_map(|column| column.split('`').skip(1).step_by(2))
        .collect()
}
