//! Offsets in a partition's log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a number is not an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an offset is a number from 0 to {max}, not {0}", max = i64::MAX - 1)]
pub struct InvalidOffset(pub i64);

/// A place in a partition's log: 0 to 2^63 - 2, so that the next one exists.
///
/// Positions and commits name the *next* record to read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Offset(i64);

impl Offset {
    /// The first place in a log.
    pub const ZERO: Self = Self(0);

    /// Makes an offset.
    ///
    /// # Errors
    /// Refuses negative numbers (Kafka's logical offsets among them) and 2^63 - 1.
    pub fn new(number: i64) -> Result<Self, InvalidOffset> {
        if (0..i64::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidOffset(number))
        }
    }

    /// The number, never negative.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The place behind this record.
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(i64::MAX - 1))
    }
}

impl TryFrom<i64> for Offset {
    type Error = InvalidOffset;

    fn try_from(number: i64) -> Result<Self, InvalidOffset> {
        Self::new(number)
    }
}

impl From<Offset> for i64 {
    fn from(offset: Offset) -> Self {
        offset.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_always_has_a_next_one() {
        assert!(Offset::new(-1).is_err());
        assert!(Offset::new(i64::MAX).is_err());
        let last = Offset::new(i64::MAX - 1).unwrap();
        assert_eq!(last.next(), last);
        assert_eq!(Offset::ZERO.next().get(), 1);
    }
}
