//! A topic of one test's own, and sessions that read it.

use serde_json::{Value, json};

use crate::kafka::Record;
use crate::{Client, Kafka, Node, Session, unique};

/// A new topic at the shared Kafka, with a client of the shared node.
#[derive(Debug)]
pub struct Topic {
    kafka: &'static Kafka,
    client: Client,
    name: String,
}

impl Topic {
    /// Makes a topic.
    ///
    /// # Panics
    /// When Kafka refuses, or the shared node cannot be started.
    pub async fn create(partitions: i32) -> Self {
        Self::create_with(partitions, &[]).await
    }

    /// As [`create`](Self::create), with topic settings. Records stay, whatever time they bear.
    ///
    /// # Panics
    /// When Kafka refuses, or the shared node cannot be started.
    pub async fn create_with(partitions: i32, settings: &[(&str, &str)]) -> Self {
        Self::create_at(Node::shared().await, partitions, settings).await
    }

    /// As [`create_with`](Self::create_with), for a node of the test's own, which has the shared
    /// Kafka.
    ///
    /// # Panics
    /// When Kafka refuses.
    pub async fn create_at(node: &Node, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let kafka = Kafka::shared().await;
        let name = unique("topic");
        let settings = [&[("retention.ms", "-1")], settings].concat();
        let created = kafka.create_topic_with(&name, partitions, &settings).await;
        created.expect("the name is new");
        Self {
            kafka,
            client: node.client(),
            name,
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the Kafka that has it.
    pub fn kafka(&self) -> &'static Kafka {
        self.kafka
    }

    /// Returns a client of its node.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes records and returns where they are.
    ///
    /// # Panics
    /// When Kafka refuses.
    pub async fn produce(&self, records: impl IntoIterator<Item = Record>) -> Vec<(i32, i64)> {
        let written = self.kafka.produce(&self.name, records).await;
        written.expect("Kafka takes the records")
    }

    /// Writes `count` small records to a partition and returns their offsets.
    ///
    /// # Panics
    /// When Kafka refuses.
    pub async fn write(&self, partition: i32, count: usize) -> Vec<i64> {
        let record = |n| Record::value(format!("value {n}")).partition(partition);
        let written = self.produce((0..count).map(record)).await;
        written.into_iter().map(|(_, offset)| offset).collect()
    }

    /// Returns a subscribe of this topic for a new group from the beginning; members of `options`
    /// replace or add to that.
    ///
    /// # Panics
    /// When `options` is no object.
    #[track_caller]
    pub fn subscription(&self, options: &Value) -> Value {
        let mut body = json!({
            "group_id": unique("group"),
            "topics": [self.name],
            "auto_offset_reset": "earliest",
        });
        let options = options.as_object().expect("options are an object");
        for (name, value) in options {
            body[name] = value.clone();
        }
        body
    }

    /// Subscribes a session as [`subscription`](Self::subscription) says.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn subscribe(&self, options: Value) -> Session {
        let body = self.subscription(&options);
        let answer = self.client.subscribe(body).await.expect(200);
        Session::new(self.kafka, &self.client, answer, &self.name)
    }
}
