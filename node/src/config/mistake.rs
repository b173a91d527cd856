//! What is wrong with a configuration, told all at once.

use std::fmt;

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key as it stands in the file (`drain.timeout`), or the variable that set it.
    pub key: String,
    /// The value given, `None` where one is missing or must not be shown.
    pub value: Option<String>,
    /// What is allowed, or why it is refused.
    pub allowed: String,
}

impl Mistake {
    /// A mistake about a key without a value to show.
    pub(crate) fn new(key: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: None,
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.key, self.allowed),
            None => write!(f, "{}: {}", self.key, self.allowed),
        }
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}
