//! Topics and where their partitions begin and end.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;

use super::kafka::{Kafka, REQUEST};
use crate::{Error, wait};

impl Kafka {
    /// Creates a topic with the default number of copies and waits until all of it can be used.
    ///
    /// # Errors
    /// When Kafka refuses, as for one that exists.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.create_topic_with(topic, partitions, &[]).await
    }

    /// As [`create_topic`](Self::create_topic), with topic settings such as
    /// `("max.message.bytes", "1000")`.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub async fn create_topic_with(
        &self,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), Error> {
        // -1: the broker's default.
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let what = format!("create topic {topic}");
        let answers = self.admin().create_topics(&[new], &options()).await;
        each(&what, answers)?;
        self.has_partitions(topic, partitions).await
    }

    /// Raises a topic's number of partitions to `total` and waits until they can be used.
    ///
    /// # Errors
    /// When Kafka refuses, as for a number that is not larger.
    pub async fn add_partitions(&self, topic: &str, total: i32) -> Result<(), Error> {
        let what = format!("add partitions to {topic}");
        let count = usize::try_from(total).expect("a number of partitions is positive");
        let new = NewPartitions::new(topic, count);
        let answers = self.admin().create_partitions(&[new], &options()).await;
        each(&what, answers)?;
        self.has_partitions(topic, total).await
    }

    /// Deletes a topic and waits until it is gone.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        let what = format!("delete topic {topic}");
        let answers = self.admin().delete_topics(&[topic], &options()).await;
        each(&what, answers)?;
        let gone = wait::within(REQUEST, async || {
            matches!(self.partitions(topic).await, Ok(0))
        });
        gone.await.ok_or(Error::Late {
            what,
            deadline: REQUEST,
        })
    }

    /// Deletes the records of a partition before `offset`, as retention would.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), Error> {
        let failed = |source| Error::Kafka {
            what: format!("delete records of {topic}-{partition}"),
            source,
        };
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .map_err(failed)?;
        let answer = self.admin().delete_records(&before, &options()).await;
        for element in answer.map_err(failed)?.elements() {
            element.error().map_err(failed)?;
        }
        Ok(())
    }

    /// Returns how many partitions a topic has; 0 for one that does not exist.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn partitions(&self, topic: &str) -> Result<i32, Error> {
        let name = topic.to_owned();
        self.ask(&format!("partitions of {topic}"), None, move |consumer| {
            let metadata = consumer.fetch_metadata(Some(&name), REQUEST)?;
            let count = metadata.topics().first().map_or(0, |topic| {
                let usable = topic.partitions().iter().filter(|p| p.leader() >= 0);
                usable.count()
            });
            Ok(i32::try_from(count).unwrap_or(i32::MAX))
        })
        .await
    }

    /// Returns each partition's first offset and the one that its next record will get.
    ///
    /// # Errors
    /// When the topic does not exist or Kafka does not answer.
    pub async fn offsets(&self, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, Error> {
        let name = topic.to_owned();
        self.ask(&format!("offsets of {topic}"), None, move |consumer| {
            let metadata = consumer.fetch_metadata(Some(&name), REQUEST)?;
            let partitions = metadata
                .topics()
                .first()
                .map_or(&[][..], |t| t.partitions());
            if partitions.is_empty() {
                return Err(KafkaError::MetadataFetch(
                    RDKafkaErrorCode::UnknownTopicOrPartition,
                ));
            }
            partitions
                .iter()
                .map(|p| Ok((p.id(), consumer.fetch_watermarks(&name, p.id(), REQUEST)?)))
                .collect()
        })
        .await
    }

    /// Returns for each partition the offset that its next record will get.
    ///
    /// # Errors
    /// As [`offsets`](Self::offsets).
    pub async fn end_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>, Error> {
        let offsets = self.offsets(topic).await?;
        Ok(offsets.into_iter().map(|(p, (_, end))| (p, end)).collect())
    }

    async fn has_partitions(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let known = async || self.partitions(topic).await.is_ok_and(|n| n >= partitions);
        let known = wait::within(REQUEST, known).await;
        known.ok_or(Error::Late {
            what: format!("topic {topic} has {partitions} partitions"),
            deadline: REQUEST,
        })
    }
}

pub(crate) fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(REQUEST))
        .request_timeout(Some(REQUEST + Duration::from_secs(5)))
}

/// What an admin request answers for one of its elements: the element, or it and an error.
type ElementAnswer<T> = Result<T, (T, RDKafkaErrorCode)>;

/// Turns the answer to an admin request of one element into a result.
pub(crate) fn each<T>(
    what: &str,
    answers: Result<Vec<ElementAnswer<T>>, KafkaError>,
) -> Result<(), Error> {
    for answer in answers.map_err(Error::kafka(what))? {
        answer.map_err(|(_, code)| Error::Kafka {
            what: what.to_owned(),
            source: KafkaError::AdminOp(code),
        })?;
    }
    Ok(())
}
