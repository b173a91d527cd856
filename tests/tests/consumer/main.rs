//! The Rust consumer against a real Kafka.

mod committing;
mod reading;
mod starting;

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_actors::{ConsumedRecord, Consumer, ConsumerBuilder};
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, unique};
use sluice_types::{Offset, OffsetReset, Offsets, Partition, TopicName, TopicPartition};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);
/// A poll that is to find something.
const LONG: Duration = Duration::from_secs(20);
/// A poll that is to find nothing.
const SHORT: Duration = Duration::from_millis(300);

fn name(topic: &str) -> TopicName {
    topic.parse().expect("a legal name")
}

fn partition(number: i32) -> Partition {
    Partition::new(number).expect("not negative")
}

fn offset(number: i64) -> Offset {
    Offset::new(number).expect("not negative")
}

fn offsets<const N: usize>(topic: &str, all: [(i32, i64); N]) -> Offsets {
    all.into_iter()
        .map(|(number, next)| (at(topic, number), offset(next)))
        .collect()
}

fn at(topic: &str, number: i32) -> TopicPartition {
    TopicPartition {
        topic: name(topic),
        partition: partition(number),
    }
}

/// A new topic with so many partitions.
async fn topic(kafka: &Kafka, partitions: i32) -> String {
    let topic = unique("orders");
    let created = kafka.create_topic(&topic, partitions).await;
    created.expect("the name is new");
    topic
}

fn reader(kafka: &Kafka, topic: &str) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers(kafka.bootstrap())
        .topics([topic])
        .offset_reset(OffsetReset::Earliest)
}

fn member(kafka: &Kafka, topic: &str, group: &str) -> ConsumerBuilder {
    reader(kafka, topic).group_id(group)
}

async fn produce(kafka: &Kafka, topic: &str, number: i32, values: impl IntoIterator<Item = i64>) {
    let records = values
        .into_iter()
        .map(|value| Record::value(value.to_string()).partition(number));
    let produced = kafka.produce(topic, records).await;
    produced.expect("the topic is there");
}

/// Polls until so many records have come.
async fn read(consumer: &Consumer, count: usize) -> Vec<ConsumedRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let more = consumer.poll(LONG).await.expect("nothing is wrong");
        assert!(!more.is_empty(), "{} of {count} records", records.len());
        records.extend(more);
    }
    records
}

fn places(records: &[ConsumedRecord]) -> Vec<(i32, i64)> {
    let place = |record: &ConsumedRecord| (record.partition.get(), record.offset.get());
    records.iter().map(place).collect()
}

fn of_each_partition(records: &[ConsumedRecord]) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.partition.get()).or_default() += 1;
    }
    counts
}
