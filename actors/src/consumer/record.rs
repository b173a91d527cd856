//! Records as a consumer hands them out.

use bytes::Bytes;
use sluice_types::{Offset, Partition, Timestamp, TopicName};

/// A record read by a [`Consumer`](crate::Consumer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The topic it was read from.
    pub topic: TopicName,
    /// The partition of the topic.
    pub partition: Partition,
    /// Its place in the partition's log. A commit that covers it is of `offset.next()`.
    pub offset: Offset,
    /// When it was written, as its producer or the broker says; `None` if Kafka has no time.
    pub timestamp: Option<Timestamp>,
    /// The key, or `None` for a Kafka null.
    pub key: Option<Bytes>,
    /// The value, or `None` for a Kafka null (a tombstone).
    pub value: Option<Bytes>,
    /// The headers, in order; names may repeat.
    pub headers: Vec<RecordHeader>,
}

/// A header of a [`ConsumedRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// The name; what is not UTF-8 in it is replaced by `U+FFFD`.
    pub name: String,
    /// The value, or `None` for a Kafka null.
    pub value: Option<Bytes>,
}
