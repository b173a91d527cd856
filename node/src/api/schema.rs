//! The shapes of bodies, for the description only: parsing is in `request/`, and a test holds the
//! two together. A list of shapes with nothing to follow, so it may be long.

#![allow(dead_code, reason = "only the schemas of these types are used")]

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Names a session; stands in paths.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = "^[A-Za-z0-9._-]+$",
    example = "550e8400-e29b-41d4-a716-446655440000"
)]
pub(super) struct ConsumerId(String);

/// Names a consumer group.
#[derive(Serialize, ToSchema)]
#[schema(min_length = 1, max_length = 249, example = "billing")]
pub(super) struct GroupId(String);

/// Names a topic.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 249,
    pattern = "^[A-Za-z0-9._-]+$",
    example = "orders"
)]
pub(super) struct TopicName(String);

/// The next offset to read.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 9223372036854775806i64)]
pub(super) struct Offset(i64);

/// Most entries of a page.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 1, maximum = 1000, default = 100)]
pub(super) struct ListLimit(i64);

/// Offsets by topic and partition number.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"orders": {"0": 10, "1": 15}}))]
pub(super) struct Offsets(BTreeMap<String, BTreeMap<String, Offset>>);

/// Partition numbers by topic.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"orders": [0, 1]}))]
pub(super) struct Partitions(BTreeMap<String, Vec<u32>>);

/// What Kafka does when nothing is committed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OffsetReset {
    Earliest,
    Latest,
    None,
}

/// Which records of transactions are delivered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IsolationLevel {
    ReadCommitted,
    ReadUncommitted,
}

/// How bytes stand in answers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    String,
    Json,
    Binary,
    Avro,
}

/// How a group shares its partitions.
#[derive(Serialize, ToSchema)]
pub(super) enum AssignmentStrategy {
    #[serde(rename = "range")]
    Range,
    #[serde(rename = "roundrobin")]
    RoundRobin,
    #[serde(rename = "cooperative-sticky")]
    CooperativeSticky,
}

/// How the headers of a record stand in an answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum HeadersFormat {
    Object,
    List,
}

/// What a client asks of a session.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"group_id": "billing", "topics": ["orders"], "auto_offset_reset": "earliest"}))]
pub(super) struct SubscribeRequest {
    pub(super) group_id: GroupId,
    /// Distinct topics.
    #[schema(min_items = 1, max_items = 100)]
    pub(super) topics: Vec<TopicName>,
    #[schema(default = "latest", required = false, nullable)]
    pub(super) auto_offset_reset: OffsetReset,
    /// How long the session lives without a renewing request, in milliseconds.
    #[schema(
        default = 30000,
        minimum = 1000,
        maximum = 3600000,
        required = false,
        nullable
    )]
    pub(super) session_timeout_ms: i64,
    /// Whether what the client has acknowledged is committed by itself.
    #[schema(default = false, required = false, nullable)]
    pub(super) auto_commit: bool,
    /// Shortest time between two such commits, in milliseconds.
    #[schema(
        default = 5000,
        minimum = 1,
        maximum = 3600000,
        required = false,
        nullable
    )]
    pub(super) auto_commit_interval_ms: i64,
    #[schema(default = "read_committed", required = false, nullable)]
    pub(super) isolation_level: IsolationLevel,
    #[schema(default = "string", required = false, nullable)]
    pub(super) key_format: Format,
    #[schema(default = "string", required = false, nullable)]
    pub(super) value_format: Format,
    /// The default is the node's, `cooperative-sticky` unless configured otherwise.
    #[schema(required = false, nullable)]
    pub(super) assignment_strategy: AssignmentStrategy,
    /// Kafka's `client.id`.
    #[schema(
        default = "sluice",
        min_length = 1,
        max_length = 249,
        required = false,
        nullable
    )]
    pub(super) client_id: String,
    /// Makes the subscribe idempotent; `subscribe` is taken. Default: a new UUID.
    #[schema(required = false, nullable)]
    pub(super) consumer_id: ConsumerId,
}

