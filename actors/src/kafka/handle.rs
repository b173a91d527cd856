//! The rdkafka consumer as a session uses it.
//!
//! Methods marked *blocking* wait for the network and belong on a thread that may wait; all
//! others return at once.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, Offset as RawOffset, TopicPartitionList};
use sluice_types::{
    Offset, Offsets, PartitionMap, Partitions, SeenCommit, TopicName, TopicPartition,
};

use super::context::answer_from_now_on;
use super::failure::{code_failure, log};
use super::ffi::{self, CommitQueue, Message, RecordQueue};
use super::logs::{Logs, named};
use super::told::Polled;
use super::{Bootstrap, Closer, CommitOutcome, Context, KafkaEvent, failure};
use crate::Error;

/// What a group has committed for a partition.
pub(crate) type CommittedOffset = SeenCommit;

/// What [`Handle::poll`] took.
pub(crate) enum Taken<'a> {
    Record(Message<'a>),
    /// Something went wrong; posted.
    Failed(Code),
    /// The group gives or takes partitions; posted. It waits for an answer.
    Rebalance,
    /// What nobody has to act on.
    Other,
}

/// A consumer handle. Dropped anywhere, it is closed on the closer's threads, without leaving
/// the group.
pub(crate) struct Handle {
    parts: Option<Parts>,
    closer: Closer,
    bootstrap: Bootstrap,
}

struct Parts {
    // Before the consumer: the queues must be gone when the client is destroyed.
    records: RecordQueue<Context>,
    commits: CommitQueue<Context>,
    consumer: Arc<BaseConsumer<Context>>,
}

/// A handle that nobody uses any more. Dropping it closes it, which *blocks*.
struct Closing(Parts);

impl Drop for Closing {
    fn drop(&mut self) {
        answer_from_now_on(&self.0.consumer);
    }
}

/// A topic that nobody has.
pub(crate) const NO_TOPIC: &str = "sluice.no-such-topic";

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.closer.close(Box::new(Closing(parts)));
        }
    }
}

impl Handle {
    /// Makes a handle; *blocking* with TLS. `wake` is called on librdkafka's threads when there
    /// is something to [`poll`](Self::poll) or an outcome of a commit to take.
    pub(crate) fn create(
        config: &ClientConfig,
        closer: Closer,
        wake: impl Fn() + Send + Sync + Clone + 'static,
    ) -> Result<Self, Error> {
        let mut consumer: BaseConsumer<Context> = config
            .create_with_context(Context::default())
            .map_err(|error| Error::Internal(format!("kafka settings: {error}")))?;
        consumer.set_nonempty_callback(wake.clone());
        let consumer = Arc::new(consumer);
        let records = RecordQueue::of(consumer.clone())
            .ok_or_else(|| Error::Internal("kafka settings: no group.id".to_owned()))?;
        let commits = CommitQueue::new(consumer.clone(), Box::new(wake));
        Ok(Self {
            parts: Some(Parts {
                records,
                commits,
                consumer,
            }),
            closer,
            bootstrap: Bootstrap::of(config),
        })
    }

    /// To be told now and then whether a broker is reached: if none is for long, it looks for the
    /// first ones again.
    pub(crate) fn look_for_brokers(&self, is_reached: bool) {
        match is_reached {
            true => self.bootstrap.reached(),
            false => {
                self.bootstrap.missed();
                self.bootstrap.remind(self.consumer().client());
            }
        }
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("taken only by drop")
    }

    fn consumer(&self) -> &BaseConsumer<Context> {
        &self.parts().consumer
    }

    /// Joins the group with a subscription to these topics.
    pub(crate) fn subscribe(&self, topics: &[TopicName]) -> Result<(), Error> {
        let names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
        self.consumer()
            .subscribe(&names)
            .map_err(|error| failure(&error))
    }

    /// Joins the group once more, with nothing changed: a leader has it share anew by that. Back
    /// to [`subscribe`](Self::subscribe) once that is done.
    ///
    /// A topic of which librdkafka knows nothing makes it ask for metadata, and it joins when it
    /// has them, whether they have changed or not (`rd_kafka_cgrp_modify_subscription`). What does
    /// not exist is in no `JoinGroup`.
    pub(crate) fn join_again(&self, topics: &[TopicName]) -> Result<(), Error> {
        let names = topics.iter().map(TopicName::as_str);
        let names: Vec<&str> = names.chain([NO_TOPIC]).collect();
        self.consumer()
            .subscribe(&names)
            .map_err(|error| failure(&error))
    }

    /// Begins to leave the group. Rebalances are answered by themselves from now on, one that has
    /// been posted as an event already too; the group is left once
    /// [`is_member`](Self::is_member) says so.
    pub(crate) fn unsubscribe(&self) {
        self.consumer().unsubscribe();
        answer_from_now_on(self.consumer());
    }

