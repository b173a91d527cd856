//! Bodies about sessions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::names::{
    AssignmentStrategy, Base64, ConsumerId, Format, GroupId, HeadersFormat, IsolationLevel, Mode,
    Offset, OffsetReset, Offsets, Partition, PartitionName, Partitions, TopicName,
};

/// What a client asks of a session.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"group_id": "billing", "topics": ["orders"], "auto_offset_reset": "earliest"}))]
pub(in crate::api) struct SubscribeRequest {
    pub(in crate::api) group_id: GroupId,
    /// Distinct topics.
    #[schema(min_items = 1, max_items = 100)]
    pub(in crate::api) topics: BTreeSet<TopicName>,
    #[schema(default = "latest", required = false, nullable)]
    pub(in crate::api) auto_offset_reset: OffsetReset,
    /// How long the session lives without a renewing request, in milliseconds.
    #[schema(
        default = 30000,
        minimum = 1000,
        maximum = 3600000,
        required = false,
        nullable
    )]
    pub(in crate::api) session_timeout_ms: i64,
    /// Whether what the client has acknowledged is committed by itself.
    #[schema(default = false, required = false, nullable)]
    pub(in crate::api) auto_commit: bool,
    /// Shortest time between two such commits, in milliseconds.
    #[schema(
        default = 5000,
        minimum = 1,
        maximum = 3600000,
        required = false,
        nullable
    )]
    pub(in crate::api) auto_commit_interval_ms: i64,
    #[schema(default = "read_committed", required = false, nullable)]
    pub(in crate::api) isolation_level: IsolationLevel,
    #[schema(default = "string", required = false, nullable)]
    pub(in crate::api) key_format: Format,
    #[schema(default = "string", required = false, nullable)]
    pub(in crate::api) value_format: Format,
    /// The default is the node's, `cooperative-sticky` unless configured otherwise.
    #[schema(required = false, nullable)]
    pub(in crate::api) assignment_strategy: AssignmentStrategy,
    /// Kafka's `client.id`; without control characters.
    #[schema(
        default = "sluice",
        min_length = 1,
        max_length = 249,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        required = false,
        nullable
    )]
    pub(in crate::api) client_id: String,
    /// Makes the subscribe idempotent; `subscribe` is taken. Default: a new UUID.
    #[schema(required = false, nullable)]
    pub(in crate::api) consumer_id: ConsumerId,
}

/// A session, with its partitions.
#[derive(ToSchema)]
#[schema(example = json!({"consumer_id": "550e8400-e29b-41d4-a716-446655440000", "group_id": "billing", "topics": ["orders"], "assignment": {"orders": [0, 1, 2]}, "generation": 1}))]
pub(in crate::api) struct SubscribeAnswer {
    consumer_id: ConsumerId,
    group_id: GroupId,
    topics: Vec<TopicName>,
    assignment: Partitions,
    /// When it changes, the assignment has changed.
    generation: i32,
}

/// A poll.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"timeout_ms": 5000, "max_records": 100}))]
pub(in crate::api) struct ConsumeRequest {
    /// How long to wait for the first record, in milliseconds.
    #[schema(
        default = 30000,
        minimum = 0,
        maximum = 300000,
        required = false,
        nullable
    )]
    pub(in crate::api) timeout_ms: i64,
    #[schema(
        default = 500,
        minimum = 1,
        maximum = 10000,
        required = false,
        nullable
    )]
    pub(in crate::api) max_records: i64,
    /// Counts key, value and header bytes; the first record may exceed it.
    #[schema(
        default = 1048576,
        minimum = 1,
        maximum = 67108864,
        required = false,
        nullable
    )]
    pub(in crate::api) max_bytes_total: i64,
    #[schema(default = "object", required = false, nullable)]
    pub(in crate::api) headers_format: HeadersFormat,
    /// The cursor of the last answer that the client really has: the poll goes on exactly behind
    /// it.
    #[schema(min_length = 1, max_length = 16384, required = false, nullable)]
    pub(in crate::api) after: String,
}