/// A session, with its partitions.
#[derive(ToSchema)]
#[schema(example = json!({"consumer_id": "550e8400-e29b-41d4-a716-446655440000", "group_id": "billing", "topics": ["orders"], "assignment": {"orders": [0, 1, 2]}, "generation": 1}))]
pub(super) struct SubscribeAnswer {
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
pub(super) struct ConsumeRequest {
    /// How long to wait for the first record, in milliseconds.
    #[schema(
        default = 30000,
        minimum = 0,
        maximum = 300000,
        required = false,
        nullable
    )]
    pub(super) timeout_ms: i64,
    #[schema(
        default = 500,
        minimum = 1,
        maximum = 10000,
        required = false,
        nullable
    )]
    pub(super) max_records: i64,
    /// Counts key, value and header bytes; the first record may exceed it.
    #[schema(
        default = 1048576,
        minimum = 1,
        maximum = 67108864,
        required = false,
        nullable
    )]
    pub(super) max_bytes_total: i64,
    #[schema(default = "object", required = false, nullable)]
    pub(super) headers_format: HeadersFormat,
    /// The cursor of the last answer that the client really has: the poll goes on exactly behind
    /// it.
    #[schema(min_length = 1, max_length = 16384, required = false, nullable)]
    pub(super) after: String,
}

/// Records, or none at the timeout.
#[derive(ToSchema)]
#[schema(example = json!({"records": [{"topic": "orders", "partition": 0, "offset": 0, "timestamp": 1704537600000i64, "key": "order-123", "value": "{\"order_id\": \"123\"}", "headers": {"correlation_id": "abc-123"}}], "timestamp": 1704537600500i64, "cursor": "…", "generation": 1}))]
pub(super) struct ConsumeAnswer {
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
pub(super) struct Record {
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

/// Base64 of the bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Base64 {
    Base64,
}

/// What to commit: `offsets`, or `cursor`, or without either what has been delivered.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"offsets": {"orders": {"0": 10, "1": 15}}}))]
pub(super) struct CommitRequest {
    /// The next offsets to read. Not beside `cursor`.
    #[schema(required = false, nullable)]
    pub(super) offsets: Offsets,
    /// The positions of the answer with this cursor. Not beside `offsets`.
    #[schema(min_length = 1, max_length = 16384, required = false, nullable)]
    pub(super) cursor: String,
}

/// What was committed.
#[derive(ToSchema)]
#[schema(example = json!({"offsets": {"orders": {"0": 10}}, "not_assigned": {"orders": [1]}, "generation": 3}))]
pub(super) struct CommitAnswer {
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
pub(super) struct SeekRequest {
    /// Needed without `offsets`.
    #[schema(required = false, nullable)]
    pub(super) topic: TopicName,
    /// Without it, all assigned partitions of the topic.
    #[schema(minimum = 0, required = false, nullable)]
    pub(super) partition: i32,
    #[schema(required = false, nullable)]
    pub(super) offset: SeekTarget,
    /// In the place of `offset`: the first record at or after this time, in milliseconds since
    /// 1970-01-01 UTC.
    #[schema(minimum = 0, required = false, nullable)]
    pub(super) timestamp: i64,
    /// In the place of all others: targets by topic and partition number.
    #[schema(required = false, nullable)]
    pub(super) offsets: BTreeMap<String, BTreeMap<String, SeekTarget>>,
}

/// An offset, or an end of the log.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum SeekTarget {
    Offset(Offset),
    End(LogEnd),
}

/// An end of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogEnd {
    Earliest,
    Latest,
}

