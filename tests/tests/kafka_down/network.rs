//! Between the node and its broker connections break, stall, or lose what is sent.

use std::time::Duration;

use serde_json::json;
use sluice_tests::fault::{Direction, Proxy};
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, LATE, Reader, assert_waits, topic};

/// Starts a Kafka behind a proxy, and a node that sees it through that only.
async fn start() -> (Kafka, Node) {
    let kafka = Kafka::builder().through_proxy().start().await;
    let node = Node::builder()
        .bootstrap(&kafka.proxied_bootstrap())
        .start()
        .await;
    (kafka, node)
}

fn proxy(kafka: &Kafka) -> &Proxy {
    kafka.brokers()[0].proxy().expect("it was built with one")
}

#[tokio::test]
async fn broken_connections_are_made_again_without_an_error() {
    let (kafka, node) = start().await;
    let topic = topic(&kafka, 0).await;
    let group = unique("g");
    let mut reader = Reader::subscribe(&node, &group, &topic).await;
    for round in 1..=5 {
        let cut = async {
            eventually(DEADLINE, "the node is connected", async || {
                proxy(&kafka).connections() > 0
            })
            .await;
            proxy(&kafka).cut();
            kafka.produce(&topic, [Record::value("x")]).await.unwrap();
        };
        let (polled, ()) = tokio::join!(reader.poll(60_000), cut);
        reader.take(&polled.expect(200));
        reader.commit(round, 30_000).await.expect(200);
    }
    reader.check(5);
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 5);
}

#[tokio::test]
async fn a_refused_network_is_told_and_healed() {
    let (kafka, node) = start().await;
    let topic = topic(&kafka, 20).await;
    let mut reader = Reader::subscribe(&node, &unique("g"), &topic).await;
    reader.read_to(20).await;
    proxy(&kafka).refuse().await;
    kafka.fill(&topic, 20, 10).await.unwrap();
    let refused = reader.poll_until_unavailable(500).await;
    assert_waits(&refused);
    proxy(&kafka).heal().await;
    reader.read_to(40).await;
    reader.check(40);
}

#[tokio::test]
async fn a_stalled_network_leaves_a_commit_unknown_and_a_repetition_settles_it() {
    let (kafka, node) = start().await;
    let topic = topic(&kafka, 20).await;
    let group = unique("g");
    let mut reader = Reader::subscribe(&node, &group, &topic).await;
    reader.read_to(20).await;
    proxy(&kafka).stall(Direction::Both);
    let begun = Instant::now();
    let refused = reader.commit(12, 1_500).await;
    refused.expect_problem(504, "outcome_unknown");
    assert!(begun.elapsed() < Duration::from_secs(2) + LATE);
    proxy(&kafka).heal().await;
    eventually(DEADLINE, "the commit is done", async || {
        reader.commit(12, 30_000).await.status() == Some(200)
    })
    .await;
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 12);
    kafka.fill(&topic, 5, 10).await.unwrap();
    reader.read_to(25).await;
    reader.check(25);
}

#[tokio::test]
async fn a_lost_acknowledgement_is_not_taken_for_a_failure() {
    let (kafka, node) = start().await;
    let topic = topic(&kafka, 20).await;
    let group = unique("g");
    let mut reader = Reader::subscribe(&node, &group, &topic).await;
    reader.read_to(20).await;
    proxy(&kafka).swallow(Direction::ToClient);
    let refused = reader.commit(20, 3_000).await;
    refused.expect_problem(504, "outcome_unknown");
    // It may have happened, and here it has: the broker got it.
    eventually(DEADLINE, "kafka has the commit", async || {
        let committed = kafka.committed(&group, &topic).await.unwrap();
        committed.get(&0) == Some(&20)
    })
    .await;
    proxy(&kafka).heal().await;
    eventually(DEADLINE, "a repetition is done", async || {
        reader.commit(20, 30_000).await.status() == Some(200)
    })
    .await;
    let session = reader.client.get(&reader.id).await.expect(200);
    assert_eq!(session["committed"], json!({&topic: {"0": 20}}));
    kafka.fill(&topic, 5, 10).await.unwrap();
    reader.read_to(25).await;
    reader.check(25);
}
