//! What the consensus is made of here: the types that openraft is used with.

use std::fmt;
use std::io::Cursor;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Command, Outcome, RaftId};

openraft::declare_raft_types!(
    /// openraft, as the registry uses it.
    pub(crate) Types:
        D = Vec<Command>,
        R = Vec<Outcome>,
        NodeId = RaftId,
        Node = Member,
);

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<RaftId>;
pub(crate) type Vote = openraft::Vote<RaftId>;
pub(crate) type Membership = openraft::Membership<RaftId, Member>;
pub(crate) type StoredMembership = openraft::StoredMembership<RaftId, Member>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<RaftId, Member>;
pub(crate) type StorageError = openraft::StorageError<RaftId>;
pub(crate) type Raft = openraft::Raft<Types>;

impl RaftId {
    /// Makes an id that no other volume has.
    pub fn random() -> Self {
        Self::from_number(Uuid::new_v4().as_u64_pair().0)
    }
}

/// openraft wants one; no volume has it.
impl Default for RaftId {
    fn default() -> Self {
        Self::from_number(0)
    }
}

impl From<u64> for RaftId {
    fn from(number: u64) -> Self {
        Self::from_number(number)
    }
}

/// Names one cluster: random, chosen when it is formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(u128);

impl ClusterId {
    /// Makes an id that no other cluster has.
    pub fn random() -> Self {
        Self(Uuid::new_v4().as_u128())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).fmt(f)
    }
}

impl FromStr for ClusterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Ok(Self(text.parse::<Uuid>()?.as_u128()))
    }
}

/// What the members know of one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The node's name, for people: the raft id is what counts.
    pub name: String,
    /// Where it is reached, as the transport takes it.
    pub address: String,
}
