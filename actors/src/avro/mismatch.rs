//! Why a value does not fit its schema, and where.

use std::fmt;

use serde_json::Value;

/// A place in a value, and why what is there does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Innermost first.
    path: Vec<Step>,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Item(usize),
}

/// Most characters of a path that are shown.
const MAX_PATH: usize = 512;

impl Mismatch {
    /// Finishes the sentence that begins with the place.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
        }
    }

    /// The value should be something else.
    pub(super) fn expected(what: impl fmt::Display, found: &Value) -> Self {
        Self::new(format!("must be {what}, not {}", kind(found)))
    }

    /// What is JSON cannot be read as a value.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        Self::new(format!("cannot be read: {error}"))
    }

    /// It lies within this field, or under this key.
    #[must_use]
    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(Step::Name(name.to_owned()));
        self
    }

    /// It lies within this item.
    #[must_use]
    pub(super) fn within_item(mut self, index: usize) -> Self {
        self.path.push(Step::Item(index));
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Name(name) if path.is_empty() => path.push_str(name),
                Step::Name(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() {
            path.push_str("it");
        }
        if let Some((end, _)) = path.char_indices().nth(MAX_PATH) {
            path.truncate(end);
            path.push('…');
        }
        write!(f, "{path} {}", self.message)
    }
}

/// What a JSON value is, for people.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
