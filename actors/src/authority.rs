//! What a session must ask before it acts: the registry, as a session sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sluice_types::{Claim, Mode, PartitionMap, Partitions, Point, SeekSeq, TopicName};

/// What the registry holds of a session for its owner.
#[derive(Clone, Debug)]
pub struct Record {
    /// The number of its last seek.
    pub seek_seq: SeekSeq,
    /// Starts that the group's commits do not say.
    pub points: PartitionMap<Point>,
    /// How it comes by its partitions.
    pub mode: Mode,
    /// How many partitions each topic had when the session was created: a later one starts at
    /// its beginning.
    pub counts_at_creation: BTreeMap<TopicName, i32>,
    /// The most partitions that each topic has been seen to have.
    pub counts_seen: BTreeMap<TopicName, i32>,
    /// What the owner before has handed over, if nobody before this handle has used it. It serves
    /// the handle's first assignment, above `points`, and no later one.
    pub handed_over: Option<HandedOver>,
}

/// What an owner leaves to the next one in a planned move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// Where each partition that was held goes on: behind what has been delivered.
    pub points: PartitionMap<Point>,
    /// How long the client had been silent: its timer goes on from there.
    pub idle: Duration,
}

/// What the registry says of a claim.
#[derive(Clone, Debug)]
pub enum Standing {
    /// The claim holds.
    Owner(Record),
    /// Another node or a later epoch owns the session: drop the handle without leaving.
    Elsewhere,
    /// The session is gone or being deleted: leave the group.
    Gone,
}

/// Why the registry did not do what a session asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthorityError {
    /// The registry cannot decide now; nothing has changed.
    #[error("the registry cannot decide now")]
    Unavailable,
    /// It is not known whether the change was made.
    #[error("the registry did not say whether the change was made")]
    Unknown,
    /// The claim no longer holds; nothing has changed.
    #[error("the claim no longer holds")]
    Stale,
}

/// The registry as a session sees it.
///
/// # Correctness
/// An implementation must be compare-and-set on the claim's epoch: with a claim that no longer
/// holds, no method changes anything. `confirm` must be linearizable: it may answer
/// [`Standing::Owner`] only if the claim held at some time between call and answer. What a
/// method has acknowledged must survive the node.
///
/// A [`HandedOver`] is in the answer of `confirm` only when it is on record that it is used: no
/// handle of a later epoch may be given it then, whatever becomes of this one.
///
/// `lease` may promise no time after which another node may serve the sessions of this one that
/// have no group to fence it: it counts the time that the process is suspended, and is asked anew
/// each time, at the point of use.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// For how long this process may still serve manually assigned sessions; zero: not now.
    fn lease(&self) -> Duration;

    /// Reads what the registry says of the claim.
    async fn confirm(&self, claim: &Claim) -> Result<Standing, AuthorityError>;

    /// Writes the points of a seek, replacing those of the same partitions, and makes `seq` the
    /// session's last seek.
    async fn seek(
        &self,
        claim: &Claim,
        seq: SeekSeq,
        points: PartitionMap<Point>,
    ) -> Result<(), AuthorityError>;

    /// Notes how many partitions each topic has.
    async fn observed(
        &self,
        claim: &Claim,
        counts: BTreeMap<TopicName, i32>,
    ) -> Result<(), AuthorityError>;

    /// Makes the session a manually assigned one with these partitions; `points` replace all.
    async fn assign(
        &self,
        claim: &Claim,
        partitions: Partitions,
        revision: u32,
        points: PartitionMap<Point>,
    ) -> Result<(), AuthorityError>;
}
