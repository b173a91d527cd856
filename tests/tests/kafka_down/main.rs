//! What clients see while Kafka is away, and that sessions go on when it is back.
//!
//! ```text
//! killed.rs   no process listens
//! frozen.rs   the process stands still: connections stay open, nothing is answered
//! network.rs  between node and broker connections break, stall, or lose what is sent
//! ```
//! Each test has a Kafka of its own to hurt, which keeps its data.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod frozen;
mod killed;
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Answer, Client, Kafka, Node, Reply, eventually, unique};
use tokio::time::Instant;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(90);

/// How much later than its deadline an answer may come: a busy machine, not a wait.
const LATE: Duration = Duration::from_secs(4);

/// Makes a topic of one partition with this many records.
async fn topic(kafka: &Kafka, records: u64) -> String {
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.expect("Kafka answers");
    kafka
        .fill(&topic, records, 10)
        .await
        .expect("Kafka answers");
    topic
}

/// Writes further records to a Kafka that was away; a producer of before may not know the topic
/// any more, nor does a new one while the broker is not yet its leader again.
async fn fill_anew(kafka: &Kafka, topic: &str, records: u64) {
    let back = Kafka::connect(kafka.bootstrap()).await;
    let back = back.expect("Kafka is back");
    eventually(DEADLINE, "the topic has a leader", async || {
        back.end_offsets(topic).await
    })
    .await;
    let filled = back.fill(topic, records, 10).await;
    filled.expect("Kafka takes records");
}

/// A client that polls with the cursor of the last answer that it has.
struct Reader {
    client: Client,
    id: String,
    topic: String,
    after: Option<String>,
    generations: Vec<Value>,
    /// How often each offset has come.
    seen: BTreeMap<i64, u32>,
}

impl Reader {
    /// Subscribes a new session in a group of its own.
    async fn subscribe(node: &Node, group: &str, topic: &str) -> Self {
        let client = node.client();
        // It must not expire while a broker takes its time to come back.
        let body = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest",
                          "session_timeout_ms": 600_000});
        let subscribed = client.subscribe(body).await.expect(200);
        Self {
            client,
            id: subscribed.text_at("consumer_id").to_owned(),
            topic: topic.to_owned(),
            after: None,
            generations: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    async fn poll(&self, timeout_ms: u64) -> Reply {
        let mut body = json!({"timeout_ms": timeout_ms, "max_records": 5});
        if let Some(after) = &self.after {
            body["after"] = json!(after);
        }
        self.client.consume(&self.id, body).await
    }

    /// Takes note of an answer with records.
    fn take(&mut self, answer: &Answer) {
        for record in answer.records() {
            let offset = record["offset"].as_i64().expect("an offset is a number");
            let last = self.seen.last_key_value().map_or(-1, |(last, _)| *last);
            assert!(offset <= last + 1, "{offset} came after {last}");
            *self.seen.entry(offset).or_default() += 1;
        }
        self.after = Some(answer.text_at("cursor").to_owned());
        if self.generations.last() != Some(&answer["generation"]) {
            self.generations.push(answer["generation"].clone());
        }
    }

    /// Polls until this many records have been seen, whatever Kafka does meanwhile.
    async fn read_to(&mut self, count: usize) {
        let reading = async {
            while self.seen.len() < count {
                let reply = self.poll(2_000).await;
                match reply.status() {
                    Some(200) => self.take(&reply.answer()),
                    Some(503) => drop(reply.expect_problem(503, "kafka_unavailable")),
                    _ => drop(reply.expect(200)),
                }
            }
        };
        let read = tokio::time::timeout(DEADLINE, reading).await;
        assert!(read.is_ok(), "{} of {count} records", self.seen.len());
    }

    /// Polls until no broker can be reached: what has been fetched comes before that, and what a
    /// silent connection hides is noticed when its requests have run out of time, 10 s.
    async fn poll_until_unavailable(&mut self, timeout_ms: u64) -> Answer {
        let polling = async {
            loop {
                let begun = Instant::now();
                let reply = self.poll(timeout_ms).await;
                let took = begun.elapsed();
                // A poll may take 5 s longer than its wait.
                let most = Duration::from_millis(timeout_ms + 5_000) + LATE;
                assert!(took < most, "{took:?}");
                match reply.status() {
                    Some(200) => self.take(&reply.answer()),
                    _ => return reply.expect_problem(503, "kafka_unavailable"),
                }
            }
        };
        let unavailable = tokio::time::timeout(DEADLINE, polling).await;
        unavailable.expect("a poll that reaches no broker says so")
    }

    /// Each record has come, and once as long as the partition stayed the session's own.
    #[track_caller]
    fn check(&self, count: usize) {
        assert_eq!(self.seen.len(), count);
        if self.generations.len() == 1 {
            let twice: Vec<_> = self.seen.iter().filter(|(_, times)| **times > 1).collect();
            assert!(twice.is_empty(), "{twice:?}");
        }
    }

    /// Commits an offset within this many milliseconds.
    async fn commit(&self, offset: i64, timeout_ms: u64) -> Reply {
        let body = json!({"offsets": {&self.topic: {"0": offset}}});
        self.within(timeout_ms, "/commit", body).await
    }

    /// Seeks an offset, a word or a time within this many milliseconds.
    async fn seek(&self, offset: Value, timeout_ms: u64) -> Reply {
        let body = json!({"topic": self.topic, "partition": 0, "offset": offset});
        self.within(timeout_ms, "/seek", body).await
    }

    async fn within(&self, timeout_ms: u64, verb: &str, body: Value) -> Reply {
        let path = format!("/api/consumers/{}{verb}", self.id);
        send_within(&self.client, &path, body, timeout_ms).await
    }

    async fn position(&self) -> Value {
        let position = self.client.position(&self.id).await.expect(200);
        position["offsets"][&self.topic]["0"].clone()
    }
}

/// Posts with a deadline.
async fn send_within(client: &Client, path: &str, body: Value, timeout_ms: u64) -> Reply {
    let request = client
        .request(Method::POST, path)
        .header("x-request-timeout-ms", timeout_ms)
        .json(&body);
    client.send(request).await
}

/// A 503 says after how many seconds a retry is worth it.
#[track_caller]
fn assert_waits(answer: &Answer) {
    let seconds = answer.header("retry-after").map(str::parse::<u64>);
    assert!(matches!(seconds, Some(Ok(1..=60))), "{seconds:?}");
}

/// Returns what `/readyz` says of Kafka; Kafka's absence alone never makes a node unready.
async fn readiness(client: &Client) -> String {
    let ready = client.call(Method::GET, "/readyz", ()).await.expect(200);
    assert_eq!(ready["status"], "ready");
    ready.text_at("kafka").to_owned()
}
