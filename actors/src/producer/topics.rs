//! How many partitions topics have, remembered: no request waits for what is known already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_types::TopicName;
use tokio::time::Instant;

use crate::blocking::Blocking;
use crate::kafka::Cluster;
use crate::{Deadline, Error};

/// What is older is asked anew, behind the request that notices it.
const FRESH: Duration = Duration::from_secs(10);
/// How long asking anew may take.
const REFRESH_WITHIN: Duration = Duration::from_secs(2);
/// What is younger than this is not asked anew, whoever doubts it.
const JUST_NOW: Duration = Duration::from_secs(1);
/// Most topics remembered.
const MAX_TOPICS: usize = 10_000;

/// The topics that requests have named. Clones are the same.
#[derive(Clone)]
pub(super) struct Topics(Arc<Inner>);

struct Inner {
    known: Mutex<HashMap<TopicName, Arc<Topic>>>,
    cluster: Arc<Cluster>,
    blocking: Blocking,
}

#[derive(Default)]
struct Topic {
    seen: Mutex<Option<Seen>>,
    /// Held by the one who asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Seen {
    partitions: i32,
    at: Instant,
}

impl Topics {
    pub(super) fn new(cluster: Arc<Cluster>, blocking: Blocking) -> Self {
        Self(Arc::new(Inner {
            known: Mutex::default(),
            cluster,
            blocking,
        }))
    }

    /// How many partitions a topic has. What was seen before counts, also while Kafka is away.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`], [`Error::AccessDenied`], [`Error::KafkaUnavailable`],
    /// [`Error::KafkaTimeout`].
    pub(super) async fn partitions(
        &self,
        name: &TopicName,
        deadline: Deadline,
    ) -> Result<i32, Error> {
        let topic = self.topic(name);
        match topic.seen() {
            None => self.ask(name, &topic, Duration::MAX, deadline).await,
            Some(seen) => {
                if seen.at.elapsed() > FRESH && topic.asking.try_lock().is_ok() {
                    let (topics, name) = (self.clone(), name.clone());
                    tokio::spawn(async move {
                        let within = Deadline::after(REFRESH_WITHIN);
                        // What fails now is asked anew by the next request.
                        let _ = topics.ask(&name, &topic, FRESH, within).await;
                    });
                }
                Ok(seen.partitions)
            }
        }
    }

    /// As [`partitions`](Self::partitions), for who has reason to doubt what was seen before.
    pub(super) async fn partitions_now(
        &self,
        name: &TopicName,
        deadline: Deadline,
    ) -> Result<i32, Error> {
        let topic = self.topic(name);
        self.ask(name, &topic, JUST_NOW, deadline).await
    }

    /// Asks Kafka, unless somebody else did so while this waited for its turn, or just before.
    async fn ask(
        &self,
        name: &TopicName,
        topic: &Topic,
        older_than: Duration,
        deadline: Deadline,
    ) -> Result<i32, Error> {
        let turn = topic.asking.lock();
        let turn = tokio::time::timeout_at(deadline.instant(), turn).await;
        let _turn = turn.map_err(|_| Error::KafkaTimeout)?;
        if let Some(seen) = topic.seen().filter(|seen| seen.at.elapsed() <= older_than) {
            return Ok(seen.partitions);
        }
        let (cluster, asked) = (Arc::clone(&self.0.cluster), [name.clone()]);
        let described = self.0.blocking.run(move || {
            let described = cluster.describe_topics(&asked, deadline);
            described.map(|topics| topics.into_values().next())
        });
        match described.await?? {
            Some(partitions) => {
                *topic.lock() = Some(Seen {
                    partitions,
                    at: Instant::now(),
                });
                Ok(partitions)
            }
            None => {
                *topic.lock() = None;
                self.forget(name);
                Err(Error::TopicNotFound(vec![name.clone()]))
            }
        }
    }

    /// Has the next request ask Kafka for the topic.
    pub(super) fn forget(&self, name: &TopicName) {
        self.known().remove(name);
    }

    fn topic(&self, name: &TopicName) -> Arc<Topic> {
        let mut known = self.known();
        if let Some(topic) = known.get(name) {
            return Arc::clone(topic);
        }
        if known.len() >= MAX_TOPICS {
            // Those in use are back with their next request.
            known.clear();
        }
        Arc::clone(known.entry(name.clone()).or_default())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TopicName, Arc<Topic>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    fn seen(&self) -> Option<Seen> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
