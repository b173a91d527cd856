//! docs/configuration.md: its file and its tables are made of the code, between marks. After a
//! change `make config-page` writes them anew.

use std::fmt::Write as _;

use expect_test::expect_file;

use super::*;
use crate::config::kafka::{OWNED, OWNED_BY_PRODUCERS};
use crate::config::key::{Key, Preset};

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// The page, with what stands between its marks made anew.
fn page() -> String {
    let mut page = PAGE.to_owned();
    replace(
        &mut page,
        "file",
        &format!("```toml\n{}```\n", reference::file(false)),
    );
    for heading in SECTIONS {
        replace(&mut page, heading.name, &section(heading));
    }
    replace(&mut page, "owned", &owned());
    page
}

/// Replaces what stands between the two marks of this name.
fn replace(page: &mut String, name: &str, made: &str) {
    let begin = format!("<!-- from the code: {name} -->\n");
    let start = page.find(&begin).map(|at| at + begin.len());
    let start = start.unwrap_or_else(|| panic!("the page has no mark for {name}"));
    let length = page[start..].find("<!-- end -->");
    let length = length.unwrap_or_else(|| panic!("the part of {name} has no end"));
    page.replace_range(start..start + length, made);
}

fn section(heading: &Heading) -> String {
    let mut made = format!("## `[{}]`\n\n", heading.name);
    if !heading.about.is_empty() {
        writeln!(made, "{}\n", heading.about).unwrap();
    }
    made.push_str("| key | default | allowed | |\n|---|---|---|---|\n");
    for key in heading.keys {
        made.push_str(&row(heading, key));
    }
    made
}

fn row(heading: &Heading, key: &Key) -> String {
    let default = match key.default {
        Preset::Is(value) => format!("`{value}`"),
        Preset::Depends(words, _) => words.to_owned(),
        Preset::Nothing(_) | Preset::Instead | Preset::Section => String::new(),
    };
    let name = match key.default {
        Preset::Section => format!("`[{}.{}]`", heading.name, key.name),
        _ => format!("`{}`", key.name),
    };
    let (allowed, about) = (key.allowed, key.about);
    for cell in [&name, &default, allowed, about] {
        assert!(!cell.contains(['|', '\n']), "{cell} breaks the table");
    }
    format!("| {name} | {default} | {allowed} | {about} |\n")
}

/// The properties of librdkafka that Sluice sets itself.
fn owned() -> String {
    let mut made = String::from("| property | of | |\n|---|---|---|\n");
    for (whose, owned) in [("sessions", OWNED), ("producers", OWNED_BY_PRODUCERS)] {
        for (name, reason) in owned {
            writeln!(made, "| `{name}` | {whose} | {reason} |").unwrap();
        }
    }
    made
}

#[test]
fn the_page_is_as_the_code_makes_it() {
    expect_file!["../../../../docs/configuration.md"].assert_eq(&page());
}

#[test]
fn the_file_with_every_key_says_what_the_code_takes_without_it() {
    let by_code = parse("", &[KAFKA]).unwrap();
    for is_explained in [false, true] {
        let by_file = parse(&reference::file(is_explained), &[KAFKA]).unwrap();
        assert_eq!(format!("{by_file:#?}"), format!("{by_code:#?}"));
    }
}

/// What stands as an example is allowed too, and every key is one that the code asks for.
#[test]
fn every_example_is_taken() {
    let uncommented = reference::file(false).replace("# ", "");
    let told = mistakes(&uncommented, &[KAFKA]);
    // The files of the examples are not there, and so what they would bring.
    let is_expected = |line: &str| {
        let misses = [
            "cluster.secret: is missing",
            "schema_registry.password: is missing",
        ];
        line.contains("cannot be read") || misses.iter().any(|missed| line.starts_with(missed))
    };
    assert!(told.lines().all(is_expected), "{told}");
}

#[test]
fn keys_that_do_instead_of_others_are_asked_for_too() {
    for heading in SECTIONS {
        let keys = heading.keys.iter();
        for key in keys.filter(|key| key.default == Preset::Instead) {
            let file = format!("[{}]\n{} = 'x'", heading.name, key.name);
            let told = parse(&file, &[KAFKA]).err().map(|told| told.to_string());
            let told = told.unwrap_or_default();
            assert!(!told.contains("is not a key"), "{told}");
        }
    }
}
