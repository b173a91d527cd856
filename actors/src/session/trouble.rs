//! Why nothing can be read from a partition.

use sluice_types::{Offset, TopicPartition};

use crate::Error;
use crate::kafka::LogBounds;

/// With the reset policy `none` a partition stops where its position makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Where the session stands; none if nothing was committed.
    pub(crate) position: Option<Offset>,
    /// What the log has.
    pub(crate) bounds: LogBounds,
}

impl Trouble {
    /// The error that a poll meets.
    pub(crate) fn error(&self, at: &TopicPartition) -> Error {
        Error::OffsetOutOfRange {
            partition: at.clone(),
            position: self.position,
            first: self.bounds.first,
            end: self.bounds.end,
        }
    }
}
