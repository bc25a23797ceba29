//! The conformance scripts and the binary under test, for every stage.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::path::{Path, PathBuf};

use testkit::runner::{self, Stage};
use testkit::script::Script;

/// Runs every script.
pub(crate) async fn run_all(stage: &dyn Stage) {
    let mut failures = Vec::new();
    let scripts = scripts();
    for (at, (path, script)) in scripts.iter().enumerate() {
        if let Err(error) = runner::run(script, stage, &at.to_string()).await {
            failures.push(format!("{} ({}): {error:#}", path.display(), script.spec));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} scripts failed:\n{}",
        failures.len(),
        scripts.len(),
        failures.join("\n")
    );
}

/// The binary under test, beside the tests' own folder; `make test` builds it first.
pub(crate) fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.ancestors().nth(2).unwrap().join("dunlin");
    assert!(
        binary.exists(),
        "{} is missing: run `cargo build --package dunlin` first",
        binary.display()
    );
    binary
}

/// Every script, in order of its path.
fn scripts() -> Vec<(PathBuf, Script)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut paths: Vec<PathBuf> = folders(&root).iter().flat_map(|folder| entries(folder)).collect();
    paths.sort();
    assert!(paths.len() > 40, "the scripts are not there: {paths:?}");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let script =
            Script::parse(&text).unwrap_or_else(|bad| panic!("{}:{}: {}", path.display(), bad.line, bad.reason));
        (path.strip_prefix(&root).unwrap().to_owned(), script)
    };
    paths.into_iter().map(read).collect()
}

fn folders(root: &Path) -> Vec<PathBuf> {
    entries(root).into_iter().filter(|path| path.is_dir()).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}
