//! What a client asks of a session.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{GroupId, TopicName};

/// Where reading starts when the group has committed nothing (`auto.offset.reset`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// Nowhere: it is an error.
    None,
}

/// Which records of transactions are delivered (`isolation.level`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationLevel {
    /// Those of committed transactions.
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// How bytes of a key or value stand in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// UTF-8 text; other bytes as base64, marked.
    String,
    /// The JSON value; what does not parse as base64, marked.
    Json,
    /// Always base64.
    Binary,
    /// Decoded by the schema registry.
    Avro,
}

/// How a group shares its partitions (`partition.assignment.strategy`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssignmentStrategy {
    /// Ranges of each topic; a rebalance stops everybody.
    Range,
    /// In turn over all topics; a rebalance stops everybody.
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// Sticky; a rebalance stops only the partitions that move (KIP-429).
    CooperativeSticky,
}

impl AssignmentStrategy {
    /// Kafka's name of the strategy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members keep their partitions through a rebalance (KIP-429).
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }
}

/// Everything a client chooses when it subscribes, defaults filled in.
///
/// Two subscribes with the same id mean the same session exactly if their specifications are
/// equal; topics are compared as a set.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The consumer group.
    pub group_id: GroupId,
    /// 1 to 100 distinct topics, in the client's order.
    pub topics: Vec<TopicName>,
    /// Where to start without a commit.
    pub auto_offset_reset: OffsetReset,
    /// How long a session lives without a renewing request: 1 s to 1 h.
    pub session_timeout: Duration,
    /// Whether acknowledged records are committed by themselves.
    pub auto_commit: bool,
    /// Shortest time between two such commits.
    pub auto_commit_interval: Duration,
    /// Which records of transactions are delivered.
    pub isolation_level: IsolationLevel,
    /// How keys stand in answers.
    pub key_format: Format,
    /// How values stand in answers.
    pub value_format: Format,
    /// How the group shares its partitions.
    pub assignment_strategy: AssignmentStrategy,
    /// Kafka's `client.id`.
    pub client_id: String,
}

impl SessionSpec {
    /// The topics as a set.
    pub fn topic_set(&self) -> BTreeSet<&TopicName> {
        self.topics.iter().collect()
    }
}

impl PartialEq for SessionSpec {
    fn eq(&self, other: &Self) -> bool {
        let fields = |spec: &Self| {
            (
                spec.auto_offset_reset,
                spec.session_timeout,
                spec.auto_commit,
                spec.auto_commit_interval,
                spec.isolation_level,
                spec.key_format,
                spec.value_format,
                spec.assignment_strategy,
            )
        };
        self.group_id == other.group_id
            && self.client_id == other.client_id
            && fields(self) == fields(other)
            && self.topic_set() == other.topic_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(topics: &[&str]) -> SessionSpec {
        SessionSpec {
            group_id: "g".parse().unwrap(),
            topics: topics.iter().map(|t| t.parse().unwrap()).collect(),
            auto_offset_reset: OffsetReset::Latest,
            session_timeout: Duration::from_secs(30),
            auto_commit: false,
            auto_commit_interval: Duration::from_secs(5),
            isolation_level: IsolationLevel::ReadCommitted,
            key_format: Format::String,
            value_format: Format::String,
            assignment_strategy: AssignmentStrategy::CooperativeSticky,
            client_id: "sluice".to_owned(),
        }
    }

    #[test]
    fn topics_are_compared_as_a_set() {
        assert_eq!(spec(&["a", "b"]), spec(&["b", "a"]));
        assert_ne!(spec(&["a"]), spec(&["a", "b"]));
    }

    #[test]
    fn every_choice_counts() {
        let other = SessionSpec {
            auto_commit: true,
            ..spec(&["a"])
        };
        assert_ne!(spec(&["a"]), other);
    }
}
