//! Values by topic and partition, in the shape that the HTTP contract writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Offset, Partition, TopicName, TopicPartition};

/// One value for each of some partitions; in JSON `{"orders":{"0":…,"1":…}}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionMap<T> {
    topics: BTreeMap<TopicName, BTreeMap<Partition, T>>,
}

/// An offset for each of some partitions.
pub type Offsets = PartitionMap<Offset>;

impl<T> Default for PartitionMap<T> {
    fn default() -> Self {
        Self {
            topics: BTreeMap::new(),
        }
    }
}

impl<T> PartitionMap<T> {
    /// A map without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a partition and returns the one it had.
    pub fn insert(&mut self, at: &TopicPartition, value: T) -> Option<T> {
        match self.topics.get_mut(&at.topic) {
            Some(partitions) => partitions.insert(at.partition, value),
            None => {
                self.topics
                    .insert(at.topic.clone(), BTreeMap::from([(at.partition, value)]));
                None
            }
        }
    }

    /// The value of a partition.
    pub fn get(&self, at: &TopicPartition) -> Option<&T> {
        self.topics.get(&at.topic)?.get(&at.partition)
    }

    /// The value of a partition, to change it.
    pub fn get_mut(&mut self, at: &TopicPartition) -> Option<&mut T> {
        self.topics.get_mut(&at.topic)?.get_mut(&at.partition)
    }

    /// Takes a partition's value out.
    pub fn remove(&mut self, at: &TopicPartition) -> Option<T> {
        let partitions = self.topics.get_mut(&at.topic)?;
        let value = partitions.remove(&at.partition);
        if partitions.is_empty() {
            self.topics.remove(&at.topic);
        }
        value
    }

    /// Whether the partition has a value.
    pub fn contains(&self, at: &TopicPartition) -> bool {
        self.get(at).is_some()
    }

    /// Whether no partition has a value.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions have a value.
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// All entries, by topic name and partition number.
    pub fn iter(&self) -> impl Iterator<Item = (TopicPartition, &T)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, value)| {
                (
                    TopicPartition {
                        topic: topic.clone(),
                        partition: *partition,
                    },
                    value,
                )
            })
        })
    }

    /// The partitions that have a value.
    pub fn partitions(&self) -> Partitions {
        self.iter().map(|(at, _)| at).collect()
    }

    /// The topics that have entries, with those.
    pub fn topics(&self) -> &BTreeMap<TopicName, BTreeMap<Partition, T>> {
        &self.topics
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&TopicPartition, &mut T) -> bool) {
        self.topics.retain(|topic, partitions| {
            partitions.retain(|partition, value| {
                keep(
                    &TopicPartition {
                        topic: topic.clone(),
                        partition: *partition,
                    },
                    value,
                )
            });
            !partitions.is_empty()
        });
    }
}

impl<T> FromIterator<(TopicPartition, T)> for PartitionMap<T> {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, T)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<T> Extend<(TopicPartition, T)> for PartitionMap<T> {
    fn extend<I: IntoIterator<Item = (TopicPartition, T)>>(&mut self, entries: I) {
        for (at, value) in entries {
            self.insert(&at, value);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for PartitionMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.topics.fmt(f)
    }
}

/// A set of partitions; in JSON `{"orders":[0,1]}`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partitions {
    topics: BTreeMap<TopicName, BTreeSet<Partition>>,
}

impl Partitions {
    /// A set without partitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a partition; says whether it was new.
    pub fn insert(&mut self, at: TopicPartition) -> bool {
        self.topics
            .entry(at.topic)
            .or_default()
            .insert(at.partition)
    }

    /// Takes a partition out; says whether it was there.
    pub fn remove(&mut self, at: &TopicPartition) -> bool {
        let Some(partitions) = self.topics.get_mut(&at.topic) else {
            return false;
        };
        let removed = partitions.remove(&at.partition);
        if partitions.is_empty() {
            self.topics.remove(&at.topic);
        }
        removed
    }

    /// Whether the partition is in the set.
    pub fn contains(&self, at: &TopicPartition) -> bool {
        self.topics
            .get(&at.topic)
            .is_some_and(|partitions| partitions.contains(&at.partition))
    }

    /// Whether the set has no partition.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions the set has.
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeSet::len).sum()
    }

    /// All partitions, by topic name and number.
    pub fn iter(&self) -> impl Iterator<Item = TopicPartition> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |partition| TopicPartition {
                topic: topic.clone(),
                partition: *partition,
            })
        })
    }

    /// The topics of the set, with their partitions.
    pub fn topics(&self) -> &BTreeMap<TopicName, BTreeSet<Partition>> {
        &self.topics
    }
}

impl FromIterator<TopicPartition> for Partitions {
    fn from_iter<I: IntoIterator<Item = TopicPartition>>(partitions: I) -> Self {
        let mut set = Self::default();
        set.extend(partitions);
        set
    }
}

impl Extend<TopicPartition> for Partitions {
    fn extend<I: IntoIterator<Item = TopicPartition>>(&mut self, partitions: I) {
        for at in partitions {
            self.insert(at);
        }
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.topics.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.parse().unwrap(),
            partition: Partition::new(partition).unwrap(),
        }
    }

    #[test]
    fn empty_topics_do_not_stay_behind() {
        let mut map: PartitionMap<u8> = [(at("a", 0), 1), (at("b", 0), 2)].into_iter().collect();
        assert_eq!(map.remove(&at("a", 0)), Some(1));
        assert_eq!(map.topics().len(), 1);
        map.retain(|_, _| false);
        assert!(map.is_empty());
        let mut set: Partitions = [at("a", 0)].into_iter().collect();
        assert!(set.remove(&at("a", 0)));
        assert_eq!(set, Partitions::new());
    }

    #[test]
    fn iteration_is_by_topic_and_number() {
        let set: Partitions = [at("b", 2), at("b", 10), at("a", 7)].into_iter().collect();
        let names: Vec<String> = set.iter().map(|at| at.to_string()).collect();
        assert_eq!(names, ["a[7]", "b[2]", "b[10]"]);
    }
}
