//! The kinds of errors, and what each means. The only file that knows statuses.

use std::time::Duration;

use actix_web::http::StatusCode;

/// The kinds of errors that clients can tell apart. A code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The body does not parse as JSON.
    MalformedJson,
    /// Kafka's ACLs or authentication refuse this proxy.
    KafkaAccessDenied,
    /// There is no such path on this port.
    RouteNotFound,
    /// There is no such session.
    ConsumerNotFound,
    /// Kafka does not have the topic.
    TopicNotFound,
    /// Kafka does not have the partition.
    PartitionNotFound,
    /// There is no request with this id, or none any more.
    RequestNotFound,
    /// The cluster has no node of this name.
    NodeNotFound,
    /// The path is there, but not with this method.
    MethodNotAllowed,
    /// The client accepts none of the types that the answer can have.
    NotAcceptable,
    /// The request did not arrive whole in time.
    RequestTimeout,
    /// The `consumer_id` lives with another specification.
    ConsumerExists,
    /// The session does not hold the partitions.
    PartitionNotAssigned,
    /// A manually assigned session cannot commit while its group has live members.
    GroupHasMembers,
    /// The group uses another assignment strategy or group type.
    InconsistentGroupProtocol,
    /// A newer poll of the session took over.
    Superseded,
    /// A position is outside the log, and the reset policy is `none`.
    OffsetOutOfRange,
    /// The node is dead.
    NodeDead,
    /// The node is not dead.
    NodeNotDead,
    /// The node has no cluster.
    NodeAlone,
    /// The body is larger than this node takes.
    BodyTooLarge,
    /// A record is larger than this node, or Kafka, takes.
    RecordTooLarge,
    /// The body's type is not JSON.
    UnsupportedMediaType,
    /// Fields, parameters or headers are wrong; `errors` lists them all.
    InvalidField,
    /// Nothing is committed, and the reset policy is `none`.
    NoCommittedOffset,
    /// Avro was asked for without a schema registry.
    SchemaRegistryNotConfigured,
    /// The schema registry does not have the schema, or it is none of Avro.
    SchemaNotFound,
    /// A key or a value does not fit its schema.
    SchemaMismatch,
    /// A record is none, or not of the format asked for.
    InvalidRecord,
    /// What should be base64 is not.
    InvalidBase64,
    /// The node runs as many sessions as it may.
    TooManySessions,
    /// Requests to write hold as much as they may.
    QueueFull,
    /// A fault of ours.
    Internal,
    /// The session failed while it served this request, and goes on.
    SessionFailed,
    /// The embedded broker of `sluice dev` cannot do this.
    UnsupportedByDevBroker,
    /// The registry cannot decide now.
    NoQuorum,
    /// No broker can be reached.
    KafkaUnavailable,
    /// The schema registry cannot be asked.
    SchemaRegistryUnavailable,
    /// The session is being restarted or moved.
    OwnerUnavailable,
    /// The group rebalances.
    RebalanceInProgress,
    /// The volume of the registry is nearly full.
    VolumeNearlyFull,
    /// The node is stopping.
    ShuttingDown,
    /// No answer came within the deadline; nothing has changed.
    KafkaTimeout,
    /// A write may or may not have happened.
    OutcomeUnknown,
}

