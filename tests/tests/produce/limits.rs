//! How much a node takes on while Kafka takes nothing.

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Kafka, Node, eventually};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use crate::{DEADLINE, read, topic};

const MIB: usize = 1 << 20;

/// The value of a metric that has no labels.
async fn metric(node: &Node, name: &str) -> Option<f64> {
    let answer = node.admin().call(Method::GET, "/metrics", ()).await;
    let text = answer.expect(200).text;
    let lines = text.lines();
    lines
        .filter_map(|line| line.split_once(' '))
        .find_map(|(found, value)| (found == name).then(|| value.parse().ok()))?
}

#[tokio::test]
async fn a_flood_is_refused_at_once_and_takes_no_more_memory_than_it_may() {
    let kafka = Kafka::start().await;
    let node = Node::builder()
        .kafka(&kafka)
        .env("SLUICE_LIMITS__BODY_BYTES", MIB)
        .env("SLUICE_LIMITS__PRODUCE_RECORDS", 10)
        .env("SLUICE_LIMITS__PRODUCE_BUFFER_BYTES", 13 * MIB)
        // On a busy machine the flood's connections may be open for long before it is their turn.
        .env("SLUICE_HTTP__HEADER_TIMEOUT", "60s")
        .start()
        .await;
    let client = node.client();
    let topic = topic(&kafka, 1).await;
    let small = json!({"records": [{"value": "small"}]});
    client.produce(&topic, &[], &small).await.expect(200);

    let before = node.rss_bytes();
    kafka.freeze().unwrap();
    let large = json!({"records": [{"value": "x".repeat(900 * 1024)}]});
    let mut flood = JoinSet::new();
    for _ in 0..150 {
        let (client, topic, large) = (client.clone(), topic.clone(), large.clone());
        flood.spawn(async move {
            let began = Instant::now();
            let reply = client.produce(&topic, &[], large).await;
            (reply, began.elapsed())
        });
    }
    // What is not refused waits for Kafka.
    let mut refused = 0;
    while refused < 100 {
        let (reply, took) = flood.join_next().await.expect("most are refused").unwrap();
        let full = reply.expect_problem(429, "queue_full");
        assert!(full.header("retry-after").is_some());
        assert!(took < Duration::from_secs(20), "{took:?}");
        refused += 1;
    }
    let buffered = metric(&node, "sluice_producer_buffered_bytes").await;
    assert!(buffered.unwrap() <= (13 * MIB) as f64, "{buffered:?}");
    // The bodies alone are 130 MiB. Beside the buffer there are the parts that are being read.
    let grown = node.rss_bytes().saturating_sub(before);
    assert!(grown < 90 * MIB as u64, "{grown} bytes more");

    kafka.thaw().unwrap();
    let mut written = 1;
    while let Some(done) = flood.join_next().await {
        let (reply, _) = done.unwrap();
        match reply.status() {
            Some(429) => drop(reply.expect_problem(429, "queue_full")),
            _ => {
                reply.expect(200);
                written += 1;
            }
        }
    }
    assert!(written > 2, "some had room");
    assert_eq!(read(&kafka, &topic).await.len(), written);
    eventually(DEADLINE, "all that was held is free again", async || {
        metric(&node, "sluice_producer_buffered_bytes").await == Some(0.0)
    })
    .await;
    assert_eq!(
        metric(&node, "sluice_producer_queued_records").await,
        Some(0.0)
    );
    client.produce(&topic, &[], &small).await.expect(200);
}
