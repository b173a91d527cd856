//! Bodies of the one-call API.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::names::{Base64, GroupId, Offset, TopicName};

/// The API.
#[derive(ToSchema)]
#[schema(example = json!({"message": "Sluice, an HTTP proxy in front of Apache Kafka", "version": "0.1.0", "endpoints": {"health": "/health", "consume": "/consume", "topics": "/topics", "docs": "/docs"}}))]
pub(in crate::api) struct Welcome {
    message: String,
    version: String,
    endpoints: Endpoints,
}

/// Where to go on.
#[derive(ToSchema)]
pub(in crate::api) struct Endpoints {
    health: String,
    consume: String,
    topics: String,
    docs: String,
}

/// Whether this node can do its work.
#[derive(ToSchema)]
#[schema(example = json!({"status": "healthy", "timestamp": "2024-01-06T10:40:00.123000Z", "kafka_connected": true}))]
pub(in crate::api) struct HealthAnswer {
    status: Condition,
    /// Now.
    timestamp: IsoTime,
    kafka_connected: bool,
}

/// How a node is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Condition {
    Healthy,
    Unhealthy,
}

/// A time in UTC, with microseconds.
#[derive(Serialize, ToSchema)]
#[schema(format = DateTime, example = "2024-01-06T10:40:00.123000Z")]
pub(in crate::api) struct IsoTime(String);

/// A topic.
#[derive(ToSchema)]
#[schema(example = json!({"topic": "orders", "partitions": 3, "group_id": "sluice-consumer-api-group.orders"}))]
pub(in crate::api) struct ListedTopic {
    topic: TopicName,
    #[schema(minimum = 1)]
    partitions: i32,
    /// Of those who consume the topic and name no group; `null` if the topic's name is too long
    /// for that.
    #[schema(nullable)]
    group_id: GroupId,
}

/// What to read.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topic": "orders", "group_id": "billing", "max_messages": 10, "timeout": 5.0}))]
pub(in crate::api) struct ConsumeOnceRequest {
    topic: TopicName,
    /// `sluice-consumer-api-group.` and the topic by default.
    #[schema(required = false, nullable)]
    group_id: GroupId,
    #[schema(default = 10, minimum = 1, maximum = 1000, required = false, nullable)]
    max_messages: i64,
    /// How long to wait, in seconds. The first call of a group may take up to ten seconds more.
    #[schema(default = 5.0, minimum = 0, maximum = 300, required = false, nullable)]
    timeout: f64,
}

/// Messages, or none when the time was up.
#[derive(ToSchema)]
#[schema(example = json!({"success": true, "messages": [{"topic": "orders", "partition": 0, "offset": 42, "key": "order-123", "value": {"order_id": "123", "total": 12.5}, "timestamp": "2024-01-06T10:40:00.123000Z"}], "count": 1, "topic": "orders", "group_id": "billing"}))]
pub(in crate::api) struct ConsumeOnceAnswer {
    success: bool,
    messages: Vec<Message>,
    #[schema(minimum = 0)]
    count: i64,
    topic: TopicName,
    group_id: GroupId,
}

/// A message.
#[derive(ToSchema)]
#[schema(example = json!({"topic": "orders", "partition": 0, "offset": 42, "key": "order-123", "value": {"order_id": "123", "total": 12.5}, "timestamp": "2024-01-06T10:40:00.123000Z"}))]
pub(in crate::api) struct Message {
    topic: TopicName,
    #[schema(minimum = 0)]
    partition: i32,
    offset: Offset,
    /// Text; `null` for a Kafka null.
    #[schema(nullable)]
    key: String,
    /// That the key is base64, since it is no text.
    #[schema(required = false)]
    key_encoding: Base64,
    /// The decoded JSON, else text; `null` for a Kafka null.
    value: Value,
    /// That the value is base64, since it is neither JSON nor text.
    #[schema(required = false)]
    value_encoding: Base64,
    /// Kafka's time of it; `null` if it has none.
    #[schema(nullable)]
    timestamp: IsoTime,
}

/// Most messages of a listing.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 1, maximum = 1000, default = 10)]
pub(in crate::api) struct MessageLimit(i64);

/// A message to be written.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topic": "orders", "message": {"order_id": "123", "total": 12.5}, "key": "order-123"}))]
pub(in crate::api) struct ProduceOneRequest {
    topic: TopicName,
    /// Any JSON, stored as it was sent; `null` for a Kafka null, which needs a key.
    message: Value,
    /// Plain text.
    #[schema(required = false, nullable)]
    key: String,
}

/// Where the message is.
#[derive(ToSchema)]
#[schema(example = json!({"success": true, "topic": "orders", "partition": 0, "offset": 42}))]
pub(in crate::api) struct ProduceOneAnswer {
    success: bool,
    topic: TopicName,
    #[schema(minimum = 0)]
    partition: i32,
    /// `null` where Kafka does not tell it.
    #[schema(nullable)]
    offset: Offset,
}
