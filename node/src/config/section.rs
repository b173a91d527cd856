//! Taking the keys of one section, one by one, noting every mistake.

use std::collections::BTreeMap;

use toml::Value;

use super::mistake::Mistake;
use super::source::{Entry, Source};

/// One section of the configuration while it is being checked.
pub(super) struct Section<'a> {
    name: &'static str,
    entries: BTreeMap<String, Entry>,
    known: Vec<&'static str>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Section<'a> {
    /// Takes a section out of the source.
    pub(super) fn take(
        source: &mut Source,
        name: &'static str,
        mistakes: &'a mut Vec<Mistake>,
    ) -> Self {
        Self {
            name,
            entries: source.sections.remove(name).unwrap_or_default(),
            known: Vec::new(),
            mistakes,
        }
    }

    /// The value of a key, if it is there and right. `allowed` finishes the sentence "the value
    /// must be".
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let entry = self.take_entry(key)?;
        let parsed = parse(&entry.value);
        if parsed.is_none() {
            self.mistakes.push(Mistake {
                key: entry.name,
                value: Some(entry.value.to_string()),
                allowed: format!("must be {allowed}"),
            });
        }
        parsed
    }

    /// As [`get`](Self::get), but the value is never shown.
    pub(super) fn secret<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let entry = self.take_entry(key)?;
        let parsed = parse(&entry.value);
        if parsed.is_none() {
            let allowed = format!("must be {allowed}");
            self.mistakes.push(Mistake::new(entry.name, allowed));
        }
        parsed
    }

    /// Takes a key as it is.
    pub(super) fn take_entry(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// Notes a mistake about a key of this section.
    pub(super) fn mistake(&mut self, key: &str, allowed: impl Into<String>) {
        let key = format!("{}.{key}", self.name);
        self.mistakes.push(Mistake::new(key, allowed));
    }

    /// Notes a mistake with its own key.
    pub(super) fn push(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Refuses the keys that nothing has asked for.
    pub(super) fn finish(self) {
        let known = self.known.join(", ");
        for entry in self.entries.into_values() {
            let allowed = format!("is not a key; [{}] has {known}", self.name);
            self.mistakes.push(Mistake::new(entry.name, allowed));
        }
    }
}
