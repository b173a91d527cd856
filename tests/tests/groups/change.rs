//! Topics that grow, and a Kafka that is slow to form groups.

use std::time::Duration;

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, Reader, eventually, unique};
use tokio::time::Instant;

use super::{new_topic, read_to_the_end, shares, spec};

/// Within this a session reads partitions that its topic got after it.
const GROWN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn new_partitions_are_found_and_read_from_their_beginning_although_reset_is_latest() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 1).await, unique("group"));
    kafka.produce(&topic, [Record::value("old")]).await.unwrap();
    let client = node.client();
    let mut latest = spec(&group, &topic);
    latest["auto_offset_reset"] = json!("latest");
    let mut reader = Reader::subscribe(&client, latest).await;

    kafka.add_partitions(&topic, 3).await.unwrap();
    let added = Instant::now();
    // A producer that has not seen the topic with one partition.
    let producer = Kafka::connect(kafka.bootstrap()).await.unwrap();
    let records = [1, 2].map(|partition| Record::value("new").partition(partition));
    producer.produce(&topic, records).await.unwrap();
    let mut values = Vec::new();
    eventually(GROWN, "both new records come", async || {
        let polled = reader.poll(500).await;
        values.extend(
            polled
                .records()
                .iter()
                .map(|record| record["value"].clone()),
        );
        if values.len() == 2 {
            Ok(())
        } else {
            Err((added.elapsed(), values.clone()))
        }
    })
    .await;
    assert_eq!(values, ["new", "new"]);
    let mut seen: Vec<_> = reader
        .seen()
        .iter()
        .map(|s| (s.partition, s.offset))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(1, 0), (2, 0)]);
    reader.leave().await;
}

#[tokio::test]
async fn sessions_work_where_kafka_waits_for_more_members_first() {
    let kafka = Kafka::builder()
        .initial_rebalance_delay(Duration::from_secs(3))
        .start()
        .await;
    let node = Node::builder().kafka(&kafka).start().await;
    let (topic, group) = (new_topic(&kafka, 4).await, unique("group"));
    kafka.fill(&topic, 400, 0).await.unwrap();
    let client = node.client();
    let begun = Instant::now();
    let (mut first, mut second) = tokio::join!(
        Reader::subscribe(&client, spec(&group, &topic)),
        Reader::subscribe(&client, spec(&group, &topic)),
    );
    // That the broker did wait is what this test is about.
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
    shares(&client, &[first.id(), second.id()], &topic, 4).await;
    read_to_the_end(&kafka, &topic, &mut [&mut first, &mut second]).await;
    first.leave().await;
    shares(&client, &[second.id()], &topic, 4).await;

    // Alone again, and the group anew: the whole delay once more.
    let id = second.id().to_owned();
    second.leave().await;
    let mut again = spec(&group, &topic);
    again["consumer_id"] = json!(id);
    let answer = client.subscribe(again).await.expect(200);
    assert_eq!(answer["assignment"][&topic], json!([0, 1, 2, 3]));
    let position = client.position(&id).await.expect(200);
    assert_eq!(position["offsets"][&topic]["0"], json!(100));
    client.delete(&id).await.expect(204);
}
