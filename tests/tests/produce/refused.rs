//! Records that Kafka itself refuses: each is told of itself only, whoever shared a batch with it.

use serde_json::{Value, json};
use sluice_tests::kafka::Read;
use sluice_tests::{Answer, Client, Kafka, Node, unique};
use sluice_types::{Clock, SystemClock};
use tokio::sync::watch;

use crate::{DEADLINE, codes, entries, read};

/// A new topic of one partition with these settings, and a client of the shared node.
async fn shared(settings: &[(&str, &str)]) -> (&'static Kafka, Client, String) {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let topic = unique("strict");
    kafka.create_topic_with(&topic, 1, settings).await.unwrap();
    (kafka, node.client(), topic)
}

/// Later than Kafka takes of a topic with `TIMELY`.
fn in_two_hours() -> i64 {
    SystemClock.now().as_millis() + 2 * 60 * 60 * 1000
}

const TIMELY: &[(&str, &str)] = &[("message.timestamp.after.max.ms", "3600000")];

#[track_caller]
fn detail(answer: &Answer, n: usize) -> &str {
    let detail = entries(answer)[n]["error"]["detail"].as_str();
    detail.expect("the record was refused")
}

fn values(records: &[Read]) -> Vec<&str> {
    records.iter().map(Read::text).collect()
}

#[tokio::test]
async fn a_record_without_a_key_leaves_a_compacted_topic_to_the_others() {
    let (kafka, client, topic) = shared(&[("cleanup.policy", "compact")]).await;
    let body = json!({"records": [
        {"key": "a", "value": 1, "headers": {"trace": "x"}, "timestamp": 1_704_545_600_000_i64},
        {"key": "b", "value": null},
        {"value": "nokey"},
        {"key": "", "value": ""},
        {"key": "d", "value": 1},
    ]});
    let query = [("key.format", "string")];
    let answer = client.produce(&topic, &query, body).await.expect(200);
    let invalid = Some("invalid_record");
    assert_eq!(codes(&answer), [None, None, invalid, None, None]);
    let told = detail(&answer, 2);
    assert!(told.contains("InvalidRecord"), "{told}");
    assert!(told.contains("without a key"), "{told}");
    let mut found = read(kafka, &topic).await;
    // Which of them shared a batch is chance.
    found.sort_by_key(|record| record.key.clone());
    let keys: Vec<&[u8]> = found.iter().flat_map(|r| r.key.as_deref()).collect();
    assert_eq!(keys, [&b""[..], b"a", b"b", b"d"]);
    assert_eq!(found[0].text(), "\"\"");
    assert_eq!(found[1].timestamp, Some(1_704_545_600_000));
    let header = ("trace".to_owned(), Some(b"x".to_vec()));
    assert_eq!(found[1].headers, [header]);
    assert_eq!(found[2].value, None);
}

#[tokio::test]
async fn a_time_that_kafka_refuses_is_told_of_its_record_only() {
    let (kafka, client, topic) = shared(TIMELY).await;
    let mut records: Vec<Value> = (0..7).map(|n| json!({"value": n})).collect();
    records[3]["timestamp"] = json!(in_two_hours());
    let answer = client
        .produce(&topic, &[], json!({"records": records}))
        .await;
    let answer = answer.expect(200);
    let mut expected = [None; 7];
    expected[3] = Some("invalid_record");
    assert_eq!(codes(&answer), expected);
    let told = detail(&answer, 3);
    assert!(told.contains("InvalidTimestamp"), "{told}");
    let found = read(kafka, &topic).await;
    let mut sorted = values(&found);
    sorted.sort_unstable();
    assert_eq!(sorted, ["0", "1", "2", "4", "5", "6"]);
}

