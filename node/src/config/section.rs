//! Taking the keys of one section, one by one, noting every mistake.

use std::collections::BTreeMap;

use toml::Value;

use super::key::{Heading, Key};
use super::mistake::Mistake;
use super::source::{Entry, Source};

/// One section of the configuration while it is being checked.
pub(super) struct Section<'a> {
    heading: &'static Heading,
    entries: BTreeMap<String, Entry>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Section<'a> {
    /// Takes a section out of the source.
    pub(super) fn take(
        source: &mut Source,
        heading: &'static Heading,
        mistakes: &'a mut Vec<Mistake>,
    ) -> Self {
        Self {
            heading,
            entries: source.sections.remove(heading.name).unwrap_or_default(),
            mistakes,
        }
    }

    /// The value of a key, if it is there and right.
    pub(super) fn get<T>(&mut self, key: &Key, parse: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let entry = self.take_entry(key)?;
        let parsed = parse(&entry.value);
        if parsed.is_none() {
            self.mistakes.push(Mistake {
                key: entry.name,
                value: Some(entry.value.to_string()),
                allowed: format!("must be {}", key.allowed),
            });
        }
        parsed
    }

    /// As [`get`](Self::get); the key's default if it is not there, or wrong.
    pub(super) fn value<T>(&mut self, key: &Key, parse: impl Fn(&Value) -> Option<T>) -> T {
        let given = self.get(key, &parse);
        given.unwrap_or_else(|| key.preset(parse))
    }

    /// As [`get`](Self::get), but the value is never shown.
    pub(super) fn secret<T>(
        &mut self,
        key: &Key,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let entry = self.take_entry(key)?;
        let parsed = parse(&entry.value);
        if parsed.is_none() {
            let allowed = format!("must be {}", key.allowed);
            self.mistakes.push(Mistake::new(entry.name, allowed));
        }
        parsed
    }

    /// Takes a key as it is.
    pub(super) fn take_entry(&mut self, key: &Key) -> Option<Entry> {
        self.entries.remove(key.name)
    }

    /// Notes a mistake about a key of this section.
    pub(super) fn mistake(&mut self, key: &str, allowed: impl Into<String>) {
        let key = format!("{}.{key}", self.heading.name);
        self.mistakes.push(Mistake::new(key, allowed));
    }

    /// Notes a mistake with its own key.
    pub(super) fn push(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Refuses the keys that nothing has asked for.
    pub(super) fn finish(self) {
        let Heading { name, keys, .. } = self.heading;
        let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
        let known = known.join(", ");
        for entry in self.entries.into_values() {
            let allowed = format!("is not a key; [{name}] has {known}");
            self.mistakes.push(Mistake::new(entry.name, allowed));
        }
    }
}
