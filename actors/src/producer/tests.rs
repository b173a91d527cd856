//! Producers beside librdkafka's mock cluster: what real Kafka does not do on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluice_types::{Clock, Format, Offset, Partition, SystemClock, Timestamp};

use super::*;
use crate::blocking::Blocking;
use crate::kafka::Cluster;
use crate::{Config, Deadline, Error};

const TOPIC: &str = "orders";

type Broker = MockCluster<'static, DefaultProducerContext>;

fn broker() -> Broker {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic(TOPIC, 2, 1).unwrap();
    broker
}

fn producers(broker: &Broker, buffer_bytes: u64) -> Producers {
    let kafka = Config {
        bootstrap_servers: broker.bootstrap_servers(),
        properties: BTreeMap::new(),
        consumer_properties: BTreeMap::new(),
        max_sessions: 0,
        inflight_answer_bytes: 0,
        arbiters: 1,
        close_timeout: Duration::ZERO,
        max_metric_groups: 0,
        schema_registry: None,
        embedded_broker: true,
    };
    let config = ProducerConfig {
        properties: BTreeMap::new(),
        buffer_bytes,
        record_bytes: 1 << 20,
    };
    let (cluster, blocking) = (Cluster::new(&kafka).unwrap(), Blocking::new().unwrap());
    let metrics = Registry::new();
    Producers::new(kafka, Arc::new(cluster), None, blocking, config, &metrics).unwrap()
}

