//! A registry of the test, and nodes that run its one session.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sluice_actors::{
    Answer, Authority, AuthorityError, Config, Deadline, Departure, Error, HandedOver,
    HeadersFormat, Opening, Poll, Record, SessionEvent, SessionHandle, Sessions, Standing,
};
use sluice_tests::{Kafka, unique};
use sluice_types::{
    AssignmentStrategy, Claim, ConsumerId, CreationStamp, Epoch, Format, IsolationLevel, Mode,
    Offset, OffsetReset, Offsets, Partition, PartitionMap, Partitions, Point, SeekSeq, SessionSpec,
    SystemClock, Timestamp, TopicName, TopicPartition,
};
use tokio::sync::mpsc;

/// Far more than anything here takes, also on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// A poll that is to find nothing.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn soon() -> Deadline {
    Deadline::after(DEADLINE)
}

/// What the registry holds of the session.
struct Held {
    epoch: Epoch,
    record: Record,
}

/// A registry of one session, which answers at once.
pub(crate) struct Registry {
    held: Mutex<Held>,
    lease: Mutex<Duration>,
}

impl Registry {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Has the lease of every node last for so long from now on.
    pub(crate) fn grant(&self, lease: Duration) {
        *self.lease.lock().unwrap() = lease;
    }
}

#[async_trait]
impl Authority for Registry {
    fn lease(&self) -> Duration {
        *self.lease.lock().unwrap()
    }

    async fn confirm(&self, claim: &Claim) -> Result<Standing, AuthorityError> {
        let held = self.held();
        Ok(match held.epoch == claim.epoch {
            true => Standing::Owner(held.record.clone()),
            false => Standing::Elsewhere,
        })
    }

    async fn seek(
        &self,
        _: &Claim,
        seq: SeekSeq,
        points: PartitionMap<Point>,
    ) -> Result<(), AuthorityError> {
        let record = &mut self.held().record;
        record.seek_seq = seq;
        let points = points.iter().map(|(at, point)| (at, point.clone()));
        record.points.extend(points);
        Ok(())
    }

    async fn observed(
        &self,
        _: &Claim,
        counts: BTreeMap<TopicName, i32>,
    ) -> Result<(), AuthorityError> {
        self.held().record.counts_seen = counts;
        Ok(())
    }

    async fn assign(
        &self,
        _: &Claim,
        partitions: Partitions,
        revision: u32,
        points: PartitionMap<Point>,
    ) -> Result<(), AuthorityError> {
        let record = &mut self.held().record;
        record.mode = Mode::Assigned {
            partitions,
            revision,
        };
        record.points = points;
        record.handed_over = None;
        Ok(())
    }
}

/// A topic, a group, and a session in the registry that no node runs yet.
pub(crate) struct Fixture {
    pub(crate) kafka: &'static Kafka,
    pub(crate) registry: Arc<Registry>,
    pub(crate) topic: TopicName,
    pub(crate) group: String,
    pub(crate) id: ConsumerId,
    stamp: CreationStamp,
    pub(crate) spec: SessionSpec,
}

impl Fixture {
    pub(crate) async fn start(partitions: i32) -> Self {
        let kafka = Kafka::shared().await;
        let (topic, group) = (unique("orders"), unique("group"));
        kafka.create_topic(&topic, partitions).await.unwrap();
        let topic: TopicName = topic.parse().unwrap();
        let record = Record {
            seek_seq: SeekSeq::NONE,
            points: PartitionMap::new(),
            mode: Mode::Subscribed,
            counts_at_creation: [(topic.clone(), partitions)].into(),
            counts_seen: [(topic.clone(), partitions)].into(),
            handed_over: None,
        };
        Self {
            kafka,
            registry: Arc::new(Registry {
                held: Mutex::new(Held {
                    epoch: Epoch::FIRST,
                    record,
                }),
                lease: Mutex::new(Duration::MAX),
            }),
            id: ConsumerId::random(),
            stamp: CreationStamp::random(),
            spec: spec(&group, &topic),
            topic,
            group,
        }
    }

    /// Fills the topic evenly.
    pub(crate) async fn fill(&self, records: u64) {
        let filled = self.kafka.fill(self.topic.as_str(), records, 0).await;
        filled.unwrap();
    }