/// Records, or none at the timeout.
#[derive(ToSchema)]
#[schema(example = json!({"records": [{"topic": "orders", "partition": 0, "offset": 0, "timestamp": 1704537600000i64, "key": "order-123", "value": "{\"order_id\": \"123\"}", "headers": {"correlation_id": "abc-123"}}], "timestamp": 1704537600500i64, "cursor": "…", "generation": 1}))]
pub(in crate::api) struct ConsumeAnswer {
    records: Vec<Record>,
    /// When the answer was made, in milliseconds since 1970-01-01 UTC.
    timestamp: i64,
    /// For `after` of the next poll, or for a commit. Absent only when the session was being
    /// moved for as long as the poll waited.
    #[schema(required = false, max_length = 16384)]
    cursor: String,
    /// When it changes, the assignment has changed. Absent with the cursor.
    #[schema(required = false)]
    generation: i32,
}

/// A record.
#[derive(ToSchema)]
pub(in crate::api) struct Record {
    topic: TopicName,
    #[schema(minimum = 0)]
    partition: i32,
    offset: Offset,
    /// In milliseconds since 1970-01-01 UTC.
    #[schema(nullable)]
    timestamp: i64,
    /// In the session's format; `null` for a Kafka null.
    key: Value,
    /// In the session's format; `null` for a Kafka null.
    value: Value,
    /// An object, or with `headers_format` `list` an array of `{"key", "value"}`.
    headers: Value,
    /// Stands where `key` is base64 because it has no other form.
    #[schema(required = false)]
    key_encoding: Base64,
    /// Stands where `value` is base64 because it has no other form.
    #[schema(required = false)]
    value_encoding: Base64,
    /// Names of headers whose values are base64.
    #[schema(required = false)]
    binary_headers: Vec<String>,
}

/// What to commit: `offsets`, or `cursor`, or without either what has been delivered.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"offsets": {"orders": {"0": 10, "1": 15}}}))]
pub(in crate::api) struct CommitRequest {
    /// The next offsets to read. Not beside `cursor`.
    #[schema(required = false, nullable)]
    pub(in crate::api) offsets: Offsets,
    /// The positions of the answer with this cursor. Not beside `offsets`.
    #[schema(min_length = 1, max_length = 16384, required = false, nullable)]
    pub(in crate::api) cursor: String,
}

/// What was committed.
#[derive(ToSchema)]
#[schema(example = json!({"offsets": {"orders": {"0": 10}}, "not_assigned": {"orders": [1]}, "generation": 3}))]
pub(in crate::api) struct CommitAnswer {
    offsets: Offsets,
    /// Partitions that the session no longer holds; they were not committed.
    #[schema(required = false)]
    not_assigned: Partitions,
    generation: i32,
}

/// Where to read from: one partition, all assigned ones of a topic, or many at once.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topic": "orders", "partition": 0, "offset": 5}))]
pub(in crate::api) struct SeekRequest {
    /// Needed without `offsets`.
    #[schema(required = false, nullable)]
    pub(in crate::api) topic: TopicName,
    /// Without it, all assigned partitions of the topic.
    #[schema(minimum = 0, maximum = 2147483647, required = false, nullable)]
    pub(in crate::api) partition: i32,
    #[schema(required = false, nullable)]
    pub(in crate::api) offset: SeekTarget,
    /// In the place of `offset`: the first record at or after this time, in milliseconds since
    /// 1970-01-01 UTC.
    #[schema(minimum = 0, required = false, nullable)]
    pub(in crate::api) timestamp: i64,
    /// In the place of all others: targets by topic and partition number.
    #[schema(required = false, nullable)]
    pub(in crate::api) offsets: BTreeMap<TopicName, BTreeMap<PartitionName, SeekTarget>>,
}

/// An offset, or an end of the log.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api) enum SeekTarget {
    Offset(Offset),
    End(LogEnd),
}

/// An end of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum LogEnd {
    Earliest,
    Latest,
}

