//! Points: starts of partitions that the group's commits do not yet say.

use serde::{Deserialize, Serialize};

use crate::{Offset, SeekSeq};

/// What the group had committed for a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SeenCommit {
    /// The next offset to read.
    pub offset: Offset,
    /// The text that the committer left with it.
    pub metadata: String,
}

/// Where a partition of a session starts, as long as no later commit says otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Point {
    /// The next offset to read.
    pub offset: Offset,
    /// The group's commit when the point was written: another one voids the point.
    pub seen: Option<SeenCommit>,
    /// What wrote it.
    pub by: PointBy,
}

/// What wrote a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PointBy {
    /// A seek of the client, the one with this number.
    Seek(SeekSeq),
    /// The resolved start of a manual assignment.
    Assign(SeekSeq),
    /// A planned move; it serves the first assignment after the join that it was written for.
    Handover(SeekSeq),
}

impl PointBy {
    /// The last seek that the point knows of: commits made before it do not void the point.
    pub fn seek_seq(self) -> SeekSeq {
        match self {
            Self::Seek(seq) | Self::Assign(seq) | Self::Handover(seq) => seq,
        }
    }
}
