//! Bodies about records that are written.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::names::Offset;

/// How a client's JSON becomes Kafka's bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "json")]
pub(in crate::api) enum ProduceFormat {
    /// The JSON text as it was sent.
    Json,
    /// The text of a JSON string.
    String,
    /// The bytes that a JSON string has in base64.
    Binary,
    Avro,
}

/// Names a schema: by its id, or by a subject, without control characters.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 512,
    pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"
)]
pub(in crate::api) struct SchemaName(String);

/// How batches are compressed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "none")]
pub(in crate::api) enum Compression {
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
pub(in crate::api) struct ProduceRequest {
    /// In the order in which they are to stand in each partition.
    #[schema(min_items = 1, max_items = 10000)]
    pub(in crate::api) records: Vec<NewRecord>,
}

/// A record to be written. It has a key or a value.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewRecord {
    /// In the format of keys; `null` for a Kafka null.
    #[schema(required = false)]
    pub(in crate::api) key: Value,
    /// In the format of values; `null` for a Kafka null.
    #[schema(required = false)]
    pub(in crate::api) value: Value,
    /// Without it the key decides, as with Java's producers.
    #[schema(minimum = 0, maximum = 2147483647, required = false, nullable)]
    pub(in crate::api) partition: i32,
    /// In milliseconds since 1970-01-01 UTC; without it the time of writing.
    #[schema(minimum = 1, required = false, nullable)]
    pub(in crate::api) timestamp: i64,
    #[schema(required = false, nullable)]
    pub(in crate::api) headers: NewHeaders,
}

/// The headers of a record, in order.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api) enum NewHeaders {
    List(Vec<NewHeader>),
    Object(BTreeMap<String, Option<String>>),
}

/// A header.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewHeader {
    key: String,
    #[schema(required = false, nullable)]
    value: String,
}

/// One entry a record, in the request's order.
#[derive(ToSchema)]
#[schema(example = json!({"offsets": [{"partition": 0, "offset": 42, "timestamp": 1704545600123i64}]}))]
pub(in crate::api) struct ProduceAnswer {
    offsets: Vec<ProducedRecord>,
}

/// Names a request that was answered before it was done.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    example = "req_018cded5c27b5d0c4a1f6a7b8c9d5d0c4a1f6a7b8c9d0badc0de_sluice-0"
)]
pub(in crate::api) struct RequestId(String);

/// The request was taken.
#[derive(ToSchema)]
#[schema(example = json!({"requestId": "req_018cded5c27b5d0c4a1f6a7b8c9d5d0c4a1f6a7b8c9d0badc0de_sluice-0", "status": "pending"}))]
#[schema(rename_all = "camelCase")]
pub(in crate::api) struct ProduceAccepted {
    request_id: RequestId,
    status: ProduceStatus,
}

/// How far a request is: `completed` when at least one record was written, `failed` when none was
/// or that is not known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum ProduceStatus {
    Pending,
    Completed,
    Failed,
}

/// What became of a request.
#[derive(ToSchema)]
#[schema(example = json!({"requestId": "req_018cded5c27b5d0c4a1f6a7b8c9d5d0c4a1f6a7b8c9d0badc0de_sluice-0", "status": "completed", "offsets": [{"partition": 0, "offset": 42, "timestamp": 1704545600123i64}]}))]
#[schema(rename_all = "camelCase")]
pub(in crate::api) struct ProduceOutcome {
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
pub(in crate::api) struct ProducedRecord {
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
pub(in crate::api) struct RecordError {
    /// One of the codes of problems.
    code: String,
    /// One sentence: what was wrong, what to do.
    detail: String,
}
