//! What the node tells this crate.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::SchemaRegistryConfig;

/// How sessions reach Kafka, and how many there may be.
#[derive(Clone, Debug)]
pub struct Config {
    /// `bootstrap.servers`: `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// librdkafka properties for every client; they win over Sluice's own choices.
    pub properties: BTreeMap<String, String>,
    /// librdkafka properties for consumers; they win over `properties`.
    pub consumer_properties: BTreeMap<String, String>,
    /// Most sessions of this node.
    pub max_sessions: usize,
    /// Most bytes of answers on their way; polls beyond it get smaller answers.
    pub inflight_answer_bytes: u64,
    /// Threads on which sessions live.
    pub arbiters: usize,
    /// How long closing a handle may take before it is given up.
    pub close_timeout: Duration,
    /// Groups that get metric series of their own; further ones are counted together.
    pub max_metric_groups: usize,
    /// Where the schemas of Avro are; without it there is no Avro.
    pub schema_registry: Option<SchemaRegistryConfig>,
    /// Whether the broker is the embedded one, which cannot do everything.
    pub embedded_broker: bool,
}
