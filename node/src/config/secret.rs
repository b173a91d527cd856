//! Text that no log may show.

use std::fmt;

use super::key::Key;
use super::section::Section;
use super::value::text;

/// A secret. Its `Debug` does not show it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The secret that stands under one key, or in the file that another key names. Of the file the
/// white space around it does not count.
pub(super) fn secret(section: &mut Section<'_>, inline: &Key, file: &Key) -> Option<Secret> {
    let given = section.secret(inline, text);
    let Some(path) = section.get(file, text) else {
        return given.map(Secret::new);
    };
    if given.is_some() {
        section.mistake(file.name, format!("must not stand beside {}", inline.name));
    }
    match std::fs::read_to_string(&path) {
        Ok(content) if !content.trim().is_empty() => Some(Secret::new(content.trim())),
        Ok(_) => {
            section.mistake(file.name, format!("{path} is empty"));
            None
        }
        Err(error) => {
            section.mistake(file.name, format!("{path} cannot be read: {error}"));
            None
        }
    }
}
