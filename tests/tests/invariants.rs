//! Holds docs/invariants.md against the code: every promise names tests, and those are there.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions of the workspace.
fn functions() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["types", "raft", "actors", "node", "tests"] {
        for part in ["src", "tests"] {
            let folder = root().join(folder).join(part);
            if folder.is_dir() {
                rust_files(&folder, &mut files);
            }
        }
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for (_, rest) in text
            .match_indices("fn ")
            .map(|(at, found)| text.split_at(at + found.len()))
        {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            names.insert(name);
        }
    }
    names
}

#[test]
fn every_invariant_is_guarded_by_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/invariants.md")).unwrap();
    let functions = functions();
    let mut promises = 0;
    for row in page.lines().filter(|line| line.starts_with("| INV-")) {
        promises += 1;
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [number, .., guards] = cells[..] else {
            panic!("a row has too few cells: {row}")
        };
        let tests: Vec<&str> = guards
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|path| path.rsplit("::").next().unwrap_or(path))
            .collect();
        assert!(!tests.is_empty(), "{number} is guarded by no test");
        for test in tests {
            assert!(
                functions.contains(test),
                "{number} names {test}, which is not there"
            );
        }
    }
    assert!(promises > 30, "only {promises} promises were found");
}
