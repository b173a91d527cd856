//! What can go wrong in a session, in terms a client can act on.

use sluice_types::{Offset, Partitions, TopicName, TopicPartition};

use crate::SchemaRef;

/// Why a session did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The session has ended here, or was never here: look it up again.
    #[error("the session is not on this node")]
    NotHere,
    /// The session is being handed over to another node; nothing was done. Ask again when it has
    /// moved, or goes on here.
    #[error("the session is being handed over")]
    Moving,
    /// The actor failed while it served this request; the session goes on on a fresh one.
    #[error("the session failed and is being restarted")]
    SessionFailed,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The node runs as many sessions as it may.
    #[error("this node runs {limit} sessions and takes no more")]
    TooManySessions {
        /// Most sessions of this node.
        limit: usize,
    },
    /// Requests to write hold all the bytes that they may; nothing of this one was sent.
    #[error("the producers' queue is full")]
    QueueFull,
    /// As many polls as may wait at the session for their turn.
    #[error("too many polls wait for their turn")]
    TooManyWaiting,
    /// As many topics as may be are being read without a session.
    #[error("too many topics are being read")]
    ReadersBusy,
    /// A newer poll of the session took over.
    #[error("a newer poll of this session took over")]
    Superseded,
    /// Seek or commit on partitions that the session does not hold.
    #[error("the session does not hold {0:?}")]
    NotAssigned(Partitions),
    /// A manually assigned session cannot commit while its group has live members.
    #[error("the group has live members")]
    GroupHasMembers,
    /// The group uses another assignment strategy, or is of a type that takes no member of the
    /// classic protocol.
    #[error("the group uses another assignment strategy or protocol")]
    InconsistentProtocol,
    /// Nothing is committed and the reset policy is `none`.
    #[error("nothing is committed for {0:?}")]
    NoCommittedOffset(Partitions),
    /// A position is outside the partition's log and the reset policy is `none`.
    #[error("position {position:?} of {partition} is outside its log, {first} to {end}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// Where the session stands; absent if nothing was committed.
        position: Option<Offset>,
        /// The oldest record.
        first: Offset,
        /// Behind the newest record.
        end: Offset,
    },
    /// The cursor is damaged or another session's.
    #[error("the cursor {0}")]
    InvalidCursor(&'static str),
    /// Topics that Kafka does not have.
    #[error("no topic {0:?}")]
    TopicNotFound(Vec<TopicName>),
    /// Partitions that Kafka does not have.
    #[error("no partition {0:?}")]
    PartitionNotFound(Partitions),
    /// Kafka's ACLs or authentication refuse this proxy.
    #[error("kafka refuses access: {0}")]
    AccessDenied(String),
    /// No broker can be reached, or none that could do it.
    #[error("kafka cannot be reached: {0}")]
    KafkaUnavailable(String),
    /// Kafka did not answer within the deadline; nothing has changed.
    #[error("kafka did not answer in time")]
    KafkaTimeout,
    /// A rebalance lasted beyond the deadline; nothing has changed.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// A write may or may not have happened.
    #[error("{0}")]
    OutcomeUnknown(String),
    /// Avro was asked for, and there is no schema registry.
    #[error("there is no schema registry")]
    SchemaRegistryNotConfigured,
    /// The schema registry cannot be asked; nothing was sent, and no record was passed over.
    #[error("the schema registry cannot be asked: {0}")]
    SchemaRegistryUnavailable(String),
    /// There is no such schema, or none of Avro; nothing was sent.
    #[error("no schema {schema} for the {what}: {reason}")]
    SchemaNotFound {
        /// How the client named it.
        schema: SchemaRef,
        /// What it is the schema of: the key, or the value.
        what: &'static str,
        /// Why there is none.
        reason: String,
    },
    /// The registry cannot decide now; nothing has changed.
    #[error("the registry cannot decide now")]
    NoQuorum,
    /// The embedded broker cannot do this.
    #[error("the embedded broker cannot {0}")]
    Unsupported(&'static str),
    /// A consumer's Kafka handle broke for good, because another has its `group.instance.id`, say;
    /// it tells why. Only a new consumer helps.
    #[error("the consumer cannot go on, make a new one: {0}")]
    Broken(String),
    /// Committing needs a group, and the consumer has none.
    #[error("the consumer has no group to commit to")]
    NoGroup,
    /// A consumer's settings make no sense; it says which.
    #[error("{0}")]
    InvalidSetting(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}
