//! Writing through the HTTP API, and what native clients find in Kafka afterwards.
//!
//! ```text
//! formats.rs   what becomes of keys, values, headers
//! records.rs   order, places, times, what one wrong record does to the others
//! codecs.rs    compression, as the broker has it on disk
//! refused.rs   what Kafka refuses, and whom it tells so
//! requests.rs  what is wrong with a request by itself
//! limits.rs    how much a node takes on
//! faults.rs    brokers and nodes that go away while records are on their way
//! status.rs    requests that are answered before Kafka has acknowledged
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod codecs;
mod faults;
mod formats;
mod limits;
mod records;
mod refused;
mod requests;
mod status;

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sluice_tests::kafka::Read;
use sluice_tests::{Answer, Client, Kafka, Node, Reply, unique};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A new topic.
async fn topic(kafka: &Kafka, partitions: i32) -> String {
    let topic = unique("orders");
    // Records stay, whatever time they bear.
    let settings = [("retention.ms", "-1")];
    let made = kafka.create_topic_with(&topic, partitions, &settings).await;
    made.unwrap();
    topic
}

/// A new topic of the shared Kafka, and a client of the shared node.
async fn shared(partitions: i32) -> (&'static Kafka, Client, String) {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    (kafka, node.client(), topic(kafka, partitions).await)
}

/// Sends a body as it is.
async fn post(client: &Client, topic: &str, query: &str, body: impl Into<Vec<u8>>) -> Reply {
    let path = format!("/api/topics/{topic}/produce{query}");
    let request = client
        .request(Method::POST, &path)
        .header("content-type", "application/json")
        .body(body.into());
    client.send(request).await
}

/// The entries of an answer, one a record.
#[track_caller]
fn entries(answer: &Answer) -> &[Value] {
    answer["offsets"].as_array().expect("offsets is a list")
}

/// The codes of the entries: none for a record that was written.
#[track_caller]
fn codes(answer: &Answer) -> Vec<Option<&str>> {
    let code = |entry: &Value| match entry["offset"].as_i64() {
        Some(_) => None,
        None => {
            let detail = entry["error"]["detail"].as_str().unwrap_or_default();
            assert!(detail.ends_with('.'), "{entry}");
            assert!(entry["error"]["code"].is_string(), "{entry}");
            Some(())
        }
    };
    let all = entries(answer).iter();
    all.map(|entry| code(entry).and_then(|()| entry["error"]["code"].as_str()))
        .collect()
}

/// All that a topic holds, by partition and offset.
async fn read(kafka: &Kafka, topic: &str) -> Vec<Read> {
    kafka.read_all(topic).await.unwrap()
}
