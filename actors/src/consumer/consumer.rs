//! The handle that a program holds.

use std::time::Duration;

use sluice_types::{Offset, Offsets, Partition, Partitions, TopicName, TopicPartition};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::ask::{Ask, Reply};
use super::builder::ConsumerBuilder;
use super::record::ConsumedRecord;
use super::worker::Worker;
use crate::Error;

/// Asks that may wait for the consumer's task.
const MAILBOX: usize = 16;
/// How long a commit, a seek or a question waits for the group and for Kafka.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the final commit may take.
const FINAL_COMMIT: Duration = Duration::from_secs(10);
/// A poll that waits longer waits this long.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A Kafka consumer that needs a tokio runtime and nothing else.
///
/// It is a member of its group from [`build`](ConsumerBuilder::build) to
/// [`close`](Self::close), whether or not it is polled: a task of its own answers the group.
/// Records are read at least once: what was not committed is read again by whoever gets the
/// partition next. Offsets that are committed, and positions, name the *next* record to read.
///
/// Of each partition a poll returns at most so many records, the partitions in turn, so that a
/// busy one starves no other.
///
/// Dropped without [`close`](Self::close), it leaves the group too, in the background, and
/// commits automatically only what was done with; if its runtime is gone, the group misses it
/// when its session times out.
///
/// ```no_run
/// # async fn example() -> Result<(), sluice_actors::Error> {
/// use std::time::Duration;
///
/// use sluice_actors::Consumer;
/// use sluice_types::OffsetReset;
///
/// let consumer = Consumer::builder()
///     .bootstrap_servers("localhost:9092")
///     .group_id("billing")
///     .topics(["orders"])
///     .offset_reset(OffsetReset::Earliest)
///     .build()
///     .await?;
/// loop {
///     let records = consumer.poll(Duration::from_secs(5)).await?;
///     if records.is_empty() {
///         break;
///     }
///     for record in &records {
///         println!("{}[{}] {}", record.topic, record.partition, record.offset);
///     }
///     consumer.commit().await?;
/// }
/// consumer.close().await
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    asks: mpsc::Sender<Ask>,
    grouped: bool,
}

impl Consumer {
    /// Returns a description of a consumer, to be completed and built.
    pub fn builder() -> ConsumerBuilder {
        ConsumerBuilder::new()
    }

