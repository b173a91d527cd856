//! Where values come from: the file, then the environment, then flags; the later wins.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::SECTIONS;
use super::mistake::Mistake;

/// Environment variables, as an argument, so that tests choose them.
pub type Env = BTreeMap<String, String>;

/// Variables with this prefix are ours; those with a `__` override a key.
const PREFIX: &str = "SLUICE_";

/// A value, and the name that a person knows it by.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Value,
}

/// All values by section and key.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) sections: BTreeMap<String, BTreeMap<String, Entry>>,
}

impl Source {
    /// Reads the text of a configuration file.
    pub(super) fn add_file(&mut self, text: &str, mistakes: &mut Vec<Mistake>) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                mistakes.push(syntax(text, &error));
                return;
            }
        };
        for (section, value) in table {
            let Value::Table(keys) = value else {
                let allowed = format!("must be a section: [{section}]");
                mistakes.push(Mistake::new(section, allowed));
                continue;
            };
            for (key, value) in keys {
                self.set(&section, &key, format!("{section}.{key}"), value);
            }
        }
    }

    /// Reads `SLUICE_<SECTION>__<KEY>`; a third part names a librdkafka property, its dots as
    /// underscores: `SLUICE_KAFKA__PROPERTIES__SECURITY_PROTOCOL`.
    ///
    /// Others with the prefix are Kubernetes' and for the log, unless they would be a key's.
    pub(super) fn add_env(&mut self, env: &Env, mistakes: &mut Vec<Mistake>) {
        for (name, text) in env {
            let Some(own) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let Some((section, rest)) = own.split_once("__") else {
                mistakes.extend(meant(own).map(|meant| {
                    Mistake::new(name, format!("is not read: the variable is {meant}"))
                }));
                continue;
            };
            let section = section.to_ascii_lowercase();
            let value = Value::String(text.clone());
            match rest.split_once("__") {
                None => self.set(&section, &rest.to_ascii_lowercase(), name.clone(), value),
                Some((key, inner)) => {
                    let inner = inner.to_ascii_lowercase().replace('_', ".");
                    self.set_inner(&section, &key.to_ascii_lowercase(), name, inner, value);
                }
            }
        }
    }

    /// Sets one value over what is there.
    pub(super) fn set(&mut self, section: &str, key: &str, name: String, value: Value) {
        self.sections
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), Entry { name, value });
    }

    fn set_inner(&mut self, section: &str, key: &str, name: &str, inner: String, value: Value) {
        let entry = self
            .sections
            .entry(section.to_owned())
            .or_default()
            .entry(key.to_owned())
            .or_insert_with(|| Entry {
                name: name.to_owned(),
                value: Value::Table(Table::new()),
            });
        if let Value::Table(table) = &mut entry.value {
            table.insert(inner, value);
        }
    }
}

/// The variable that was meant by one with a single underscore between section and key.
fn meant(own: &str) -> Option<String> {
    SECTIONS.iter().find_map(|heading| {
        let section = heading.name.to_ascii_uppercase();
        let key = own.strip_prefix(&section)?.strip_prefix('_')?;
        let is_key = heading
            .keys
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(key));
        is_key.then(|| format!("{PREFIX}{section}__{key}"))
    })
}

/// Says where the file stops being TOML, without quoting the line: it may hold a secret.
fn syntax(text: &str, error: &toml::de::Error) -> Mistake {
    let place = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        format!("line {line}, column {column}")
    });
    Mistake::new(
        place.unwrap_or_else(|| "the file".to_owned()),
        format!("is not TOML: {}", error.message()),
    )
}
