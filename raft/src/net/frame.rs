//! The shapes of what is sent. Rules as for what is kept: see [`codec`](crate::store::codec).

use std::fmt;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest, VoteResponse,
};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluice_types::{Claim, ConsumerId, NodeId};

use crate::rebalance::AskedMove;
use crate::store::codec::records::{EntryV1, LogIdV1, MemberV1, SnapshotMetaV1, VoteV1};
use crate::store::codec::{Kind, Shape};
use crate::types::{ClusterId, Types};
use crate::{Command, Outcome, RaftId};

/// What one member asks another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestV1 {
    /// The sender's cluster; `None` while it belongs to none.
    pub(crate) cluster: Option<ClusterId>,
    /// The sender.
    pub(crate) from: RaftId,
    /// Whom the sender takes the receiver for; `None` if it only knows an address.
    pub(crate) to: Option<RaftId>,
    pub(crate) question: QuestionV1,
}

impl Shape for RequestV1 {
    const KIND: Kind = Kind::Request;
}

/// A question. Append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum QuestionV1 {
    /// A leader's entries, or none as a sign of life.
    Append {
        vote: VoteV1,
        previous: Option<LogIdV1>,
        entries: Vec<EntryV1>,
        committed: Option<LogIdV1>,
    },
    /// A candidate's request.
    Vote { vote: VoteV1, last: Option<LogIdV1> },
    /// A part of a leader's snapshot.
    Snapshot {
        vote: VoteV1,
        meta: SnapshotMetaV1,
        offset: u64,
        data: Blob,
        is_last: bool,
    },
    /// A proposal for the leader.
    Propose {
        command: Command,
        /// How long the sender waits, milliseconds.
        wait: u32,
    },
    /// Asks the leader how much has to be applied for a linearizable read.
    ReadIndex {
        /// How long the sender waits, milliseconds.
        wait: u32,
    },
    /// Asks who is there, by whoever has the address.
    Who {
        /// What people call the cluster that the sender is meant for.
        name: String,
    },
    /// Asks the leader to take the sender in, or to note its new address.
    Join {
        /// As in [`Self::Who`].
        name: String,
        /// Where the sender is.
        member: MemberV1,
    },
    /// A node's sign of life, for the leader.
    Heartbeat(HeartbeatV1),
    /// Asks the leader what it knows of the nodes.
    Sightings,
}

impl QuestionV1 {
    /// What a member may ask before it belongs to a cluster: the name that it goes by.
    pub(crate) fn introduction(&self) -> Option<&str> {
        match self {
            Self::Who { name } | Self::Join { name, .. } => Some(name),
            Self::Append { .. }
            | Self::Vote { .. }
            | Self::Snapshot { .. }
            | Self::Propose { .. }
            | Self::ReadIndex { .. }
            | Self::Heartbeat(_)
            | Self::Sightings => None,
        }
    }
}

/// What a member answers. Append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ResponseV1 {
    /// The entries are on the volume.
    Appended,
    /// Those up to this one are.
    AppendedUpTo(Option<LogIdV1>),
    /// What the entries follow on is not there.
    Conflict,
    /// The receiver has seen a higher vote.
    HigherVote(VoteV1),
    /// The answer to a candidate.
    Voted {
        vote: VoteV1,
        is_granted: bool,
        last: Option<LogIdV1>,
    },
    /// The part of the snapshot has been taken, if the vote is not higher.
    Received { vote: VoteV1 },
    /// Another part was expected: the leader begins anew.
    WrongPart { expected: u64 },
    /// The command has been applied as the entry before `next`.
    Proposed { outcome: Outcome, next: u64 },
    /// All entries before `next` have to be applied.
    ReadAt { next: u64 },
    /// The receiver does not lead; nothing was done.
    NotLeader { leader: Option<(RaftId, MemberV1)> },
    /// The receiver leads and reaches no majority; nothing was done.
    NoQuorum,
    /// The receiver does not know what became of the proposal.
    OutcomeUnknown,
    /// The frame is not for this member, or it cannot be read; nothing was done.
    Refused(RefusalV1),
    /// Who is there.
    Here {
        raft_id: RaftId,
        member: MemberV1,
        /// Its cluster, once it has one.
        cluster: Option<ClusterId>,
        /// Whether it takes part in the cluster.
        is_formed: bool,
        /// The leader, if it knows one.
        leader: Option<(RaftId, MemberV1)>,
    },
    /// The sender takes part from now on.
    Welcome,
    /// The node holds a lease for so long from the sending of its sign of life.
    Granted {
        /// Milliseconds.
        lease: u32,
        /// What it is asked to hand over.
        moves: Vec<AskedMoveV1>,
        /// Whether it is to tell its idlest sessions with its next sign of life.
        tells_idlest: bool,
    },
    /// The node's incarnation has ended, as far as the leader knows.
    Ended,
    /// What the leader knows of the nodes that it has heard of.
    Sightings(Vec<SightingV1>),
}

