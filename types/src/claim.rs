//! Who owns a session, and since when.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ConsumerId, Partitions};

/// Fencing number of one ownership: of two claims to a session the larger epoch is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Epoch(NonZeroU64);

impl Epoch {
    /// The epoch of a session just created.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tells one life of a consumer id from another: random, chosen when the session is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CreationStamp(u64);

impl CreationStamp {
    /// Makes a stamp that no other life of any id has.
    pub fn random() -> Self {
        Self(Uuid::new_v4().as_u64_pair().0)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The stamp with this number, as a cursor carries it.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Counts the seeks of a session: each seek's points carry the number it made.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct SeekSeq(u64);

impl SeekSeq {
    /// Before the first seek.
    pub const NONE: Self = Self(0);

    /// The number of the seek after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number, 0 before the first seek.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The sequence number with this value, as a cursor and a commit carry it.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for SeekSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to run a session: every command about it is compare-and-set on this.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The session.
    pub id: ConsumerId,
    /// The ownership that the claim is of.
    pub epoch: Epoch,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.epoch)
    }
}

/// How a session comes by its partitions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mode {
    /// The group's assignor gives them.
    Subscribed,
    /// The client named them; the session takes no part in the group's rebalancing.
    Assigned {
        /// The partitions named.
        partitions: Partitions,
        /// Counts the assignments made; it is the `generation` of answers.
        revision: u32,
    },
}
