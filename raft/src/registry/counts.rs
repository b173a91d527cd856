//! How many partitions topics have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_types::TopicName;

/// Partition counts of a session's topics, by name. They are few: a list, since a map of one entry
/// takes ten times the memory of the entry, and a cluster holds very many of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCounts(Box<[(TopicName, i32)]>);

impl PartitionCounts {
    /// The count of a topic.
    pub fn get(&self, topic: &TopicName) -> Option<i32> {
        self.iter()
            .find(|(name, _)| *name == topic)
            .map(|(_, count)| count)
    }

    /// All topics with their counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, i32)> {
        self.0.iter().map(|(topic, count)| (topic, *count))
    }

    /// Takes the larger of two counts for each topic.
    pub(super) fn raise(&mut self, counts: BTreeMap<TopicName, i32>) {
        let known = self.0.iter().cloned();
        let mut all: BTreeMap<TopicName, i32> = known.collect();
        for (topic, count) in counts {
            let seen = all.entry(topic).or_default();
            *seen = count.max(*seen);
        }
        *self = all.into();
    }
}

impl From<BTreeMap<TopicName, i32>> for PartitionCounts {
    fn from(counts: BTreeMap<TopicName, i32>) -> Self {
        Self(counts.into_iter().collect())
    }
}

impl From<&PartitionCounts> for BTreeMap<TopicName, i32> {
    fn from(counts: &PartitionCounts) -> Self {
        counts.0.iter().cloned().collect()
    }
}