/// What a code means to a client.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// The code as it stands in answers.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened, the same for every error with this code.
    pub title: &'static str,
    /// After how long the same request is worth another try; `None` if something must change
    /// first, or if it is not known whether a repetition is safe.
    pub retry_after: Option<Duration>,
    /// Who has to act.
    pub origin: Origin,
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The request.
    Client,
    /// This node.
    Node,
    /// Kafka.
    Kafka,
    /// The schema registry.
    SchemaRegistry,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 44] = [
        Self::MalformedJson,
        Self::KafkaAccessDenied,
        Self::RouteNotFound,
        Self::ConsumerNotFound,
        Self::TopicNotFound,
        Self::PartitionNotFound,
        Self::RequestNotFound,
        Self::NodeNotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::ConsumerExists,
        Self::PartitionNotAssigned,
        Self::GroupHasMembers,
        Self::InconsistentGroupProtocol,
        Self::Superseded,
        Self::OffsetOutOfRange,
        Self::NodeDead,
        Self::NodeNotDead,
        Self::NodeAlone,
        Self::BodyTooLarge,
        Self::RecordTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidField,
        Self::NoCommittedOffset,
        Self::SchemaRegistryNotConfigured,
        Self::SchemaNotFound,
        Self::SchemaMismatch,
        Self::InvalidRecord,
        Self::InvalidBase64,
        Self::TooManySessions,
        Self::QueueFull,
        Self::Internal,
        Self::SessionFailed,
        Self::UnsupportedByDevBroker,
        Self::NoQuorum,
        Self::KafkaUnavailable,
        Self::SchemaRegistryUnavailable,
        Self::OwnerUnavailable,
        Self::RebalanceInProgress,
        Self::VolumeNearlyFull,
        Self::ShuttingDown,
        Self::KafkaTimeout,
        Self::OutcomeUnknown,
    ];

    /// What the code means.
    pub fn meaning(self) -> Meaning {
        use Origin::{Client, Kafka, Node, SchemaRegistry};
        let (code, status, title, retry_secs, origin) = match self {
            Self::MalformedJson => ("malformed_json", 400, "The body is not JSON", 0, Client),
            Self::KafkaAccessDenied => {
                ("kafka_access_denied", 403, "Kafka refuses access", 0, Kafka)
            }
            Self::RouteNotFound => ("route_not_found", 404, "No such path", 0, Client),
            Self::ConsumerNotFound => ("consumer_not_found", 404, "No such consumer", 0, Client),
            Self::TopicNotFound => ("topic_not_found", 404, "No such topic", 0, Client),
            Self::PartitionNotFound => ("partition_not_found", 404, "No such partition", 0, Client),
            Self::RequestNotFound => ("request_not_found", 404, "No such request", 0, Client),
            Self::NodeNotFound => ("node_not_found", 404, "No such node", 0, Client),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "Method not allowed", 0, Client),
            Self::NotAcceptable => ("not_acceptable", 406, "Not acceptable", 0, Client),
            Self::RequestTimeout => (
                "request_timeout",
                408,
                "The request came too slowly",
                0,
                Client,
            ),
            Self::ConsumerExists => (
                "consumer_exists",
                409,
                "The consumer id is taken",
                0,
                Client,
            ),
            Self::PartitionNotAssigned => (
                "partition_not_assigned",
                409,
                "Partition not assigned",
                0,
                Client,
            ),
            Self::GroupHasMembers => ("group_has_members", 409, "The group has members", 0, Client),
            Self::InconsistentGroupProtocol => (
                "inconsistent_group_protocol",
                409,
                "The group uses another protocol",
                0,
                Client,
            ),
            Self::Superseded => ("superseded", 409, "A newer poll took over", 0, Client),
            Self::OffsetOutOfRange => {
                ("offset_out_of_range", 409, "Offset out of range", 0, Client)
            }
            Self::NodeDead => ("node_dead", 409, "The node is dead", 0, Client),
            Self::NodeNotDead => ("node_not_dead", 409, "The node is not dead", 0, Client),
            Self::NodeAlone => ("node_alone", 409, "The node has no cluster", 0, Client),
            Self::BodyTooLarge => ("body_too_large", 413, "The body is too large", 0, Client),
            Self::RecordTooLarge => ("record_too_large", 413, "A record is too large", 0, Client),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                415,
                "Unsupported media type",
                0,
                Client,
            ),
            Self::InvalidField => ("invalid_field", 422, "Fields are invalid", 0, Client),
            Self::NoCommittedOffset => (
                "no_committed_offset",
                422,
                "Nothing is committed",
                0,
                Client,
            ),
            Self::SchemaRegistryNotConfigured => (
                "schema_registry_not_configured",
                422,
                "No schema registry",
                0,
                Client,
            ),
            Self::SchemaNotFound => ("schema_not_found", 422, "No such schema", 0, Client),
            Self::SchemaMismatch => (
                "schema_mismatch",
                422,
                "A value does not fit its schema",
                0,
                Client,
            ),
            Self::InvalidRecord => ("invalid_record", 422, "A record is invalid", 0, Client),
            Self::InvalidBase64 => ("invalid_base64", 422, "Not base64", 0, Client),
            Self::TooManySessions => ("too_many_sessions", 429, "Too many sessions", 5, Node),
            Self::QueueFull => ("queue_full", 429, "The queue is full", 1, Node),
            Self::Internal => ("internal", 500, "Internal error", 0, Node),
            Self::SessionFailed => ("session_failed", 500, "The session failed", 0, Node),
            Self::UnsupportedByDevBroker => (
                "unsupported_by_dev_broker",
                501,
                "The embedded broker cannot do this",
                0,
                Kafka,
            ),
            Self::NoQuorum => ("no_quorum", 503, "The registry cannot decide now", 1, Node),
            Self::KafkaUnavailable => ("kafka_unavailable", 503, "Kafka is unavailable", 2, Kafka),
            Self::SchemaRegistryUnavailable => (
                "schema_registry_unavailable",
                503,
                "The schema registry is unavailable",
                2,
                SchemaRegistry,
            ),
            Self::OwnerUnavailable => (
                "owner_unavailable",
                503,
                "The consumer is being moved",
                1,
                Node,
            ),
            Self::RebalanceInProgress => (
                "rebalance_in_progress",
                503,
                "The group is rebalancing",
                1,
                Kafka,
            ),
            Self::VolumeNearlyFull => (
                "volume_nearly_full",
                503,
                "The volume is nearly full",
                5,
                Node,
            ),
            Self::ShuttingDown => ("shutting_down", 503, "The node is shutting down", 1, Node),
            Self::KafkaTimeout => ("kafka_timeout", 504, "No answer in time", 0, Kafka),
            Self::OutcomeUnknown => ("outcome_unknown", 504, "The outcome is unknown", 0, Kafka),
        };
        Meaning {
            code,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            title,
            retry_after: (retry_secs > 0).then(|| Duration::from_secs(retry_secs)),
            origin,
        }
    }
}
