//! What a session writes to the registry, and a rebalance or the registry itself that comes
//! between: the session and the registry end up the same. The registry here is the test's own.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sluice_actors::{
    Authority, AuthorityError, Config, Deadline, Departure, Ended, Error, Opening, Record, Seek,
    SeekTarget, SessionEvent, SessionHandle, Sessions, Standing,
};
use sluice_tests::{Kafka, NativeMember, eventually, unique};
use sluice_types::{
    AssignmentStrategy, Claim, ConsumerId, CreationStamp, Epoch, Format, IsolationLevel, Mode,
    Offset, OffsetReset, Partition, PartitionMap, Partitions, Point, SeekSeq, SessionSpec,
    SystemClock, Timestamp, TopicName, TopicPartition,
};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than a rebalance waits for an op that may be given up.
const LATE: Duration = Duration::from_secs(5);

/// A registry that takes its time with every write.
struct Slow {
    record: Record,
    writes: watch::Sender<usize>,
    /// What becomes of writes, once that is decided.
    outcome: watch::Sender<Option<Result<(), AuthorityError>>>,
}

impl Slow {
    async fn write(&self) -> Result<(), AuthorityError> {
        self.writes.send_modify(|count| *count += 1);
        let mut outcome = self.outcome.subscribe();
        let decided = outcome.wait_for(Option::is_some).await.unwrap();
        decided.clone().unwrap()
    }

    /// Waits until the session writes.
    async fn is_written(&self) {
        let mut writes = self.writes.subscribe();
        let written = writes.wait_for(|count| *count > 0);
        let written = timeout(DEADLINE, written).await;
        written.expect("the session writes").unwrap();
    }

    fn decide(&self, outcome: Result<(), AuthorityError>) {
        self.outcome.send_replace(Some(outcome));
    }
}

#[async_trait]
impl Authority for Slow {
    fn lease(&self) -> Duration {
        Duration::MAX
    }

    async fn confirm(&self, _: &Claim) -> Result<Standing, AuthorityError> {
        Ok(Standing::Owner(self.record.clone()))
    }

    async fn seek(
        &self,
        _: &Claim,
        _: SeekSeq,
        _: PartitionMap<Point>,
    ) -> Result<(), AuthorityError> {
        self.write().await
    }

    async fn observed(&self, _: &Claim, _: BTreeMap<TopicName, i32>) -> Result<(), AuthorityError> {
        self.write().await
    }

    async fn assign(
        &self,
        _: &Claim,
        _: Partitions,
        _: u32,
        _: PartitionMap<Point>,
    ) -> Result<(), AuthorityError> {
        self.write().await
    }
}

/// A running session with two partitions.
struct Fixture {
    kafka: &'static Kafka,
    registry: Arc<Slow>,
    sessions: Sessions,
    events: mpsc::Receiver<SessionEvent>,
    session: SessionHandle,
    topic: TopicName,
    group: String,
}

impl Fixture {
    async fn start() -> Self {
        let kafka = Kafka::shared().await;
        let (topic, group) = (unique("orders"), unique("group"));
        kafka.create_topic(&topic, 2).await.unwrap();
        let topic: TopicName = topic.parse().unwrap();
        let record = Record {
            seek_seq: SeekSeq::NONE,
            points: PartitionMap::new(),
            mode: Mode::Subscribed,
            counts_at_creation: [(topic.clone(), 2)].into(),
            counts_seen: [(topic.clone(), 2)].into(),
            handed_over: None,
        };
        let registry = Arc::new(Slow {
            record: record.clone(),
            writes: watch::Sender::new(0),
            outcome: watch::Sender::new(None),
        });
        let config = Config {
            bootstrap_servers: kafka.bootstrap().to_owned(),
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
        let metrics = prometheus::Registry::new();
        let (sessions, events) =
            Sessions::start(config, registry.clone(), Arc::new(SystemClock), &metrics).unwrap();
        let opening = Opening {
            claim: Claim {
                id: ConsumerId::random(),
                epoch: Epoch::FIRST,
            },
            stamp: CreationStamp::random(),
            spec: spec(&group, &topic),
            record,
            created_at: Timestamp::from_millis(0),
            is_takeover: false,
        };
        let session = sessions.open(opening).unwrap();
        let assigned = session.ready(Deadline::after(DEADLINE)).await.unwrap();
        assert_eq!(assigned.assignment.iter().count(), 2);
        Self {
            kafka,
            registry,
            sessions,
            events,
            session,
            topic,
            group,
        }
    }

    fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: Partition::new(partition).unwrap(),
        }
    }

    /// A member that wants one of the session's partitions; returns when the group says so.
    async fn rival(&self) -> NativeMember {
        let strategy = AssignmentStrategy::CooperativeSticky.as_str();
        let rival = NativeMember::join(self.kafka, &self.group, self.topic.as_str(), strategy);
        eventually(DEADLINE, "the group has two members", async || {
            let group = self.kafka.group(&self.group).await.unwrap().unwrap();
            let settled = group.state == "Stable" && group.members.len() == 2;
            if settled { Ok(()) } else { Err(group) }
        })
        .await;
        rival
    }

    async fn has_failed(&mut self) {
        let event = timeout(DEADLINE, self.events.recv()).await;
        let event = event.expect("the session ends").unwrap();
        assert_eq!(event.claim, *self.session.claim());
        assert!(matches!(event.ended, Ended::Failed(_)), "{event:?}");
    }
}