/// The resolved offsets: flat if one partition was named, else by topic and partition.
#[derive(ToSchema)]
#[schema(example = json!({"topic": "orders", "partition": 0, "offset": 5}))]
pub(super) struct SeekAnswer {
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
pub(super) struct PositionAnswer {
    offsets: Offsets,
    generation: i32,
}

/// Partitions that the session shall have.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topics": {"orders": [0, 1]}}))]
pub(super) struct AssignRequest {
    pub(super) topics: Partitions,
}

/// The session's partitions.
#[derive(ToSchema)]
#[schema(example = json!({"assignment": {"orders": [0, 1]}, "generation": 2}))]
pub(super) struct AssignmentAnswer {
    assignment: Partitions,
    generation: i32,
}

/// How a session comes by its partitions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Subscribed,
    Assigned,
}

/// What a session is doing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ConsumerState {
    Running,
    Moving,
    Joining,
}

/// A session. What only its owner knows is `null` while the session is being moved.
#[derive(ToSchema)]
pub(super) struct Consumer {
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
    assignment: BTreeMap<String, Vec<u32>>,
    /// The next offset that a poll returns.
    #[schema(nullable)]
    positions: BTreeMap<String, BTreeMap<String, Offset>>,
    /// The group's committed offsets of the partitions held.
    #[schema(nullable)]
    committed: BTreeMap<String, BTreeMap<String, Offset>>,
    /// Records behind the position.
    #[schema(nullable)]
    lag: BTreeMap<String, BTreeMap<String, i64>>,
    /// Since the last renewing request, in milliseconds.
    #[schema(nullable)]
    idle_ms: u64,
    /// In milliseconds since 1970-01-01 UTC.
    created_at: i64,
    options: Options,
}

/// What the client asked for.
#[derive(ToSchema)]
pub(super) struct Options {
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

/// How a client's JSON becomes Kafka's bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "json")]
pub(super) enum ProduceFormat {
    /// The JSON text as it was sent.
    Json,
    /// The text of a JSON string.
    String,
    /// The bytes that a JSON string has in base64.
    Binary,
    Avro,
}

/// How batches are compressed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "none")]
pub(super) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Records to be written.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"records": [{"key": "user-123", "value": {"event": "login"}, "headers": [{"key": "correlation_id", "value": "abc-123"}]}]}))]
pub(super) struct ProduceRequest {
    /// In the order in which they are to stand in each partition.
    #[schema(min_items = 1, max_items = 10000)]
    pub(super) records: Vec<NewRecord>,
}

/// A record to be written. It has a key or a value.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRecord {
    /// In the format of keys; `null` for a Kafka null.
    #[schema(required = false)]
    pub(super) key: Value,
    /// In the format of values; `null` for a Kafka null.
    #[schema(required = false)]
    pub(super) value: Value,
    /// Without it the key decides, as with Java's producers.
    #[schema(minimum = 0, maximum = 2147483647, required = false, nullable)]
    pub(super) partition: i32,
    /// In milliseconds since 1970-01-01 UTC; without it the time of writing.
    #[schema(minimum = 1, required = false, nullable)]
    pub(super) timestamp: i64,
    #[schema(required = false, nullable)]
    pub(super) headers: NewHeaders,
}

/// The headers of a record, in order.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum NewHeaders {
    List(Vec<NewHeader>),
    Object(BTreeMap<String, Option<String>>),
}

/// A header.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHeader {
    key: String,
    #[schema(required = false, nullable)]
    value: String,
}

/// One entry a record, in the request's order.
#[derive(ToSchema)]
#[schema(example = json!({"offsets": [{"partition": 0, "offset": 42, "timestamp": 1704545600123i64}]}))]
pub(super) struct ProduceAnswer {
    offsets: Vec<ProducedRecord>,
}

/// Names a request that was answered before it was done.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    example = "req_018cded5c27b5d0c4a1f6a7b8c9d5d0c4a1f6a7b8c9d0badc0de_sluice-0"
)]
pub(super) struct RequestId(String);

