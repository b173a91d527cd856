//! The lines of an exported registry. Version 1, which never changes: what is to be otherwise gets
//! a version of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_raft::{HandedOver, Handover, PartitionCounts, Session, SessionState};
use sluice_types::{
    AssignmentStrategy, ConsumerId, CreationStamp, Epoch, Format, GroupId, Incarnation,
    IsolationLevel, Mode, NodeId, NodeName, Offset, OffsetReset, PartitionMap, Partitions, Point,
    PointBy, SeekSeq, SeenCommit, SessionSpec, Timestamp, TopicName,
};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadV1 {
    pub(super) format: String,
    pub(super) version: u32,
    /// The release that has written the file, for people.
    pub(super) release: String,
    /// The cluster that the sessions were of, for people.
    pub(super) cluster: Option<String>,
    pub(super) generation: u32,
    pub(super) exported_at_ms: i64,
    /// How many lines follow.
    pub(super) sessions: usize,
}

/// A line for each session. Fields that clients know are named as in the HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionV1 {
    pub(super) consumer_id: ConsumerId,
    /// As text: not every reader of JSON keeps 64 bits of a number.
    stamp: String,
    created_at_ms: i64,
    owner: NodeName,
    incarnation: String,
    epoch: u64,
    spec: SpecV1,
    mode: ModeV1,
    seek_seq: u64,
    points: PartitionMap<PointV1>,
    handed_over: Option<HandoverV1>,
    partitions_at_creation: BTreeMap<TopicName, i32>,
    partitions_seen: BTreeMap<TopicName, i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecV1 {
    group_id: GroupId,
    topics: Vec<TopicName>,
    auto_offset_reset: OffsetReset,
    session_timeout_ms: u64,
    auto_commit: bool,
    auto_commit_interval_ms: u64,
    isolation_level: IsolationLevel,
    key_format: Format,
    value_format: Format,
    assignment_strategy: AssignmentStrategy,
    client_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ModeV1 {
    Subscribed,
    Assigned {
        partitions: Partitions,
        revision: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointV1 {
    offset: Offset,
    seen: Option<SeenV1>,
    by: ByV1,
    seek_seq: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenV1 {
    offset: Offset,
    metadata: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ByV1 {
    Seek,
    Assign,
    Handover,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverV1 {
    points: PartitionMap<PointV1>,
    idle_ms: u64,
}

impl From<&Session> for SessionV1 {
    fn from(session: &Session) -> Self {
        // What was used serves nobody any more.
        let handed_over = session.handed_over.as_deref().filter(|h| !h.is_used);
        Self {
            consumer_id: session.id.clone(),
            stamp: hex(session.stamp.get()),
            created_at_ms: session.created_at.as_millis(),
            owner: session.owner.name.clone(),
            incarnation: hex(session.owner.incarnation.get()),
            epoch: session.epoch.get(),
            spec: SpecV1::from(&session.spec),
            mode: match &session.mode {
                Mode::Subscribed => ModeV1::Subscribed,
                Mode::Assigned {
                    partitions,
                    revision,
                } => ModeV1::Assigned {
                    partitions: partitions.clone(),
                    revision: *revision,
                },
            },
            seek_seq: session.seek_seq.get(),
            points: written(&session.points),
            handed_over: handed_over.map(|used| HandoverV1 {
                points: written(&used.handover.points),
                idle_ms: millis(used.handover.idle),
            }),
            partitions_at_creation: BTreeMap::from(&session.counts_at_creation),
            partitions_seen: BTreeMap::from(&session.counts_seen),
        }
    }
}

impl SessionV1 {
    /// The session.
    ///
    /// # Errors
    /// What no session can have, as the end of a sentence about the line.
    pub(super) fn session(self) -> Result<Session, String> {
        let number = |name: &str, text: &str| {
            u64::from_str_radix(text, 16)
                .map_err(|_| format!("{name} must be 16 hexadecimal digits, not {text:?}"))
        };
        let stamp = number("stamp", &self.stamp)?;
        let incarnation = number("incarnation", &self.incarnation)?;
        let counts = |counts: BTreeMap<TopicName, i32>| match counts.values().all(|n| *n >= 0) {
            true => Ok(PartitionCounts::from(counts)),
            false => Err("a topic cannot have fewer than 0 partitions".to_owned()),
        };
        Ok(Session {
            stamp: CreationStamp::from_number(stamp),
            spec: self.spec.spec()?,
            owner: NodeId {
                name: self.owner,
                incarnation: Incarnation::from_number(incarnation),
            },
            epoch: Epoch::from_number(self.epoch).ok_or("epoch must be 1 or more")?,
            state: SessionState::Active,
            mode: match self.mode {
                ModeV1::Subscribed => Mode::Subscribed,
                ModeV1::Assigned {
                    partitions,
                    revision,
                } => Mode::Assigned {
                    partitions,
                    revision,
                },
            },
            seek_seq: SeekSeq::from_number(self.seek_seq),
            points: read(self.points),
            counts_at_creation: counts(self.partitions_at_creation)?,
            counts_seen: counts(self.partitions_seen)?,
            created_at: Timestamp::from_millis(self.created_at_ms),
            handed_over: self.handed_over.map(|left| {
                Box::new(HandedOver {
                    handover: Handover {
                        points: read(left.points),
                        idle: Duration::from_millis(left.idle_ms),
                    },
                    is_used: false,
                })
            }),
            id: self.consumer_id,
        })
    }
}

impl From<&SessionSpec> for SpecV1 {
    fn from(spec: &SessionSpec) -> Self {
        Self {
            group_id: spec.group_id.clone(),
            topics: spec.topics.clone(),
            auto_offset_reset: spec.auto_offset_reset,
            session_timeout_ms: millis(spec.session_timeout),
            auto_commit: spec.auto_commit,
            auto_commit_interval_ms: millis(spec.auto_commit_interval),
            isolation_level: spec.isolation_level,
            key_format: spec.key_format,
            value_format: spec.value_format,
            assignment_strategy: spec.assignment_strategy,
            client_id: spec.client_id.clone(),
        }
    }
}

impl SpecV1 {
    fn spec(self) -> Result<SessionSpec, String> {
        let distinct: BTreeSet<&TopicName> = self.topics.iter().collect();
        if distinct.len() != self.topics.len() || !(1..=100).contains(&distinct.len()) {
            return Err("spec.topics must be 1 to 100 topics, none of them twice".to_owned());
        }
        if !(1_000..=3_600_000).contains(&self.session_timeout_ms) {
            return Err("spec.session_timeout_ms must be from 1000 to 3600000".to_owned());
        }
        if !(1..=3_600_000).contains(&self.auto_commit_interval_ms) {
            return Err("spec.auto_commit_interval_ms must be from 1 to 3600000".to_owned());
        }
        Ok(SessionSpec {
            group_id: self.group_id,
            topics: self.topics,
            auto_offset_reset: self.auto_offset_reset,
            session_timeout: Duration::from_millis(self.session_timeout_ms),
            auto_commit: self.auto_commit,
            auto_commit_interval: Duration::from_millis(self.auto_commit_interval_ms),
            isolation_level: self.isolation_level,
            key_format: self.key_format,
            value_format: self.value_format,
            assignment_strategy: self.assignment_strategy,
            client_id: self.client_id,
        })
    }
}

fn written(points: &PartitionMap<Point>) -> PartitionMap<PointV1> {
    let point = |point: &Point| PointV1 {
        offset: point.offset,
        seen: point.seen.as_ref().map(|seen| SeenV1 {
            offset: seen.offset,
            metadata: seen.metadata.clone(),
        }),
        by: match point.by {
            PointBy::Seek(_) => ByV1::Seek,
            PointBy::Assign(_) => ByV1::Assign,
            PointBy::Handover(_) => ByV1::Handover,
        },
        seek_seq: point.by.seek_seq().get(),
    };
    points.iter().map(|(at, p)| (at, point(p))).collect()
}

fn read(points: PartitionMap<PointV1>) -> PartitionMap<Point> {
    let point = |point: &PointV1| {
        let seq = SeekSeq::from_number(point.seek_seq);
        Point {
            offset: point.offset,
            seen: point.seen.as_ref().map(|seen| SeenCommit {
                offset: seen.offset,
                metadata: seen.metadata.clone(),
            }),
            by: match point.by {
                ByV1::Seek => PointBy::Seek(seq),
                ByV1::Assign => PointBy::Assign(seq),
                ByV1::Handover => PointBy::Handover(seq),
            },
        }
    };
    points.iter().map(|(at, p)| (at, point(p))).collect()
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
