//! Names of consumers and of consumer groups.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty or too long.
    #[error("must have {min} to {max} characters, not {got}")]
    Length {
        /// Shortest allowed, in characters.
        min: usize,
        /// Longest allowed, in characters.
        max: usize,
        /// Length of the refused text, in characters.
        got: usize,
    },
    /// The text has a character that is not allowed.
    #[error("may contain only A-Z a-z 0-9 . _ -, not {0:?}")]
    Character(char),
}

fn check_length(text: &str, max: usize) -> Result<(), InvalidId> {
    let got = text.chars().count();
    if got == 0 || got > max {
        return Err(InvalidId::Length { min: 1, max, got });
    }
    Ok(())
}

/// Names one consumer session: 1 to 64 of `A-Z a-z 0-9 . _ -`.
///
/// It is the session's `group.instance.id` in Kafka, and stands in paths as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerId(Arc<str>);

impl ConsumerId {
    /// Most characters an id may have.
    pub const MAX_LEN: usize = 64;

    /// Makes an id that no other session has: a version 4 UUID.
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }

    /// The id that these parts always lead to, and no others do: a version 5 UUID.
    pub fn derived(namespace: Uuid, parts: &[&str]) -> Self {
        // With its length before it, no part runs into the next.
        let name: String = parts
            .iter()
            .map(|part| format!("{}:{part}", part.len()))
            .collect();
        let id = Uuid::new_v5(&namespace, name.as_bytes());
        Self(id.to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConsumerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        check_length(text, Self::MAX_LEN)?;
        match text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
        {
            Some(character) => Err(InvalidId::Character(character)),
            None => Ok(Self(text.into())),
        }
    }
}

/// Names a Kafka consumer group: 1 to 249 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// Most characters a group id may have.
    pub const MAX_LEN: usize = 249;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        check_length(text, Self::MAX_LEN)?;
        match text.chars().find(|c| c.is_control()) {
            Some(character) => Err(InvalidId::Character(character)),
            None => Ok(Self(text.into())),
        }
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id!(ConsumerId);
text_id!(GroupId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_id_is_made_of_url_safe_characters() {
        assert!("a.B_9-".parse::<ConsumerId>().is_ok());
        assert_eq!("a/b".parse::<ConsumerId>(), Err(InvalidId::Character('/')));
        assert_eq!("é".parse::<ConsumerId>(), Err(InvalidId::Character('é')));
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!("é".repeat(249).parse::<GroupId>().is_ok());
        let refused = "g".repeat(250).parse::<GroupId>();
        assert_eq!(
            refused,
            Err(InvalidId::Length {
                min: 1,
                max: 249,
                got: 250
            })
        );
        assert!("".parse::<GroupId>().is_err());
        assert!("c".repeat(65).parse::<ConsumerId>().is_err());
    }

    #[test]
    fn parts_lead_to_one_id_that_no_other_parts_lead_to() {
        let derived = |parts: &[&str]| ConsumerId::derived(Uuid::NAMESPACE_OID, parts);
        let all = [
            derived(&["", "a", "b"]),
            derived(&["a", "", "b"]),
            derived(&["", "ab", ""]),
            derived(&["", "a1:b"]),
            derived(&["", "a", "1:b"]),
            derived(&["1:a", "b"]),
        ];
        for (at, id) in all.iter().enumerate() {
            assert_eq!(id.as_str().parse::<ConsumerId>().as_ref(), Ok(id));
            assert!(!all[..at].contains(id), "{at}");
        }
        assert_eq!(all[0], derived(&["", "a", "b"]));
    }

    #[test]
    fn random_ids_are_ids() {
        let id = ConsumerId::random();
        assert_eq!(id.as_str().parse::<ConsumerId>(), Ok(id.clone()));
        assert_ne!(id, ConsumerId::random());
    }
}
