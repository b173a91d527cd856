//! The framing of Avro data in Kafka, and how schemas are named.

use std::fmt;
use std::str::FromStr;

/// The first byte of a framed value.
const MAGIC: u8 = 0;

/// Most characters of a subject.
const MAX_SUBJECT: usize = 512;

/// A schema's number in its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(u32);

impl SchemaId {
    /// The schema with this number; registries have no larger ones than 2,147,483,647.
    pub fn new(number: u32) -> Option<Self> {
        i32::try_from(number).is_ok().then_some(Self(number))
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a client names a schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    /// The latest version of a subject.
    Latest(String),
    /// This one.
    Id(SchemaId),
}

/// What is no name of a schema; finishes the sentence that begins with what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a number up to 2147483647, or a subject of 1 to {MAX_SUBJECT} characters without control characters"
)]
pub struct InvalidSchemaRef;

impl FromStr for SchemaRef {
    type Err = InvalidSchemaRef;

    /// A number is an id, everything else a subject.
    fn from_str(text: &str) -> Result<Self, InvalidSchemaRef> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let id = text.parse().ok().and_then(SchemaId::new);
            return id.map(Self::Id).ok_or(InvalidSchemaRef);
        }
        // In a path the two would be steps upwards.
        let is_legal = !text.chars().any(char::is_control) && !matches!(text, "." | "..");
        if !is_legal || text.chars().count() > MAX_SUBJECT {
            return Err(InvalidSchemaRef);
        }
        Ok(Self::Latest(text.to_owned()))
    }
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(subject) => f.write_str(subject),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// The beginning of data that was written by this schema.
pub(crate) fn framed(id: SchemaId) -> Vec<u8> {
    let mut bytes = vec![MAGIC];
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes
}

/// The id and the data, if that is what the bytes are.
pub(crate) fn unframed(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (id, data) = bytes.strip_prefix(&[MAGIC])?.split_first_chunk()?;
    Some((SchemaId::new(u32::from_be_bytes(*id))?, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_id_and_the_rest_are_subjects() {
        assert_eq!("7".parse(), Ok(SchemaRef::Id(SchemaId(7))));
        for subject in ["orders-value", "a/b c", "7a", "-7", "é", "..."] {
            let expected = SchemaRef::Latest(subject.to_owned());
            assert_eq!(subject.parse(), Ok(expected));
        }
        for wrong in ["", "2147483648", ".", "..", "a\n", &"x".repeat(513)] {
            assert_eq!(wrong.parse::<SchemaRef>(), Err(InvalidSchemaRef), "{wrong}");
        }
    }

    #[test]
    fn data_is_framed_by_a_zero_and_the_id() {
        assert_eq!(framed(SchemaId(258)), [0, 0, 0, 1, 2]);
        let id = SchemaId(258);
        assert_eq!(unframed(&[0, 0, 0, 1, 2, 9]), Some((id, &[9][..])));
        assert_eq!(unframed(&[0, 0, 0, 1, 2]), Some((id, &[][..])));
        for wrong in [
            &[][..],
            &[0, 0, 0, 1],
            &[1, 0, 0, 1, 2, 9],
            &[0, 0x80, 0, 0, 0, 9],
            b"{\"a\":1}",
        ] {
            assert_eq!(unframed(wrong), None, "{wrong:?}");
        }
    }
}
