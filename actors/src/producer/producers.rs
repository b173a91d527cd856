//! The producers of a node.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Batch, Delivery};
use super::budget::Budget;
use super::coding::Coding;
use super::config::ProducerConfig;
use super::enqueue::{Enqueuing, Progress};
use super::live::{Live, Setting};
use super::metrics::ProducerMetrics;
use super::record::{Compression, Production};
use super::topics::Topics;
use crate::blocking::Blocking;
use crate::kafka::Cluster;
use crate::schema_registry::Schemas;
use crate::{Config, Deadline, Error, Sessions};

/// More bytes, or more records, than these are put into the queue on a thread that may take its
/// time.
const LARGE_BYTES: u64 = 256 * 1024;
const LARGE_RECORDS: usize = 500;

/// How long a producer may take to learn a topic's partitions.
const LEARN_WITHIN: Duration = Duration::from_secs(2);

/// The producers of a node, one a codec, each made when it is first used. Cheap to clone.
#[derive(Clone)]
pub struct Producers(Arc<Inner>);

struct Inner {
    kafka: Config,
    config: ProducerConfig,
    topics: Topics,
    schemas: Option<Schemas>,
    budget: Budget,
    blocking: Blocking,
    metrics: ProducerMetrics,
    slots: [Slot; Compression::ALL.len()],
}

/// The producer of one codec.
#[derive(Default)]
struct Slot {
    live: RwLock<Option<Arc<Live>>>,
    /// Held by the one who makes it.
    making: tokio::sync::Mutex<()>,
}

impl Producers {
    /// Producers for the Kafka of these sessions. None is made yet. Blocks for a moment when
    /// properties are configured, to see that librdkafka takes them together.
    ///
    /// # Errors
    /// [`Error::Internal`]: librdkafka refuses the properties, or a metric's name is taken.
    pub fn start(
        sessions: &Sessions,
        config: ProducerConfig,
        metrics: &prometheus::Registry,
    ) -> Result<Self, Error> {
        let env = sessions.environment();
        let (cluster, blocking) = (Arc::clone(&env.cluster), env.blocking.clone());
        let schemas = env.schemas.clone();
        Self::new(
            env.config.clone(),
            cluster,
            schemas,
            blocking,
            config,
            metrics,
        )
    }

    pub(super) fn new(
        kafka: Config,
        cluster: Arc<Cluster>,
        schemas: Option<Schemas>,
        blocking: Blocking,
        config: ProducerConfig,
        metrics: &prometheus::Registry,
    ) -> Result<Self, Error> {
        let metrics = ProducerMetrics::register(metrics)
            .map_err(|error| Error::Internal(error.to_string()))?;
        if !kafka.properties.is_empty() || !config.properties.is_empty() {
            let client = config.client(&kafka, Compression::None);
            let setting = Setting::of(&kafka, &metrics, &blocking);
            drop(Live::new(&client, setting)?);
        }
        Ok(Self(Arc::new(Inner {
            topics: Topics::new(cluster, blocking.clone()),
            schemas,
            budget: Budget::new(config.buffer_bytes, metrics.buffered_bytes.clone()),
            slots: Default::default(),
            kafka,
            config,
            blocking,
            metrics,
        })))
    }

