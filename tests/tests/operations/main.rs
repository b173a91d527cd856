//! What operators see and set: probes, metrics, the description of the API, logs, configuration,
//! and the node for trying things out.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod config;
mod description;
mod dev;
mod logs;
mod metrics;
mod probes;
mod walk;

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{Client, Kafka, Node, unique};
use tokio::sync::OnceCell;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the node of the tests that only look.
async fn node() -> &'static Node {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let start = async || Node::builder().kafka(Kafka::shared().await).start().await;
    NODE.get_or_init(start).await
}

/// Makes a topic of one partition with this many records.
async fn topic(records: u64) -> String {
    let (kafka, topic) = (Kafka::shared().await, unique("orders"));
    kafka.create_topic(&topic, 1).await.expect("Kafka answers");
    kafka
        .fill(&topic, records, 10)
        .await
        .expect("Kafka answers");
    topic
}

/// Makes a session that reads a topic from its start.
async fn subscribe(client: &Client, group: &str, topic: &str) -> String {
    let body = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
    let subscribed = client.subscribe(body).await.expect(200);
    subscribed.text_at("consumer_id").to_owned()
}

/// Returns the lines of a log that are objects.
fn lines(node: &Node) -> Vec<Value> {
    let mut lines = node.log_lines();
    lines.retain(Value::is_object);
    lines
}
