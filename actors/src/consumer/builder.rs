//! What a consumer is to be, checked before anything is asked of Kafka.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluice_types::{
    CreationStamp, GroupId, OffsetReset, Partition, Partitions, TopicName, TopicPartition,
};
use tokio::sync::Notify;

use super::consumer::Consumer;
use super::worker::{Settings, Worker};
use crate::blocking::Blocking;
use crate::kafka::{Closer, Cluster, Handle, NO_GROUP, base_config};
use crate::session::Link;
use crate::{Config, Deadline, Error};

/// How long Kafka may take to describe the topics.
const DESCRIBE: Duration = Duration::from_secs(30);
/// How long `build` waits for the group to give partitions.
const JOIN: Duration = Duration::from_secs(10);
/// How long closing a handle may take before its thread is left behind.
const CLOSE: Duration = Duration::from_secs(30);
/// Where a consumer of one program differs from the many sessions of a node; callers' own
/// properties win.
const TUNED: &[(&str, &str)] = &[
    ("client.id", "sluice-consumer"),
    // As sessions, so that both can share a group.
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("isolation.level", "read_committed"),
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "8388608"),
    // A seek, and a partition that is fetched again, wait for the fetch under way.
    ("fetch.wait.max.ms", "100"),
];

/// Properties that the consumer sets itself, and what to do instead.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "bootstrap_servers()"),
    ("metadata.broker.list", "bootstrap_servers()"),
    ("group.id", "group_id()"),
    ("auto.offset.reset", "offset_reset()"),
    ("enable.auto.commit", "auto_commit()"),
    ("auto.commit.interval.ms", "auto_commit_interval()"),
    ("enable.auto.offset.store", "auto_commit()"),
    ("enable.partition.eof", "position()"),
    ("group.protocol", "nothing: only the classic protocol works"),
];

/// Describes a [`Consumer`] before it is there. Made by [`Consumer::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is read before build()"]
pub struct ConsumerBuilder {
    bootstrap_servers: String,
    group_id: Option<String>,
    topics: Vec<String>,
    offset_reset: OffsetReset,
    auto_commit: bool,
    auto_commit_interval: Duration,
    max_records_per_partition: usize,
    properties: BTreeMap<String, String>,
}

impl ConsumerBuilder {
    pub(super) fn new() -> Self {
        Self {
            bootstrap_servers: String::new(),
            group_id: None,
            topics: Vec::new(),
            offset_reset: OffsetReset::Latest,
            auto_commit: false,
            auto_commit_interval: Duration::from_secs(5),
            max_records_per_partition: 100,
            properties: BTreeMap::new(),
        }
    }

    /// Sets where Kafka is: `host:port`, comma separated. Required.
    pub fn bootstrap_servers(mut self, servers: impl Into<String>) -> Self {
        self.bootstrap_servers = servers.into();
        self
    }

    /// Sets the consumer group. Its members share the partitions, and it keeps what was
    /// committed.
    ///
    /// Without a group the consumer reads all partitions of its topics alone, and cannot commit.
    pub fn group_id(mut self, group: impl Into<String>) -> Self {
        self.group_id = Some(group.into());
        self
    }

    /// Sets the topics to read, instead of those named before. At least one is required.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Sets where to start in a partition in which the group has committed nothing, and where to
    /// go on when the position is outside the log (`Latest`).
    ///
    /// A start at the end is committed before its first record is handed out, so that no crash
    /// can skip one. A partition created after the consumer is read from its beginning, unless
    /// this is `None`.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// Sets whether records are committed by themselves (`false`), some time after they are done
    /// with: a record is done with when [`poll`](Consumer::poll) is called again, or the consumer
    /// is [closed](Consumer::close). Without a group this has no effect.
    pub fn auto_commit(mut self, auto_commit: bool) -> Self {
        self.auto_commit = auto_commit;
        self
    }