/// The resolved offsets: flat if one partition was named, else by topic and partition.
#[derive(ToSchema)]
#[schema(example = json!({"topic": "orders", "partition": 0, "offset": 5}))]
pub(in crate::api) struct SeekAnswer {
    #[schema(required = false)]
    topic: TopicName,
    #[schema(required = false)]
    partition: i32,
    #[schema(required = false)]
    offset: Offset,
    #[schema(required = false)]
    offsets: Offsets,
}

/// Positions.
#[derive(ToSchema)]
#[schema(example = json!({"offsets": {"orders": {"0": 10}}, "generation": 1}))]
pub(in crate::api) struct PositionAnswer {
    offsets: Offsets,
    generation: i32,
}

/// Partitions that the session shall have.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topics": {"orders": [0, 1]}}))]
pub(in crate::api) struct AssignRequest {
    /// At least one topic, each with at least one partition.
    pub(in crate::api) topics: BTreeMap<TopicName, SomePartitions>,
}

/// Partitions of a topic.
#[derive(Serialize, ToSchema)]
#[schema(min_items = 1)]
pub(in crate::api) struct SomePartitions(Vec<Partition>);

/// The session's partitions.
#[derive(ToSchema)]
#[schema(example = json!({"assignment": {"orders": [0, 1]}, "generation": 2}))]
pub(in crate::api) struct AssignmentAnswer {
    assignment: Partitions,
    generation: i32,
}

/// What a session is doing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum ConsumerState {
    Running,
    Moving,
    Joining,
}

/// A session. What only its owner knows is `null` while the session is being moved.
#[derive(ToSchema)]
#[schema(example = json!({"consumer_id": "550e8400-e29b-41d4-a716-446655440000", "group_id": "billing", "topics": ["orders"], "mode": "subscribed", "state": "running", "owner": "sluice-0", "epoch": 1, "generation": 1, "assignment": {"orders": [0]}, "positions": {"orders": {"0": 12}}, "committed": {"orders": {"0": 10}}, "lag": {"orders": {"0": 3}}, "idle_ms": 250, "created_at": 1704537600000i64, "options": {"auto_offset_reset": "earliest", "session_timeout_ms": 30000, "auto_commit": false, "auto_commit_interval_ms": 5000, "isolation_level": "read_committed", "key_format": "string", "value_format": "string", "assignment_strategy": "cooperative-sticky", "client_id": "sluice"}}))]
pub(in crate::api) struct Consumer {
    consumer_id: ConsumerId,
    group_id: GroupId,
    topics: Vec<TopicName>,
    mode: Mode,
    state: ConsumerState,
    /// The node that runs it.
    owner: String,
    /// Counts its ownerships.
    epoch: u64,
    #[schema(nullable)]
    generation: i32,
    #[schema(nullable)]
    assignment: BTreeMap<TopicName, Vec<Partition>>,
    /// The next offset that a poll returns.
    #[schema(nullable)]
    positions: BTreeMap<TopicName, BTreeMap<PartitionName, Offset>>,
    /// The group's committed offsets of the partitions held.
    #[schema(nullable)]
    committed: BTreeMap<TopicName, BTreeMap<PartitionName, Offset>>,
    /// Records behind the position.
    #[schema(nullable)]
    lag: BTreeMap<TopicName, BTreeMap<PartitionName, i64>>,
    /// Since the last renewing request, in milliseconds.
    #[schema(nullable)]
    idle_ms: u64,
    /// In milliseconds since 1970-01-01 UTC.
    created_at: i64,
    options: Options,
}

/// What the client asked for.
#[derive(ToSchema)]
pub(in crate::api) struct Options {
    auto_offset_reset: OffsetReset,
    session_timeout_ms: i64,
    auto_commit: bool,
    auto_commit_interval_ms: i64,
    isolation_level: IsolationLevel,
    key_format: Format,
    value_format: Format,
    assignment_strategy: AssignmentStrategy,
    client_id: String,
}
