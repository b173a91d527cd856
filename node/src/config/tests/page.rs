//! docs/configuration.md is held against the code: its keys, and their defaults.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// Keys of a section that are sections themselves: they have no row of their own.
const INNER: [&str; 3] = ["properties", "consumer", "producer"];

/// Every key that the code asks for, as it tells those who have misspelt one.
fn keys_of_the_code() -> BTreeMap<String, BTreeSet<String>> {
    let sections = SECTIONS.split(", ").map(|section| {
        let told = mistakes(&format!("[{section}]\nno-such-key = 1\n"), &[KAFKA]);
        let start = format!("{section}.no-such-key: is not a key; [{section}] has ");
        let known = told.strip_prefix(&start);
        let known = known.unwrap_or_else(|| panic!("{told} does not list the keys"));
        let keys = known.trim_end().split(", ").map(str::to_owned);
        (section.to_owned(), keys.collect())
    });
    sections.collect()
}

/// The file of the page with every key.
fn file() -> &'static str {
    let (_, rest) = PAGE
        .split_once("A file with every key at its default:\n\n```toml\n")
        .expect("the page has a file with every key");
    let (file, _) = rest.split_once("```").expect("it ends");
    file
}

/// The keys of that file, with their defaults; `None` of those that stand there as a comment,
/// because their default is none or depends.
fn keys_of_the_file() -> BTreeMap<String, BTreeMap<String, Option<Value>>> {
    let table: toml::Table = file().parse().expect("the file is TOML");
    let mut keys: BTreeMap<String, BTreeMap<String, Option<Value>>> = BTreeMap::new();
    for (section, values) in &table {
        let values = values.as_table().expect("a section has keys").iter();
        let values = values.map(|(key, value)| (key.clone(), Some(value.clone())));
        keys.insert(section.clone(), values.collect());
    }
    let mut section = "";
    for line in file().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(" = "))
        {
            let keys = keys.entry(section.to_owned()).or_default();
            assert_eq!(keys.insert(key.to_owned(), None), None, "{key}");
        }
    }
    keys
}

/// Keys that need not stand in that file: one of the two ways to give a secret is enough there.
const INLINE: [&str; 3] = ["secret", "password", "token"];

/// The text of a section.
fn text_of(section: &str) -> &'static str {
    let heading = format!("\n## `[{section}]`\n");
    let (_, rest) = PAGE
        .split_once(&heading)
        .unwrap_or_else(|| panic!("the page has no section {section}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The rows of a section's table: each key, with what stands there as its default.
fn rows_of(section: &str) -> BTreeMap<String, String> {
    let lines = text_of(section).lines();
    let rows = lines.filter_map(|line| line.strip_prefix("| `"));
    let mut keys = BTreeMap::new();
    for row in rows {
        let mut cells = row.split(" | ");
        let names = cells.next().unwrap_or_default();
        let default = cells.next().unwrap_or_default().trim().replace('`', "");
        for name in names.split(", ") {
            keys.insert(name.replace('`', ""), default.clone());
        }
    }
    keys
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn the_page_has_every_key_of_the_code_and_no_other() {
    let (code, file) = (keys_of_the_code(), keys_of_the_file());
    let sections = |page: &BTreeSet<String>| page.iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        code.keys().cloned().collect::<Vec<_>>(),
        file.keys().cloned().collect::<Vec<_>>(),
    );
    for (section, keys) in &code {
        let in_file: BTreeSet<String> = file[section].keys().cloned().collect();
        let in_code = keys.iter().filter(|key| !INLINE.contains(&key.as_str()));
        let in_code: BTreeSet<String> = in_code.cloned().collect();
        assert_eq!(sections(&in_file), sections(&in_code), "file, [{section}]");
        let mut rows: BTreeSet<String> = rows_of(section).into_keys().collect();
        for inner in INNER.iter().filter(|inner| keys.contains(**inner)) {
            assert!(text_of(section).contains(&format!("`[{section}.{inner}]`")));
            rows.insert((*inner).to_owned());
        }
        assert_eq!(sections(&rows), sections(keys), "table of [{section}]");
    }
}

#[test]
fn the_defaults_of_the_page_are_those_of_the_code() {
    let by_code = parse("", &[KAFKA]).unwrap();
    let by_page = parse(file(), &[KAFKA]).unwrap();
    assert_eq!(format!("{by_page:#?}"), format!("{by_code:#?}"));
    for (section, keys) in keys_of_the_file() {
        let rows = rows_of(&section);
        let defaults = keys
            .iter()
            .filter(|(key, _)| !INNER.contains(&key.as_str()))
            .filter_map(|(key, default)| Some((key, shown(default.as_ref()?))));
        for (key, default) in defaults {
            assert_eq!(rows[key], default, "{section}.{key}");
        }
    }
}
