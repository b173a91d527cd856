//! How producers reach Kafka.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::record::Compression;
use crate::Config;

/// How producers reach Kafka, and how much they take on.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// librdkafka properties for producers; they win over those for every client.
    pub properties: BTreeMap<String, String>,
    /// Most bytes of bodies and of records that Kafka has not acknowledged.
    pub buffer_bytes: u64,
    /// Most bytes of a record: key, value and headers.
    pub record_bytes: usize,
}

/// Where numbers differ from librdkafka's defaults, the reason stands beside them.
const TUNED: &[(&str, &str)] = &[
    ("client.id", "sluice"),
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Requests wait for their acknowledgement: no record waits for company.
    ("linger.ms", "0"),
    // A little less than a request has, so that a record that was never sent is known not to
    // have been.
    ("delivery.timeout.ms", "28000"),
    // What Java's producers do: the same key goes to the same partition from wherever.
    ("partitioner", "murmur2_random"),
    ("topic.metadata.refresh.interval.ms", "10000"),
    // How long a topic that was deleted may seem to be one that is just being made.
    ("topic.metadata.propagation.max.ms", "1500"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.timeout.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
    ("enable.metrics.push", "false"),
    // How much batches shrink, which only librdkafka knows.
    ("statistics.interval.ms", "10000"),
];

/// Names of the same property: librdkafka takes either, and of both the one that comes last.
const ALIASES: [(&str, &str); 3] = [
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("retries", "message.send.max.retries"),
];

/// What makes of a producer one that sends every record in a batch of its own, and at once. Sent
/// once only, none can be written twice: an idempotent producer would stand still for a new epoch
/// after each that is refused.
const ALONE: &[(&str, &str)] = &[
    ("batch.num.messages", "1"),
    ("linger.ms", "0"),
    ("enable.idempotence", "false"),
    ("message.send.max.retries", "0"),
];

/// What a record's framing may add to its bytes.
const FRAMING: usize = 1024;
/// librdkafka's own bounds of these properties.
const MAX_MESSAGE_BYTES: usize = 1_000_000_000;
const MAX_QUEUE_KBYTES: u64 = 2_147_483_647;
const MAX_QUEUE_MESSAGES: u64 = 2_147_483_647;

impl ProducerConfig {
    /// The properties of one codec's producer.
    pub(super) fn client(&self, config: &Config, compression: Compression) -> ClientConfig {
        let mut client = ClientConfig::new();
        for (key, value) in TUNED {
            client.set(*key, *value);
        }
        // The node's budget is what is full first: a request is refused whole, before any of it
        // has been sent.
        let kbytes = (self.buffer_bytes / 1024 + 1).min(MAX_QUEUE_KBYTES);
        let messages = (self.buffer_bytes / 512 + 1).min(MAX_QUEUE_MESSAGES);
        let largest = (self.record_bytes + FRAMING).min(MAX_MESSAGE_BYTES);
        client
            .set("queue.buffering.max.kbytes", kbytes.to_string())
            .set("queue.buffering.max.messages", messages.to_string())
            .set("message.max.bytes", largest.to_string())
            .set("bootstrap.servers", &config.bootstrap_servers);
        for (key, value) in config.properties.iter().chain(&self.properties) {
            if let Some((_, ours)) = ALIASES.iter().find(|(alias, _)| alias == key) {
                client.remove(ours);
            }
            client.set(key, value);
        }
        client.set("compression.codec", compression.as_str());
        client
    }
}

/// The properties of a producer that sends alone what the one with these has sent together.
pub(super) fn alone(together: &ClientConfig) -> ClientConfig {
    let mut client = together.clone();
    for (alias, _) in ALIASES.iter().filter(|(_, key)| sets(ALONE, key)) {
        client.remove(alias);
    }
    for (key, value) in ALONE {
        client.set(*key, *value);
    }
    client
}

fn sets(properties: &[(&str, &str)], key: &str) -> bool {
    properties.iter().any(|(set, _)| *set == key)
}
