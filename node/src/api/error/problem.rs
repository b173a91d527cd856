//! One error as a client gets it, and what becomes of the errors of other crates.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use sluice_actors::Error as SessionError;
use sluice_raft::guard::NodeChangeError;
use sluice_types::Partitions;

use super::code::Code;
use crate::nodes::ChangeError;
use crate::ownership;

/// One error as a client gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What kind of error it is.
    pub code: Code,
    /// One sentence: what was wrong, what to do.
    pub detail: Cow<'static, str>,
    /// What belongs to it beyond that.
    pub extras: Map<String, Value>,
    /// What the log says and the client does not see.
    pub cause: Option<String>,
}

impl Problem {
    /// An error with its sentence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            extras: Map::new(),
            cause: None,
        }
    }

    /// Adds an extra member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extras.insert(name.to_owned(), value.into());
        self
    }

    /// A fault of ours; the cause goes to the log only.
    pub fn internal(cause: impl Into<String>) -> Self {
        let mut problem = Self::new(
            Code::Internal,
            "Sluice failed to serve this request; its log has the cause under the request id.",
        );
        problem.cause = Some(cause.into());
        problem
    }

    /// The document.
    pub fn body(&self) -> Value {
        let meaning = self.code.meaning();
        let mut body = json!({
            "type": format!("urn:sluice:error:{}", meaning.code),
            "title": meaning.title,
            "status": meaning.status.as_u16(),
            "detail": self.detail,
            "code": meaning.code,
        });
        if let Value::Object(members) = &mut body {
            members.extend(self.extras.clone());
        }
        body
    }
}

