//! What is to be written, and what became of it.

use std::borrow::Cow;

use bytes::Bytes;
use sluice_types::{Format, Offset, Partition, Timestamp, TopicName};

use crate::{Mismatch, SchemaRef};

/// What librdkafka keeps of a record beside its bytes, and a little more.
const RECORD_OVERHEAD: u64 = 600;
/// The same of a header.
const HEADER_OVERHEAD: u64 = 100;

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its name, here and in Kafka.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// A record as its client sent it: what is not of fixed meaning stands as JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// A JSON text; `None` is a Kafka null.
    pub key: Option<Bytes>,
    /// A JSON text; `None` is a Kafka null.
    pub value: Option<Bytes>,
    /// Where to; else the key's hash decides, or chance.
    pub partition: Option<Partition>,
    /// The record's time; else the time of writing.
    pub timestamp: Option<Timestamp>,
    /// A JSON text that [`read_headers`](crate::read_headers) understands.
    pub headers: Option<Bytes>,
    /// How many headers stand in it.
    pub header_count: usize,
}

impl Outgoing {
    /// What it takes of the budget until Kafka has it. No format makes bytes more but Avro, by
    /// numbers of a fixed size and by defaults: beyond that librdkafka's queue has its own bound.
    fn cost(&self) -> u64 {
        let texts = [&self.key, &self.value, &self.headers];
        let bytes = texts.into_iter().flatten().map(|text| text.len() as u64);
        bytes.sum::<u64>() + RECORD_OVERHEAD + HEADER_OVERHEAD * self.header_count as u64
    }
}

/// The records of one request.
#[derive(Clone, Debug)]
pub struct Production {
    /// Where to.
    pub topic: TopicName,
    /// How keys become bytes.
    pub key_format: Format,
    /// How values become bytes.
    pub value_format: Format,
    /// With Avro, the schema of keys; else that of the subject `<topic>-key`.
    pub key_schema: Option<SchemaRef>,
    /// With Avro, the schema of values; else that of the subject `<topic>-value`.
    pub value_schema: Option<SchemaRef>,
    /// How batches are compressed.
    pub compression: Compression,
    /// The records, in their order.
    pub records: Vec<Outgoing>,
}

impl Production {
    /// Most headers of all records together: each costs far more than its text.
    pub const MAX_HEADERS: usize = 100_000;

    /// Whether keys or values are Avro.
    pub(super) fn needs_schemas(&self) -> bool {
        [self.key_format, self.value_format].contains(&Format::Avro)
    }

    /// What it takes of the budget until Kafka has it.
    pub(super) fn cost(&self) -> u64 {
        self.records.iter().map(Outgoing::cost).sum()
    }

    /// The least budget in which a request of so many bytes and records has room beside its own
    /// body.
    pub fn room_for(body_bytes: u64, records: u64) -> u64 {
        2 * body_bytes + RECORD_OVERHEAD * records + HEADER_OVERHEAD * Self::MAX_HEADERS as u64
    }
}

/// A record that all in-sync replicas have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The partition.
    pub partition: Partition,
    /// The offset in it. Kafka does not tell it when it takes a repetition for one that it has
    /// long had.
    pub offset: Option<Offset>,
    /// The record's time as Kafka has it.
    pub timestamp: Option<Timestamp>,
}

/// What became of a record.
pub type Outcome = Result<Written, RecordError>;

/// Why a record was not written, or what is not known of it. All but
/// [`OutcomeUnknown`](Self::OutcomeUnknown) mean that it has not been written and will not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is no record, or not of the format asked for.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// It is not the base64 that it should be.
    #[error("{0} is not base64")]
    InvalidBase64(&'static str),
    /// It does not fit its schema.
    #[error("the {what} does not fit its schema: {mismatch}")]
    SchemaMismatch {
        /// What does not: the key, or the value.
        what: &'static str,
        /// Where, and why.
        mismatch: Mismatch,
    },
    /// The topic has fewer partitions.
    #[error("there is no partition {0}")]
    PartitionNotFound(Partition),
    /// It is larger than this node or Kafka takes.
    #[error("it is too large")]
    TooLarge {
        /// This node's own limit, in bytes, if that was it.
        limit: Option<usize>,
    },
    /// The topic is gone.
    #[error("the topic is gone")]
    TopicNotFound,
    /// Kafka's ACLs refuse it.
    #[error("kafka refuses it: {0}")]
    AccessDenied(String),
    /// There was no room in the producer's queue.
    #[error("the queue is full")]
    QueueFull,
    /// No broker could take it.
    #[error("kafka did not take it: {0}")]
    KafkaUnavailable(String),
    /// It was not sent in time.
    #[error("it was not sent in time")]
    KafkaTimeout,
    /// It was sent, or may be yet, and nobody has said what became of it.
    #[error("{0}")]
    OutcomeUnknown(Cow<'static, str>),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl RecordError {
    /// How many bytes of text it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Invalid(Cow::Owned(text))
            | Self::OutcomeUnknown(Cow::Owned(text))
            | Self::AccessDenied(text)
            | Self::KafkaUnavailable(text)
            | Self::Internal(text) => text.capacity(),
            Self::SchemaMismatch { mismatch, .. } => mismatch.bytes(),
            Self::Invalid(Cow::Borrowed(_))
            | Self::OutcomeUnknown(Cow::Borrowed(_))
            | Self::InvalidBase64(_)
            | Self::PartitionNotFound(_)
            | Self::TooLarge { .. }
            | Self::TopicNotFound
            | Self::QueueFull
            | Self::KafkaTimeout => 0,
        }
    }

    /// The code, as metrics and clients see it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_record",
            Self::InvalidBase64(_) => "invalid_base64",
            Self::SchemaMismatch { .. } => "schema_mismatch",
            Self::PartitionNotFound(_) => "partition_not_found",
            Self::TooLarge { .. } => "record_too_large",
            Self::TopicNotFound => "topic_not_found",
            Self::AccessDenied(_) => "kafka_access_denied",
            Self::QueueFull => "queue_full",
            Self::KafkaUnavailable(_) => "kafka_unavailable",
            Self::KafkaTimeout => "kafka_timeout",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Internal(_) => "internal",
        }
    }
}