    /// Sets the time between two automatic commits (5 s).
    ///
    /// A longer one means more records read twice after a crash, a shorter one more requests.
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.auto_commit_interval = interval;
        self
    }

    /// Sets how many records of each partition one poll returns at most (100).
    pub fn max_records_per_partition(mut self, records: usize) -> Self {
        self.max_records_per_partition = records;
        self
    }

    /// Sets a librdkafka property, such as `security.protocol`, over the consumer's own choice.
    ///
    /// [`build`](Self::build) refuses properties that have a method here.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// Makes the consumer: looks for its topics, joins the group, and waits until the group has
    /// given it partitions, for 10 s at most; after that it joins in the background.
    ///
    /// Once it has its partitions its positions are settled: with `OffsetReset::Latest`, what is
    /// produced from then on is read. The consumer lives on the runtime that this is called on.
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`]: a setting is missing or wrong; it says which.
    /// - [`Error::TopicNotFound`], with the topics that Kafka does not have. A topic without
    ///   records is none of these.
    /// - [`Error::KafkaUnavailable`], [`Error::KafkaTimeout`]: no broker answers.
    /// - [`Error::AccessDenied`]: Kafka refuses the credentials, or access to topic or group.
    /// - [`Error::InconsistentProtocol`]: the group's members use another assignment strategy;
    ///   set the property `partition.assignment.strategy` to theirs.
    pub async fn build(self) -> Result<Consumer, Error> {
        let settings = self.settings()?;
        let config = self.config();
        let (blocking, closer) = shared()?;
        let counts = {
            let (config, topics) = (config.clone(), settings.topics.clone());
            let describe = move || {
                let cluster = Cluster::new(&config).map_err(as_setting)?;
                cluster.describe_topics(&topics, Deadline::after(DESCRIBE))
            };
            blocking.run(describe).await??
        };
        let missing: Vec<TopicName> = settings
            .topics
            .iter()
            .filter(|topic| !counts.contains_key(topic))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(Error::TopicNotFound(missing));
        }
        let mut client = base_config(&config);
        let group = settings.group.as_ref().map_or(NO_GROUP, GroupId::as_str);
        client.set("group.id", group);
        let wake = Arc::new(Notify::new());
        let waking = wake.clone();
        let create = move || Handle::create(&client, closer, move || waking.notify_one());
        let handle = blocking.run(create).await?.map_err(as_setting)?;
        let life = CreationStamp::random();
        let link = Arc::new(Link::new(handle, None, life, None));
        let all = partitions_of(&counts);
        let worker = Worker::new(settings, life, blocking, link, wake, counts);
        Consumer::start(worker, all, JOIN).await
    }

    fn settings(&self) -> Result<Settings, Error> {
        let wrong = |what: String| Err(Error::InvalidSetting(what));
        if self.bootstrap_servers.trim().is_empty() {
            return wrong("bootstrap_servers is missing".to_owned());
        }
        let group = match &self.group_id {
            Some(name) => Some(
                name.parse::<GroupId>()
                    .map_err(|error| Error::InvalidSetting(format!("group_id {name:?} {error}")))?,
            ),
            None => None,
        };
        let mut topics = Vec::new();
        for name in &self.topics {
            let topic = name.parse::<TopicName>().map_err(|error| {
                Error::InvalidSetting(format!("topic {name:?} cannot be: {error}"))
            })?;
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        if topics.is_empty() {
            return wrong("topics is missing: name at least one".to_owned());
        }
        if self.max_records_per_partition == 0 {
            return wrong("max_records_per_partition must be at least 1, not 0".to_owned());
        }
        if self.auto_commit && self.auto_commit_interval.is_zero() {
            return wrong("auto_commit_interval must not be zero".to_owned());
        }
        for (key, instead) in RESERVED {
            if self.properties.contains_key(*key) {
                return wrong(format!("property {key} cannot be set: use {instead}"));
            }
        }
        Ok(Settings {
            topics,
            group,
            reset: self.offset_reset,
            auto_commit: self.auto_commit.then_some(self.auto_commit_interval),
            most_of_each: self.max_records_per_partition,
        })
    }

    fn config(&self) -> Config {
        let tuned = TUNED.iter();
        let mut properties: BTreeMap<String, String> = tuned
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        properties.extend(self.properties.clone());
        Config {
            bootstrap_servers: self.bootstrap_servers.clone(),
            properties: BTreeMap::new(),
            consumer_properties: properties,
            max_sessions: 0,
            inflight_answer_bytes: 0,
            arbiters: 0,
            close_timeout: CLOSE,
            max_metric_groups: 0,
            schema_registry: None,
            embedded_broker: false,
        }
    }
}

/// The threads that all consumers of the process share.
fn shared() -> Result<(Blocking, Closer), Error> {
    static SHARED: OnceLock<(Blocking, Closer)> = OnceLock::new();
    if let Some(shared) = SHARED.get() {
        return Ok(shared.clone());
    }
    let fresh = (Blocking::new()?, Closer::new(CLOSE));
    Ok(SHARED.get_or_init(|| fresh).clone())
}

/// What librdkafka refuses when a client is made is a property that the caller has set.
fn as_setting(error: Error) -> Error {
    match error {
        Error::Internal(reason) => Error::InvalidSetting(reason),
        other => other,
    }
}

pub(super) fn partitions_of(counts: &BTreeMap<TopicName, i32>) -> Partitions {
    let of_topic = |(topic, count): (&TopicName, &i32)| {
        let topic = topic.clone();
        (0..*count)
            .filter_map(|number| Partition::new(number).ok())
            .map(move |partition| TopicPartition {
                topic: topic.clone(),
                partition,
            })
    };
    counts.iter().flat_map(of_topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ConsumerBuilder {
        ConsumerBuilder::new()
            .bootstrap_servers("localhost:9092")
            .topics(["orders"])
    }

    #[track_caller]
    fn refused(builder: ConsumerBuilder, what: &str) {
        match builder.settings() {
            Err(Error::InvalidSetting(said)) => assert!(said.contains(what), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        refused(builder().bootstrap_servers(" "), "bootstrap_servers");
        refused(builder().topics(Vec::<String>::new()), "topics");
        refused(builder().topics(["a b"]), "a b");
        refused(builder().group_id(""), "group_id");
        refused(
            builder().max_records_per_partition(0),
            "max_records_per_partition",
        );
        refused(
            builder()
                .auto_commit(true)
                .auto_commit_interval(Duration::ZERO),
            "auto_commit_interval",
        );
        refused(builder().property("group.id", "g"), "group_id()");
        assert!(builder().settings().is_ok());
    }

    #[test]
    fn a_callers_property_wins() {
        let config = builder().property("fetch.wait.max.ms", "7").config();
        assert_eq!(base_config(&config).get("fetch.wait.max.ms"), Some("7"));
    }
}
