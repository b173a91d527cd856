//! What becomes of a session whose place in the group somebody else takes.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, eventually, unique};

const SOON: Duration = Duration::from_secs(30);

/// A static member (KIP-345) with the session's id: the broker gives it the session's place and
/// fences the session's handle.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_place_was_taken_takes_it_back_and_loses_nothing() {
    let kafka = Kafka::shared().await;
    let (topic, group, id) = (unique("taken"), unique("group"), unique("member"));
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 10, 0).await.unwrap();
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
        .set("group.id", &group)
        .set("group.instance.id", &id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    taker.subscribe(&[&topic]).unwrap();
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

    kafka
        .produce(&topic, [Record::value("after")])
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