    /// Runs the worker, which reads `all` partitions if it has no group, and waits until it has
    /// its partitions, at most for `join`.
    pub(super) async fn start(
        mut worker: Worker,
        all: Partitions,
        join: Duration,
    ) -> Result<Self, Error> {
        let (asks, asked) = mpsc::channel(MAILBOX);
        let (ready, is_ready) = oneshot::channel();
        let grouped = worker.begin(all, ready)?;
        let span = worker.span();
        tokio::spawn(worker.run(asked).instrument(span));
        let consumer = Self { asks, grouped };
        match timeout(join, is_ready).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone()))?,
            Err(_) => tracing::info!("the group has given no partitions yet"),
        }
        Ok(consumer)
    }

    /// Returns the next records, as soon as there are some: at most
    /// [so many](ConsumerBuilder::max_records_per_partition) of each partition, and about 16 MB
    /// in all. Without any until `timeout`, or while the group rebalances, the answer is empty.
    ///
    /// Calling it says that the records returned before are done with: they may be committed
    /// automatically from now on. Dropping the future loses nothing, the next poll returns the
    /// same records.
    ///
    /// # Errors
    /// Records of other partitions are not lost by an error; a later poll returns them.
    /// - [`Error::NoCommittedOffset`], with the partitions: nothing is committed for them and the
    ///   offset reset is `None`. Polls fail until they are [sought](Self::seek).
    /// - [`Error::OffsetOutOfRange`]: the position is not in the log, with `None` as well.
    /// - [`Error::KafkaUnavailable`]: no broker was reached until `timeout`.
    /// - [`Error::Broken`]: the consumer never works again, because another has its
    ///   `group.instance.id`, say.
    /// - [`Error::AccessDenied`], [`Error::InconsistentProtocol`]: Kafka refuses it.
    pub async fn poll(&self, timeout: Duration) -> Result<Vec<ConsumedRecord>, Error> {
        let until = Instant::now() + timeout.min(LONGEST);
        let batch = self.ask(|reply| Ask::Poll { until, reply }).await?;
        // Nothing is awaited between this and the return: who gets the records is told of, or
        // nobody is.
        let _ = batch.delivered.send(());
        Ok(batch.records)
    }

    /// Commits the positions, where they differ from the last commit, and returns what Kafka has
    /// acknowledged: behind every record that polls have returned, or where it was sought.
    ///
    /// Partitions that the group has taken back since are not committed. Waits for a rebalance,
    /// at most half a minute. If the future is dropped, the commit may be made or not.
    ///
    /// # Errors
    /// - [`Error::NoGroup`]: the consumer has none.
    /// - [`Error::OutcomeUnknown`]: Kafka did not say in time; it may still be committed, and
    ///   committing again does no harm.
    /// - [`Error::Rebalancing`], [`Error::KafkaUnavailable`], [`Error::AccessDenied`],
    ///   [`Error::Broken`].
    pub async fn commit(&self) -> Result<Offsets, Error> {
        if !self.grouped {
            return Err(Error::NoGroup);
        }
        let until = Instant::now() + PATIENCE;
        self.ask(|reply| Ask::Commit { until, reply }).await
    }

    /// Makes the next poll return records of a partition from `offset` on, say to handle a
    /// record once more:
    ///
    /// ```no_run
    /// # async fn handle(_: &sluice_actors::ConsumedRecord) -> Result<(), ()> { Ok(()) }
    /// # async fn example(consumer: sluice_actors::Consumer) -> Result<(), sluice_actors::Error> {
    /// # use std::time::Duration;
    /// for record in consumer.poll(Duration::from_secs(5)).await? {
    ///     if handle(&record).await.is_err() {
    ///         consumer.seek(&record.topic, record.partition, record.offset).await?;
    ///         break;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// An offset outside the log follows the offset reset at the next poll. Nothing is committed
    /// by it; the next [`commit`](Self::commit) commits where it went.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]: the group has not given this partition to the consumer.
    /// [`Error::Rebalancing`], [`Error::KafkaUnavailable`]: it had no partitions in half a minute.
    pub async fn seek(
        &self,
        topic: &TopicName,
        partition: Partition,
        offset: Offset,
    ) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        let at = TopicPartition {
            topic: topic.clone(),
            partition,
        };
        self.ask(|reply| Ask::Seek {
            at,
            offset,
            until,
            reply,
        })
        .await
    }

    /// Returns the offset that the next poll returns first of a partition.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]: the group has not given this partition to the consumer.
    /// [`Error::NoCommittedOffset`], [`Error::OffsetOutOfRange`]: it has no position, see
    /// [`poll`](Self::poll). [`Error::Rebalancing`], [`Error::KafkaUnavailable`]: it had no
    /// partitions in half a minute.
    pub async fn position(&self, topic: &TopicName, partition: Partition) -> Result<Offset, Error> {
        let until = Instant::now() + PATIENCE;
        let at = TopicPartition {
            topic: topic.clone(),
            partition,
        };
        self.ask(|reply| Ask::Position { at, until, reply }).await
    }

    /// Ends the consumer: with automatic commits, commits everything that polls have returned;
    /// then leaves the group, so that others get its partitions at once.
    ///
    /// It leaves the group in any case. If the future is dropped, that goes on in the background.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), if the final commit could not be made in 10 s.
    pub async fn close(self) -> Result<(), Error> {
        let until = Instant::now() + FINAL_COMMIT;
        self.ask(|reply| Ask::Close { until, reply }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Error {
    Error::Internal("the consumer's task has ended, with the runtime it was built on".to_owned())
}
