//! Polls: what they return, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_actors::Error;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, eventually, unique};
use sluice_types::Offsets;

use super::*;

#[tokio::test]
async fn an_empty_topic_is_polled_empty() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    let consumer = member(kafka, &topic, &unique("group"))
        .build()
        .await
        .unwrap();
    assert_eq!(consumer.poll(SHORT).await, Ok(Vec::new()));
    assert_eq!(consumer.commit().await, Ok(Offsets::new()));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn what_is_produced_is_read() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    let consumer = member(kafka, &topic, &unique("group"))
        .build()
        .await
        .unwrap();
    let record = Record::value("v")
        .key("k")
        .header("h", "1")
        .null_header("n")
        .timestamp(1_704_537_600_000);
    let all = [record, Record::tombstone()];
    kafka.produce(&topic, all).await.unwrap();

    let records = read(&consumer, 2).await;
    let first = &records[0];
    assert_eq!((first.topic.as_str(), first.offset.get()), (&*topic, 0));
    assert_eq!(first.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(first.value.as_deref(), Some(&b"v"[..]));
    assert_eq!(first.timestamp.unwrap().as_millis(), 1_704_537_600_000);
    let headers: Vec<_> = first
        .headers
        .iter()
        .map(|header| (&*header.name, header.value.as_deref()))
        .collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("n", None)]);
    assert_eq!((&records[1].key, &records[1].value), (&None, &None));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_waiting_poll_is_woken_by_the_first_record() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    let consumer = reader(kafka, &topic).build().await.unwrap();
    let (records, ()) = tokio::join!(consumer.poll(DEADLINE), produce(kafka, &topic, 0, [7]));
    assert_eq!(places(&records.unwrap()), [(0, 0)]);
}

#[tokio::test]
async fn partitions_are_served_in_turn() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 3).await;
    produce(kafka, &topic, 0, 0..10_000).await;
    let consumer = member(kafka, &topic, &unique("group"))
        .max_records_per_partition(10)
        .build()
        .await
        .unwrap();
    // Until much of the busy partition is there.
    read(&consumer, 100).await;
    produce(kafka, &topic, 1, 0..25).await;
    produce(kafka, &topic, 2, 0..5).await;

    let mut quiet = BTreeMap::new();
    let mut polls = 0;
    while quiet != BTreeMap::from([(1, 25), (2, 5)]) {
        let records = consumer.poll(LONG).await.unwrap();
        let counts = of_each_partition(&records);
        assert!(counts.values().all(|count| *count <= 10), "{counts:?}");
        for (number, count) in counts {
            if number > 0 {
                *quiet.entry(number).or_default() += count;
            }
        }
        polls += 1;
        assert!(polls < 500, "the busy partition starves others: {quiet:?}");
    }
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn each_partition_is_read_in_order_and_whole() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 4).await;
    kafka.fill(&topic, 20_000, 500).await.unwrap();
    let consumer = member(kafka, &topic, &unique("group"))
        .max_records_per_partition(37)
        .build()
        .await
        .unwrap();
    let records = read(&consumer, 20_000).await;
    let mut next = BTreeMap::from([(0, 0), (1, 0), (2, 0), (3, 0)]);
    for (number, found) in places(&records) {
        let expected = next.get_mut(&number).unwrap();
        assert_eq!(found, *expected, "partition {number}");
        *expected += 1;
    }
    assert_eq!(records.len(), 20_000);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_partition_that_fills_the_shelf_goes_on_after_it() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 2).await;
    // 20 MB: more than is held or queued.
    let large = |n: i64| Record::value(format!("{n:>10000}")).partition(0);
    kafka.produce(&topic, (0..2000).map(large)).await.unwrap();
    let consumer = reader(kafka, &topic).build().await.unwrap();
    read(&consumer, 1).await;
    // Only a consumer that has stopped fetching the other one sees these soon.
    produce(kafka, &topic, 1, 0..3).await;
    let mut records = Vec::new();
    while of_each_partition(&records).get(&1) != Some(&3) {
        let more = consumer.poll(LONG).await.unwrap();
        assert!(!more.is_empty());
        records.extend(more);
    }
    let (topic, first) = (name(&topic), partition(0));
    let mut next = consumer.position(&topic, first).await.unwrap();
    while next < offset(2000) {
        let records = read(&consumer, 1).await;
        assert_eq!(records[0].offset, next);
        next = consumer.position(&topic, first).await.unwrap();
    }
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn several_topics_are_read() {
    let kafka = Kafka::shared().await;
    let (one, two) = (topic(kafka, 1).await, topic(kafka, 2).await);
    let consumer = member(kafka, &one, &unique("group"))
        .topics([&one, &two])
        .build()
        .await
        .unwrap();
    produce(kafka, &one, 0, 0..2).await;
    produce(kafka, &two, 1, 0..1).await;
    let mut found: Vec<_> = read(&consumer, 3)
        .await
        .iter()
        .map(|record| (record.topic.to_string(), record.offset.get()))
        .collect();
    found.sort();
    let mut expected = [(one.clone(), 0), (one, 1), (two, 0)];
    expected.sort();
    assert_eq!(found, expected);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_poll_that_is_dropped_loses_nothing() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    let consumer = member(kafka, &topic, &unique("group"))
        .max_records_per_partition(1)
        .build()
        .await
        .unwrap();
    produce(kafka, &topic, 0, 0..50).await;
    let mut records = Vec::new();
    let mut dropped = 0;
    while records.len() < 50 {
        // Once in three times the poll is given up at some point of its way.
        let patience = Duration::from_micros(dropped % 3 * 150);
        let polling = consumer.poll(LONG);
        let more = match dropped % 3 {
            0 => Ok(polling.await),
            _ => tokio::time::timeout(patience, polling).await,
        };
        dropped += 1;
        records.extend(more.unwrap_or(Ok(Vec::new())).unwrap());
    }
    let expected: Vec<(i32, i64)> = (0..50).map(|n| (0, n)).collect();
    assert_eq!(places(&records), expected);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn without_a_broker_polls_fail_and_with_it_they_go_on() {
    let kafka = Kafka::start().await;
    let (topic, group) = (topic(&kafka, 1).await, unique("group"));
    produce(&kafka, &topic, 0, 0..2).await;
    let builder = member(&kafka, &topic, &group);
    let consumer = builder.clone().build().await.unwrap();
    assert_eq!(places(&read(&consumer, 2).await), [(0, 0), (0, 1)]);

    kafka.kill().unwrap();
    eventually(DEADLINE, "the broker is missed", async || {
        match consumer.poll(SHORT).await {
            Err(Error::KafkaUnavailable(_)) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    match builder.build().await {
        Err(Error::KafkaUnavailable(_)) => {}
        other => panic!("{other:?}"),
    }

    kafka.restart().await.unwrap();
    produce(&kafka, &topic, 0, 2..3).await;
    let records = eventually(DEADLINE, "the record is read", async || {
        consumer
            .poll(LONG)
            .await
            .ok()
            .filter(|records| !records.is_empty())
    })
    .await;
    assert_eq!(places(&records), [(0, 2)]);
    assert_eq!(consumer.commit().await, Ok(offsets(&topic, [(0, 3)])));
    consumer.close().await.unwrap();
}
