//! The codes of docs/errors.md, of the binary, and of the tests are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sluice_node::api::error::Code;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

/// Codes that are documented and that no test can provoke: each would take a fault of Sluice that
/// nobody knows of.
const FAULTS_OF_OURS: [&str; 1] = ["internal"];

/// Returns the codes of the page with the status that it gives.
fn documented() -> BTreeMap<String, u16> {
    let page = fs::read_to_string(PAGE).unwrap();
    let entries = page.split("\n### `").skip(1);
    let entry = |text: &str| {
        let (code, rest) = text.split_once('`').expect("a heading ends");
        let (_, status) = rest.split_once("- **Status**: ").expect("it has a status");
        let status = status.lines().next().unwrap_or_default();
        (
            code.to_owned(),
            status.parse().expect("a status is one number"),
        )
    };
    entries.map(entry).collect()
}

/// Returns the problems that tests expect in so many words: `expect_problem(404, "code")`.
fn expected_by_tests() -> BTreeSet<(u16, String)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(TESTS).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                collect(&fs::read_to_string(path).unwrap(), &mut found);
            }
        }
    }
    found
}

fn collect(source: &str, found: &mut BTreeSet<(u16, String)>) {
    let dense: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    for call in dense.split(".expect_problem(").skip(1) {
        let Some((status, rest)) = call.split_once(",\"") else {
            continue;
        };
        if let (Ok(status), Some((code, _))) = (status.parse(), rest.split_once('"')) {
            found.insert((status, code.to_owned()));
        }
    }
}

#[test]
fn the_page_lists_what_the_binary_can_answer() {
    let known: BTreeMap<String, u16> = Code::ALL
        .iter()
        .map(|code| code.meaning())
        .map(|meaning| (meaning.code.to_owned(), meaning.status.as_u16()))
        .collect();
    assert_eq!(documented(), known);
}

#[test]
fn every_code_of_the_page_is_provoked_by_a_test() {
    let provoked = expected_by_tests();
    for (code, status) in documented() {
        let is_provoked = provoked.contains(&(status, code.clone()));
        let is_fault = FAULTS_OF_OURS.contains(&code.as_str());
        assert!(
            is_provoked != is_fault,
            "{code}: provoked by a test: {is_provoked}, listed as a fault of ours: {is_fault}"
        );
    }
}
