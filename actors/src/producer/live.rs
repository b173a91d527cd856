//! One Kafka producer: what is sent, and what it says became of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use sluice_types::{Clock, Offset, Partition, SystemClock, Timestamp};
use tokio::time::Instant;

use super::again::Again;
use super::batch::Ticket;
use super::metrics::{ProducerMetrics, Traffic};
use super::record::Written;
use super::verdict::{self, Sent};
use crate::blocking::Blocking;
use crate::kafka::{self, Bootstrap};
use crate::{Config, Error};

/// How long a producer that is given up may go on with what it has: longer than any record is
/// tried.
const LAST_WORDS: Duration = Duration::from_secs(40);

/// A record as Kafka gets it.
pub(super) struct Encoded<'r> {
    pub(super) key: Option<&'r [u8]>,
    pub(super) value: Option<&'r [u8]>,
    pub(super) partition: Option<Partition>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// What a producer is set among.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) metrics: ProducerMetrics,
    blocking: Blocking,
    /// The embedded broker: it says of every record the same time.
    embedded: bool,
}

impl Setting {
    pub(super) fn of(kafka: &Config, metrics: &ProducerMetrics, blocking: &Blocking) -> Self {
        Self {
            metrics: metrics.clone(),
            blocking: blocking.clone(),
            embedded: kafka.embedded_broker,
        }
    }
}

/// A Kafka producer. Dropped, it goes on with what it has on a thread that may wait, and ends.
pub(super) struct Live {
    producer: Option<ThreadedProducer<Reports>>,
    blocking: Blocking,
}

impl Live {
    /// Makes a producer; what Kafka refuses of it together with other records, it sends once more
    /// alone. Blocks for a moment.
    pub(super) fn new(client: &ClientConfig, setting: Setting) -> Result<Self, Error> {
        let again = Again::new(client, setting.clone());
        Self::make(client, setting, Some(again))
    }

    /// Makes a producer whose batches have one record each: what Kafka says of it is the last
    /// word. Blocks for a moment.
    pub(super) fn alone(client: &ClientConfig, setting: Setting) -> Result<Self, Error> {
        Self::make(client, setting, None)
    }

    fn make(client: &ClientConfig, setting: Setting, again: Option<Again>) -> Result<Self, Error> {
        let codec = client.get("compression.codec").unwrap_or("none");
        let reports = Reports {
            traffic: setting.metrics.traffic(codec),
            metrics: setting.metrics,
            broken: AtomicBool::new(false),
            bootstrap: Bootstrap::of(client),
            embedded: setting.embedded,
            again,
        };
        let producer = client.create_with_context(reports);
        let producer: ThreadedProducer<_> =
            producer.map_err(|error| Error::Internal(format!("kafka settings: {error}")))?;
        Ok(Self {
            producer: Some(producer),
            blocking: setting.blocking,
        })
    }

    /// Puts a record into the queue; never waits. The ticket comes back if that is not possible.
    pub(super) fn send(
        &self,
        topic: &str,
        record: Encoded<'_>,
        mut ticket: Ticket,
    ) -> Result<(), (Code, Ticket)> {
        let Some(producer) = &self.producer else {
            return Err((Code::Fail, ticket));
        };
        producer.context().bootstrap.remind(producer.client());
        ticket.time = match record.timestamp {
            None if producer.context().embedded => Some(SystemClock.now()),
            given => given,
        };
        let time = ticket.time.map(Timestamp::as_millis);
        let mut sent = BaseRecord::with_opaque_to(topic, Box::new(ticket));
        sent.key = record.key;
        sent.payload = record.value;
        sent.partition = record.partition.map(Partition::get);
        sent.timestamp = time;
        sent.headers = record.headers;
        let queued = &producer.context().metrics.queued;
        // Before it is sent: the report may come before this returns.
        queued.inc();
        producer.send(sent).map_err(|(error, refused)| {
            queued.dec();
            let code = error.rdkafka_error_code().unwrap_or(Code::InvalidArgument);
            if code == Code::Fatal {
                producer.context().broken.store(true, Ordering::Release);
            }
            (code, *refused.delivery_opaque)
        })
    }

