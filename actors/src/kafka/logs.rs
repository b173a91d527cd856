//! What is in the partitions' logs: first and last offsets, and offsets by time.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{Offset as RawOffset, TopicPartitionList};
use sluice_types::{Offset, Offsets, Partition, PartitionMap, Partitions, TopicPartition};

use super::failure::{code_failure, failure};
use super::ffi;
use super::told::ListedOffset;
use crate::{Error, SeekTarget};

/// First offset of a log and the one behind its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogBounds {
    pub(crate) first: Offset,
    pub(crate) end: Offset,
}

/// Questions about logs, asked through one client. All *block*.
pub(crate) struct Logs<'a, C: ConsumerContext>(&'a BaseConsumer<C>);

impl<'a, C: ConsumerContext> Logs<'a, C> {
    pub(crate) fn of(client: &'a BaseConsumer<C>) -> Self {
        Self(client)
    }

    /// The offsets that targets stand for.
    pub(crate) fn resolve(
        &self,
        targets: &PartitionMap<SeekTarget>,
        wait: Duration,
    ) -> Result<Offsets, Error> {
        let mut resolved = Offsets::new();
        let mut asked = Vec::new();
        for (at, target) in targets.iter() {
            match target {
                SeekTarget::Offset(offset) => {
                    resolved.insert(&at, *offset);
                }
                SeekTarget::Earliest => asked.push((at, RawOffset::Beginning)),
                SeekTarget::Latest => asked.push((at, RawOffset::End)),
                SeekTarget::Timestamp(time) => {
                    asked.push((at, RawOffset::Offset(time.as_millis().max(0))));
                }
            }
        }
        let found = self.list_offsets(asked, wait)?;
        // No record at or after the time: behind the newest.
        let beyond: Vec<_> = found
            .iter()
            .filter(|(_, offset)| offset.is_none())
            .map(|(at, _)| (at, RawOffset::End))
            .collect();
        for answers in [found, self.list_offsets(beyond, wait)?] {
            for (at, offset) in answers.iter() {
                if let Some(offset) = offset {
                    resolved.insert(&at, *offset);
                }
            }
        }
        all_answered(resolved, &targets.partitions())
    }

    /// The bounds of the partitions' logs.
    pub(crate) fn bounds(
        &self,
        partitions: &Partitions,
        wait: Duration,
    ) -> Result<PartitionMap<LogBounds>, Error> {
        let all = |target| partitions.iter().map(|at| (at, target)).collect();
        let firsts = self.list_offsets(all(RawOffset::Beginning), wait)?;
        let ends = self.list_offsets(all(RawOffset::End), wait)?;
        let bounds = firsts
            .iter()
            .filter_map(|(at, first)| {
                let first = (*first)?;
                let end = (*ends.get(&at)?)?;
                Some((at, LogBounds { first, end }))
            })
            .collect();
        all_answered(bounds, partitions)
    }

    /// ListOffsets through librdkafka's look-up by time, whose protocol gives the logical
    /// offsets a meaning: -1 is the end, -2 the beginning (KIP-79).
    fn list_offsets(
        &self,
        asked: Vec<(TopicPartition, RawOffset)>,
        wait: Duration,
    ) -> Result<PartitionMap<Option<Offset>>, Error> {
        if asked.is_empty() {
            return Ok(PartitionMap::new());
        }
        let mut list = TopicPartitionList::with_capacity(asked.len());
        for (at, target) in &asked {
            list.add_partition_offset(at.topic.as_str(), at.partition.get(), *target)
                .map_err(|error| Error::Internal(error.to_string()))?;
        }
        let found = self
            .0
            .offsets_for_times(list, wait)
            .map_err(|error| failure(&error))?;
        let mut offsets = PartitionMap::new();
        for listed in ffi::read_list(&found) {
            if let Some(code) = listed.error {
                return Err(code_failure(code));
            }
            if let Some(at) = named(&listed) {
                offsets.insert(&at, Offset::new(listed.offset).ok());
            }
        }
        Ok(offsets)
    }
}

/// Passes answers on if there is one for every partition: one without an answer would be held
/// and never read.
fn all_answered<T>(answers: PartitionMap<T>, asked: &Partitions) -> Result<PartitionMap<T>, Error> {
    match asked.iter().find(|at| !answers.contains(at)) {
        None => Ok(answers),
        Some(at) => Err(Error::KafkaUnavailable(format!(
            "kafka says nothing of the log of {at}"
        ))),
    }
}

/// The partition that a list's entry is of.
pub(super) fn named(listed: &ListedOffset) -> Option<TopicPartition> {
    Some(TopicPartition {
        topic: listed.topic.parse().ok()?,
        partition: Partition::new(listed.partition).ok()?,
    })
}
