//! Who reads what while sessions of one group come and go.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::reader::{Seen, assigned, missing, repeated};
use sluice_tests::{Kafka, Node, Reader, eventually, unique};
use tokio::time::{Duration, Instant, timeout};

use super::{DEADLINE, new_topic, read_to_the_end, shares, spec};

#[tokio::test]
async fn two_sessions_of_a_group_share_its_partitions_and_read_everything_once() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let mut first = Reader::subscribe(&client, spec(&group, &topic)).await;
    let mut second = Reader::subscribe(&client, spec(&group, &topic)).await;
    let shares = shares(&client, &[first.id(), second.id()], &topic, 4).await;
    assert_eq!([shares[0].len(), shares[1].len()], [2, 2], "{shares:?}");

    kafka.fill(&topic, 2000, 64).await.unwrap();
    read_to_the_end(kafka, &topic, &mut [&mut first, &mut second]).await;
    for (reader, share) in [&first, &second].into_iter().zip(&shares) {
        let foreign = |seen: &&Seen| !share.contains(&seen.partition);
        assert_eq!(reader.seen().iter().find(foreign), None);
        assert_eq!(repeated(reader.seen()), []);
    }
    assert_eq!(first.seen().len() + second.seen().len(), 2000);
    let ends = kafka.end_offsets(&topic).await.unwrap();
    assert_eq!(kafka.committed(&group, &topic).await.unwrap(), ends);
    first.leave().await;
    second.leave().await;
}

#[tokio::test]
async fn members_that_come_and_go_while_records_flow_cost_none() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let mut steady = Reader::subscribe(&client, spec(&group, &topic)).await;
    let (over, complete) = (Cell::new(false), Cell::new(false));
    let produce = async {
        while !over.get() {
            kafka.fill(&topic, 40, 64).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let read_on = async {
        while !complete.get() {
            steady.poll(100).await;
            steady.commit().await;
            complete.set(over.get() && is_read(kafka, &topic, &group).await);
        }
    };
    let guests = async {
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut guest = Reader::subscribe(&client, spec(&group, &topic)).await;
            eventually(DEADLINE, "the guest reads", async || {
                guest.poll(500).await;
                guest.commit().await;
                guest.seen().len() >= 100
            })
            .await;
            assert_eq!(repeated(guest.seen()), []);
            seen.extend(guest.leave().await);
        }
        over.set(true);
        seen
    };
    let all = async { tokio::join!(produce, read_on, guests).2 };
    let seen = timeout(3 * DEADLINE, all).await.expect("all is read");
    let ends = kafka.end_offsets(&topic).await.unwrap();
    assert_eq!(missing(&ends, steady.seen().iter().chain(&seen)), []);
    assert_eq!(repeated(steady.seen()), []);
    steady.leave().await;
}

/// Whether the group has committed all that there is.
async fn is_read(kafka: &Kafka, topic: &str, group: &str) -> bool {
    let lag = kafka.lag(group, topic).await.unwrap();
    lag.values().all(|lag| lag.lag() == 0)
}

#[tokio::test]
async fn a_member_without_a_partition_gets_one_when_another_leaves() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 1).await, unique("group"));
    let client = node.client();
    let first = Reader::subscribe(&client, spec(&group, &topic)).await;
    let begun = Instant::now();
    let answer = client.subscribe(spec(&group, &topic)).await.expect(200);
    let waited = begun.elapsed();
    assert_eq!(answer["assignment"], json!({}));
    assert!(waited >= Duration::from_secs(9), "{waited:?}");
    let mut second = Reader::of(&client, answer.text_at("consumer_id"));
    let held = client.position(second.id()).await.expect(200);
    assert_eq!(held["offsets"], json!({}));

    let (polled, _) = tokio::join!(second.poll(60_000), async {
        first.leave().await;
        kafka
            .produce(&topic, [Record::value("at last")])
            .await
            .unwrap();
    });
    assert_eq!(polled.records().len(), 1, "{}", polled.json);
    assert_eq!(polled.records()[0]["value"], "at last");
    let held = client.assignment(second.id()).await.expect(200);
    assert_eq!(assigned(&held, &topic), [0].into());
    second.leave().await;
}

#[tokio::test]
async fn the_generation_stays_while_the_assignment_stays() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 2).await, unique("group"));
    kafka.fill(&topic, 20, 0).await.unwrap();
    let client = node.client();
    let subscribed = client.subscribe(spec(&group, &topic)).await.expect(200);
    let generation = subscribed["generation"].as_i64();
    assert!(generation.is_some(), "{}", subscribed.json);
    let id = subscribed.text_at("consumer_id");
    // A member of another group is none of this one's business.
    let other = Reader::subscribe(&client, spec(&unique("group"), &topic)).await;
    let seek = json!({"topic": topic, "partition": 0, "offset": 1});
    let answers = [
        client.consume(id, json!({"timeout_ms": 10_000})).await,
        client.commit(id, ()).await,
        client.position(id).await,
        client.assignment(id).await,
        client.get(id).await,
        client.subscribe(with_id(&group, &topic, id)).await,
    ];
    for answer in answers {
        let answer = answer.expect(200);
        assert_eq!(answer["generation"].as_i64(), generation, "{}", answer.json);
    }
    client.seek(id, seek).await.expect(200);
    let answer = client.consume(id, json!({"timeout_ms": 10_000})).await;
    assert_eq!(answer.expect(200)["generation"].as_i64(), generation);
    other.leave().await;
    client.delete(id).await.expect(204);
}

fn with_id(group: &str, topic: &str, id: &str) -> serde_json::Value {
    let mut spec = spec(group, topic);
    spec["consumer_id"] = json!(id);
    spec
}

#[tokio::test]
async fn one_generation_never_means_two_assignments() {
    check_generations("cooperative-sticky").await;
}

/// Under an eager strategy everything is given up in between.
#[tokio::test]
async fn one_generation_never_means_two_assignments_under_an_eager_strategy() {
    check_generations("range").await;
}

async fn check_generations(strategy: &str) {
    let spec = |group: &str, topic: &str| {
        let mut spec = spec(group, topic);
        spec["assignment_strategy"] = json!(strategy);
        spec
    };
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let first = Reader::subscribe(&client, spec(&group, &topic)).await;
    let mut of_generation = BTreeMap::new();
    let mut look = async || {
        let answer = client.assignment(first.id()).await.expect(200);
        let held = assigned(&answer, &topic);
        let generation = answer["generation"].as_i64();
        let before = of_generation.entry(generation).or_insert(held.clone());
        assert_eq!(*before, held, "generation {generation:?}");
        held.len()
    };
    assert_eq!(look().await, 4);
    let join = async { Reader::subscribe(&client, spec(&group, &topic)).await };
    let shared = eventually(DEADLINE, "two are given away", async || look().await == 2);
    let (second, ()) = tokio::join!(join, shared);
    second.leave().await;
    eventually(DEADLINE, "all are back", async || look().await == 4).await;
    assert!(of_generation.len() >= 3, "{of_generation:?}");
    first.leave().await;
}
