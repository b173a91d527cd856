//! What a session can be asked, and what it answers.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use sluice_types::{
    Claim, Mode, Offset, Offsets, Partitions, SessionSpec, Timestamp, TopicName, TopicPartition,
};
use tokio::time::Instant;

use crate::handle::AnswerFate;

/// When the client stops waiting: no answer is worth anything later than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline this long from now.
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// The deadline as an instant.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// How long until then; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// How the headers of a record stand in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadersFormat {
    /// `{"name":"value"}`, the last of repeated names wins.
    #[default]
    Object,
    /// `[{"key":"name","value":"value"}]`, all, in order.
    List,
}

/// A poll of a session that many share: it waits for its turn behind those before it, gathers
/// records, and acknowledges them by their delivery. Its answer is that of the one-call API.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// It is answered when no further record has come for so long.
    pub lull: Duration,
    /// How long the session may take to join its group before the time of the poll begins.
    pub joining: Duration,
}

/// A poll, its limits already inside what the server allows.
#[derive(Clone, Debug)]
pub struct Poll {
    /// How long to wait for the first record.
    pub wait: Duration,
    /// Most records in the answer.
    pub max_records: NonZeroU32,
    /// Most bytes of keys, values and headers in the answer; the first record may exceed it.
    pub max_bytes: NonZeroU64,
    /// How headers stand in the answer.
    pub headers: HeadersFormat,
    /// The cursor of the last answer that the client really has; not of one that is shared.
    pub after: Option<String>,
    /// Whether it shares the session with others; else it ends the one before it.
    pub shared: Option<Shared>,
}

/// A poll's answer: its body, and the duty to say what became of it.
#[derive(Debug)]
pub struct Answer {
    /// The JSON document.
    pub body: Bytes,
    /// How many records stand in it.
    pub records: usize,
    /// To be told when the body was handed over whole; dropped untold, nothing was delivered.
    pub fate: AnswerFate,
}

impl Answer {
    /// As [`AnswerFate::may_begin`].
    pub fn may_begin(&self) -> bool {
        self.fate.may_begin()
    }
}

/// What to commit.
#[derive(Clone, Debug)]
pub enum Commit {
    /// What has been delivered to the client as far as this owner knows.
    Delivered,
    /// These: the next offsets to read.
    Offsets(Offsets),
    /// The positions of the answer with this cursor, those that still count.
    Cursor(String),
}

/// What was committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Committed {
    /// The offsets that the broker has acknowledged.
    pub offsets: Offsets,
    /// Partitions asked for that the session does not hold; they were not committed.
    #[serde(skip_serializing_if = "Partitions::is_empty")]
    pub not_assigned: Partitions,
    /// The assignment's generation.
    pub generation: i32,
}

/// Where a partition is to be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTarget {
    /// At this offset.
    Offset(Offset),
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the first record at or after this time; behind the newest if there is none.
    Timestamp(Timestamp),
}

/// What to seek.
#[derive(Clone, Debug)]
pub enum Seek {
    /// These partitions, each to its target.
    Partitions(Vec<(TopicPartition, SeekTarget)>),
    /// All assigned partitions of the topic.
    Topic(TopicName, SeekTarget),
}

/// Where a seek went: the resolved offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// The offset of each partition sought.
    pub offsets: Offsets,
}

/// The session's partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// The partitions held.
    pub assignment: Partitions,
    /// Kafka's generation for group sessions, the assignment's revision for manual ones; 0
    /// before the first assignment.
    pub generation: i32,
}

/// The next offset that a poll returns, for every assigned partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Positions {
    /// The offsets.
    pub offsets: Offsets,
    /// The assignment's generation.
    pub generation: i32,
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotState {
    /// It has its partitions.
    Running,
    /// It waits for the group to give it partitions.
    Joining,
}

/// A session seen from outside; taking it does not renew the session.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The ownership under which it runs.
    pub claim: Claim,
    /// What the client asked for.
    pub spec: SessionSpec,
    /// How it comes by its partitions.
    pub mode: Mode,
    /// What it is doing.
    pub state: SnapshotState,
    /// The partitions held.
    pub assignment: Assignment,
    /// The next offset that a poll returns.
    pub positions: Offsets,
    /// The group's committed offsets of the held partitions, where there are any.
    pub committed: Offsets,
    /// Records between the position and the end of each partition's log, as last known.
    pub lag: sluice_types::PartitionMap<i64>,
    /// Since the last renewing request.
    pub idle: Duration,
    /// When the session was created.
    pub created_at: Timestamp,
}