    /// Whether it takes no record any more, for good.
    pub(super) fn is_broken(&self) -> bool {
        let context = self.producer.as_ref().map(Producer::context);
        context.is_none_or(|context| context.broken.load(Ordering::Acquire))
    }

    /// Why Kafka refuses it as a whole, if it does: without the right to write anything at all, no
    /// producer becomes idempotent.
    pub(super) fn denied(&self) -> Option<String> {
        let (code, _) = self.producer.as_ref()?.client().fatal_error()?;
        let is_denied = matches!(
            code,
            Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed
        );
        is_denied.then(|| code.to_string())
    }

    /// Has it learn what partitions a topic has now. Blocks.
    pub(super) fn learn(&self, topic: &str, wait: Duration) {
        if let Some(producer) = &self.producer {
            // What it has not learnt shows when the record is sent.
            let _ = producer.client().fetch_metadata(Some(topic), wait);
        }
    }

    /// Waits until nothing is left in its queue, and says how much is. Blocks.
    pub(super) fn flush(&self, wait: Duration) -> i32 {
        let Some(producer) = &self.producer else {
            return 0;
        };
        let began = Instant::now();
        // What is left is counted.
        let _ = producer.flush(wait);
        let left = producer.in_flight_count();
        // By now it has what was refused.
        let alone = producer.context().again.as_ref().and_then(Again::present);
        left + alone.map_or(0, |alone| alone.flush(wait.saturating_sub(began.elapsed())))
    }

    #[cfg(test)]
    pub(super) fn break_for_tests(&self) {
        if let Some(producer) = &self.producer {
            kafka::raise_fatal_error(producer.client());
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            // It goes on when the future is dropped.
            drop(self.blocking.run(move || {
                let _ = producer.flush(LAST_WORDS);
            }));
        }
    }
}

/// Takes librdkafka's callbacks.
struct Reports {
    metrics: ProducerMetrics,
    traffic: Traffic,
    /// A fatal error: nothing more can be sent.
    broken: AtomicBool,
    bootstrap: Bootstrap,
    embedded: bool,
    /// Where records go that Kafka has refused together with others. None if there are no others.
    again: Option<Again>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        kafka::log(level as i32, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.traffic
            .count(statistics.txmsg_bytes, statistics.tx_bytes);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(Code::Fatal) => {
                tracing::error!(reason, "a producer cannot go on and is replaced");
                self.broken.store(true, Ordering::Release);
            }
            Some(Code::AllBrokersDown) => self.bootstrap.missed(),
            _ => {}
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let mut ticket = *ticket;
        let outcome = match result {
            Ok(message) => match Partition::new(message.partition()) {
                Ok(partition) => Ok(Written {
                    partition,
                    offset: Offset::new(message.offset()).ok(),
                    timestamp: match self.embedded {
                        true => ticket.time,
                        false => message.timestamp().to_millis().map(Timestamp::from_millis),
                    },
                }),
                Err(error) => Err(super::RecordError::Internal(error.to_string())),
            },
            Err((error, message)) => {
                let sent = match kafka::is_perhaps_written(message) {
                    true => Sent::Perhaps,
                    false => Sent::No,
                };
                let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                if code == Code::MessageTimedOut {
                    self.bootstrap.missed();
                }
                match &self.again {
                    Some(again) if sent == Sent::No && verdict::may_be_of_another(code) => {
                        match again.send(message, ticket) {
                            Ok(()) => return self.metrics.queued.dec(),
                            Err((error, back)) => {
                                ticket = back;
                                Err(error)
                            }
                        }
                    }
                    _ => {
                        let has_key = message.key().is_some();
                        Err(verdict::of(code, sent, message.partition(), has_key))
                    }
                }
            }
        };
        self.metrics.queued.dec();
        if outcome.is_ok() {
            self.bootstrap.reached();
        }
        self.metrics.count(&outcome);
        ticket.settle(outcome);
    }
}
