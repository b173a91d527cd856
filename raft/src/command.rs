//! What may be proposed to the registry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_types::{
    Claim, ConsumerId, CreationStamp, Epoch, NodeId, PartitionMap, Partitions, Point, SeekSeq,
    SessionSpec, Timestamp, TopicName,
};

/// A change of the registry.
///
/// Append-only: a variant, once shipped, keeps its meaning and its fields for ever. Times stand
/// in the command, so that applying it reads no clock. A command about a session that exists
/// takes effect only while the session's epoch is still the one in the claim: one that comes late,
/// or a second time, changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Begins a session, owned by the node that asks for it.
    Create(Creation),
    /// Lets an owner open its sessions again, each under a new epoch.
    ///
    /// An epoch permits one opening of a Kafka handle, so this comes before each further one.
    Open {
        /// The owner. Sessions of others are left alone.
        owner: NodeId,
        /// The sessions, each under the epoch that the owner knows: a batch names a session
        /// once, else it could open one twice, or again when it is repeated.
        claims: BTreeMap<ConsumerId, Epoch>,
    },
    /// Moves positions of a session.
    Seek {
        /// The session.
        claim: Claim,
        /// The number of this seek, larger than that of any before.
        seq: SeekSeq,
        /// The new starts; points of other partitions stay.
        points: PartitionMap<Point>,
    },
    /// Makes a session a manually assigned one.
    Assign {
        /// The session.
        claim: Claim,
        /// Its partitions from now on.
        partitions: Partitions,
        /// The number of this assignment, larger than that of any before.
        revision: u32,
        /// Their starts; all earlier points go.
        points: PartitionMap<Point>,
    },
    /// Notes how many partitions topics have been seen to have.
    Observed {
        /// The session.
        claim: Claim,
        /// The counts; smaller ones than were noted before are ignored.
        counts: BTreeMap<TopicName, i32>,
    },
    /// Begins the end of a session: for clients it is no more, its owner has yet to leave the
    /// group. The new epoch permits one opening, to take an unreachable member over and leave.
    Delete {
        /// The session.
        claim: Claim,
        /// When.
        at: Timestamp,
    },
    /// Ends a session that is being deleted: its id is free.
    Gone {
        /// The session, under the epoch that [`Delete`](Self::Delete) made.
        claim: Claim,
        /// When.
        at: Timestamp,
    },
}

/// A session to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Creation {
    /// Its name.
    pub id: ConsumerId,
    /// Tells this life of the id from others.
    pub stamp: CreationStamp,
    /// What the client asks for.
    pub spec: SessionSpec,
    /// The node that is to run it.
    pub owner: NodeId,
    /// When the client asked.
    pub created_at: Timestamp,
    /// How many partitions each topic has.
    pub counts: BTreeMap<TopicName, i32>,
}
