//! One session and what is known of it, by the API and by Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{Answer, Client, Kafka, Reply, eventually};

/// How long what a session is about to do may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A session of one topic. Made by [`Topic::subscribe`](crate::Topic::subscribe).
#[derive(Debug)]
pub struct Session {
    kafka: &'static Kafka,
    client: Client,
    /// The answer to its subscribe.
    pub subscribed: Answer,
    topic: String,
}

impl Session {
    pub(crate) fn new(
        kafka: &'static Kafka,
        client: &Client,
        subscribed: Answer,
        topic: &str,
    ) -> Self {
        Self {
            kafka,
            client: client.clone(),
            subscribed,
            topic: topic.to_owned(),
        }
    }

    /// Returns its id.
    pub fn id(&self) -> &str {
        self.subscribed.text_at("consumer_id")
    }

    /// Returns its group.
    pub fn group(&self) -> &str {
        self.subscribed.text_at("group_id")
    }

    /// Returns the path of its requests of this kind, as for [`raw`](crate::raw) ones.
    pub fn path(&self, kind: &str) -> String {
        format!("/api/consumers/{}/{kind}", self.id())
    }

    /// Polls and returns the answer.
    ///
    /// # Panics
    /// When the answer has another status than 200.
    pub async fn poll(&self, body: Value) -> Answer {
        self.consume(body).await.expect(200)
    }

    /// Polls.
    pub async fn consume(&self, body: Value) -> Reply {
        self.client.consume(self.id(), body).await
    }

    /// Polls without cursors until this many records have come, and returns them.
    ///
    /// # Panics
    /// When they do not come soon, or more come.
    pub async fn read(&self, count: usize) -> Vec<Value> {
        let mut read = Vec::new();
        eventually(SOON, "all records come", async || {
            let most = (count - read.len()).clamp(1, 10_000);
            let polled = self.poll(json!({"timeout_ms": 5_000, "max_records": most}));
            read.extend_from_slice(polled.await.records());
            let enough = read.len() >= count;
            enough
                .then_some(())
                .ok_or(format!("{} records", read.len()))
        })
        .await;
        read
    }

    /// Commits.
    pub async fn commit(&self, body: impl Serialize) -> Reply {
        self.client.commit(self.id(), body).await
    }

    /// Seeks.
    pub async fn seek(&self, body: impl Serialize) -> Reply {
        self.client.seek(self.id(), body).await
    }

    /// Deletes the session.
    ///
    /// # Panics
    /// When there is none.
    pub async fn delete(&self) {
        self.client.delete(self.id()).await.expect(204);
    }

    /// Returns the position in each partition of the topic, as the API tells it.
    ///
    /// # Panics
    /// When it does not.
    pub async fn positions(&self) -> BTreeMap<i32, i64> {
        let answer = self.client.position(self.id()).await.expect(200);
        offsets_of(&answer, &self.topic)
    }

    /// Returns what the group has committed in the topic, as Kafka tells it.
    ///
    /// # Panics
    /// When it does not.
    pub async fn committed(&self) -> BTreeMap<i32, i64> {
        let committed = self.kafka.committed(self.group(), &self.topic).await;
        committed.expect("Kafka answers")
    }

    /// Waits until Kafka tells of these commits.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn commits(&self, expected: impl IntoIterator<Item = (i32, i64)>) {
        let expected: BTreeMap<i32, i64> = expected.into_iter().collect();
        eventually(SOON, &format!("committed: {expected:?}"), async || {
            let committed = self.committed().await;
            (committed == expected).then_some(()).ok_or(committed)
        })
        .await;
    }

    /// Waits until no poll waits at the node and the last request is a moment ago: then
    /// [`awaits_records`](Self::awaits_records) tells the next poll from what was before.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn is_idle(&self) {
        self.is_idle_for(1).await;
    }

    /// Waits until no request has renewed the session for this long.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn is_idle_for(&self, milliseconds: i64) {
        eventually(SOON, "the session is idle", async || {
            self.idle_ms().await >= milliseconds
        })
        .await;
    }

    /// Waits until a poll waits at the node, which was [idle](Self::is_idle) before.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn awaits_records(&self) {
        eventually(SOON, "a poll waits", async || self.idle_ms().await == 0).await;
    }

    async fn idle_ms(&self) -> i64 {
        let described = self.client.get(self.id()).await.expect(200);
        described["idle_ms"]
            .as_i64()
            .expect("the session runs and tells how long it is idle")
    }

    /// Waits until the session has ended and its group has no members.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn is_gone(&self) {
        eventually(SOON, "the session is gone", async || {
            let gone = self.client.get(self.id()).await.status() == Some(404);
            let members = self.kafka.members(self.group()).await;
            gone && members.is_ok_and(|members| members.is_empty())
        })
        .await;
    }
}

/// Returns the member `offsets` of an answer for one topic; empty if the topic is not in it.
///
/// # Panics
/// When there is no such member.
#[track_caller]
pub fn offsets_of(answer: &Answer, topic: &str) -> BTreeMap<i32, i64> {
    let Some(topics) = answer["offsets"].as_object() else {
        panic!("there are no offsets in {:#}", answer.json);
    };
    let of_topic = topics.get(topic).and_then(Value::as_object);
    of_topic
        .into_iter()
        .flatten()
        .map(|(partition, offset)| {
            let partition = partition.parse().expect("partitions are numbers");
            (partition, offset.as_i64().expect("offsets are numbers"))
        })
        .collect()
}

/// Returns partition and offset of each record, in order.
///
/// # Panics
/// When one has none.
#[track_caller]
pub fn places(records: &[Value]) -> Vec<(i32, i64)> {
    let place = |record: &Value| {
        let partition = record["partition"].as_i64()?;
        Some((i32::try_from(partition).ok()?, record["offset"].as_i64()?))
    };
    records
        .iter()
        .map(|record| place(record).expect("a record has its place"))
        .collect()
}
