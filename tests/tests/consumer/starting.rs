//! Topics, positions and seeks.

use sluice_actors::{Consumer, ConsumerBuilder, Error};
use sluice_tests::{Kafka, eventually, unique};
use sluice_types::{OffsetReset, Partitions};

use super::*;

#[tokio::test]
async fn without_a_commit_earliest_reads_what_is_there() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    produce(kafka, &topic, 0, 0..2).await;
    let consumer = member(kafka, &topic, &unique("group"))
        .build()
        .await
        .unwrap();
    assert_eq!(places(&read(&consumer, 2).await), [(0, 0), (0, 1)]);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn without_a_commit_latest_reads_what_comes() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    produce(kafka, &topic, 0, 0..2).await;
    for builder in [
        member(kafka, &topic, &unique("group")),
        reader(kafka, &topic),
    ] {
        let consumer = builder
            .offset_reset(OffsetReset::Latest)
            .build()
            .await
            .unwrap();
        let end = kafka.end_offsets(&topic).await.unwrap()[&0];
        produce(kafka, &topic, 0, [end]).await;
        assert_eq!(places(&read(&consumer, 1).await), [(0, end)]);
        consumer.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_commit_none_is_an_error_that_names_the_partitions() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 3).await, unique("group"));
    produce(kafka, &topic, 0, 0..3).await;
    produce(kafka, &topic, 1, 0..3).await;
    kafka.commit(&group, &topic, [(1, 1)]).await.unwrap();
    let consumer = member(kafka, &topic, &group)
        .offset_reset(OffsetReset::None)
        .build()
        .await
        .unwrap();
    let uncommitted = Partitions::from_iter([at(&topic, 0), at(&topic, 2)]);
    let refused = Err(Error::NoCommittedOffset(uncommitted));
    assert_eq!(consumer.poll(LONG).await, refused);
    assert_eq!(consumer.poll(LONG).await, refused);

    let topic = name(&topic);
    consumer
        .seek(&topic, partition(0), offset(2))
        .await
        .unwrap();
    consumer
        .seek(&topic, partition(2), offset(0))
        .await
        .unwrap();
    let mut found = places(&read(&consumer, 3).await);
    found.sort();
    assert_eq!(found, [(0, 2), (1, 1), (1, 2)]);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_seek_outside_the_log_follows_the_reset() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    produce(kafka, &topic, 0, 0..5).await;
    kafka.delete_records(&topic, 0, 2).await.unwrap();
    let (named, first) = (name(&topic), partition(0));
    let consumer = reader(kafka, &topic).build().await.unwrap();
    consumer.seek(&named, first, offset(0)).await.unwrap();
    assert_eq!(places(&read(&consumer, 3).await), [(0, 2), (0, 3), (0, 4)]);
    consumer.close().await.unwrap();

    let (group, strict) = (unique("group"), OffsetReset::None);
    kafka.commit(&group, &topic, [(0, 3)]).await.unwrap();
    let consumer = member(kafka, &topic, &group)
        .offset_reset(strict)
        .build()
        .await
        .unwrap();
    consumer.seek(&named, first, offset(9)).await.unwrap();
    let refused = eventually(DEADLINE, "the position is looked at", async || {
        consumer.poll(SHORT).await.err()
    })
    .await;
    let expected = Error::OffsetOutOfRange {
        partition: at(&topic, 0),
        position: Some(offset(9)),
        first: offset(2),
        end: offset(5),
    };
    assert_eq!(refused, expected);
    assert_eq!(consumer.position(&named, first).await, Err(expected));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_record_that_failed_is_sought_and_read_again() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 2).await;
    produce(kafka, &topic, 0, 0..5).await;
    let consumer = member(kafka, &topic, &unique("group"))
        .build()
        .await
        .unwrap();
    let records = read(&consumer, 5).await;
    let failed = &records[2];
    consumer
        .seek(&failed.topic, failed.partition, failed.offset)
        .await
        .unwrap();
    assert_eq!(consumer.commit().await, Ok(offsets(&topic, [(0, 2)])));
    assert_eq!(places(&read(&consumer, 3).await), [(0, 2), (0, 3), (0, 4)]);

    let foreign = consumer.seek(&name(&topic), partition(7), offset(0)).await;
    let not_assigned = Partitions::from_iter([at(&topic, 7)]);
    assert_eq!(foreign, Err(Error::NotAssigned(not_assigned)));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn the_position_is_what_the_next_poll_returns() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 2).await, unique("group"));
    produce(kafka, &topic, 0, 0..5).await;
    kafka.commit(&group, &topic, [(0, 1)]).await.unwrap();
    let consumer = member(kafka, &topic, &group)
        .max_records_per_partition(2)
        .build()
        .await
        .unwrap();
    let (named, first, other) = (name(&topic), partition(0), partition(1));
    assert_eq!(consumer.position(&named, first).await, Ok(offset(1)));
    assert_eq!(consumer.position(&named, other).await, Ok(offset(0)));
    assert_eq!(places(&read(&consumer, 2).await), [(0, 1), (0, 2)]);
    assert_eq!(consumer.position(&named, first).await, Ok(offset(3)));
    consumer.seek(&named, first, offset(0)).await.unwrap();
    assert_eq!(consumer.position(&named, first).await, Ok(offset(0)));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn new_partitions_are_read_from_their_beginning() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    let build = |builder: ConsumerBuilder| builder.offset_reset(OffsetReset::Latest).build();
    let grouped = build(member(kafka, &topic, &unique("group")));
    let (grouped, alone) = tokio::join!(grouped, build(reader(kafka, &topic)));
    let (grouped, alone) = (grouped.unwrap(), alone.unwrap());
    kafka.add_partitions(&topic, 2).await.unwrap();
    produce(kafka, &topic, 1, 0..2).await;
    produce(kafka, &topic, 0, 0..1).await;
    let all = async |consumer: &Consumer| {
        let mut records = Vec::new();
        while records.len() < 3 {
            records.extend(consumer.poll(LONG).await.unwrap());
        }
        let mut found = places(&records);
        found.sort();
        found
    };
    let (one, two) = tokio::join!(all(&grouped), all(&alone));
    assert_eq!((&one, &two), (&two, &vec![(0, 0), (1, 0), (1, 1)]));
    grouped.close().await.unwrap();
}

#[tokio::test]
async fn missing_topics_are_named() {
    let kafka = Kafka::shared().await;
    let (there, missing) = (topic(kafka, 1).await, unique("missing"));
    let group = unique("group");
    let built = member(kafka, &there, &group)
        .topics([&there, &missing])
        .build()
        .await;
    assert_eq!(
        built.err(),
        Some(Error::TopicNotFound(vec![name(&missing)]))
    );
    assert_eq!(kafka.group(&group).await.unwrap(), None);
}

#[tokio::test]
async fn a_property_that_librdkafka_refuses_is_told() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 1).await;
    let built = reader(kafka, &topic).property("no.such", "1").build().await;
    match built {
        Err(Error::InvalidSetting(what)) => assert!(what.contains("no.such"), "{what}"),
        other => panic!("{other:?}"),
    }
}
