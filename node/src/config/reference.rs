//! A configuration file with every key.

use std::iter;

use super::SECTIONS;
use super::key::{Key, Preset};

/// Longest line of an explanation, in characters.
const WIDTH: usize = 96;

/// The file, each key at its default; one whose default is none, or depends, stands there as a
/// comment with an example. `is_explained`: each with what it is for and what is allowed.
pub(super) fn file(is_explained: bool) -> String {
    let sections = SECTIONS.iter().map(|heading| {
        let keys = heading.keys.iter();
        let keys = keys.flat_map(|key| entry(heading.name, key, is_explained));
        let about = comment(heading.about).into_iter().filter(|_| is_explained);
        let name = iter::once(format!("[{}]", heading.name));
        let lines = about.chain(name).chain(keys);
        lines.map(|line| line + "\n").collect::<String>()
    });
    sections.collect::<Vec<_>>().join("\n")
}

fn entry(section: &str, key: &Key, is_explained: bool) -> Vec<String> {
    let line = match key.default {
        Preset::Is(value) => format!("{} = {value}", key.name),
        Preset::Nothing(example) | Preset::Depends(_, example) => {
            format!("# {} = {example}", key.name)
        }
        Preset::Instead if is_explained => format!("# {} = \"…\"", key.name),
        Preset::Instead => return Vec::new(),
        Preset::Section => format!("[{section}.{}]", key.name),
    };
    let mut lines = Vec::new();
    if is_explained || key.default == Preset::Section {
        lines.push(String::new());
    }
    if is_explained {
        lines.extend(comment(key.about));
        lines.extend(comment(&format!("Allowed: {}.", key.allowed)));
        if let Preset::Depends(default, _) = key.default {
            lines.extend(comment(&format!("Default: {default}.")));
        }
    }
    lines.push(line);
    lines
}

/// The text in lines that are comments.
fn comment(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines
}
