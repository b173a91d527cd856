//! Commits, and the group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_actors::Error;
use sluice_tests::{Kafka, eventually, unique};
use sluice_types::Offsets;

use super::*;

#[tokio::test]
async fn another_consumer_resumes_where_the_group_has_committed() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 1).await, unique("group"));
    produce(kafka, &topic, 0, 0..5).await;
    let first = member(kafka, &topic, &group).build().await.unwrap();
    read(&first, 5).await;
    assert_eq!(first.commit().await, Ok(offsets(&topic, [(0, 5)])));
    produce(kafka, &topic, 0, 5..8).await;
    read(&first, 3).await;
    first.close().await.unwrap();

    let second = member(kafka, &topic, &group).build().await.unwrap();
    assert_eq!(places(&read(&second, 3).await), [(0, 5), (0, 6), (0, 7)]);
    second.close().await.unwrap();
}

#[tokio::test]
async fn what_is_done_with_is_committed_after_the_interval() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 1).await, unique("group"));
    produce(kafka, &topic, 0, 0..3).await;
    let consumer = member(kafka, &topic, &group)
        .auto_commit(true)
        .auto_commit_interval(Duration::from_millis(100))
        .build()
        .await
        .unwrap();
    read(&consumer, 3).await;
    // Records that are still being handled are not committed: only this poll says they are done.
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert_eq!(committed, BTreeMap::new());
    assert_eq!(consumer.poll(Duration::ZERO).await, Ok(Vec::new()));
    eventually(DEADLINE, "all is committed", async || {
        kafka.committed(&group, &topic).await.unwrap() == BTreeMap::from([(0, 3)])
    })
    .await;
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn closing_makes_a_final_commit_and_leaves_the_group() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 2).await, unique("group"));
    produce(kafka, &topic, 0, 0..4).await;
    let consumer = member(kafka, &topic, &group)
        .auto_commit(true)
        .auto_commit_interval(Duration::from_secs(3600))
        .build()
        .await
        .unwrap();
    read(&consumer, 4).await;
    consumer.close().await.unwrap();
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert_eq!(committed, BTreeMap::from([(0, 4)]));
    assert!(kafka.members(&group).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_auto_commit_closing_commits_nothing() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 1).await, unique("group"));
    produce(kafka, &topic, 0, 0..4).await;
    let consumer = member(kafka, &topic, &group).build().await.unwrap();
    read(&consumer, 4).await;
    consumer.close().await.unwrap();
    assert!(kafka.committed(&group, &topic).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_consumer_leaves_the_group_without_its_latest_records() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 1).await, unique("group"));
    produce(kafka, &topic, 0, 0..4).await;
    let consumer = member(kafka, &topic, &group)
        .auto_commit(true)
        .max_records_per_partition(2)
        .build()
        .await
        .unwrap();
    read(&consumer, 2).await;
    read(&consumer, 2).await;
    drop(consumer);
    eventually(DEADLINE, "the group is left", async || {
        kafka.members(&group).await.unwrap().is_empty()
    })
    .await;
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert_eq!(committed, BTreeMap::from([(0, 2)]));
}

#[tokio::test]
async fn a_commit_is_of_what_has_changed_only() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 2).await, unique("group"));
    produce(kafka, &topic, 0, 0..3).await;
    produce(kafka, &topic, 1, 0..3).await;
    let consumer = member(kafka, &topic, &group).build().await.unwrap();
    read(&consumer, 6).await;
    let both = offsets(&topic, [(0, 3), (1, 3)]);
    assert_eq!(consumer.commit().await, Ok(both));
    assert_eq!(consumer.commit().await, Ok(Offsets::new()));
    produce(kafka, &topic, 1, 3..4).await;
    read(&consumer, 1).await;
    let changed = offsets(&topic, [(1, 4)]);
    assert_eq!(consumer.commit().await, Ok(changed));
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert_eq!(committed, BTreeMap::from([(0, 3), (1, 4)]));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn without_a_group_all_is_read_and_a_commit_is_refused() {
    let kafka = Kafka::shared().await;
    let topic = topic(kafka, 3).await;
    kafka.fill(&topic, 9, 0).await.unwrap();
    for _ in 0..2 {
        let consumer = reader(kafka, &topic)
            .auto_commit(true)
            .build()
            .await
            .unwrap();
        let counts = of_each_partition(&read(&consumer, 9).await);
        assert_eq!(counts, BTreeMap::from([(0, 3), (1, 3), (2, 3)]));
        assert_eq!(consumer.commit().await, Err(Error::NoGroup));
        consumer.close().await.unwrap();
    }
}

#[tokio::test]
async fn members_share_the_partitions_and_hand_them_over_without_being_polled() {
    let kafka = Kafka::shared().await;
    for strategy in ["cooperative-sticky", "range"] {
        let (topic, group) = (topic(kafka, 4).await, unique("group"));
        // 5 MB in each: too much to hold, so all are stopped when they change hands.
        kafka.fill(&topic, 4000, 5000).await.unwrap();
        let build = || {
            let property = ("partition.assignment.strategy", strategy);
            member(kafka, &topic, &group)
                .property(property.0, property.1)
                .property("heartbeat.interval.ms", "200")
                .auto_commit(true)
                .build()
        };
        // Nobody polls this one, and it is full of records.
        let first = build().await.unwrap();
        let mut found: BTreeSet<_> = places(&read(&first, 1).await).into_iter().collect();
        let second = build().await.unwrap();
        eventually(DEADLINE, "both have two partitions", async || {
            let members = kafka.members(&group).await.unwrap();
            let of = |topics: &BTreeMap<String, BTreeSet<i32>>| {
                topics.values().map(|numbers| numbers.len()).sum::<usize>()
            };
            let counts: Vec<usize> = members.iter().map(|one| of(&one.assignment)).collect();
            if counts == [2, 2] {
                Ok(())
            } else {
                Err(counts)
            }
        })
        .await;
        second.close().await.unwrap();
        // What was read but not committed may come once more.
        while found.len() < 4000 {
            found.extend(places(&read(&first, 1).await));
        }
        first.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_whose_place_was_taken_says_that_it_is_broken() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(kafka, 1).await, unique("group"));
    produce(kafka, &topic, 0, 0..3).await;
    let member = || {
        let named = member(kafka, &topic, &group).property("group.instance.id", "one");
        named.build()
    };
    let first = member().await.unwrap();
    read(&first, 3).await;
    let second = member().await.unwrap();
    let why = eventually(
        DEADLINE,
        "the first learns of the second",
        async || match first.poll(SHORT).await {
            Err(Error::Broken(why)) => Some(why),
            other => {
                assert_eq!(other, Ok(Vec::new()));
                None
            }
        },
    )
    .await;
    assert!(why.contains("group.instance.id"), "{why}");
    let committed = first.commit().await;
    assert!(matches!(committed, Err(Error::Broken(_))), "{committed:?}");
    first.close().await.unwrap();
    assert_eq!(places(&read(&second, 3).await), [(0, 0), (0, 1), (0, 2)]);
    second.close().await.unwrap();
}
