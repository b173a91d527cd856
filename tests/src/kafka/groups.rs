//! Consumer groups as Kafka sees them.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::groups::{GroupInfo, GroupMemberInfo};
use rdkafka::topic_partition_list::Offset;

use super::kafka::{Kafka, REQUEST};
use super::topics::{each, options};
use crate::Error;

/// A consumer group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Kafka's name of the state: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`,
    /// `Dead`.
    pub state: String,
    /// The assignment strategy in use; empty without members.
    pub protocol: String,
    /// The members, by their id.
    pub members: Vec<Member>,
}

/// One member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id that Kafka gave it.
    pub id: String,
    /// The `client.id` that it came with.
    pub client_id: String,
    /// Its partitions by topic; empty while the group rebalances.
    pub assignment: BTreeMap<String, BTreeSet<i32>>,
}

/// How far a group is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLag {
    /// The next offset to read, if one is committed.
    pub committed: Option<i64>,
    /// The offset of the partition's first record.
    pub start: i64,
    /// The offset that the partition's next record will get.
    pub end: i64,
}

impl PartitionLag {
    /// Returns how many offsets are still to be read: all of them if none is committed.
    pub fn lag(&self) -> i64 {
        (self.end - self.committed.unwrap_or(self.start).max(self.start)).max(0)
    }
}

impl Kafka {
    /// Returns the committed offsets of a group: only partitions that have one.
    ///
    /// # Errors
    /// When Kafka does not answer or refuses.
    pub async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, Error> {
        let name = topic.to_owned();
        let what = format!("committed offsets of {group} in {topic}");
        self.ask(&what, Some(group), move |consumer| {
            let mut asked = TopicPartitionList::new();
            // Those without a leader too, as after a broker stood still: the group's coordinator
            // knows what is committed all the same.
            let metadata = consumer.fetch_metadata(Some(&name), REQUEST)?;
            for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
                asked.add_partition(&name, partition.id());
            }
            let answer = consumer.committed_offsets(asked, REQUEST)?;
            let mut committed = BTreeMap::new();
            for element in answer.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    committed.insert(element.partition(), offset);
                }
            }
            Ok(committed)
        })
        .await
    }

    /// Returns how far a group is in every partition of a topic.
    ///
    /// # Errors
    /// When the topic does not exist or Kafka does not answer.
    pub async fn lag(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<i32, PartitionLag>, Error> {
        let committed = self.committed(group, topic).await?;
        let offsets = self.offsets(topic).await?;
        let lag = |(partition, (start, end))| {
            let committed = committed.get(&partition).copied();
            let lag = PartitionLag {
                committed,
                start,
                end,
            };
            (partition, lag)
        };
        Ok(offsets.into_iter().map(lag).collect())
    }

    /// Returns how far a group is in every topic in which it has committed anything.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn lags(
        &self,
        group: &str,
    ) -> Result<BTreeMap<String, BTreeMap<i32, PartitionLag>>, Error> {
        let topics = self
            .ask("topics", None, |consumer| {
                let metadata = consumer.fetch_metadata(None, REQUEST)?;
                let names = metadata.topics().iter().map(|t| t.name().to_owned());
                Ok(names.collect::<Vec<_>>())
            })
            .await?;
        let mut all = BTreeMap::new();
        for topic in topics {
            if !self.committed(group, &topic).await?.is_empty() {
                let lag = self.lag(group, &topic).await?;
                all.insert(topic, lag);
            }
        }
        Ok(all)
    }

    /// Commits offsets for a group from outside, which Kafka accepts only while the group has no
    /// members.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub async fn commit(
        &self,
        group: &str,
        topic: &str,
        offsets: impl IntoIterator<Item = (i32, i64)>,
    ) -> Result<(), Error> {
        let offsets: Vec<(i32, i64)> = offsets.into_iter().collect();
        let name = topic.to_owned();
        let what = format!("commit for {group} in {topic}");
        self.ask(&what, Some(group), move |consumer| {
            let mut list = TopicPartitionList::new();
            for (partition, offset) in offsets {
                list.add_partition_offset(&name, partition, Offset::Offset(offset))?;
            }
            consumer.commit(&list, CommitMode::Sync)
        })
        .await
    }

    /// Returns a group and its members, or `None` if Kafka has no group of that name.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn group(&self, group: &str) -> Result<Option<Group>, Error> {
        let name = group.to_owned();
        self.ask(&format!("group {group}"), None, move |consumer| {
            let list = consumer.fetch_group_list(Some(&name), REQUEST)?;
            let mut found = list.groups().iter().filter(|info| info.name() == name);
            Ok(found.find(|info| info.state() != "Dead").map(described))
        })
        .await
    }

    /// Returns the names of all groups.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn groups(&self) -> Result<Vec<String>, Error> {
        self.ask("all groups", None, |consumer| {
            let list = consumer.fetch_group_list(None, REQUEST)?;
            let names = list.groups().iter().map(|info| info.name().to_owned());
            Ok(names.collect())
        })
        .await
    }

    /// Returns the members of a group; none if there is no such group.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn members(&self, group: &str) -> Result<Vec<Member>, Error> {
        Ok(self
            .group(group)
            .await?
            .map_or_else(Vec::new, |g| g.members))
    }

    /// Deletes a group and its committed offsets.
    ///
    /// # Errors
    /// When it has members or does not exist.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let answers = self.admin().delete_groups(&[group], &options()).await;
        each(&format!("delete group {group}"), answers)
    }
}

fn described(info: &GroupInfo) -> Group {
    let mut members: Vec<Member> = info.members().iter().map(member).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Group {
        state: info.state().to_owned(),
        protocol: info.protocol().to_owned(),
        members,
    }
}

fn member(info: &GroupMemberInfo) -> Member {
    Member {
        id: info.id().to_owned(),
        client_id: info.client_id().to_owned(),
        assignment: info
            .assignment()
            .and_then(parse_assignment)
            .unwrap_or_default(),
    }
}

/// Reads Kafka's `ConsumerProtocolAssignment`: a version, then topics with their partitions; user
/// data follows and is ignored.
fn parse_assignment(bytes: &[u8]) -> Option<BTreeMap<String, BTreeSet<i32>>> {
    let mut rest = bytes.get(2..)?;
    let mut assignment = BTreeMap::new();
    for _ in 0..take_i32(&mut rest)? {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        rest = after;
        let mut partitions = BTreeSet::new();
        for _ in 0..take_i32(&mut rest)? {
            partitions.insert(take_i32(&mut rest)?);
        }
        assignment.insert(String::from_utf8(name.to_vec()).ok()?, partitions);
    }
    Some(assignment)
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_up_to_the_user_data() {
        let bytes = b"\0\x01\0\0\0\x01\0\x02ab\0\0\0\x02\0\0\0\x03\0\0\0\x05\xff\xff\xff\xff";
        let assignment = parse_assignment(bytes).unwrap();
        assert_eq!(
            assignment,
            BTreeMap::from([("ab".to_owned(), BTreeSet::from([3, 5]))])
        );
        assert_eq!(parse_assignment(&bytes[..12]), None);
        assert_eq!(parse_assignment(b""), None);
    }

    #[test]
    fn lag_counts_what_is_still_there() {
        let lag = |committed| PartitionLag {
            committed,
            start: 10,
            end: 30,
        };
        assert_eq!(lag(Some(25)).lag(), 5);
        assert_eq!(lag(None).lag(), 20);
        assert_eq!(lag(Some(3)).lag(), 20);
        assert_eq!(lag(Some(40)).lag(), 0);
    }
}
