//! The shapes of what is kept: immutable, each beside the type that it stands for.
//!
//! openraft's own types are not written as they are, since their fields are openraft's to change.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{CommittedLeaderId, EntryPayload, LeaderId};
use serde::{Deserialize, Serialize};

use super::{Kind, Shape};
use crate::types::{
    ClusterId, Entry, LogId, Member, Membership, SnapshotMeta, StoredMembership, Vote,
};
use crate::{Command, RaftId, Registry};

/// The id of a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogIdV1 {
    term: u64,
    leader: u64,
    index: u64,
}

impl Shape for LogIdV1 {
    const KIND: Kind = Kind::LogId;
}

impl From<LogId> for LogIdV1 {
    fn from(id: LogId) -> Self {
        Self {
            term: id.leader_id.term,
            leader: id.leader_id.node_id.get(),
            index: id.index,
        }
    }
}

impl From<LogIdV1> for LogId {
    fn from(id: LogIdV1) -> Self {
        Self::new(CommittedLeaderId::new(id.term, id.leader.into()), id.index)
    }
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VoteV1 {
    term: u64,
    candidate: u64,
    is_committed: bool,
}

impl Shape for VoteV1 {
    const KIND: Kind = Kind::Vote;
}

impl From<Vote> for VoteV1 {
    fn from(vote: Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            candidate: vote.leader_id.node_id.get(),
            is_committed: vote.committed,
        }
    }
}

impl From<VoteV1> for Vote {
    fn from(vote: VoteV1) -> Self {
        Self {
            leader_id: LeaderId::new(vote.term, vote.candidate.into()),
            committed: vote.is_committed,
        }
    }
}

/// Where a member is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberV1 {
    name: String,
    address: String,
}

impl From<Member> for MemberV1 {
    fn from(member: Member) -> Self {
        Self {
            name: member.name,
            address: member.address,
        }
    }
}

impl From<MemberV1> for Member {
    fn from(member: MemberV1) -> Self {
        Self {
            name: member.name,
            address: member.address,
        }
    }
}

/// Who takes part: the voter sets, two of them during a change, and everyone's address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MembershipV1 {
    voters: Vec<BTreeSet<u64>>,
    members: BTreeMap<u64, MemberV1>,
}

impl From<&Membership> for MembershipV1 {
    fn from(membership: &Membership) -> Self {
        let numbers = |set: &BTreeSet<RaftId>| set.iter().map(|id| id.get()).collect();
        let configs = membership.get_joint_config();
        let members = membership.nodes();
        Self {
            voters: configs.iter().map(numbers).collect(),
            members: members
                .map(|(id, member)| (id.get(), member.clone().into()))
                .collect(),
        }
    }
}

impl From<MembershipV1> for Membership {
    fn from(membership: MembershipV1) -> Self {
        let ids = |set: BTreeSet<u64>| set.into_iter().map(RaftId::from).collect();
        let members = membership.members.into_iter();
        let members: BTreeMap<RaftId, Member> = members
            .map(|(id, member)| (id.into(), member.into()))
            .collect();
        Self::new(membership.voters.into_iter().map(ids).collect(), members)
    }
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntryV1 {
    id: LogIdV1,
    payload: PayloadV1,
}

/// What an entry says. Append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PayloadV1 {
    /// A new leader begins.
    Blank,
    /// The registry changes, by these one after another.
    Commands(Vec<Command>),
    /// The members change.
    Membership(MembershipV1),
}

impl Shape for EntryV1 {
    const KIND: Kind = Kind::Entry;
}

impl From<Entry> for EntryV1 {
    fn from(entry: Entry) -> Self {
        let payload = match entry.payload {
            EntryPayload::Blank => PayloadV1::Blank,
            EntryPayload::Normal(commands) => PayloadV1::Commands(commands),
            EntryPayload::Membership(membership) => PayloadV1::Membership((&membership).into()),
        };
        let id = entry.log_id.into();
        Self { id, payload }
    }
}

impl From<EntryV1> for Entry {
    fn from(entry: EntryV1) -> Self {
        let payload = match entry.payload {
            PayloadV1::Blank => EntryPayload::Blank,
            PayloadV1::Commands(commands) => EntryPayload::Normal(commands),
            PayloadV1::Membership(membership) => EntryPayload::Membership(membership.into()),
        };
        let log_id = entry.id.into();
        Self { log_id, payload }
    }
}

/// Whose volume it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IdentityV1 {
    pub(crate) raft_id: RaftId,
    /// None until the volume belongs to a cluster.
    pub(crate) cluster: Option<ClusterId>,
}

impl Shape for IdentityV1 {
    const KIND: Kind = Kind::Identity;
}

/// What a snapshot holds, but for the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotMetaV1 {
    last: Option<LogIdV1>,
    membership_at: Option<LogIdV1>,
    membership: MembershipV1,
    name: String,
}

impl From<&SnapshotMeta> for SnapshotMetaV1 {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            last: meta.last_log_id.map(Into::into),
            membership_at: meta.last_membership.log_id().map(Into::into),
            membership: meta.last_membership.membership().into(),
            name: meta.snapshot_id.clone(),
        }
    }
}

impl From<SnapshotMetaV1> for SnapshotMeta {
    fn from(meta: SnapshotMetaV1) -> Self {
        let at = meta.membership_at.map(Into::into);
        Self {
            last_log_id: meta.last.map(Into::into),
            last_membership: StoredMembership::new(at, meta.membership.into()),
            snapshot_id: meta.name,
        }
    }
}

/// The state of the registry after some entry.
///
/// The registry's own fields are the shape: a change of them is a new version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotV1 {
    pub(crate) meta: SnapshotMetaV1,
    pub(crate) registry: Registry,
}

impl Shape for SnapshotV1 {
    const KIND: Kind = Kind::Snapshot;
}
