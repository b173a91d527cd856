//! Reads parts of logs, without a group: *blocking*, all of it.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset as RawOffset, TopicPartitionList};
use sluice_types::{Partition, TopicName};

use super::client_config::{NO_GROUP, base_config};
use super::failure::{code_failure, log};
use super::{Closer, failure};
use crate::{Config, Deadline, Error};

/// How long one look for records takes, so that who gives up is noticed.
const LOOK: Duration = Duration::from_millis(100);

/// Where numbers differ from those of sessions.
const TUNED: &[(&str, &str)] = &[
    ("group.id", NO_GROUP),
    ("client.id", "sluice-reader"),
    ("isolation.level", "read_committed"),
    // An end without records is told by this alone, when a fetch has come back empty.
    ("enable.partition.eof", "true"),
    ("fetch.wait.max.ms", "20"),
    // What retention has taken away meanwhile is passed over.
    ("auto.offset.reset", "earliest"),
];

/// A part of a log that is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) partition: Partition,
    /// The first offset.
    pub(crate) from: i64,
    /// The one behind the last.
    pub(crate) until: i64,
}

/// A handle that reads parts of logs, one topic's at a time. Dropped anywhere, it is closed on the
/// closer's threads.
pub(crate) struct Reader {
    consumer: Option<BaseConsumer<Quiet>>,
    closer: Closer,
}

/// Its log lines are Sluice's.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka error");
    }
}

impl ConsumerContext for Quiet {}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.closer.close(Box::new(consumer));
        }
    }
}

impl Reader {
    pub(crate) fn create(config: &Config, closer: Closer) -> Result<Self, Error> {
        let mut client = base_config(config);
        for (key, value) in TUNED {
            client.set(*key, *value);
        }
        let consumer = client
            .create_with_context(Quiet)
            .map_err(|error| Error::Internal(format!("kafka settings: {error}")))?;
        Ok(Self {
            consumer: Some(consumer),
            closer,
        })
    }

    fn consumer(&self) -> &BaseConsumer<Quiet> {
        self.consumer.as_ref().expect("taken only by drop")
    }

    /// Gives `each` the records of these parts, those of a part in order, with the part's place
    /// among them. Offsets without a record are passed over. Ends early, without all of it, when
    /// `is_wanted` says so.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`] and [`Error::AccessDenied`]; [`Error::KafkaTimeout`] at the
    /// deadline.
    pub(crate) fn read(
        &self,
        topic: &TopicName,
        parts: &[Part],
        deadline: Deadline,
        is_wanted: impl Fn() -> bool,
        mut each: impl FnMut(usize, &BorrowedMessage<'_>),
    ) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(parts.len());
        for part in parts {
            let from = RawOffset::Offset(part.from);
            list.add_partition_offset(topic.as_str(), part.partition.get(), from)
                .map_err(|error| Error::Internal(error.to_string()))?;
        }
        let consumer = self.consumer();
        consumer.assign(&list).map_err(|error| failure(&error))?;
        let places = parts.iter().enumerate();
        let mut unread: HashMap<i32, usize> = places
            .map(|(place, part)| (part.partition.get(), place))
            .collect();
        while !unread.is_empty() && is_wanted() {
            if deadline.remaining().is_zero() {
                return Err(Error::KafkaTimeout);
            }
            match consumer.poll(LOOK) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(place) = unread.get(&partition).copied() else {
                        continue;
                    };
                    let part = parts[place];
                    if (part.from..part.until).contains(&offset) {
                        each(place, &message);
                    }
                    if offset >= part.until - 1 {
                        unread.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                        return Err(Error::TopicNotFound(vec![topic.clone()]));
                    }
                    Some(code @ Code::TopicAuthorizationFailed) => return Err(code_failure(code)),
                    // What has broken is mended by librdkafka, or not before the deadline.
                    _ => tracing::debug!(%error, "kafka error"),
                },
                None => {}
            }
        }
        // What is fetched already is thrown away.
        consumer.unassign().map_err(|error| failure(&error))
    }
}
