//! Taking a JSON object apart, field by field, noting every fault.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::api::error::{FieldError, Problem, invalid_fields};

/// The faults of a request, all of them.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldError>);

impl Faults {
    /// Notes a fault.
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
    }

    /// The value, if nothing was wrong.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(invalid_fields(self.0)),
        }
    }
}

/// An object whose fields are taken one by one. What nobody takes is refused at the end.
pub(crate) struct Fields<'a> {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    faults: &'a mut Faults,
}

impl<'a> Fields<'a> {
    /// The fields of a body, which must be an object.
    pub(crate) fn of_body(body: Option<Value>, faults: &'a mut Faults) -> Self {
        let members = match body {
            None => Map::new(),
            Some(Value::Object(members)) => members,
            Some(other) => {
                let message = format!("must be a JSON object, not {}", kind(&other));
                faults.add("body", message);
                Map::new()
            }
        };
        Self {
            members,
            known: Vec::new(),
            faults,
        }
    }

    /// Takes a field as it is. A `null` counts as absent: typed clients write it for what they
    /// do not set.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Whether a field stands there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.add(field, message);
    }

    /// Where faults go, for what parses a value by itself.
    pub(crate) fn faults(&mut self) -> &mut Faults {
        self.faults
    }

    /// An integer within a range.
    pub(crate) fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.take(name)?;
        let number = integer(&value).filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!(
                "must be an integer from {} to {}, not {}",
                range.start(),
                range.end(),
                shown(&value)
            );
            self.faults.add(name, message);
        }
        number
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            let message = format!("must be true or false, not {}", shown(&value));
            self.faults.add(name, message);
        }
        flag
    }

    /// A text that `parse` understands; it answers what is wrong otherwise.
    pub(crate) fn text<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let parsed = match &value {
            Value::String(text) => parse(text),
            other => Err(format!("must be a string, not {}", shown(other))),
        };
        parsed
            .map_err(|message| self.faults.add(name, message))
            .ok()
    }

    /// As [`text`](Self::text), of a field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(name) {
            self.missing(name);
        }
        self.text(name, parse)
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = self.take(name)?;
        let found = value
            .as_str()
            .and_then(|text| choices.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let message = format!("must be one of {}, not {}", words.join(", "), shown(&value));
            self.faults.add(name, message);
        }
        found.map(|(_, choice)| *choice)
    }

    /// Notes that a field is missing.
    pub(crate) fn missing(&mut self, name: &'static str) {
        self.faults.add(name, "is required");
    }

    /// Refuses what nobody has taken.
    pub(crate) fn finish(self) {
        for name in self.members.keys() {
            let known = self.known.join(", ");
            let message = format!("is not a field of this request; those are {known}");
            self.faults.add(name.clone(), message);
        }
    }
}

/// An integer, also where it is written as `10.0`.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        let whole = number.fract() == 0.0 && number.abs() <= EXACT;
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        whole.then_some(number as i64)
    })
}

/// A value for a message: short ones as they are, others by their kind.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() <= 64 => value.to_string(),
        Value::String(_) | Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
