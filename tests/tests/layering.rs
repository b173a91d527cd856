//! Which crate may depend on which: `types ← {raft, actors} ← node ← tests`.

use cargo_metadata::MetadataCommand;

const TYPES: &str = "sluice-types";
const RAFT: &str = "sluice-raft";
const ACTORS: &str = "sluice-actors";
const NODE: &str = "sluice-node";
const TESTS: &str = "sluice-tests";

/// Crates of others that belong to some of ours only, each with what comes along with it.
const RESERVED: [(&str, &[&str]); 6] = [
    ("rdkafka", &[ACTORS, TESTS]),
    ("rdkafka-sys", &[ACTORS, TESTS]),
    ("actix-web", &[NODE]),
    ("actix-http", &[NODE]),
    ("openraft", &[RAFT]),
    ("redb", &[RAFT]),
];

/// Returns what is wrong with `from` depending on `to`, in whatever way (build and dev too).
fn violation(from: &str, to: &str) -> Option<String> {
    let ours: Option<&[&str]> = match from {
        TYPES => Some(&[]),
        RAFT | ACTORS => Some(&[TYPES]),
        NODE => Some(&[TYPES, RAFT, ACTORS]),
        TESTS => Some(&[TYPES, RAFT, ACTORS, NODE]),
        _ => None,
    };
    let Some(allowed) = ours else {
        return Some(format!(
            "{from} has no place in the layers yet: give it one here"
        ));
    };
    if to.starts_with("sluice-") && !allowed.contains(&to) {
        return Some(format!(
            "{from} must not depend on {to}, only on {allowed:?}"
        ));
    }
    let reserved = RESERVED.iter().find(|(name, _)| *name == to);
    reserved.and_then(|(_, owners)| {
        let told = format!("{from} must not depend on {to}: it belongs to {owners:?}");
        (!owners.contains(&from)).then_some(told)
    })
}

#[test]
fn no_crate_depends_on_what_is_not_below_it() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let packages = metadata.workspace_packages();
    assert!(packages.len() >= 5, "{} packages", packages.len());
    let violations: Vec<String> = packages
        .iter()
        .flat_map(|package| {
            let edges = package.dependencies.iter();
            edges.filter_map(|dependency| violation(&package.name, &dependency.name))
        })
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[track_caller]
fn refused(from: &str, to: &str) {
    assert!(
        violation(from, to).is_some(),
        "{from} -> {to} was let through"
    );
}

#[test]
fn edges_up_or_sideways_are_refused() {
    refused(RAFT, ACTORS);
    refused(ACTORS, RAFT);
    refused(TYPES, RAFT);
    refused(RAFT, NODE);
    refused(NODE, TESTS);
    refused("sluice-extra", TYPES);
    assert_eq!(violation(NODE, RAFT), None);
}

#[test]
fn reserved_crates_stay_where_they_belong() {
    refused(NODE, "rdkafka");
    refused(RAFT, "rdkafka-sys");
    refused(ACTORS, "actix-web");
    refused(NODE, "openraft");
    refused(TESTS, "redb");
    assert_eq!(violation(RAFT, "openraft"), None);
    assert_eq!(violation(ACTORS, "serde"), None);
}
