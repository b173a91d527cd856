//! Why a value does not fit its schema, and where.

use std::fmt;

use serde_json::Value;

/// A place in a value, and why what is there does not fit. What clients and schemas call things
/// may be of any length, and such a mismatch is kept for long: both texts are short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Empty for the value itself.
    path: String,
    message: String,
}

/// Most characters of a path, or of a message.
const MOST: usize = 512;

impl Mismatch {
    /// Finishes the sentence that begins with the place.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            message: shortened(message.into()),
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
    pub(super) fn within(self, name: &str) -> Self {
        // One more shows that it goes on.
        let name: String = name.chars().take(MOST + 1).collect();
        self.behind(&name)
    }

    /// It lies within this item.
    #[must_use]
    pub(super) fn within_item(self, index: usize) -> Self {
        self.behind(&format!("[{index}]"))
    }

    fn behind(self, outer: &str) -> Self {
        let dot = match self.path.chars().next() {
            None | Some('[') => "",
            Some(_) => ".",
        };
        Self {
            path: shortened(format!("{outer}{dot}{}", self.path)),
            ..self
        }
    }

    /// How many bytes its texts take.
    pub(crate) fn bytes(&self) -> usize {
        self.path.capacity() + self.message.capacity()
    }
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &*self.path {
            "" => "it",
            path => path,
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_take_little_room() {
        let long = "ä".repeat(100_000);
        let mut mismatch = Mismatch::new(format!("must be one of {long}"));
        for _ in 0..64 {
            mismatch = mismatch.within(&long).within_item(7);
        }
        assert!(mismatch.bytes() < 8 * MOST, "{}", mismatch.bytes());
        let told = mismatch.within("outermost").to_string();
        assert!(told.starts_with("outermost[7].ä"), "{told}");
        assert!(
            told.contains("ä… must be one of ä") && told.ends_with("ä…"),
            "{told}"
        );
    }
}
