//! How sessions end, and what is seen of them while they live.

mod delete;
mod describe;
mod expiry;

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{Kafka, Node, unique};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// The names of a test that has a topic of its own on the shared Kafka and node.
struct Names {
    kafka: &'static Kafka,
    node: &'static Node,
    topic: String,
    group: String,
    id: String,
}

impl Names {
    async fn new(partitions: i32) -> Self {
        let (kafka, node) = (Kafka::shared().await, Node::shared().await);
        let topic = unique("orders");
        kafka
            .create_topic(&topic, partitions)
            .await
            .expect("a topic");
        Self {
            kafka,
            node,
            topic,
            group: unique("group"),
            id: unique("consumer"),
        }
    }

    /// What the session with the id subscribes with.
    fn spec(&self) -> Value {
        let mut spec = self.nameless_spec();
        spec["consumer_id"] = json!(self.id);
        spec
    }

    /// What another session of the group subscribes with.
    fn nameless_spec(&self) -> Value {
        json!({
            "group_id": self.group,
            "topics": [self.topic],
            "auto_offset_reset": "earliest",
        })
    }

    async fn member_count(&self) -> usize {
        self.kafka
            .members(&self.group)
            .await
            .expect("members")
            .len()
    }
}
