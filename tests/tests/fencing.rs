//! What becomes of a session whose place in the group somebody else takes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, NativeMember, Node, eventually, unique};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_place_was_taken_takes_it_back_and_loses_nothing() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("taken"), unique("group"));
    kafka.create_topic(&topic, 1).await.unwrap();
    takes_its_place_back(kafka, &topic, &group).await;
}

/// The same in a group of the new type (KIP-848), where the session's commits of before it learns
/// that it was fenced meet another error.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_a_group_of_the_new_type_takes_its_place_back_too() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("taken"), unique("group"));
    let other_topic = unique("other");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.create_topic(&other_topic, 1).await.unwrap();
    // It reads another topic, so that the one of the test stays with one member.
    let native = NativeMember::join_by_new_protocol(kafka, &group, &other_topic);
    eventually(SOON, "the native member is assigned", async || {
        native.assigned().len() == 1
    })
    .await;
    takes_its_place_back(kafka, &topic, &group).await;
    assert_eq!(native.assigned().len(), 1);
}

/// A static member (KIP-345) with the session's id: the broker gives it the session's place and
/// fences the session's handle.
async fn takes_its_place_back(kafka: &Kafka, topic: &str, group: &str) {
    let id = unique("member");
    kafka.fill(topic, 10, 0).await.unwrap();
    let node = Node::builder().kafka(kafka).start().await;
    let client = node.client();
    client
        .subscribe(json!({
            "consumer_id": id, "group_id": group, "topics": [topic], "auto_offset_reset": "earliest",
        }))
        .await
        .expect(200);
    let answer = client.consume(&id, json!({})).await.expect(200);
    assert_eq!(answer.records().len(), 10);
    client.commit(&id, ()).await.expect(200);

    let taker: BaseConsumer = kafka
        .client_config()
        .set("group.id", group)
        .set("group.instance.id", &id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    taker.subscribe(&[topic]).unwrap();
    eventually(
        SOON,
        "the native member takes the session's place",
        async || {
            taker.poll(Duration::ZERO);
            taker.assignment().is_ok_and(|held| held.count() == 1)
        },
    )
    .await;
    eventually(SOON, "the session takes its place back", async || {
        taker.poll(Duration::ZERO);
        taker.client().fatal_error().is_some()
    })
    .await;
    client.commit(&id, ()).await.expect(200);

    kafka
        .produce(topic, [Record::value("after")])
        .await
        .unwrap();
    let answer = eventually(SOON, "the session reads on", async || {
        let reply = client.consume(&id, json!({"timeout_ms": 1000})).await;
        reply
            .into_result()
            .ok()
            .filter(|answer| !answer.records().is_empty())
    })
    .await;
    let values: Vec<_> = answer
        .records()
        .iter()
        .map(|record| record["value"].clone())
        .collect();
    assert_eq!(values, ["after"], "what was committed does not come again");
}
