//! What may be proposed to the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_types::{
    Claim, ConsumerId, CreationStamp, Epoch, Incarnation, NodeId, PartitionMap, Partitions, Point,
    SeekSeq, SessionSpec, Timestamp, TopicName,
};

use crate::registry::{NodeAddress, NodeState, RaftId, Version};

/// A change of the registry.
///
/// Append-only: a variant, once shipped, keeps its meaning and its fields for ever. Times stand
/// in the command, so that applying it reads no clock. A command about a session that exists
/// takes effect only while the session's epoch is still the one in the claim, a command about a node
/// only on its present incarnation: one that comes late, or a second time, changes nothing.
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
    /// Gives sessions to owners, each under a new epoch that permits one opening. Only to nodes
    /// that are alive and do not drain; but an owner that drains may leave a handover with itself,
    /// for whoever opens the session next. A session that is being deleted moves too: its new owner
    /// leaves the group.
    Move {
        /// The sessions.
        moves: BTreeMap<ConsumerId, Move>,
    },
    /// Uses up what an earlier owner handed over: it serves this epoch's first assignment and no
    /// later one.
    ///
    /// The owner has this in the log after the join and before it takes the partitions, so that
    /// nobody who opens later can mistake a used handover for an unused one. It confirms the claim
    /// as a linearizable read would.
    Joined {
        /// The session.
        claim: Claim,
    },
    /// Makes a process known as a node. It ends the node's earlier incarnation, whose sessions
    /// are then nobody's.
    Register(Registration),
    /// Changes the state of a node.
    ChangeNode {
        /// The node, in the incarnation that is meant.
        node: NodeId,
        /// How often its state had changed when this was decided.
        revision: u32,
        /// The new state. Nothing follows [`NodeState::Dead`].
        to: NodeState,
        /// When.
        at: Timestamp,
    },
    /// Forgets a dead node.
    RemoveNode {
        /// The node, in the incarnation that is meant.
        node: NodeId,
        /// When.
        at: Timestamp,
    },
    /// Allows commands and formats of a later version. Never one that a node does not know.
    RaiseVersion {
        /// The version that is active from now on.
        to: Version,
    },
    /// Begins a new generation of the cluster, from what one node has left after a majority was
    /// lost. Ends every ownership and forgets every node: what the former members claim holds no
    /// longer.
    Recover {
        /// The generation that begins, larger than that of any before.
        generation: u32,
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

/// Where a session goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The ownership that ends.
    pub epoch: Epoch,
    /// The new owner.
    pub to: NodeId,
    /// What the old owner leaves, in a planned move.
    pub handover: Option<Handover>,
}

/// What an owner leaves to the next one in a planned move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// The positions behind what has been delivered.
    pub points: PartitionMap<Point>,
    /// How long the client had been silent: its timer goes on from there.
    pub idle: Duration,
}

/// A process that wants to be a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Its name and this run of it.
    pub id: NodeId,
    /// The incarnation that the registry holds of this name, `None` for a new node: a registration
    /// that comes late does not end a younger one.
    pub replaces: Option<Incarnation>,
    /// Where its internal port is reached.
    pub address: NodeAddress,
    /// Its name in the consensus, which lives and dies with its volume.
    pub raft_id: RaftId,
    /// The highest version of commands and formats that it knows.
    pub version: Version,
    /// What it runs, for people.
    pub release: String,
    /// How many sessions it takes.
    pub capacity: u32,
    /// When.
    pub at: Timestamp,
}
