//! A broker in this process, for trying things out: librdkafka's mock cluster.
//!
//! It keeps everything in memory, does not know every request, and aborts the process on some that
//! it does not know: sessions refuse those when [`Config::embedded_broker`](crate::Config) says
//! where they are. It is no Apache Kafka, and nothing may be concluded about Kafka from it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use crate::Error;

/// The topics that are there from the start, with their partitions.
const TOPICS: [(&str, i32); 2] = [("orders", 3), ("events", 2)];
/// How many records each topic has at the start.
const FIRST_BATCH: u64 = 50;
/// How often a record comes afterwards, to each topic in turn.
const EVERY: Duration = Duration::from_millis(500);
/// How long the first batch may take to be written.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// A broker that runs as long as this lives, and is fed with sample records.
///
/// Dropping it ends the broker, which blocks for a moment.
#[derive(Debug)]
pub struct EmbeddedBroker {
    bootstrap_servers: String,
    /// Dropped, it ends the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts the broker with the topics `orders` and `events`, a first batch of records in each,
    /// and a trickle of two records a second. Blocks for a moment.
    ///
    /// # Errors
    /// [`Error::Internal`] if the broker does not start.
    pub fn start() -> Result<Self, Error> {
        let (started, start) = mpsc::sync_channel(1);
        let (stop, stopped) = mpsc::sync_channel(0);
        // The cluster may not change threads.
        let thread = thread::Builder::new()
            .name("sluice-broker".to_owned())
            .spawn(move || run(&started, &stopped))
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        let bootstrap_servers = start.recv().unwrap_or_else(|_| {
            let reason = "the embedded broker ended while it started";
            Err(Error::Internal(reason.to_owned()))
        })?;
        Ok(Self {
            bootstrap_servers,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `host:port` of the broker, on this machine only.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The topics that are there from the start, with their partitions.
    pub fn topics(&self) -> &'static [(&'static str, i32)] {
        &TOPICS
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been told.
            let _ = thread.join();
        }
    }
}

fn run(started: &SyncSender<Result<String, Error>>, stopped: &Receiver<()>) {
    match start() {
        Ok((cluster, producer)) => {
            // Whoever started this waits for it.
            let _ = started.send(Ok(cluster.bootstrap_servers()));
            trickle(&producer, stopped);
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

fn start() -> Result<(MockCluster<'static, DefaultProducerContext>, BaseProducer), Error> {
    let failed = |error| Error::Internal(format!("the embedded broker does not start: {error}"));
    let cluster = MockCluster::new(1).map_err(failed)?;
    for (topic, partitions) in TOPICS {
        cluster.create_topic(topic, partitions, 1).map_err(failed)?;
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("client.id", "sluice-samples")
        .set("allow.auto.create.topics", "false")
        .create()
        .map_err(failed)?;
    for number in 0..FIRST_BATCH {
        for (topic, _) in TOPICS {
            produce(&producer, topic, number);
        }
    }
    producer.flush(FIRST_WITHIN).map_err(failed)?;
    Ok((cluster, producer))
}

/// Writes records until it is told to stop.
fn trickle(producer: &BaseProducer, stopped: &Receiver<()>) {
    let mut turns = TOPICS.iter().cycle();
    let mut number = FIRST_BATCH * TOPICS.len() as u64;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
        if let Some((topic, _)) = turns.next() {
            produce(producer, topic, number / TOPICS.len() as u64);
            number += 1;
        }
    }
}

fn produce(producer: &BaseProducer, topic: &str, number: u64) {
    let sample = sample(topic, number);
    let mut record = BaseRecord::to(topic)
        .payload(&sample.value)
        .headers(sample.headers);
    if let Some(key) = &sample.key {
        record = record.key(key);
    }
    if let Err((error, _)) = producer.send(record) {
        tracing::debug!(%error, topic, "a sample record was not written");
    }
    producer.poll(Duration::ZERO);
}

/// A record as it could stand in a real topic.
struct Sample {
    key: Option<String>,
    value: String,
    headers: OwnedHeaders,
}

/// The same number gives the same record.
fn sample(topic: &str, number: u64) -> Sample {
    let header = |key, value| Header { key, value };
    let correlation = format!("req-{number:06}");
    match topic {
        "orders" => {
            let id = format!("order-{}", 1000 + number);
            let (item, cents) = pick(&ITEMS, number);
            let quantity = 1 + number % 4;
            let value = serde_json::json!({
                "order_id": id,
                "customer_id": format!("customer-{}", 1 + number * 7 % 40),
                "items": [{"sku": item, "quantity": quantity, "price_cents": cents}],
                "total_cents": cents * quantity,
                "currency": "EUR",
                "status": pick(&["created", "paid", "shipped"], number / 3),
            });
            Sample {
                key: Some(id),
                value: value.to_string(),
                headers: OwnedHeaders::new()
                    .insert(header("correlation_id", Some(&correlation)))
                    .insert(header("source", Some(&"web-shop".to_owned()))),
            }
        }
        _ => {
            let user = 1 + number * 11 % 25;
            let value = serde_json::json!({
                "event": pick(&["page_view", "add_to_cart", "login", "search"], number),
                "user_id": format!("user-{user}"),
                "path": pick(&["/", "/products", "/cart", "/account"], number / 2),
                "duration_ms": 20 + number * 37 % 400,
            });
            // Anonymous visitors have no key, and not every event has headers.
            let headers = match number % 3 {
                0 => OwnedHeaders::new().insert(header("correlation_id", Some(&correlation))),
                _ => OwnedHeaders::new(),
            };
            Sample {
                key: (!number.is_multiple_of(4)).then(|| format!("user-{user}")),
                value: value.to_string(),
                headers,
            }
        }
    }
}

const ITEMS: [(&str, u64); 4] = [
    ("espresso-beans-1kg", 1890),
    ("milk-frother", 3450),
    ("paper-filters-100", 420),
    ("travel-mug", 2200),
];

fn pick<T: Copy>(from: &[T], number: u64) -> T {
    from[(number % from.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use rdkafka::TopicPartitionList;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::{Headers, Message};

    use super::*;

    #[test]
    fn samples_are_json_with_keys_and_headers_on_some() {
        for (topic, _) in TOPICS {
            let samples: Vec<Sample> = (0..24).map(|number| sample(topic, number)).collect();
            for sample in &samples {
                let value: serde_json::Value = serde_json::from_str(&sample.value).unwrap();
                assert!(value.is_object(), "{value}");
            }
            assert!(samples.iter().any(|sample| sample.key.is_some()));
            assert!(samples.iter().any(|sample| sample.headers.count() > 0));
        }
        let again = |number| (sample("orders", number).key, sample("orders", number).value);
        assert_eq!(again(3), again(3));
        assert_ne!(again(3), again(4));
    }

    #[test]
    fn a_broker_starts_with_records_goes_on_and_ends() {
        let broker = EmbeddedBroker::start().unwrap();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .set("group.id", "test")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for (topic, count) in broker.topics() {
            for partition in 0..*count {
                let beginning = rdkafka::Offset::Beginning;
                partitions
                    .add_partition_offset(topic, partition, beginning)
                    .unwrap();
            }
        }
        consumer.assign(&partitions).unwrap();
        let trickled = FIRST_BATCH as usize * TOPICS.len() + 2;
        let mut seen = 0;
        while seen < trickled {
            let record = consumer
                .poll(Duration::from_secs(10))
                .expect("a record in time");
            assert!(record.unwrap().payload().is_some());
            seen += 1;
        }
        // A handle takes long to close once its broker is gone.
        drop(consumer);
        drop(broker);
    }
}
