//! Where records go, in which order, and what one wrong record does to the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, unique};
use tokio::time::{Duration, Instant};

use crate::{codes, entries, post, read, shared, topic};

#[tokio::test]
async fn an_answer_tells_where_each_record_is() {
    let (kafka, client, topic) = shared(3).await;
    let records: Vec<Value> = (0..60)
        .map(|n| match n % 3 {
            0 => json!({"value": n, "partition": n % 2, "timestamp": 1_704_545_600_000_i64 + n}),
            1 => json!({"key": format!("key {n}"), "value": n}),
            _ => json!({"value": n}),
        })
        .collect();
    let answer = client
        .produce(&topic, &[], json!({"records": records}))
        .await;
    let answer = answer.expect(200);
    let places: BTreeMap<(i64, i64), (usize, &Value)> = entries(&answer)
        .iter()
        .enumerate()
        .map(|(n, entry)| {
            let place = (entry["partition"].as_i64(), entry["offset"].as_i64());
            ((place.0.unwrap(), place.1.unwrap()), (n, entry))
        })
        .collect();
    let read = read(kafka, &topic).await;
    assert_eq!(read.len(), 60);
    for record in read {
        let (n, entry) = places[&(i64::from(record.partition), record.offset)];
        assert_eq!(record.text(), n.to_string());
        assert_eq!(entry["timestamp"].as_i64(), record.timestamp);
        if n % 3 == 0 {
            assert_eq!(record.partition, i32::try_from(n % 2).unwrap());
            let time = 1_704_545_600_000 + i64::try_from(n).unwrap();
            assert_eq!(record.timestamp, Some(time));
        }
    }
}

#[tokio::test]
async fn the_records_of_a_partition_keep_the_requests_order() {
    let (kafka, client, topic) = shared(2).await;
    // One that is put into the queue at once, and ones that take a thread of their own.
    for (request, count) in [10, 1_000, 10_000].into_iter().enumerate() {
        let records: Vec<Value> = (0..count)
            .map(|n| json!({"value": [request, n], "partition": n % 2}))
            .collect();
        let answer = client
            .produce(&topic, &[], json!({"records": records}))
            .await;
        assert_eq!(entries(&answer.expect(200)).len(), count);
    }
    let mut last = BTreeMap::new();
    let read = read(kafka, &topic).await;
    assert_eq!(read.len(), 11_010);
    for record in read {
        let place: (u64, u64) = serde_json::from_str(record.text()).unwrap();
        let before = last.insert(record.partition, place);
        assert!(before < Some(place), "{place:?} came after {before:?}");
    }
}

#[tokio::test]
async fn a_key_goes_to_the_partition_where_javas_producers_put_it() {
    let (kafka, client, topic) = shared(7).await;
    // murmur2 of the key, positive, modulo 7: worked out with org.apache.kafka.common.utils.Utils.
    let expected = [("a", 5), ("user-123", 0), ("0", 3), ("order-1000", 6)];
    let records: Vec<Value> = expected
        .iter()
        .map(|(key, _)| json!({"key": key}))
        .collect();
    let query = [("key.format", "string")];
    let body = json!({"records": records});
    client.produce(&topic, &query, body).await.expect(200);
    let found: BTreeMap<String, i32> = read(kafka, &topic)
        .await
        .into_iter()
        .map(|record| {
            (
                String::from_utf8(record.key.unwrap()).unwrap(),
                record.partition,
            )
        })
        .collect();
    let expected = expected.map(|(key, partition)| (key.to_owned(), partition));
    assert_eq!(found, expected.into());
}

#[tokio::test]
async fn a_wrong_record_does_not_stop_the_others() {
    let (kafka, client, topic) = shared(2).await;
    let large = "x".repeat((1 << 20) + 1);
    let body = json!({"records": [
        {"value": "first"},
        {"value": 7},
        {"value": "nowhere", "partition": 2},
        {"value": large},
        {"value": "last", "partition": 1},
    ]});
    let query = [("value.format", "string")];
    let answer = client.produce(&topic, &query, body).await.expect(200);
    let expected = [
        None,
        Some("invalid_record"),
        Some("partition_not_found"),
        Some("record_too_large"),
        None,
    ];
    assert_eq!(codes(&answer), expected);
    assert_eq!(read(kafka, &topic).await.len(), 2);
}

