//! Brokers and nodes that go away while records are on their way.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Client, Kafka, Node, Reply, eventually};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use crate::{DEADLINE, codes, entries, read, topic};

/// How much later than its deadline an answer may come: a busy machine, not a wait.
const LATE: Duration = Duration::from_secs(4);

/// What writers have been told: the place of each acknowledged text.
type Acknowledged = BTreeMap<(i32, i64), String>;

/// A client that writes batch after batch to one partition, and remembers what was acknowledged.
fn writer(
    client: Client,
    topic: String,
    partition: i32,
    mut ends: watch::Receiver<bool>,
) -> JoinHandle<Acknowledged> {
    tokio::spawn(async move {
        let mut acknowledged = Acknowledged::new();
        let mut batch = 0_u32;
        while !*ends.borrow_and_update() {
            let text = |n: usize| format!("{batch:06}/{n:02}");
            let records: Vec<Value> = (0..20)
                .map(|n| json!({"value": text(n), "partition": partition}))
                .collect();
            let query = [("value.format", "string")];
            let reply = client
                .produce(&topic, &query, json!({"records": records}))
                .await;
            let Ok(answer) = reply.into_result() else {
                // The node has gone with whatever it had.
                break;
            };
            for (n, entry) in entries_or_none(&answer.json).iter().enumerate() {
                if let Some(offset) = entry["offset"].as_i64() {
                    acknowledged.insert((partition, offset), text(n));
                }
            }
            batch += 1;
        }
        acknowledged
    })
}

fn entries_or_none(body: &Value) -> &[Value] {
    body["offsets"].as_array().map_or(&[], Vec::as_slice)
}

/// Each acknowledged record is where it was said to be, and the records of a partition stand in
/// the order in which they were sent. Nobody sent anything twice, so nothing is there twice.
async fn check(kafka: &Kafka, topic: &str, acknowledged: &Acknowledged) {
    let mut last = BTreeMap::new();
    let mut found = BTreeSet::new();
    for record in read(kafka, topic).await {
        let place = (record.partition, record.offset);
        let text = record.text().to_owned();
        let before = last.insert(record.partition, text.clone());
        assert!(
            before.as_ref() < Some(&text),
            "{text} stands behind {before:?}"
        );
        if let Some(expected) = acknowledged.get(&place) {
            assert_eq!(&text, expected, "at {place:?}");
            found.insert(place);
        }
    }
    assert_eq!(
        found.len(),
        acknowledged.len(),
        "acknowledged records are lost"
    );
}

async fn all(writers: Vec<JoinHandle<Acknowledged>>) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    acknowledged
}

async fn within(client: &Client, topic: &str, timeout_ms: u64, values: &[&str]) -> Reply {
    let records: Vec<Value> = values.iter().map(|value| json!({"value": value})).collect();
    let request = client
        .request(Method::POST, &format!("/api/topics/{topic}/produce"))
        .query(&[("value.format", "string")])
        .header("x-request-timeout-ms", timeout_ms)
        .json(&json!({"records": records}));
    client.send(request).await
}

#[tokio::test]
async fn a_broker_that_is_killed_under_load_costs_no_record_and_no_order() {
    let kafka = Kafka::start().await;
    let node = Node::builder().kafka(&kafka).start().await;
    let topic = topic(&kafka, 3).await;
    let (end, ends) = watch::channel(false);
    let writers = (0..3).map(|p| writer(node.client(), topic.clone(), p, ends.clone()));
    let writers: Vec<_> = writers.collect();
    let written = async |least: i64| {
        eventually(DEADLINE, "records are written", async || {
            let ends = kafka.end_offsets(&topic).await?;
            let enough = ends.values().all(|end| *end >= least);
            Ok::<_, sluice_tests::Error>(enough.then_some(ends))
        })
        .await
    };
    let before = loop {
        if let Some(ends) = written(100).await {
            break ends;
        }
    };
    kafka.kill().unwrap();
    kafka.restart().await.unwrap();
    let least = before.values().max().unwrap() + 400;
    eventually(DEADLINE, "the writers go on", async || {
        let ends = kafka.end_offsets(&topic).await;
        ends.is_ok_and(|ends| ends.values().all(|end| *end >= least))
    })
    .await;
    end.send_replace(true);
    let acknowledged = all(writers).await;
    assert!(acknowledged.len() > 900, "{}", acknowledged.len());
    check(&kafka, &topic, &acknowledged).await;
}

#[tokio::test]
async fn a_node_that_is_killed_loses_nothing_that_it_has_acknowledged() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let topic = topic(kafka, 3).await;
    let (_end, ends) = watch::channel(false);
    let writers = (0..3).map(|p| writer(node.client(), topic.clone(), p, ends.clone()));
    let writers: Vec<_> = writers.collect();
    eventually(DEADLINE, "records are written", async || {
        let ends = kafka.end_offsets(&topic).await;
        ends.is_ok_and(|ends| ends.values().all(|end| *end >= 200))
    })
    .await;
    node.kill();
    let acknowledged = all(writers).await;
    assert!(acknowledged.len() >= 500, "{}", acknowledged.len());
    check(kafka, &topic, &acknowledged).await;
}

