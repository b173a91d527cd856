//! Words that bodies have in common.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Names a session; stands in paths.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = "^[A-Za-z0-9._-]+$",
    example = "550e8400-e29b-41d4-a716-446655440000"
)]
pub(in crate::api) struct ConsumerId(String);

/// Names a consumer group; without control characters.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 249,
    pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
    example = "billing"
)]
pub(in crate::api) struct GroupId(String);

/// Names a topic; `.` and `..` are none.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 249,
    pattern = "^(\\.{0,2}[A-Za-z0-9_-]|\\.{3})[A-Za-z0-9._-]*$",
    example = "orders"
)]
pub(in crate::api) struct TopicName(String);

/// The number of a partition.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 2147483647)]
pub(in crate::api) struct Partition(i32);

/// The number of a partition, where it is a name of JSON.
#[derive(Serialize, ToSchema)]
#[schema(pattern = "^(0|[1-9][0-9]{0,8})$")]
pub(in crate::api) struct PartitionName(String);

/// The next offset to read.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 9223372036854775806i64)]
pub(in crate::api) struct Offset(i64);

/// Most entries of a page.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 1, maximum = 1000, default = 100)]
pub(in crate::api) struct ListLimit(i64);

/// Offsets by topic and partition number.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"orders": {"0": 10, "1": 15}}))]
pub(in crate::api) struct Offsets(BTreeMap<TopicName, BTreeMap<PartitionName, Offset>>);

/// Partition numbers by topic.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"orders": [0, 1]}))]
pub(in crate::api) struct Partitions(BTreeMap<TopicName, Vec<Partition>>);

/// What Kafka does when nothing is committed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum OffsetReset {
    Earliest,
    Latest,
    None,
}

/// Which records of transactions are delivered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum IsolationLevel {
    ReadCommitted,
    ReadUncommitted,
}

/// How bytes stand in answers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Format {
    String,
    Json,
    Binary,
    Avro,
}

/// How a group shares its partitions.
#[derive(Serialize, ToSchema)]
pub(in crate::api) enum AssignmentStrategy {
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
pub(in crate::api) enum HeadersFormat {
    Object,
    List,
}

/// Base64 of the bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Base64 {
    Base64,
}

/// How a session comes by its partitions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Mode {
    Subscribed,
    Assigned,
}