/// The request was taken.
#[derive(ToSchema)]
#[schema(example = json!({"requestId": "req_018cded5c27b5d0c4a1f6a7b8c9d5d0c4a1f6a7b8c9d0badc0de_sluice-0", "status": "pending"}))]
#[schema(rename_all = "camelCase")]
pub(super) struct ProduceAccepted {
    request_id: RequestId,
    status: ProduceStatus,
}

/// How far a request is: `completed` when at least one record was written, `failed` when none was
/// or that is not known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProduceStatus {
    Pending,
    Completed,
    Failed,
}

/// What became of a request.
#[derive(ToSchema)]
#[schema(example = json!({"requestId": "req_018cded5c27b5d0c4a1f6a7b8c9d5d0c4a1f6a7b8c9d0badc0de_sluice-0", "status": "completed", "offsets": [{"partition": 0, "offset": 42, "timestamp": 1704545600123i64}]}))]
#[schema(rename_all = "camelCase")]
pub(super) struct ProduceOutcome {
    request_id: RequestId,
    status: ProduceStatus,
    /// One entry a record, in the request's order. Absent while it is pending.
    #[schema(required = false)]
    offsets: Vec<ProducedRecord>,
    /// When it has failed: a sentence on why, or that the outcome is unknown.
    #[schema(required = false)]
    error: String,
}

/// What became of a record: where it is, or its error.
#[derive(ToSchema)]
pub(super) struct ProducedRecord {
    #[schema(minimum = 0, required = false)]
    partition: i32,
    /// `null` where Kafka does not tell it.
    #[schema(required = false, nullable)]
    offset: Offset,
    /// In milliseconds since 1970-01-01 UTC.
    #[schema(required = false, nullable)]
    timestamp: i64,
    #[schema(required = false)]
    error: RecordError,
}

/// Why a record was not written, or that it is not known.
#[derive(ToSchema)]
pub(super) struct RecordError {
    /// One of the codes of problems.
    code: String,
    /// One sentence: what was wrong, what to do.
    detail: String,
}

/// A session in a list.
#[derive(ToSchema)]
pub(super) struct ListedConsumer {
    consumer_id: ConsumerId,
    group_id: GroupId,
    topics: Vec<TopicName>,
    mode: Mode,
    owner: String,
    epoch: u64,
    created_at: i64,
}

/// A page of sessions.
#[derive(ToSchema)]
pub(super) struct ConsumerList {
    consumers: Vec<ListedConsumer>,
    /// For `cursor` of the next page; `null` on the last one.
    #[schema(nullable)]
    next_cursor: String,
}

/// The process is fine.
#[derive(ToSchema)]
#[schema(example = json!({"status": "ok", "node": "sluice-0"}))]
pub(super) struct Live {
    status: String,
    node: String,
}

/// The node takes requests.
#[derive(ToSchema)]
#[schema(example = json!({"status": "ready", "node": "sluice-0", "registry": "ok", "leader": "ok", "lease": "ok", "kafka": "ok"}))]
pub(super) struct Ready {
    status: String,
    node: String,
    registry: Health,
    /// Of nodes with a `data_dir`.
    leader: Option<Health>,
    /// Of nodes with a `data_dir`.
    lease: Option<Health>,
    kafka: Health,
}

/// How something is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Health {
    Ok,
    Degraded,
}

/// An error. Further members depend on the code.
#[derive(ToSchema)]
pub(super) struct Problem {
    /// `urn:sluice:error:` and the code.
    r#type: String,
    /// The same for every error with this code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// One sentence: what was wrong, what to do.
    detail: String,
    /// What kind of error it is; it never changes its meaning.
    code: String,
    /// With `invalid_field`: all faults of the request.
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// When no record of a produce was written: what became of each.
    #[schema(required = false)]
    offsets: Vec<ProducedRecord>,
}

/// One fault of a request.
#[derive(ToSchema)]
pub(super) struct FieldError {
    /// The field, or the name of a parameter or header.
    field: String,
    /// What is wrong with it.
    message: String,
}