#[tokio::test]
async fn when_no_record_is_written_the_answer_is_a_problem_by_cause() {
    let (kafka, client, topic) = shared(2).await;
    let produce = async |format: &str, records: Value| {
        let query = [("value.format", format)];
        client
            .produce(&topic, &query, json!({"records": records}))
            .await
    };
    let refused = produce("string", json!([{"value": 7}, {}])).await;
    let refused = refused.expect_problem(422, "invalid_record");
    let invalid = Some("invalid_record");
    assert_eq!(codes(&refused), [invalid, invalid]);
    let refused = produce("binary", json!([{"value": "?"}])).await;
    let refused = refused.expect_problem(422, "invalid_base64");
    assert_eq!(codes(&refused), [Some("invalid_base64")]);
    let refused = produce("json", json!([{"value": 1, "partition": 2}])).await;
    let refused = refused.expect_problem(404, "partition_not_found");
    assert_eq!(refused["partitions"], json!({&topic: [2]}));
    let large = "x".repeat(1 << 20);
    let refused = produce("json", json!([{"key": large, "value": "x"}])).await;
    let refused = refused.expect_problem(413, "record_too_large");
    assert_eq!(refused["limit"], 1 << 20);
    assert!(read(kafka, &topic).await.is_empty());
}

#[tokio::test]
async fn what_kafka_itself_refuses_is_told_of_the_record() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let topic = unique("small");
    let settings = [
        ("max.message.bytes", "2000"),
        ("message.timestamp.before.max.ms", "3600000"),
    ];
    kafka.create_topic_with(&topic, 1, &settings).await.unwrap();
    let produce = async |record: Value| {
        let body = json!({"records": [record]});
        node.client().produce(&topic, &[], body).await
    };
    let refused = produce(json!({"value": "x".repeat(3_000)})).await;
    let refused = refused.expect_problem(413, "record_too_large");
    assert_eq!(codes(&refused), [Some("record_too_large")]);
    let refused = produce(json!({"value": "old", "timestamp": 1})).await;
    refused.expect_problem(422, "invalid_record");
    produce(json!({"value": "good"})).await.expect(200);
}

#[tokio::test]
async fn a_missing_topic_is_told_within_two_seconds() {
    let (_, client, there) = shared(1).await;
    for missing in [unique("missing").as_str(), "no%20topic", ".", "%ff"] {
        let began = Instant::now();
        let refused = post(&client, missing, "", r#"{"records":[{"value":1}]}"#).await;
        // A path of dots means another path to any HTTP client.
        let refused = match missing {
            "." => refused.expect_problem(404, "route_not_found"),
            _ => refused.expect_problem(404, "topic_not_found"),
        };
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        if missing.starts_with("missing") {
            assert_eq!(refused["topics"], json!([missing]));
        }
    }
    post(&client, &there, "", r#"{"records":[{"value":1}]}"#)
        .await
        .expect(200);
}

#[tokio::test]
async fn a_topic_that_comes_grows_or_goes_is_noticed() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let client = node.client();
    let name = unique("orders");
    let to = async |partition: i32| {
        let body = json!({"records": [{"value": partition, "partition": partition}]});
        client.produce(&name, &[], body).await
    };
    to(0).await.expect_problem(404, "topic_not_found");
    kafka.create_topic(&name, 1).await.unwrap();
    to(0).await.expect(200);
    to(1).await.expect_problem(404, "partition_not_found");
    kafka.add_partitions(&name, 2).await.unwrap();
    sluice_tests::eventually(crate::DEADLINE, "the new partition is there", async || {
        to(1).await.status() == Some(200)
    })
    .await;
    kafka.delete_topic(&name).await.unwrap();
    // The first answer may be that Kafka did not take the record.
    sluice_tests::eventually(crate::DEADLINE, "the topic is missed", async || {
        let gone = to(0).await;
        match gone.status() {
            Some(503) => drop(gone.expect_problem(503, "kafka_unavailable")),
            _ => return gone.expect_problem(404, "topic_not_found").status == 404,
        }
        false
    })
    .await;
}

#[tokio::test]
async fn requests_and_native_producers_write_side_by_side() {
    let kafka = Kafka::shared().await;
    let client = Node::shared().await.client();
    let topic = topic(kafka, 1).await;
    let ours = async {
        for n in 0..50 {
            let body = json!({"records": [{"value": n}, {"value": n}]});
            client.produce(&topic, &[], body).await.expect(200);
        }
    };
    let theirs = kafka.produce(
        &topic,
        (0..50).map(|n| Record::value(format!("native {n}"))),
    );
    let ((), theirs) = tokio::join!(ours, theirs);
    assert_eq!(theirs.unwrap().len(), 50);
    assert_eq!(read(kafka, &topic).await.len(), 150);
}