#[tokio::test]
async fn many_records_that_kafka_refuses_are_each_told() {
    let (kafka, client, topic) = shared(&[("cleanup.policy", "compact")]).await;
    let record = |n: usize| match n % 10 {
        0 => json!({"key": n, "value": n}),
        _ => json!({"value": n}),
    };
    let records: Vec<Value> = (0..500).map(record).collect();
    let answer = client
        .produce(&topic, &[], json!({"records": records}))
        .await;
    let answer = answer.expect(200);
    for (n, code) in codes(&answer).into_iter().enumerate() {
        assert_eq!(code, (n % 10 != 0).then_some("invalid_record"), "{n}");
    }
    assert_eq!(read(kafka, &topic).await.len(), 50);
}

#[tokio::test]
async fn one_clients_bad_records_are_no_other_clients_concern() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let topic = unique("strict");
    kafka.create_topic_with(&topic, 1, TIMELY).await.unwrap();
    let (end, ends) = watch::channel(false);
    let bad = (0..4).map(|_| {
        let (client, topic, ends) = (node.client(), topic.clone(), ends.clone());
        tokio::spawn(async move {
            let mut refused = 0;
            while !*ends.borrow() {
                let late = json!({"value": "late", "timestamp": in_two_hours()});
                let body = json!({"records": [late]});
                let answer = client.produce(&topic, &[], body).await;
                answer.expect_problem(422, "invalid_record");
                refused += 1;
            }
            refused
        })
    });
    let bad: Vec<_> = bad.collect();
    let good = (0..4).map(|writer| {
        let (client, topic) = (node.client(), topic.clone());
        tokio::spawn(async move {
            for n in 0..100 {
                let record = |of: usize| json!({"value": [writer, n, of]});
                let body = json!({"records": [record(0), record(1)]});
                let answer = client.produce(&topic, &[], body).await.expect(200);
                assert_eq!(codes(&answer), [None, None]);
            }
        })
    });
    for writer in good.collect::<Vec<_>>() {
        tokio::time::timeout(DEADLINE, writer)
            .await
            .unwrap()
            .unwrap();
    }
    end.send_replace(true);
    for client in bad {
        assert!(client.await.unwrap() > 10, "bad records kept coming");
    }
    assert_eq!(read(kafka, &topic).await.len(), 800);
    let metrics = node
        .admin()
        .call(reqwest::Method::GET, "/metrics", ())
        .await;
    let metrics = metrics.expect(200).text;
    for line in [
        "sluice_producer_records_total 800",
        "sluice_producer_queued_records 0",
        "sluice_producer_replaced_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn records_that_are_too_many_for_one_batch_are_written() {
    let (kafka, client, topic) = shared(&[("max.message.bytes", "20000")]).await;
    let record = |n: usize| json!({"value": format!("{n:02}{}", "x".repeat(1_000))});
    let mut records: Vec<Value> = (0..40).map(record).collect();
    let body = json!({"records": records});
    let answer = client.produce(&topic, &[], body).await.expect(200);
    assert_eq!(codes(&answer), [None; 40]);
    assert_eq!(read(kafka, &topic).await.len(), 40);
    // And one that is too large by itself among them is still told so.
    records[20] = json!({"value": "x".repeat(30_000)});
    let body = json!({"records": records});
    let answer = client.produce(&topic, &[], body).await.expect(200);
    let mut expected = [None; 40];
    expected[20] = Some("record_too_large");
    assert_eq!(codes(&answer), expected);
    assert_eq!(read(kafka, &topic).await.len(), 79);
}

#[tokio::test]
async fn kafkas_own_topics_are_refused_for_good() {
    let (_, client, topic) = shared(&[]).await;
    // That of the offsets is there as soon as there has been a group.
    let subscribed = client.subscribe(json!({"group_id": unique("g"), "topics": [topic]}));
    let id = subscribed.await.expect(200);
    client.delete(id.text_at("consumer_id")).await.expect(204);
    let body = json!({"records": [{"key": "k", "value": 1}]});
    let refused = client.produce("__consumer_offsets", &[], &body).await;
    let refused = refused.expect_problem(403, "kafka_access_denied");
    assert!(refused.header("retry-after").is_none());
    let told = detail(&refused, 0);
    assert!(told.contains("InvalidTopic"), "{told}");
}