fn production(values: impl IntoIterator<Item = String>) -> Production {
    let record = |value: String| Outgoing {
        value: Some(Bytes::from(value)),
        partition: Partition::new(1).ok(),
        ..Outgoing::default()
    };
    Production {
        topic: TOPIC.parse().unwrap(),
        key_format: Format::Json,
        value_format: Format::Json,
        key_schema: None,
        value_schema: None,
        compression: Compression::None,
        records: values.into_iter().map(record).collect(),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn offsets(outcomes: &[Outcome]) -> Vec<Option<Offset>> {
    let written = outcomes.iter().map(|outcome| outcome.as_ref().unwrap());
    written.map(|written| written.offset).collect()
}

#[tokio::test]
async fn records_of_a_request_are_written_in_order_however_many() {
    let broker = broker();
    let producers = producers(&broker, 64 << 20);
    let mut next = 0;
    for count in [1, 3, 2000] {
        let values = (0..count).map(|n| n.to_string());
        let delivery = producers.enqueue(production(values), soon()).await.unwrap();
        let expected = (next..next + count).map(|offset| Offset::new(offset).ok());
        let outcomes = delivery.outcomes(soon()).await;
        assert_eq!(offsets(&outcomes), expected.collect::<Vec<_>>());
        next += count;
    }
    assert_eq!(producers.flush(soon()).await, 0);
    assert_eq!(producers.budget().used(), 0);
}

#[tokio::test]
async fn without_room_a_request_is_refused_at_once_and_whole() {
    let broker = broker();
    let producers = producers(&broker, 10_000);
    let large = production(["1".repeat(20_000)]);
    let refused = producers.enqueue(large, soon()).await;
    assert_eq!(refused.err(), Some(Error::QueueFull));
    let two = production(["1".repeat(9_000), "2".repeat(9_000)]);
    assert_eq!(
        producers.enqueue(two, soon()).await.err(),
        Some(Error::QueueFull)
    );
    let small = producers
        .enqueue(production(["3".to_owned()]), soon())
        .await;
    let outcomes = small.unwrap().outcomes(soon()).await;
    assert_eq!(offsets(&outcomes), [Offset::new(0).ok()]);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_before_anything_is_sent() {
    let broker = broker();
    let producers = producers(&broker, 1 << 20);
    let mut missing = production(["1".to_owned()]);
    missing.topic = "nowhere".parse().unwrap();
    let refused = producers.enqueue(missing.clone(), soon()).await.err();
    assert_eq!(refused, Some(Error::TopicNotFound(vec![missing.topic])));
    assert_eq!(producers.budget().used(), 0);
}

/// Has the broker refuse the next batch of records.
fn refuse_a_batch(broker: &Broker) {
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    broker.request_errors(RDKafkaApiKey::Produce, &[error]);
}

#[tokio::test]
async fn records_that_are_refused_with_their_batch_are_sent_alone_and_counted_once() {
    let broker = broker();
    let producers = producers(&broker, 1 << 20);
    for round in 1..=2 {
        refuse_a_batch(&broker);
        let values = (0..20).map(|n| n.to_string());
        let delivery = producers.enqueue(production(values), soon()).await.unwrap();
        assert_eq!(producers.flush(soon()).await, 0);
        let outcomes = delivery.outcomes(soon()).await;
        let mut found = offsets(&outcomes);
        found.sort();
        let expected = (20 * (round - 1)..20 * round).map(|offset| Offset::new(offset).ok());
        assert_eq!(found, expected.collect::<Vec<_>>());
        let metrics = producers.metrics();
        assert_eq!(metrics.queued.get(), 0);
        assert_eq!(metrics.written(), 20 * round.unsigned_abs());
        assert_eq!(producers.budget().used(), 0);
    }
}

#[tokio::test]
async fn what_is_refused_alone_is_refused() {
    let broker = broker();
    let producers = producers(&broker, 1 << 20);
    refuse_a_batch(&broker);
    refuse_a_batch(&broker);
    let delivery = producers
        .enqueue(production(["1".to_owned()]), soon())
        .await;
    let outcomes = delivery.unwrap().outcomes(soon()).await;
    assert_eq!(outcomes, [Err(RecordError::TooLarge { limit: None })]);
    assert_eq!(producers.metrics().written(), 0);
    let next = producers
        .enqueue(production(["2".to_owned()]), soon())
        .await;
    next.unwrap().outcomes(soon()).await[0].as_ref().unwrap();
}

#[tokio::test]
async fn the_embedded_broker_is_not_believed_the_time() {
    let broker = broker();
    let producers = producers(&broker, 1 << 20);
    let mut two = production(["1".to_owned(), "2".to_owned()]);
    let given = Timestamp::from_millis(1_704_545_600_123);
    two.records[0].timestamp = Some(given);
    let before = SystemClock.now();
    let delivery = producers.enqueue(two, soon()).await.unwrap();
    let outcomes = delivery.outcomes(soon()).await;
    let times = outcomes
        .iter()
        .map(|o| o.as_ref().unwrap().timestamp.unwrap());
    let times: Vec<Timestamp> = times.collect();
    assert_eq!(times[0], given);
    assert!(
        before <= times[1] && times[1] <= SystemClock.now(),
        "{times:?}"
    );
}

#[tokio::test]
async fn a_producer_that_breaks_is_replaced_and_tells_the_truth() {
    let broker = broker();
    let producers = producers(&broker, 1 << 20);
    let first = producers
        .enqueue(production(["1".to_owned()]), soon())
        .await;
    first.unwrap().outcomes(soon()).await[0].as_ref().unwrap();

    broker.broker_down(1).unwrap();
    let waiting = producers
        .enqueue(production(["2".to_owned()]), soon())
        .await;
    let broken = producers.live(Compression::None).await.unwrap();
    broken.break_for_tests();
    let outcomes = waiting.unwrap().outcomes(soon()).await;
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(
        matches!(
            error,
            RecordError::KafkaUnavailable(_) | RecordError::OutcomeUnknown(_)
        ),
        "{error:?}"
    );
    broker.broker_up(1).unwrap();

    let next = producers
        .enqueue(production(["3".to_owned()]), soon())
        .await;
    next.unwrap().outcomes(soon()).await[0].as_ref().unwrap();
    let replaced = producers.live(Compression::None).await.unwrap();
    assert!(!Arc::ptr_eq(&broken, &replaced));
}
