//! What becomes of messages on their way, and when they are committed.

use std::time::Duration;

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::raw::Connection;
use sluice_tests::{Topic, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, consume, messages, places};

#[tokio::test]
async fn values_and_keys_are_shown_as_what_they_are() {
    let topic = Topic::create(1).await;
    let name = topic.name();
    let records = [
        Record::value(r#"{"n":1.10}"#)
            .key("plain")
            .timestamp(1_704_537_600_123),
        Record::value("no json"),
        Record::value(b"\xff\x00".to_vec()).key(b"\xfe".to_vec()),
        Record::tombstone().key("gone"),
    ];
    topic.kafka().produce(name, records).await.unwrap();
    let body = json!({"topic": name, "max_messages": 4, "timeout": 60});
    let answer = consume(topic.client(), body).await.expect(200);
    assert!(
        answer.text.contains(r#""value":{"n":1.10}"#),
        "digits are kept"
    );
    let mut shown = messages(&answer).to_vec();
    let time = shown[0]["timestamp"].take();
    assert_eq!(time, "2024-01-06T10:40:00.123000Z");
    for message in &mut shown[1..] {
        let time = message["timestamp"].take();
        let time = time.as_str().unwrap();
        assert!(
            time.len() == 27 && time.starts_with("20") && time.ends_with('Z'),
            "{time}"
        );
    }
    let message = |offset: i64, more: serde_json::Value| {
        let mut message =
            json!({"topic": name, "partition": 0, "offset": offset, "timestamp": null});
        message
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        message
    };
    let expected = [
        message(0, json!({"key": "plain", "value": {"n": 1.10}})),
        message(1, json!({"key": null, "value": "no json"})),
        message(
            2,
            json!({"key": "/g==", "key_encoding": "base64", "value": "/wA=",
                          "value_encoding": "base64"}),
        ),
        message(3, json!({"key": "gone", "value": null})),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_was_delivered_is_committed_within_a_second() {
    let topic = Topic::create(1).await;
    let (kafka, name, group) = (topic.kafka(), topic.name(), unique("group"));
    kafka.fill(name, 10, 0).await.unwrap();
    for end in [4, 8] {
        let body = json!({"topic": name, "group_id": group, "max_messages": 4, "timeout": 60});
        let answer = consume(topic.client(), body).await.expect(200);
        assert_eq!(messages(&answer).len(), 4);
        let delivered = Instant::now();
        eventually(DEADLINE, "it is committed", async || {
            let committed = kafka.committed(&group, name).await.unwrap();
            (committed.get(&0) == Some(&end))
                .then_some(())
                .ok_or(committed)
        })
        .await;
        // Kafka is asked by a client that is made anew each time, on a machine that may be busy.
        let took = delivered.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test]
async fn the_next_call_gets_the_messages_of_one_whose_client_has_gone() {
    let topic = Topic::create(1).await;
    let (kafka, client, name) = (topic.kafka(), topic.client(), topic.name());
    let group = unique("group");
    let body = json!({"topic": name, "group_id": group, "max_messages": 500, "timeout": 30});
    // It is there, and reads nothing yet.
    let mut waits = body.clone();
    waits["timeout"] = json!(0);
    consume(client, waits).await.expect(200);
    // A call that waits, and whose client goes.
    let mut gone = Connection::open(client).await;
    gone.post("/consume", &body).await;
    gone.reset();
    kafka.fill(name, 50, 0).await.unwrap();
    let mut seen = Vec::new();
    eventually(DEADLINE, "all come to the next", async || {
        seen.extend(places(messages(&consume(client, &body).await.expect(200))));
        seen.len() >= 50
    })
    .await;
    let expected: Vec<(i64, i64)> = (0..50).map(|offset| (0, offset)).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_messages_of_a_broken_answer_come_with_the_next_and_are_not_committed_before() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "10000000")]).await;
    let (kafka, client, name) = (topic.kafka(), topic.client(), topic.name());
    let group = unique("group");
    // No connection takes the first without somebody reading at the other end.
    topic.produce([Record::value(vec![b'x'; 9_000_000])]).await;
    topic.produce([Record::value("small")]).await;
    let mut body = json!({"topic": name, "group_id": group, "max_messages": 1, "timeout": 60});
    let mut broken = Connection::open_narrow(client).await;
    broken.post("/consume", &body).await;
    assert!(broken.read(10_000).await, "the answer begins");
    assert!(kafka.committed(&group, name).await.unwrap().is_empty());
    broken.reset();
    body["max_messages"] = json!(2);
    let mut seen = Vec::new();
    eventually(DEADLINE, "both come with the next", async || {
        seen.extend(places(messages(&consume(client, &body).await.expect(200))));
        seen.len() >= 2
    })
    .await;
    assert_eq!(seen, [(0, 0), (0, 1)]);
}