#[tokio::test]
async fn sigterm_writes_what_was_taken() {
    let kafka = Kafka::start().await;
    let node = Node::builder().kafka(&kafka).start().await;
    let client = node.client();
    let topic = topic(&kafka, 1).await;
    client
        .produce(&topic, &[], json!({"records": [{"value": 0}]}))
        .await
        .expect(200);
    kafka.freeze().unwrap();
    let requests: Vec<_> = (1..=5)
        .map(|n| {
            let (client, topic) = (client.clone(), topic.clone());
            let body = json!({"records": [{"value": n}, {"value": n}]});
            tokio::spawn(async move { client.produce(&topic, &[], body).await })
        })
        .collect();
    let queued = || async {
        let metrics = node
            .admin()
            .call(Method::GET, "/metrics", ())
            .await
            .expect(200);
        metrics.text.contains("sluice_producer_queued_records 10")
    };
    eventually(DEADLINE, "all records are in the queue", queued).await;
    node.sigterm();
    eventually(DEADLINE, "the node stops", async || {
        node.log_contains("draining")
    })
    .await;
    kafka.thaw().unwrap();
    for request in requests {
        // Whether or not the node has waited for its connection: the record is written.
        drop(request.await.unwrap());
    }
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
    assert_eq!(read(&kafka, &topic).await.len(), 11);
}

#[tokio::test]
async fn without_kafka_the_answer_says_which_records_may_have_been_written() {
    let kafka = Kafka::start().await;
    let node = Node::builder().kafka(&kafka).start().await;
    let client = node.client();
    let topic = topic(&kafka, 1).await;
    let never_seen = crate::topic(&kafka, 1).await;
    within(&client, &topic, 30_000, &["first"])
        .await
        .expect(200);
    kafka.kill().unwrap();

    // Nothing is sent before it is known that the topic is there.
    let began = Instant::now();
    let refused = within(&client, &never_seen, 3_000, &["x"]).await;
    let refused = refused.expect_problem(503, "kafka_unavailable");
    assert!(refused.header("retry-after").is_some());
    assert!(refused["offsets"].is_null(), "{}", refused.json);
    assert!(began.elapsed() < Duration::from_secs(3) + LATE);

    // Less time than a record is tried: it may be written yet, and is, once Kafka is back.
    let began = Instant::now();
    let unknown = within(&client, &topic, 2_000, &["a", "b"]).await;
    let unknown = unknown.expect_problem(504, "outcome_unknown");
    assert!(began.elapsed() < Duration::from_secs(2) + LATE);
    let may_be = Some("outcome_unknown");
    assert_eq!(codes(&unknown), [may_be, may_be]);
    kafka.restart().await.unwrap();
    eventually(DEADLINE, "what was in the queue is written", async || {
        let read = kafka.read_all(&topic).await;
        read.is_ok_and(|records| records.len() == 3)
    })
    .await;

    // All the time that there is: a record that was not sent is known not to have been.
    kafka.kill().unwrap();
    let began = Instant::now();
    let late = within(&client, &topic, 30_000, &["c"]).await;
    assert!(began.elapsed() < Duration::from_secs(30) + LATE);
    let is_known = match late.status() {
        Some(504) if late.code() == Some("kafka_timeout") => true,
        _ => {
            // The request before it may have been cut while the record was on its way.
            drop(late.expect_problem(504, "outcome_unknown"));
            false
        }
    };
    kafka.restart().await.unwrap();
    within(&client, &topic, 30_000, &["last"]).await.expect(200);
    let values: Vec<String> = read(&kafka, &topic)
        .await
        .iter()
        .map(|record| record.text().to_owned())
        .collect();
    if is_known {
        assert_eq!(values, ["first", "a", "b", "last"]);
    }
}

#[tokio::test]
async fn a_broker_that_is_back_in_time_costs_only_time() {
    let kafka = Kafka::start().await;
    let node = Node::builder().kafka(&kafka).start().await;
    let client = node.client();
    let topic = topic(&kafka, 1).await;
    within(&client, &topic, 30_000, &["first"])
        .await
        .expect(200);
    kafka.kill().unwrap();
    let (written, restarted) = tokio::join!(
        within(&client, &topic, 30_000, &["second", "third"]),
        kafka.restart()
    );
    restarted.unwrap();
    let written = written.expect(200);
    assert_eq!(entries(&written).len(), 2);
    assert_eq!(read(&kafka, &topic).await.len(), 3);
}
