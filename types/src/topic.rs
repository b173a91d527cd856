//! Topics and their partitions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a legal topic name, or a number not a partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// The text is empty or longer than Kafka allows.
    #[error("a topic name must have 1 to {max} characters, not {0}", max = TopicName::MAX_LEN)]
    Length(usize),
    /// The text has a character that Kafka does not allow.
    #[error("a topic name may contain only A-Z a-z 0-9 . _ -, not {0:?}")]
    Character(char),
    /// `.` and `..` are reserved.
    #[error("a topic name may not be . or ..")]
    Reserved,
    /// Partition numbers are 0 to 2147483647.
    #[error("a partition is a number from 0 to {max}, not {0:?}", max = i32::MAX)]
    Partition(String),
}

/// Names a Kafka topic: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`.
///
/// The rule is Kafka's own (`org.apache.kafka.common.internals.Topic`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Most characters a topic name may have.
    pub const MAX_LEN: usize = 249;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let length = text.chars().count();
        if length == 0 || length > Self::MAX_LEN {
            return Err(InvalidTopic::Length(length));
        }
        if matches!(text, "." | "..") {
            return Err(InvalidTopic::Reserved);
        }
        match text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
        {
            Some(character) => Err(InvalidTopic::Character(character)),
            None => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopic;

    fn try_from(text: String) -> Result<Self, InvalidTopic> {
        text.parse()
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A partition's number within its topic, 0 to 2,147,483,647.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Partition(i32);

impl Partition {
    /// Makes a partition number.
    ///
    /// # Errors
    /// Refuses negative numbers.
    pub fn new(number: i32) -> Result<Self, InvalidTopic> {
        if number < 0 {
            return Err(InvalidTopic::Partition(number.to_string()));
        }
        Ok(Self(number))
    }

    /// The number, never negative.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i32> for Partition {
    type Error = InvalidTopic;

    fn try_from(number: i32) -> Result<Self, InvalidTopic> {
        Self::new(number)
    }
}

impl From<Partition> for i32 {
    fn from(partition: Partition) -> Self {
        partition.0
    }
}

impl FromStr for Partition {
    type Err = InvalidTopic;

    /// Reads plain decimal digits: no sign, no leading zero.
    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let plain =
            text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse() {
            Ok(number) if plain => Ok(Self(number)),
            _ => Err(InvalidTopic::Partition(text.to_owned())),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition of it.
    pub partition: Partition,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        assert!("orders.v2_x-1".parse::<TopicName>().is_ok());
        assert_eq!("..".parse::<TopicName>(), Err(InvalidTopic::Reserved));
        assert_eq!(
            "a b".parse::<TopicName>(),
            Err(InvalidTopic::Character(' '))
        );
        assert_eq!(
            "t".repeat(250).parse::<TopicName>(),
            Err(InvalidTopic::Length(250))
        );
    }

    #[test]
    fn a_partition_key_is_plain_digits() {
        assert_eq!("12".parse::<Partition>().map(Partition::get), Ok(12));
        for refused in ["-1", "+1", "01", "", "1.0", "2147483648"] {
            assert!(
                refused.parse::<Partition>().is_err(),
                "{refused:?} was taken"
            );
        }
    }
}