    /// Whether the coordinator knows this handle as a member.
    pub(crate) fn is_member(&self) -> bool {
        !self.member_id().is_empty()
    }

    /// The id that the coordinator gave; empty before the join.
    pub(crate) fn member_id(&self) -> String {
        ffi::member_id(self.consumer())
    }

    /// The group's generation, -1 before the join.
    pub(crate) fn generation(&self) -> i32 {
        ffi::generation(self.consumer())
    }

    /// Takes the next record or event; what an event tells is posted. `None` if nothing is there.
    pub(crate) fn poll(&self) -> Option<Taken<'_>> {
        let context = self.consumer().context();
        Some(match self.parts().records.poll()? {
            Polled::Record(message) => Taken::Record(message),
            Polled::Failed { error, reason } => {
                context.error(KafkaError::Global(error), reason.trim());
                Taken::Failed(error)
            }
            Polled::Rebalance { what, partitions } => {
                context.rebalanced(self.consumer(), what, &partitions);
                Taken::Rebalance
            }
            Polled::Log {
                level,
                facility,
                line,
            } => {
                log(level, facility.trim(), line.trim());
                Taken::Other
            }
            Polled::Other => Taken::Other,
        })
    }

    /// Takes the next event that polling has posted.
    pub(crate) fn next_event(&self) -> Option<KafkaEvent> {
        self.consumer().context().next()
    }

    /// The error after which the handle never works again, if there was one.
    pub(crate) fn fatal_error(&self) -> Option<(Code, String)> {
        self.consumer().client().fatal_error()
    }

    /// Whether the group has taken the partitions back already: commits are pointless then.
    pub(crate) fn assignment_lost(&self) -> bool {
        self.consumer().assignment_lost()
    }

    fn is_cooperative(&self) -> bool {
        matches!(
            self.consumer().rebalance_protocol(),
            RebalanceProtocol::Cooperative
        )
    }

    /// Answers the group's call to assign: reading starts at `starts`. Returns whether this
    /// replaces what was assigned before.
    pub(crate) fn assign(&self, starts: &Offsets) -> Result<bool, Error> {
        let list = native_list(starts.iter().map(|(at, offset)| (at, Some(*offset))))?;
        let cooperative = self.is_cooperative();
        let assigned = if cooperative {
            self.consumer().incremental_assign(&list)
        } else {
            self.consumer().assign(&list)
        };
        assigned.map_err(|error| failure(&error))?;
        self.consumer().context().answered();
        Ok(!cooperative)
    }

    /// Answers the group's call to unassign. Returns whether everything was taken.
    pub(crate) fn unassign(&self, partitions: &Partitions) -> Result<bool, Error> {
        let cooperative = self.is_cooperative();
        let unassigned = if cooperative {
            let list = native_list(partitions.iter().map(|at| (at, None)))?;
            self.consumer().incremental_unassign(&list)
        } else {
            self.consumer().unassign()
        };
        unassigned.map_err(|error| failure(&error))?;
        self.consumer().context().answered();
        Ok(!cooperative)
    }

    /// Reads manually named partitions from these offsets, instead of all before.
    pub(crate) fn assign_manually(&self, starts: &Offsets) -> Result<(), Error> {
        let list = native_list(starts.iter().map(|(at, offset)| (at, Some(*offset))))?;
        self.consumer()
            .assign(&list)
            .map_err(|error| failure(&error))
    }

    /// Stops fetching; what is prefetched is thrown away.
    pub(crate) fn pause(&self, partitions: &Partitions) -> Result<(), Error> {
        let list = native_list(partitions.iter().map(|at| (at, None)))?;
        self.consumer()
            .pause(&list)
            .map_err(|error| failure(&error))
    }

    /// Fetches again. Only for paused partitions (librdkafka #4637).
    pub(crate) fn resume(&self, partitions: &Partitions) -> Result<(), Error> {
        let list = native_list(partitions.iter().map(|at| (at, None)))?;
        self.consumer()
            .resume(&list)
            .map_err(|error| failure(&error))
    }

    /// *Blocking.* Reads on from `targets` instead; `standing` is where all other assigned
    /// partitions are, for the case that librdkafka has to be given everything anew.
    ///
    /// A partition whose fetcher has not started, or has stopped at an error, cannot be sought
    /// (`_STATE`); it is assigned anew.
    pub(crate) fn reposition(&self, targets: &Offsets, standing: &Offsets) -> Result<(), Error> {
        let list = native_list(targets.iter().map(|(at, offset)| (at, Some(*offset))))?;
        let sought = self
            .consumer()
            .seek_partitions(list, Duration::from_secs(1))
            .map_err(|error| failure(&error))?;
        let failed: Offsets = ffi::read_list(&sought)
            .into_iter()
            .filter(|listed| listed.error.is_some())
            .filter_map(|listed| named(&listed))
            .filter_map(|at| targets.get(&at).map(|offset| (at.clone(), *offset)))
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        self.reassign(&failed, targets, standing)
    }

    fn reassign(
        &self,
        failed: &Offsets,
        targets: &Offsets,
        standing: &Offsets,
    ) -> Result<(), Error> {
        let consumer = self.consumer();
        let done = if self.is_cooperative() {
            let list = native_list(failed.iter().map(|(at, offset)| (at, Some(*offset))))?;
            consumer
                .incremental_unassign(&list)
                .and_then(|()| consumer.incremental_assign(&list))
        } else {
            let all = standing
                .iter()
                .map(|(at, offset)| (at.clone(), Some(*targets.get(&at).unwrap_or(offset))));
            consumer.assign(&native_list(all)?)
        };
        done.map_err(|error| failure(&error))
    }

    /// *Blocking.* What the group has committed; partitions without a commit are absent.
    pub(crate) fn committed(
        &self,
        partitions: &Partitions,
        wait: Duration,
    ) -> Result<PartitionMap<CommittedOffset>, Error> {
        if partitions.is_empty() {
            return Ok(PartitionMap::new());
        }
        let list = native_list(partitions.iter().map(|at| (at, None)))?;
        let list = self
            .consumer()
            .committed_offsets(list, wait)
            .map_err(|error| failure(&error))?;
        let mut committed = PartitionMap::new();
        for listed in ffi::read_list(&list) {
            // An error here means "not known", never "nothing committed".
            if let Some(code) = listed.error {
                return Err(code_failure(code));
            }
            if let (Some(at), Ok(offset)) = (named(&listed), Offset::new(listed.offset)) {
                committed.insert(
                    &at,
                    SeenCommit {
                        offset,
                        metadata: listed.metadata,
                    },
                );
            }
        }
        Ok(committed)
    }

    /// Looks into the logs through this handle. While it fetches, an answer may wait for the
    /// fetch under way: half a second.
    pub(crate) fn logs(&self) -> Logs<'_, Context> {
        Logs::of(self.consumer())
    }

    /// The end of the log as fetching has shown it last.
    pub(crate) fn cached_end(&self, at: &TopicPartition) -> Option<Offset> {
        let (_, end) =
            ffi::cached_watermarks(self.consumer(), at.topic.as_str(), at.partition.get())?;
        Offset::new(end).ok()
    }

    /// *Blocking.* How many partitions a topic has; 0 if there is no such topic.
    pub(crate) fn partition_count(&self, topic: &TopicName, wait: Duration) -> Result<i32, Error> {
        let metadata = self
            .consumer()
            .fetch_metadata(Some(topic.as_str()), wait)
            .map_err(|error| failure(&error))?;
        let found = metadata.topics().first();
        let count = found.map_or(0, |topic| topic.partitions().len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// *Blocking.* Asks any broker for anything.
    pub(crate) fn probe(&self, topic: &TopicName, wait: Duration) -> bool {
        self.consumer()
            .fetch_metadata(Some(topic.as_str()), wait)
            .is_ok()
    }

    /// Sends a commit of these offsets with `metadata` on each; the outcome comes by
    /// [`next_commit`](Self::next_commit).
    pub(crate) fn commit(
        &self,
        offsets: &Offsets,
        metadata: &str,
        number: u64,
    ) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (at, offset) in offsets.iter() {
            let mut element = list.add_partition(at.topic.as_str(), at.partition.get());
            element
                .set_offset(RawOffset::Offset(offset.get()))
                .map_err(|error| Error::Internal(error.to_string()))?;
            element.set_metadata(metadata);
        }
        self.parts()
            .commits
            .commit(&list, number)
            .map_err(code_failure)
    }

    /// Takes the next outcome of a commit.
    pub(crate) fn next_commit(&self) -> Option<CommitOutcome> {
        self.parts().commits.next()
    }
}

/// A librdkafka list of these partitions, with offsets where there are any.
fn native_list(
    partitions: impl Iterator<Item = (TopicPartition, Option<Offset>)>,
) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::new();
    for (at, offset) in partitions {
        let mut element = list.add_partition(at.topic.as_str(), at.partition.get());
        if let Some(offset) = offset {
            element
                .set_offset(RawOffset::Offset(offset.get()))
                .map_err(|error| Error::Internal(error.to_string()))?;
        }
    }
    Ok(list)
}
