//! What a section and its keys are: all that people are told of them, and all defaults.
//!
//! The tables and the file in docs/configuration.md are made of this.

use toml::{Table, Value};

/// A section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    /// Markdown: what the section is for. May be empty.
    pub(super) about: &'static str,
    /// Every key, in the order of the page.
    pub(super) keys: &'static [&'static Key],
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) default: Preset,
    /// Finishes the sentence "the value must be".
    pub(super) allowed: &'static str,
    /// Markdown: what it is for.
    pub(super) about: &'static str,
}

/// What counts where a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preset {
    /// This, as it would stand in the file.
    Is(&'static str),
    /// Something that depends on more than the configuration, in words.
    Depends(&'static str, Example),
    /// Nothing.
    Nothing(Example),
    /// Another key does instead.
    Instead,
    /// The key is a section of its own, with keys that others define.
    Section,
}

/// What may stand in the file, as it would stand there.
pub(super) type Example = &'static str;

impl Key {
    /// The default, read as a value of the file is.
    ///
    /// # Panics
    /// If it has none, or none that is allowed. A test reads them all.
    pub(super) fn preset<T>(&self, parse: impl Fn(&Value) -> Option<T>) -> T {
        let value = match self.default {
            Preset::Is(literal) => literal_value(literal),
            Preset::Depends(..) | Preset::Nothing(_) | Preset::Instead | Preset::Section => None,
        };
        match value.as_ref().and_then(parse) {
            Some(default) => default,
            None => unreachable!("{} has no default that is allowed", self.name),
        }
    }
}

/// Reads one value as it stands in a file.
fn literal_value(literal: &str) -> Option<Value> {
    let mut table: Table = format!("value = {literal}").parse().ok()?;
    table.remove("value")
}
