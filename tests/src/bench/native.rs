//! A bare librdkafka consumer: what a client would use that needs no proxy.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, ClientContext};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, interval};

use super::cost::Cost;

/// Where Sluice keeps the properties of its handles. Read from there, so that the native side
/// has exactly what the node beside it has.
const SOURCE: &str = include_str!("../../../actors/src/kafka/client_config.rs");

/// How long one look for a record may take; there are records, so it ends earlier.
const LOOK: Duration = Duration::from_millis(100);

/// How many looks in vain, a minute long, say that no record will come.
const PATIENCE: u32 = 600;

/// How often consumers that nobody reads are looked after, as Sluice does with its own.
const TICK: Duration = Duration::from_secs(1);

/// With which properties a native consumer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settings {
    /// librdkafka's own, as most programs have them: large queues.
    Default,
    /// Those of Sluice's handles: small queues, so that many fit into one process.
    Tuned,
}

impl Settings {
    /// Returns the properties of a consumer that reads from the beginning.
    pub fn config(self, bootstrap: &str, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        if self == Self::Tuned {
            for (key, value) in tuned() {
                config.set(key, value);
            }
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        // Sluice finds out by itself where a partition starts; a bare consumer must be told.
        config
            .set("auto.offset.reset", "earliest")
            .set("bootstrap.servers", bootstrap)
            .set("group.id", group);
        config
    }
}

/// Returns key and value of each property that Sluice sets.
fn tuned() -> Vec<(&'static str, &'static str)> {
    let (_, rest) = SOURCE
        .split_once("const TUNED")
        .expect("the properties have a name");
    let (list, _) = rest.split_once("];").expect("the list has an end");
    let code = list.lines().map(str::trim);
    let code = code.filter(|line| !line.starts_with("//"));
    let texts: Vec<&str> = code
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect();
    texts
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

/// Reading a topic to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DrainTask {
    /// Where Kafka is.
    pub bootstrap: String,
    /// What to read.
    pub topic: String,
    /// As a member of which group.
    pub group: String,
    /// With which properties.
    pub settings: Settings,
    /// How many records there are.
    pub records: u64,
}

/// What came of reading a topic to its end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Drained {
    /// From the arrival of the first records to that of the last ones.
    pub seconds: f64,
    /// Processor time of the process in that while.
    pub cpu_seconds: f64,
    /// Records that came in that while: all but the first ones.
    pub records: u64,
    /// Bytes of the keys and values of all records.
    pub bytes: u64,
}

/// Keeping consumers without reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldTask {
    /// Where Kafka is.
    pub bootstrap: String,
    /// What to subscribe to.
    pub topic: String,
    /// How many consumers, each in a group of its own.
    pub consumers: usize,
    /// With which properties.
    pub settings: Settings,
}

/// All consumers of a [`HoldTask`] have their partitions.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Joined {
    /// How long that took.
    pub seconds: f64,
}

/// Remembers when the group gave it partitions.
#[derive(Debug, Default)]
pub struct Assigned(OnceLock<Instant>);

impl Assigned {
    /// Returns since when the consumer has partitions, as far as it has been polled.
    pub fn since(&self) -> Option<Instant> {
        self.0.get().copied()
    }
}

impl ClientContext for Assigned {}

impl ConsumerContext for Assigned {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.0.get_or_init(Instant::now);
        }
    }
}

/// Makes a consumer and joins its group, which goes on while it is polled.
///
/// # Panics
/// When librdkafka refuses.
pub fn subscribed(config: &ClientConfig, topic: &str) -> BaseConsumer<Assigned> {
    let consumer: BaseConsumer<Assigned> = config
        .create_with_context(Assigned::default())
        .expect("a consumer needs nothing but its settings");
    let asked = consumer.subscribe(&[topic]);
    asked.expect("a topic can be subscribed to");
    consumer
}

/// Waits for the next record. A look may end early, when there was an event of another kind.
///
/// # Panics
/// When none comes for a minute.
pub fn next(consumer: &BaseConsumer<Assigned>) -> BorrowedMessage<'_> {
    let records = (0..PATIENCE).find_map(|_| consumer.poll(LOOK)?.ok());
    records.expect("a record comes within a minute")
}

/// Reads records one at a time, as an application does, until it has all of them.
pub(super) fn drain(task: &DrainTask) -> Drained {
    let config = task.settings.config(&task.bootstrap, &task.group);
    let consumer = subscribed(&config, &task.topic);
    let this = std::process::id();
    let mut first = None;
    let (mut records, mut bytes) = (0, 0);
    while records < task.records {
        let message = next(&consumer);
        first.get_or_insert_with(|| (Instant::now(), Cost::of(this)));
        records += 1;
        bytes += (message.key_len() + message.payload_len()) as u64;
    }
    let (began, cost) = first.expect("there are records");
    Drained {
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: (Cost::of(this) - cost).seconds(),
        records: records - 1,
        bytes,
    }
}

/// Keeps consumers until standard input ends, looking after each once a second.
pub(super) async fn hold(task: &HoldTask, tell: impl Fn(&Joined)) {
    let began = Instant::now();
    let consumers: Vec<BaseConsumer<Assigned>> = (0..task.consumers)
        .map(|_| {
            let group = crate::unique("native");
            subscribed(&task.settings.config(&task.bootstrap, &group), &task.topic)
        })
        .collect();
    let mut ticks = interval(TICK);
    let mut joining = true;
    let mut stdin = tokio::io::stdin();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stdin.read_u8() => return,
        }
        for consumer in &consumers {
            // There is nothing to read; what comes are events, which polling handles.
            let _ = consumer.poll(Duration::ZERO);
        }
        let ready = |consumer: &BaseConsumer<Assigned>| consumer.context().since().is_some();
        if joining && consumers.iter().all(ready) {
            joining = false;
            tell(&Joined {
                seconds: began.elapsed().as_secs_f64(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sluices_properties_are_found_and_librdkafka_takes_them() {
        let config = Settings::Tuned.config("127.0.0.1:9", "g");
        assert!(tuned().len() > 15, "{:?}", tuned());
        assert!(config.get("queued.max.messages.kbytes").is_some());
        assert_eq!(config.get("auto.offset.reset"), Some("earliest"));
        let _: BaseConsumer = config.create().unwrap();
    }
}