    pub(crate) fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: Partition::new(partition).unwrap(),
        }
    }

    pub(crate) fn offsets<const N: usize>(&self, all: [(i32, i64); N]) -> Offsets {
        all.into_iter()
            .map(|(number, next)| (self.at(number), offset(next)))
            .collect()
    }

    /// Moves the session on to the next ownership, with what the former one has handed over.
    pub(crate) fn moves(&self, handed_over: Option<HandedOver>) {
        let mut held = self.registry.held();
        held.epoch = held.epoch.next();
        held.record.handed_over = handed_over;
    }

    /// A node of its own.
    pub(crate) fn node(&self) -> Node {
        self.node_at(self.kafka.bootstrap())
    }

    /// A node that looks for Kafka there.
    pub(crate) fn node_at(&self, bootstrap: &str) -> Node {
        let config = Config {
            bootstrap_servers: bootstrap.to_owned(),
            properties: [].into(),
            consumer_properties: [].into(),
            max_sessions: 10,
            inflight_answer_bytes: 1 << 20,
            arbiters: 1,
            close_timeout: Duration::from_secs(5),
            max_metric_groups: 10,
            schema_registry: None,
            embedded_broker: false,
        };
        let (registry, metrics) = (self.registry.clone(), prometheus::Registry::new());
        let started = Sessions::start(config, registry, Arc::new(SystemClock), &metrics);
        let (sessions, events) = started.unwrap();
        Node { sessions, events }
    }

    /// Runs the session on a node, under its present ownership.
    pub(crate) fn open(&self, node: &Node) -> SessionHandle {
        let held = self.registry.held();
        let opening = Opening {
            claim: Claim {
                id: self.id.clone(),
                epoch: held.epoch,
            },
            stamp: self.stamp,
            spec: self.spec.clone(),
            record: held.record.clone(),
            created_at: Timestamp::from_millis(0),
            is_takeover: false,
        };
        node.sessions.open(opening).unwrap()
    }

    /// As [`open`](Self::open), and waits for the partitions.
    pub(crate) async fn open_ready(&self, node: &Node) -> SessionHandle {
        let session = self.open(node);
        session.ready(soon()).await.unwrap();
        session
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    pub(crate) events: mpsc::Receiver<SessionEvent>,
}

impl Node {
    /// Leaves the group, so that its members are not waited for by others.
    pub(crate) async fn stop(&self) {
        let within = Deadline::after(Duration::from_secs(10));
        self.sessions.shutdown(Departure::Leave, within).await;
    }
}

pub(crate) fn offset(number: i64) -> Offset {
    Offset::new(number).unwrap()
}

fn spec(group: &str, topic: &TopicName) -> SessionSpec {
    SessionSpec {
        group_id: group.parse().unwrap(),
        topics: vec![topic.clone()],
        auto_offset_reset: OffsetReset::Earliest,
        session_timeout: Duration::from_secs(600),
        auto_commit: false,
        auto_commit_interval: Duration::from_secs(600),
        isolation_level: IsolationLevel::ReadCommitted,
        key_format: Format::String,
        value_format: Format::String,
        assignment_strategy: AssignmentStrategy::CooperativeSticky,
        client_id: "sluice".to_owned(),
    }
}

/// What a client sees of an answer.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) places: Vec<(i64, i64)>,
    pub(crate) cursor: String,
    pub(crate) generation: i64,
}

pub(crate) fn seen(answer: &Answer) -> Seen {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let records = body["records"].as_array().unwrap();
    let place = |record: &Value| {
        let number = |name: &str| record[name].as_i64().unwrap();
        (number("partition"), number("offset"))
    };
    Seen {
        places: records.iter().map(place).collect(),
        cursor: body["cursor"].as_str().unwrap().to_owned(),
        generation: body["generation"].as_i64().unwrap(),
    }
}

pub(crate) fn poll_of(most: u32, wait: Duration, after: Option<&str>) -> Poll {
    Poll {
        wait,
        max_records: most.try_into().unwrap(),
        max_bytes: (1 << 20).try_into().unwrap(),
        headers: HeadersFormat::Object,
        after: after.map(str::to_owned),
        shared: None,
    }
}

/// Polls, and receives the answer whole.
pub(crate) async fn poll(session: &SessionHandle, most: u32) -> Result<Seen, Error> {
    poll_after(session, most, None).await
}

/// As [`poll`], with the cursor of the answer before.
pub(crate) async fn poll_after(
    session: &SessionHandle,
    most: u32,
    after: Option<&str>,
) -> Result<Seen, Error> {
    let polled = session.poll(poll_of(most, DEADLINE / 2, after), soon());
    let answer = polled.await?;
    let seen = seen(&answer);
    answer.fate.delivered();
    Ok(seen)
}

/// The places in one partition, from an offset on.
pub(crate) fn from(start: i64, count: i64) -> Vec<(i64, i64)> {
    (start..start + count).map(|offset| (0, offset)).collect()
}