impl From<ownership::Error> for Problem {
    fn from(error: ownership::Error) -> Self {
        use ownership::Error;
        match error {
            Error::Session(error) => error.into(),
            Error::ConsumerNotFound => Self::new(
                Code::ConsumerNotFound,
                "There is no consumer with this id: it was never made, was deleted or has expired; subscribe again.",
            ),
            Error::ConsumerExists => Self::new(
                Code::ConsumerExists,
                "This consumer_id lives with another specification: delete it first, or choose another id.",
            ),
            // Whoever can send the request on does that instead.
            Error::OwnerUnavailable | Error::Elsewhere(_) | Error::Misdirected { .. } => Self::new(
                Code::OwnerUnavailable,
                "The consumer is being restarted or moved; try again.",
            ),
            Error::NoQuorum => no_quorum(),
            Error::ShuttingDown => shutting_down(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Node(NodeChangeError::Unknown) => Self::new(
                Code::NodeNotFound,
                "The cluster has no node of this name; GET /api/cluster lists those that it has.",
            ),
            ChangeError::Node(NodeChangeError::Dead) => Self::new(
                Code::NodeDead,
                "The node is dead and has no sessions to hand over: start it again, or remove it.",
            ),
            ChangeError::Node(NodeChangeError::NotDead) => Self::new(
                Code::NodeNotDead,
                "Only a dead node is removed: end its process first, and wait until it is declared dead.",
            ),
            ChangeError::Node(NodeChangeError::Registry(sluice_raft::Error::NoQuorum)) => {
                no_quorum()
            }
            ChangeError::Node(NodeChangeError::Registry(sluice_raft::Error::OutcomeUnknown)) => {
                Self::new(
                    Code::OutcomeUnknown,
                    "The registry did not say whether the change took effect: repeat it, or look at GET /api/cluster.",
                )
            }
            ChangeError::Alone => Self::new(
                Code::NodeAlone,
                "This node is in no cluster, so that no other can take its sessions: end it with SIGTERM, or give it cluster.data_dir and cluster.peers.",
            ),
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotHere | SessionError::Moving => ownership::Error::OwnerUnavailable.into(),
            SessionError::SessionFailed => Self::new(
                Code::SessionFailed,
                "The session failed while it served this request and is being restarted; try again.",
            ),
            SessionError::ShuttingDown => shutting_down(),
            SessionError::TooManySessions { limit } => Self::new(
                Code::TooManySessions,
                format!("This node runs {limit} sessions and takes no more: delete sessions, or try again later."),
            )
            .with("limit", limit),
            SessionError::QueueFull => queue_full(),
            SessionError::TooManyWaiting => Self::new(
                Code::QueueFull,
                "As many calls as may wait for messages of this topic and group; make fewer at once, or use a session for each client.",
            ),
            SessionError::ReadersBusy => Self::new(
                Code::QueueFull,
                "This node reads as many topics at once as it may; try again.",
            ),
            SessionError::Superseded => Self::new(
                Code::Superseded,
                "A newer poll of this session took over: keep one poll at a time.",
            ),
            SessionError::NotAssigned(partitions) => Self::new(
                Code::PartitionNotAssigned,
                "The session does not hold these partitions; GET its assignment to see those that it holds.",
            )
            .with("partitions", as_json(&partitions)),
            SessionError::GroupHasMembers => Self::new(
                Code::GroupHasMembers,
                "Kafka takes no commit from a manually assigned session while its group has live members: use a group of its own.",
            ),
            SessionError::InconsistentProtocol => Self::new(
                Code::InconsistentGroupProtocol,
                "The group does not take this session: set the field assignment_strategy to the one of its members; or, if they use the new protocol (group.protocol=consumer) or the group is of another type, and this Kafka lets no classic member in beside them, use another group_id.",
            ),
            SessionError::NoCommittedOffset(partitions) => Self::new(
                Code::NoCommittedOffset,
                "The group has committed nothing for these partitions, and auto_offset_reset is none: choose earliest or latest, or commit first.",
            )
            .with("partitions", as_json(&partitions)),
            SessionError::OffsetOutOfRange { partition, position, first, end } => Self::new(
                Code::OffsetOutOfRange,
                format!("The position in {partition} is outside its log, and auto_offset_reset is none: seek to an offset from {first} to {end}."),
            )
            .with("topic", partition.topic.as_str())
            .with("partition", partition.partition.get())
            .with("position", json!(position))
            .with("range", json!({"first": first, "end": end})),
            SessionError::InvalidCursor(fault) => invalid_fields(vec![FieldError {
                field: "after".to_owned(),
                message: format!("the cursor {fault}"),
            }]),
            SessionError::TopicNotFound(topics) => Self::new(
                Code::TopicNotFound,
                "Kafka does not have these topics, or does not show them to this proxy: create them, or correct the names.",
            )
            .with("topics", json!(topics)),
            SessionError::PartitionNotFound(partitions) => Self::new(
                Code::PartitionNotFound,
                "Kafka does not have these partitions; correct the numbers.",
            )
            .with("partitions", as_json(&partitions)),
            SessionError::AccessDenied(reason) => Self::new(
                Code::KafkaAccessDenied,
                format!("Kafka refuses this proxy: {reason}."),
            ),
            SessionError::SchemaRegistryNotConfigured => schema_registry_not_configured(),
            SessionError::SchemaRegistryUnavailable(reason) => {
                let mut problem = Self::new(
                    Code::SchemaRegistryUnavailable,
                    "The schema registry cannot be asked, without which Avro is neither written nor read; try again.",
                );
                problem.cause = Some(reason);
                problem
            }
            SessionError::SchemaNotFound { schema, what, reason } => Self::new(
                Code::SchemaNotFound,
                format!("The schema {schema} for the {what} cannot be used: {reason}; register it, or correct {what}.schema."),
            )
            .with("schema", schema.to_string())
            .with("parameter", format!("{what}.schema")),
            SessionError::KafkaUnavailable(reason) => {
                let mut problem = Self::new(
                    Code::KafkaUnavailable,
                    "Kafka cannot be reached; try again.",
                );
                problem.cause = Some(reason);
                problem
            }
            SessionError::KafkaTimeout => timed_out(),
            SessionError::Rebalancing => Self::new(
                Code::RebalanceInProgress,
                "The group was rebalancing until the deadline and nothing has changed; try again.",
            ),
            SessionError::OutcomeUnknown(what) => Self::new(Code::OutcomeUnknown, sentence(&what)),
            SessionError::NoQuorum => no_quorum(),
            SessionError::Unsupported(what) => Self::new(
                Code::UnsupportedByDevBroker,
                format!("The embedded broker cannot {what}: use a real Kafka."),
            ),
            // Of the Rust consumer only: no session says them.
            SessionError::NoGroup | SessionError::InvalidSetting(_) | SessionError::Broken(_) => {
                Self::internal(error.to_string())
            }
            SessionError::Internal(cause) => Self::internal(cause),
        }
    }
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field, a path with dots within the body, or the name of a parameter or header.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Faults of a request, all at once.
pub fn invalid_fields(faults: Vec<FieldError>) -> Problem {
    let first = faults.first().map_or_else(String::new, |fault| {
        let field = if fault.field.is_empty() {
            "body"
        } else {
            &fault.field
        };
        format!("{field}: {}", fault.message)
    });
    let detail = match faults.len() {
        0 | 1 => format!("One field is wrong, {first}."),
        count => format!("{count} fields are wrong; the first is {first}."),
    };
    let errors: Vec<Value> = faults
        .into_iter()
        .map(|fault| json!({"field": fault.field, "message": fault.message}))
        .collect();
    Problem::new(Code::InvalidField, detail).with("errors", errors)
}

/// The deadline passed, and nothing has changed.
pub(in crate::api) fn timed_out() -> Problem {
    Problem::new(
        Code::KafkaTimeout,
        "Kafka did not answer within the request's deadline and nothing has changed; try again.",
    )
}

/// Requests to write hold as much as they may.
pub(in crate::api) fn queue_full() -> Problem {
    Problem::new(
        Code::QueueFull,
        "The requests to write that this node has at hand leave no room for this one, of which nothing was sent; try again.",
    )
}

/// Avro was asked for, and there is no schema registry.
pub(in crate::api) fn schema_registry_not_configured() -> Problem {
    Problem::new(
        Code::SchemaRegistryNotConfigured,
        "Avro needs a schema registry, and this node has none: have schema_registry.url set, or use binary and code in the client.",
    )
}

/// The node is stopping.
pub(in crate::api) fn shutting_down() -> Problem {
    Problem::new(
        Code::ShuttingDown,
        "The node is shutting down; try again, on another node if there is one.",
    )
}

fn no_quorum() -> Problem {
    Problem::new(
        Code::NoQuorum,
        "The registry cannot decide now and nothing has changed; try again.",
    )
}

fn as_json(partitions: &Partitions) -> Value {
    serde_json::to_value(partitions).unwrap_or(Value::Null)
}

/// Makes a sentence of what others say.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().collect());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
