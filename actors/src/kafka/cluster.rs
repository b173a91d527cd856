//! What a node asks of Kafka outside any session.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use sluice_types::TopicName;
use tokio::time::Instant;

use super::bootstrap::Bootstrap;
use super::client_config::base_config;
use super::failure::{code_failure, failure, log};
use super::logs::Logs;
use crate::{Config, Deadline, Error};

/// A client without a group, shared by the node. Its methods block.
pub(crate) struct Cluster {
    client: BaseConsumer<Refusals>,
    bootstrap: Bootstrap,
}

/// Remembers that Kafka refuses the node's credentials: requests themselves only time out then.
#[derive(Default)]
struct Refusals {
    /// Stands until a broker has answered: librdkafka tells the same refusal again only after
    /// half a minute, and every request of that time needs it.
    refused: Mutex<Option<String>>,
    down: AtomicBool,
}

impl ClientContext for Refusals {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
                self.set_refused(Some(reason.to_owned()));
            }
            Some(Code::AllBrokersDown) => self.down.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl ConsumerContext for Refusals {}

impl Refusals {
    fn set_refused(&self, reason: Option<String>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Cluster {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let mut settings = base_config(config);
        settings.set("client.id", "sluice-metadata");
        settings.set("isolation.level", "read_committed");
        let client = settings
            .create_with_context(Refusals::default())
            .map_err(|error| Error::Internal(format!("kafka settings: {error}")))?;
        Ok(Self {
            client,
            bootstrap: Bootstrap::of(&settings),
        })
    }

    /// How many partitions each topic has; topics that Kafka does not have are absent.
    pub(crate) fn describe_topics(
        &self,
        topics: &[TopicName],
        deadline: Deadline,
    ) -> Result<BTreeMap<TopicName, i32>, Error> {
        let mut counts = BTreeMap::new();
        for topic in topics {
            if let Some(count) = self.partitions(topic, deadline)? {
                counts.insert(topic.clone(), count);
            }
        }
        Ok(counts)
    }

    /// All topics that Kafka shows to this node, with the numbers of their partitions.
    pub(crate) fn topics(&self, deadline: Deadline) -> Result<BTreeMap<TopicName, i32>, Error> {
        let metadata = self.metadata(None, deadline)?;
        let topics = metadata.topics().iter().filter_map(|topic| {
            let count = topic.partitions().len();
            let name = topic.name().parse().ok().filter(|_| count > 0)?;
            Some((name, number(count)))
        });
        Ok(topics.collect())
    }

    /// What Kafka has of a topic, or of all.
    fn metadata(&self, topic: Option<&str>, deadline: Deadline) -> Result<Metadata, Error> {
        loop {
            match self.client.fetch_metadata(topic, step(deadline)) {
                Ok(metadata) => {
                    self.answered();
                    return Ok(metadata);
                }
                Err(error) => {
                    self.check_refused()?;
                    if Instant::now() >= deadline.instant() || self.is_down() {
                        return Err(unreachable(&error));
                    }
                }
            }
        }
    }

    fn partitions(&self, topic: &TopicName, deadline: Deadline) -> Result<Option<i32>, Error> {
        loop {
            let metadata = self.metadata(Some(topic.as_str()), deadline)?;
            let Some(found) = metadata.topics().first() else {
                return Ok(None);
            };
            let code: Option<Code> = found.error().map(Into::into);
            return match code {
                None => Ok(Some(number(found.partitions().len()))),
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => {
                    Ok(None)
                }
                // A topic being created has no leaders for a moment.
                Some(Code::LeaderNotAvailable) if Instant::now() < deadline.instant() => continue,
                Some(code) => Err(code_failure(code)),
            };
        }
    }

    /// Asks for a broker's answer within `wait`.
    pub(crate) fn reach(&self, wait: Duration) -> Result<(), Error> {
        self.serve();
        match self.client.fetch_metadata(Some("__consumer_offsets"), wait) {
            Ok(_) => {
                self.answered();
                Ok(())
            }
            Err(error) => {
                let refused = self.check_refused();
                self.bootstrap.missed();
                self.bootstrap.remind(self.client.client());
                refused.and(Err(unreachable(&error)))
            }
        }
    }

    /// Looks into the logs as sessions with `read_committed` see them. This client never
    /// fetches, so no question waits behind a fetch.
    pub(crate) fn logs(&self) -> Logs<'_, impl ConsumerContext> {
        Logs::of(&self.client)
    }

    /// A broker has answered: the credentials are right.
    fn answered(&self) {
        // What was told before the answer is old news.
        self.serve();
        self.bootstrap.reached();
        self.client.context().set_refused(None);
    }

    fn check_refused(&self) -> Result<(), Error> {
        self.serve();
        let refused = &self.client.context().refused;
        match &*refused.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => Err(Error::AccessDenied(format!(
                "{reason}: check this node's Kafka credentials"
            ))),
            None => Ok(()),
        }
    }

    fn is_down(&self) -> bool {
        self.client.context().down.swap(false, Ordering::Relaxed)
    }

    /// Runs the callbacks that wait.
    fn serve(&self) {
        while self.client.poll(Duration::ZERO).is_some() {}
    }
}

fn number(partitions: usize) -> i32 {
    i32::try_from(partitions).unwrap_or(i32::MAX)
}

/// One try is short, so that refused credentials are noticed between tries.
fn step(deadline: Deadline) -> Duration {
    deadline
        .remaining()
        .clamp(Duration::from_millis(1), Duration::from_secs(1))
}

fn unreachable(error: &KafkaError) -> Error {
    match failure(error) {
        Error::KafkaTimeout => Error::KafkaUnavailable("no broker answered".to_owned()),
        other => other,
    }
}