    /// The bytes that requests may hold. Bodies are charged to it by who reads them.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Puts the records of a request into a producer's queue, in order. None is in it when this
    /// errs; those that cannot be written are told by the delivery.
    ///
    /// A dropped future leaves open how many got into the queue.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`], [`Error::QueueFull`] at once, [`Error::AccessDenied`],
    /// [`Error::KafkaUnavailable`] and [`Error::KafkaTimeout`] while it is not known whether
    /// there is such a topic. With Avro [`Error::SchemaRegistryNotConfigured`],
    /// [`Error::SchemaNotFound`] and [`Error::SchemaRegistryUnavailable`].
    pub async fn enqueue(
        &self,
        production: Production,
        deadline: Deadline,
    ) -> Result<Delivery, Error> {
        let inner = &*self.0;
        let schemas = inner.schemas.as_ref();
        if production.needs_schemas() && schemas.is_none() {
            return Err(Error::SchemaRegistryNotConfigured);
        }
        let mut charge = inner.budget.charge();
        let cost = production.cost();
        charge.grow(cost).map_err(|_| Error::QueueFull)?;
        let partitions = self.partitions(&production, deadline).await?;
        let [key, value] = Coding::of(&production, schemas, deadline).await?;
        let compression = production.compression;
        let live = self.live(compression).await?;
        let began = Instant::now();
        let batch = Batch::new(production.records.len(), partitions, charge);
        let (topics, topic) = (inner.topics.clone(), production.topic.clone());
        let is_large = cost > LARGE_BYTES || production.records.len() > LARGE_RECORDS;
        let mut enqueuing = Enqueuing {
            production,
            key,
            value,
            partitions,
            batch: Arc::clone(&batch),
            live,
            record_bytes: inner.config.record_bytes,
            metrics: inner.metrics.clone(),
            has_learnt: false,
            next: 0,
            sent: 0,
        };
        let mut has_replaced = false;
        loop {
            let progress = match is_large {
                false => enqueuing.run(),
                true => {
                    let run = inner.blocking.run(move || {
                        let progress = enqueuing.run();
                        (enqueuing, progress)
                    });
                    let (back, progress) = run.await?;
                    enqueuing = back;
                    progress
                }
            };
            match progress {
                Progress::Done => break,
                Progress::Unlearnt => {
                    let wait = LEARN_WITHIN.min(deadline.remaining());
                    let learning = inner.blocking.run(move || {
                        let topic = enqueuing.production.topic.clone();
                        enqueuing.live.learn(topic.as_str(), wait);
                        enqueuing.has_learnt = true;
                        enqueuing
                    });
                    enqueuing = learning.await?;
                }
                Progress::Broken if has_replaced => {
                    let reason = "its producers break as soon as they are made";
                    return Err(Error::KafkaUnavailable(reason.to_owned()));
                }
                Progress::Broken => {
                    enqueuing.live = self.live(compression).await?;
                    has_replaced = true;
                }
            }
        }
        Ok(Delivery {
            batch,
            live: Some(enqueuing.live),
            on_gone: Box::new(move || topics.forget(&topic)),
            metrics: inner.metrics.clone(),
            began,
        })
    }

    /// How many partitions the topic has; asked anew if a record names one beyond those.
    async fn partitions(&self, production: &Production, deadline: Deadline) -> Result<i32, Error> {
        let (topics, topic) = (&self.0.topics, &production.topic);
        let known = topics.partitions(topic, deadline).await?;
        let partitions = production
            .records
            .iter()
            .flat_map(|record| record.partition);
        match partitions.max().filter(|highest| highest.get() >= known) {
            Some(_) => topics.partitions_now(topic, deadline).await,
            None => Ok(known),
        }
    }

    /// The producer of a codec: the living one, or a new one.
    pub(super) async fn live(&self, compression: Compression) -> Result<Arc<Live>, Error> {
        let inner = &*self.0;
        let slot = &inner.slots[compression as usize];
        if let Some(live) = slot.living() {
            return Ok(live);
        }
        let _turn = slot.making.lock().await;
        if let Some(live) = slot.living() {
            return Ok(live);
        }
        let client = inner.config.client(&inner.kafka, compression);
        let setting = Setting::of(&inner.kafka, &inner.metrics, &inner.blocking);
        let made = inner.blocking.run(move || Live::new(&client, setting));
        let made = Arc::new(made.await??);
        let mut live = slot.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.replace(Arc::clone(&made)).is_some() {
            inner.metrics.replaced.inc();
        }
        Ok(made)
    }

    #[cfg(test)]
    pub(super) fn metrics(&self) -> &ProducerMetrics {
        &self.0.metrics
    }

    /// Waits until Kafka has every record that was taken, no longer than until the deadline.
    /// Returns how many it has not then.
    pub async fn flush(&self, deadline: Deadline) -> usize {
        let lives = self.0.slots.iter().filter_map(Slot::present);
        let flushing = lives.map(|live| {
            let wait = deadline.remaining();
            self.0.blocking.run(move || live.flush(wait))
        });
        let left = futures::future::join_all(flushing).await;
        let left = left.into_iter().filter_map(Result::ok);
        left.filter_map(|count| usize::try_from(count).ok()).sum()
    }
}

impl Slot {
    fn present(&self) -> Option<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.clone()
    }

    fn living(&self) -> Option<Arc<Live>> {
        self.present().filter(|live| !live.is_broken())
    }
}