impl Shape for ResponseV1 {
    const KIND: Kind = Kind::Response;
}

/// A node's sign of life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeartbeatV1 {
    /// The node, in the incarnation that it has registered.
    pub(crate) node: NodeId,
    pub(crate) reaches_kafka: bool,
    /// How many entries of the log it has applied.
    pub(crate) applied: u64,
    /// Sessions that requests wait for there.
    pub(crate) waiting: Vec<ConsumerId>,
    /// Its sessions whose move would be noticed least, if it was asked for them.
    pub(crate) idlest: Vec<ConsumerId>,
}

/// A session that its owner is asked to hand over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskedMoveV1 {
    pub(crate) claim: Claim,
    pub(crate) to: NodeId,
}

impl From<AskedMove> for AskedMoveV1 {
    fn from(asked: AskedMove) -> Self {
        let AskedMove { claim, to } = asked;
        Self { claim, to }
    }
}

impl From<AskedMoveV1> for AskedMove {
    fn from(asked: AskedMoveV1) -> Self {
        let AskedMoveV1 { claim, to } = asked;
        Self { claim, to }
    }
}

/// What the leader knows of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SightingV1 {
    pub(crate) node: NodeId,
    /// How many entries of the log it had applied when it was last heard.
    pub(crate) applied: u64,
    /// How long the lease that it was granted lasts at most, milliseconds; 0 without one.
    pub(crate) lease: u32,
    /// Whether it can open sessions: it reaches Kafka and its registry keeps up.
    pub(crate) is_ready: bool,
}

/// Why a frame is refused. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum RefusalV1 {
    /// The sender belongs to another cluster.
    #[error("it belongs to another cluster")]
    OtherCluster,
    /// The sender takes the receiver for another member.
    #[error("it is not the member that it is taken for")]
    OtherMember,
    /// The frame cannot be read here.
    #[error("it cannot read the frame")]
    Unreadable,
    /// The receiver takes no part any more.
    #[error("it has stopped")]
    Stopped,
    /// The sender is meant for a cluster of another name.
    #[error("it is meant for a cluster of another name")]
    OtherName,
}

/// Bytes, in one piece.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_owned()))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl From<AppendEntriesRequest<Types>> for QuestionV1 {
    fn from(request: AppendEntriesRequest<Types>) -> Self {
        Self::Append {
            vote: request.vote.into(),
            previous: request.prev_log_id.map(Into::into),
            entries: request.entries.into_iter().map(Into::into).collect(),
            committed: request.leader_commit.map(Into::into),
        }
    }
}

impl From<VoteRequest<RaftId>> for QuestionV1 {
    fn from(request: VoteRequest<RaftId>) -> Self {
        Self::Vote {
            vote: request.vote.into(),
            last: request.last_log_id.map(Into::into),
        }
    }
}

impl From<InstallSnapshotRequest<Types>> for QuestionV1 {
    fn from(request: InstallSnapshotRequest<Types>) -> Self {
        Self::Snapshot {
            vote: request.vote.into(),
            meta: (&request.meta).into(),
            offset: request.offset,
            data: Blob(request.data),
            is_last: request.done,
        }
    }
}

impl From<AppendEntriesResponse<RaftId>> for ResponseV1 {
    fn from(response: AppendEntriesResponse<RaftId>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::Appended,
            AppendEntriesResponse::PartialSuccess(last) => Self::AppendedUpTo(last.map(Into::into)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::HigherVote(vote.into()),
        }
    }
}

impl From<VoteResponse<RaftId>> for ResponseV1 {
    fn from(response: VoteResponse<RaftId>) -> Self {
        Self::Voted {
            vote: response.vote.into(),
            is_granted: response.vote_granted,
            last: response.last_log_id.map(Into::into),
        }
    }
}
