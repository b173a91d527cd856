//! Producers beside librdkafka's mock cluster: what real Kafka does not do on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use sluice_types::{Format, Offset, Partition};

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
