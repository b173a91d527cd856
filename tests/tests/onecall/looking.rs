//! The newest messages of a topic.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sluice_tests::kafka::{Read, Record};
use sluice_tests::{Answer, Client, Kafka, Topic, eventually};
use tokio::time::Instant;

use crate::{DEADLINE, places};

async fn look(client: &Client, topic: &str, limit: usize) -> Answer {
    let path = format!("/messages/{topic}?limit={limit}");
    client.call(Method::GET, &path, ()).await.expect(200)
}

#[track_caller]
fn shown(answer: &Answer) -> Vec<(i64, i64)> {
    places(answer.json.as_array().expect("a bare array"))
}

/// What Kafka holds, merged from the ends of its partitions, oldest first.
fn newest(read: &[Read], limit: usize) -> Vec<(i64, i64)> {
    let mut left: Vec<Vec<&Read>> = Vec::new();
    for record in read {
        let partition = usize::try_from(record.partition).unwrap();
        left.resize(left.len().max(partition + 1), Vec::new());
        left[partition].push(record);
    }
    let mut chosen = Vec::new();
    while chosen.len() < limit {
        let lasts = left.iter().filter_map(|log| log.last().copied());
        let Some(next) = lasts.max_by_key(|r| (r.timestamp, r.partition)) else {
            break;
        };
        left[usize::try_from(next.partition).unwrap()].pop();
        chosen.push((i64::from(next.partition), next.offset));
    }
    chosen.reverse();
    chosen
}

#[tokio::test]
async fn the_newest_of_a_million_messages_are_found_at_once() {
    let topic = Topic::create(50).await;
    let (kafka, name) = (topic.kafka(), topic.name());
    kafka.fill(name, 1_000_000, 0).await.unwrap();
    let all = kafka.read_all(name).await.unwrap();
    assert_eq!(all.len(), 1_000_000);
    for limit in [1, 10, 100, 1_000] {
        let begun = Instant::now();
        let answer = look(topic.client(), name, limit).await;
        let took = begun.elapsed();
        println!("{limit} of a million: {took:?}");
        assert_eq!(shown(&answer), newest(&all, limit), "{limit}");
        // A scan of it takes longer on any machine.
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test]
async fn the_newest_are_told_by_their_times_oldest_first() {
    let topic = Topic::create(3).await;
    let (kafka, name) = (topic.kafka(), topic.name());
    let begin = 1_704_537_600_000;
    // One partition is far busier lately, and one has been silent.
    let records = (0..400).map(|number| {
        let partition = match number {
            0..100 => 2,
            number if number % 50 == 0 => 0,
            _ => 1,
        };
        Record::value(number.to_string())
            .partition(partition)
            .timestamp(begin + number)
    });
    kafka.produce(name, records).await.unwrap();
    let all = kafka.read_all(name).await.unwrap();
    for limit in [1, 7, 250, 1_000] {
        let answer = look(topic.client(), name, limit).await;
        assert_eq!(shown(&answer), newest(&all, limit), "{limit}");
        let messages = answer.json.as_array().unwrap();
        let numbers: Vec<i64> = messages
            .iter()
            .map(|m| m["value"].as_i64().unwrap())
            .collect();
        let first = 400 - i64::try_from(limit.min(400)).unwrap();
        assert_eq!(numbers, (first..400).collect::<Vec<_>>());
    }
    let latest = &look(topic.client(), name, 1).await.json[0];
    assert_eq!(latest["timestamp"], "2024-01-06T10:40:00.399000Z");
    assert_eq!(latest["key"], Value::Null);
}

#[tokio::test]
async fn offsets_without_messages_are_not_waited_for() {
    let topic = Topic::create(2).await;
    let (kafka, name) = (topic.kafka(), topic.name());
    let some = |from: i64, partition: i32| {
        (from..from + 20).map(move |n| Record::value(n.to_string()).partition(partition))
    };
    kafka.produce(name, some(0, 0)).await.unwrap();
    kafka
        .produce_in_transaction(name, some(20, 1), true)
        .await
        .unwrap();
    // The ends of both are records that nobody sees, and marks.
    for _ in 0..3 {
        kafka
            .produce_in_transaction(name, some(900, 0), false)
            .await
            .unwrap();
        kafka
            .produce_in_transaction(name, some(900, 1), false)
            .await
            .unwrap();
    }
    // The begin of one is gone.
    kafka.delete_records(name, 0, 5).await.unwrap();
    let all = kafka.read_all(name).await.unwrap();
    assert_eq!(all.len(), 35);
    for limit in [3, 10, 30, 100] {
        let begun = Instant::now();
        let answer = look(topic.client(), name, limit).await;
        assert_eq!(shown(&answer), newest(&all, limit), "{limit}");
        assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_empty_topic_has_no_messages() {
    let topic = Topic::create(3).await;
    assert!(shown(&look(topic.client(), topic.name(), 10).await).is_empty());
}

#[tokio::test]
async fn looking_at_a_topic_touches_no_group() {
    // Of its own, so that all groups there are known.
    let kafka = Kafka::start().await;
    let node = sluice_tests::Node::builder().kafka(&kafka).start().await;
    kafka.create_topic("looked-at", 3).await.unwrap();
    kafka.fill("looked-at", 100, 0).await.unwrap();
    for _ in 0..3 {
        assert_eq!(
            shown(&look(&node.client(), "looked-at", 50).await).len(),
            50
        );
    }
    assert_eq!(kafka.groups().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_topic_is_told_at_once() {
    let client = Topic::create(1).await.client().clone();
    let begun = Instant::now();
    let missing = client.call(Method::GET, "/messages/nowhere", ()).await;
    missing.expect_problem(404, "topic_not_found");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn many_who_look_at_once_are_served_or_told_to_come_again() {
    let topic = Topic::create(5).await;
    let (client, name) = (topic.client(), topic.name());
    topic.kafka().fill(name, 1_000, 100).await.unwrap();
    let path = format!("/messages/{name}?limit=100");
    let looking = (0..60).map(|_| client.call(Method::GET, &path, ()));
    let mut served = 0;
    for reply in futures::future::join_all(looking).await {
        match reply.status() {
            Some(200) => served += 1,
            _ => drop(reply.expect_problem(429, "queue_full")),
        }
    }
    assert!(served >= 8, "{served}");
    eventually(
        DEADLINE,
        "handles that nobody uses are closed",
        async || client.call(Method::GET, &path, ()).await.status() == Some(200),
    )
    .await;
}
