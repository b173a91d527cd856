//! The query of a request: names that nobody knows are refused.

use std::collections::BTreeMap;

use super::fields::Faults;

/// The parameters of a query; of repeated ones the last counts.
#[derive(Debug, Default)]
pub(crate) struct Query {
    given: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Query {
    /// Reads the part of the address behind the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        Self {
            given: form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .filter(|(name, value)| !(name.is_empty() && value.is_empty()))
                .collect(),
            known: Vec::new(),
        }
    }

    /// Takes a parameter.
    pub(crate) fn take<T>(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let text = self.given.remove(name)?;
        parse(&text)
            .map_err(|message| faults.add(name, message))
            .ok()
    }

    /// Refuses what nobody has taken.
    pub(crate) fn finish(self, faults: &mut Faults) {
        for name in self.given.into_keys() {
            let message = match self.known.as_slice() {
                [] => "is not a query parameter; this request has none".to_owned(),
                known => format!("is not a query parameter; those are {}", known.join(", ")),
            };
            faults.add(name, message);
        }
    }
}