fn spec(group: &str, topic: &TopicName) -> SessionSpec {
    SessionSpec {
        group_id: group.parse().unwrap(),
        topics: vec![topic.clone()],
        auto_offset_reset: OffsetReset::Earliest,
        session_timeout: Duration::from_secs(600),
        auto_commit: false,
        auto_commit_interval: Duration::from_secs(5),
        isolation_level: IsolationLevel::ReadCommitted,
        key_format: Format::String,
        value_format: Format::String,
        assignment_strategy: AssignmentStrategy::CooperativeSticky,
        client_id: "sluice".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_that_the_registry_may_have_goes_on_through_a_rebalance() {
    let fixture = Fixture::start().await;
    let wanted = Partitions::from_iter([fixture.at(0)]);
    let assigning = fixture
        .session
        .assign(wanted.clone(), Deadline::after(DEADLINE));
    tokio::pin!(assigning);
    tokio::select! {
        answer = &mut assigning => panic!("{answer:?}"),
        () = fixture.registry.is_written() => {}
    }
    let rival = fixture.rival().await;
    let early = timeout(LATE, &mut assigning).await;
    assert!(early.is_err(), "{early:?}");
    fixture.registry.decide(Ok(()));
    assert_eq!(assigning.await.unwrap().assignment, wanted);
    assert_eq!(
        fixture.session.assignment().await.unwrap().assignment,
        wanted
    );
    eventually(DEADLINE, "the other member has all", async || {
        rival.assigned().len() == 2
    })
    .await;
    let members = fixture.kafka.members(&fixture.group).await.unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    fixture
        .sessions
        .shutdown(Departure::Leave, Deadline::after(LATE))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_that_keeps_a_rebalance_waiting_has_the_session_opened_anew() {
    let mut fixture = Fixture::start().await;
    let target = SeekTarget::Offset(Offset::new(0).unwrap());
    let seek = Seek::Partitions(vec![(fixture.at(0), target), (fixture.at(1), target)]);
    let session = fixture.session.clone();
    let seeking = tokio::spawn(async move { session.seek(seek, Deadline::after(DEADLINE)).await });
    fixture.registry.is_written().await;
    let _rival = fixture.rival().await;
    fixture.has_failed().await;
    let sought = seeking.await.unwrap();
    let is_told = matches!(sought, Err(Error::NotHere | Error::OutcomeUnknown(_)));
    assert!(is_told, "{sought:?}");
    fixture
        .sessions
        .shutdown(Departure::Leave, Deadline::after(LATE))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_which_it_is_not_known_what_was_written_is_opened_anew() {
    let mut fixture = Fixture::start().await;
    fixture.registry.decide(Err(AuthorityError::Unknown));
    let wanted = Partitions::from_iter([fixture.at(0)]);
    let assigned = fixture.session.assign(wanted, Deadline::after(DEADLINE));
    let assigned = assigned.await;
    let is_told = matches!(assigned, Err(Error::OutcomeUnknown(_)));
    assert!(is_told, "{assigned:?}");
    fixture.has_failed().await;
    // If the new mode was written, the next owner is no member and cannot leave.
    eventually(DEADLINE, "the group is left", async || {
        let members = fixture.kafka.members(&fixture.group).await.unwrap();
        members.is_empty()
    })
    .await;

    let mut fixture = Fixture::start().await;
    fixture.registry.decide(Err(AuthorityError::Unknown));
    let target = SeekTarget::Offset(Offset::new(0).unwrap());
    let seek = Seek::Partitions(vec![(fixture.at(0), target)]);
    let sought = fixture.session.seek(seek, Deadline::after(DEADLINE)).await;
    let is_told = matches!(sought, Err(Error::OutcomeUnknown(_)));
    assert!(is_told, "{sought:?}");
    fixture.has_failed().await;
}
