//! Avro with a real schema registry: what is written over HTTP as native clients find it, what
//! they write as sessions read it, and a registry that is not there.
//!
//! ```text
//! writing.rs      JSON becomes Avro: types, schemas by subject and id, what does not fit
//! reading.rs      Avro becomes JSON: framed by whomever, and what is no Avro
//! unavailable.rs  a registry that is down, frozen, or comes back
//! asking.rs       what a node shows the registry, and how often it asks
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod asking;
mod reading;
mod unavailable;
mod writing;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::kafka::Read;
use sluice_tests::{Answer, Client, Kafka, Node, NodeBuilder, Reply, SchemaRegistry, unique};
use tokio::sync::OnceCell;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a node is told where its registry is.
const URL: &str = "SLUICE_SCHEMA_REGISTRY__URL";

/// The node of the tests that need nothing special.
async fn node() -> &'static Node {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let start = async || {
        let registry = SchemaRegistry::shared().await;
        let node = node_of(&registry.url()).await;
        node.env("SLUICE_SCHEMA_REGISTRY__LATEST_TTL", "1s")
            .start()
            .await
    };
    NODE.get_or_init(start).await
}

/// A node that asks the registry at this address.
async fn node_of(url: &str) -> NodeBuilder {
    Node::builder().kafka(Kafka::shared().await).env(URL, url)
}

/// A topic of one test's own.
struct Topic {
    kafka: &'static Kafka,
    registry: &'static SchemaRegistry,
    client: Client,
    name: String,
}

impl Topic {
    /// A new one, with a client of the shared node.
    async fn create() -> Self {
        Self::of(node().await.client()).await
    }

    /// A new one of one partition, for this client.
    async fn of(client: Client) -> Self {
        let (kafka, name) = (Kafka::shared().await, unique("orders"));
        kafka.create_topic(&name, 1).await.unwrap();
        Self {
            kafka,
            registry: SchemaRegistry::shared().await,
            client,
            name,
        }
    }

    /// Registers the schema of the topic's values under the name that nobody has to say.
    async fn values_are(&self, schema: &Value) -> u32 {
        let subject = format!("{}-value", self.name);
        self.registry.register(&subject, schema).await
    }

    /// Writes records whose values are Avro; `query` adds to that.
    async fn write(&self, query: &str, records: &Value) -> Reply {
        self.post(&format!("?value.format=avro{query}"), records)
            .await
    }

    async fn post(&self, query: &str, records: &Value) -> Reply {
        let path = format!("/api/topics/{}/produce{query}", self.name);
        let body = json!({ "records": records });
        self.client.call(Method::POST, &path, body).await
    }

    /// Subscribes a session whose values are Avro; `options` replace or add to that.
    async fn subscribe(&self, options: Value) -> Session {
        let mut body = json!({
            "group_id": unique("group"),
            "topics": [self.name],
            "auto_offset_reset": "earliest",
            "value_format": "avro",
        });
        for (name, value) in options.as_object().unwrap() {
            body[name] = value.clone();
        }
        let subscribed = self.client.subscribe(body).await.expect(200);
        Session {
            client: self.client.clone(),
            id: subscribed.text_at("consumer_id").to_owned(),
        }
    }

    /// All that the topic holds, as a native consumer reads it.
    async fn native(&self) -> Vec<Read> {
        self.kafka.read_all(&self.name).await.unwrap()
    }
}

struct Session {
    client: Client,
    id: String,
}

impl Session {
    async fn poll(&self, body: Value) -> Reply {
        self.client.consume(&self.id, body).await
    }

    /// Polls until so many records have come.
    async fn read(&self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        while records.len() < count {
            let polled = self.poll(json!({"timeout_ms": 20_000})).await.expect(200);
            assert!(!polled.records().is_empty(), "{} of {count}", records.len());
            records.extend_from_slice(polled.records());
        }
        assert_eq!(records.len(), count);
        records
    }

    /// The values of the next records.
    async fn values(&self, count: usize) -> Vec<Value> {
        let records = self.read(count).await;
        records
            .iter()
            .map(|record| record["value"].clone())
            .collect()
    }
}

/// The code of each entry of an answer; none of a record that was written.
#[track_caller]
fn codes(answer: &Answer) -> Vec<Option<&str>> {
    let entries = answer["offsets"].as_array().expect("offsets is a list");
    let code = |entry: &'_ Value| match entry["offset"].is_i64() {
        true => None,
        false => Some(()),
    };
    let coded = |entry| code(entry).and_then(|()| entry["error"]["code"].as_str());
    entries.iter().map(coded).collect()
}

/// Avro data behind the frame of its schema.
fn framed(id: u32, data: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], data].concat()
}

/// A record with one text in it; its data is a length and the text.
fn note() -> Value {
    json!({"type": "record", "name": "Note", "fields": [{"name": "text", "type": "string"}]})
}

/// The data of a note.
fn note_data(text: &str) -> Vec<u8> {
    assert!(text.len() < 64);
    [&[u8::try_from(text.len() * 2).unwrap()], text.as_bytes()].concat()
}

/// A node's metric.
async fn metric(node: &Node, name: &str) -> f64 {
    let metrics = node.admin().call(Method::GET, "/metrics", ()).await;
    let text = metrics.expect(200).text;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("there is no {name}"))
        .trim()
        .parse()
        .unwrap()
}
