//! The sessions of a node: where they run, and how they are found.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle, System};
use futures::future::join_all;
use sluice_types::{Claim, Clock, ConsumerId, TopicName};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::blocking::Blocking;
use crate::handle::{Ended, Opening, SessionEvent, SessionHandle};
use crate::kafka::{Closer, Cluster, member_timeout};
use crate::metrics::Metrics;
use crate::schema_registry::Schemas;
use crate::session::{Departure, EndGuard, Environment, Finish, OnEnd, SessionActor};
use crate::{AnswerBudget, Authority, Config, Deadline, Error};

/// Ends that may wait for the node; what does not fit is found by comparing what runs.
const EVENTS: usize = 1024;
/// How long a broker may take to show that it is there.
const PROBE: Duration = Duration::from_secs(2);
/// The same, for who does not wait so long.
const QUICK_PROBE: Duration = Duration::from_millis(900);
/// How long what was seen of Kafka counts for those who probe this node.
const SEEN: Duration = Duration::from_secs(1);

/// The sessions of this node. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    env: Arc<Environment>,
    arbiters: Vec<ArbiterHandle>,
    next_arbiter: AtomicU64,
    running: Arc<Mutex<HashMap<ConsumerId, SessionHandle>>>,
    events: mpsc::Sender<SessionEvent>,
    stopping: AtomicBool,
    /// When Kafka was last asked for a sign of life, and whether there was one.
    kafka_seen: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Sessions {
    /// Starts the threads on which sessions live. What becomes of sessions comes on the receiver.
    /// With a schema registry to be called within a tokio runtime, on which that is asked.
    ///
    /// # Errors
    /// [`Error::Internal`]: librdkafka refuses a property, threads cannot be started, or an address
    /// or a certificate of the schema registry cannot be read.
    pub fn start(
        config: Config,
        authority: Arc<dyn Authority>,
        clock: Arc<dyn Clock>,
        metrics: &prometheus::Registry,
    ) -> Result<(Self, mpsc::Receiver<SessionEvent>), Error> {
        let registry = config.schema_registry.as_ref();
        let schemas = registry.map(|registry| Schemas::start(registry, metrics));
        let schemas = schemas.transpose()?;
        let arbiters = start_arbiters(config.arbiters.max(1))?;
        let (events, receiver) = mpsc::channel(EVENTS);
        let env = Environment {
            cluster: Arc::new(Cluster::new(&config)?),
            closer: Closer::new(config.close_timeout),
            blocking: Blocking::new()?,
            metrics: Metrics::new(metrics, config.max_metric_groups)?,
            answers: AnswerBudget::new(config.inflight_answer_bytes),
            schemas,
            authority,
            clock,
            config,
        };
        let inner = Inner {
            env: Arc::new(env),
            arbiters,
            next_arbiter: AtomicU64::new(0),
            running: Arc::default(),
            events,
            stopping: AtomicBool::new(false),
            kafka_seen: tokio::sync::Mutex::default(),
        };
        Ok((Self(Arc::new(inner)), receiver))
    }

    /// How many partitions each topic has; absent are those that Kafka does not have.
    ///
    /// # Errors
    /// [`Error::AccessDenied`], [`Error::KafkaUnavailable`], [`Error::KafkaTimeout`].
    pub async fn describe_topics(
        &self,
        topics: &[TopicName],
        deadline: Deadline,
    ) -> Result<BTreeMap<TopicName, i32>, Error> {
        let (cluster, topics) = (self.0.env.cluster.clone(), topics.to_vec());
        self.0
            .env
            .blocking
            .run(move || cluster.describe_topics(&topics, deadline))
            .await?
    }

    /// All topics that Kafka shows to this node, its internal ones too, with the numbers of their
    /// partitions.
    ///
    /// # Errors
    /// [`Error::AccessDenied`], [`Error::KafkaUnavailable`], [`Error::KafkaTimeout`].
    pub async fn topics(&self, deadline: Deadline) -> Result<BTreeMap<TopicName, i32>, Error> {
        let cluster = self.0.env.cluster.clone();
        let asking = self.0.env.blocking.run(move || cluster.topics(deadline));
        asking.await?
    }

    /// The node's budget of answers on their way: those of these sessions are counted in it.
    pub fn answers(&self) -> AnswerBudget {
        self.0.env.answers.clone()
    }

    /// Whether there is a schema registry, so that keys and values may be Avro.
    pub fn has_schema_registry(&self) -> bool {
        self.0.env.schemas.is_some()
    }

    /// Whether a broker answers now.
    pub async fn kafka_reachable(&self) -> bool {
        self.kafka_answers().await.is_ok()
    }

    /// Asks a broker for an answer.
    ///
    /// # Errors
    /// Why there is none: [`Error::AccessDenied`], [`Error::KafkaUnavailable`].
    pub async fn kafka_answers(&self) -> Result<(), Error> {
        let cluster = self.0.env.cluster.clone();
        let asking = self.0.env.blocking.run(move || cluster.reach(PROBE));
        asking.await?
    }

    /// Whether a broker answers, or did within the last second; waits about a second at most. However
    /// many ask, Kafka is asked by one at a time.
    pub async fn kafka_was_reachable(&self) -> bool {
        let sessions = self.clone();
        // A task, which nobody who asks can cut short: another would ask Kafka beside it.
        let asked = tokio::spawn(async move {
            let mut seen = sessions.0.kafka_seen.lock().await;
            if let Some((at, reachable)) = *seen
                && at.elapsed() < SEEN
            {
                return reachable;
            }
            let cluster = sessions.0.env.cluster.clone();
            let asking = sessions
                .0
                .env
                .blocking
                .run(move || cluster.reach(QUICK_PROBE));
            let reachable = matches!(asking.await, Ok(Ok(())));
            *seen = Some((Instant::now(), reachable));
            reachable
        });
        asked.await.unwrap_or(false)
    }

    /// For how long Kafka keeps a member of which it hears nothing, from `session.timeout.ms`.
    pub fn member_timeout(&self) -> Duration {
        member_timeout(&self.0.env.config)
    }

    /// Runs a session. It is found by [`get`](Self::get) from now on; that it has its partitions
    /// is known from [`SessionHandle::ready`].
    ///
    /// # Errors
    /// [`Error::TooManySessions`], [`Error::ShuttingDown`].
    pub fn open(&self, opening: Opening) -> Result<SessionHandle, Error> {
        let id = opening.claim.id.clone();
        let mut running = self.running();
        if self.0.stopping.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        let most = self.0.env.config.max_sessions;
        let limit = match opening.is_takeover {
            true => most + most / 2,
            false => most,
        };
        if running.len() >= limit && !running.contains_key(&id) {
            return Err(Error::TooManySessions { limit });
        }
        let handle = self.start_actor(opening);
        running.insert(id, handle.clone());
        Ok(handle)
    }

    fn start_actor(&self, opening: Opening) -> SessionHandle {
        let ended = Arc::new(OnceLock::new());
        let claim = opening.claim.clone();
        let guard = EndGuard {
            event: Some(SessionEvent {
                claim: claim.clone(),
                ended: Ended::Fenced,
            }),
            ended: ended.clone(),
            events: self.0.events.clone(),
            on_end: Some(self.on_end(claim.clone())),
        };
        let spec = Arc::new(opening.spec.clone());
        let env = self.0.env.clone();
        let turn = self.0.next_arbiter.fetch_add(1, Ordering::Relaxed) as usize;
        let arbiter = &self.0.arbiters[turn % self.0.arbiters.len()];
        let actor = SessionActor::start_in_arbiter(arbiter, move |_| {
            SessionActor::new(env, opening, guard)
        });
        SessionHandle {
            claim: Arc::new(claim),
            spec,
            actor,
            ended,
        }
    }

    fn on_end(&self, claim: Claim) -> OnEnd {
        let running = self.0.running.clone();
        let metrics = self.0.env.metrics.clone();
        Box::new(move |ended| {
            let cause = match ended {
                Some(Ended::Panicked) => Some("panicked"),
                Some(Ended::Fenced) => Some("fenced"),
                Some(Ended::LeaseLost) => Some("lease_lost"),
                Some(Ended::Failed(_)) => Some("failed"),
                Some(Ended::Expired) | None => None,
            };
            if let Some(cause) = cause {
                metrics.failures.with_label_values(&[cause]).inc();
            }
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            if running
                .get(&claim.id)
                .is_some_and(|session| *session.claim == claim)
            {
                running.remove(&claim.id);
            }
        })
    }

    /// What the sessions share, for what shares it with them.
    pub(crate) fn environment(&self) -> &Environment {
        &self.0.env
    }

    fn running(&self) -> MutexGuard<'_, HashMap<ConsumerId, SessionHandle>> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The session with this id, if it runs here.
    pub fn get(&self, id: &ConsumerId) -> Option<SessionHandle> {
        self.running().get(id).cloned()
    }

    /// All sessions that run here.
    pub fn claims(&self) -> Vec<Claim> {
        self.running()
            .values()
            .map(|session| session.claim().clone())
            .collect()
    }

    /// How many Kafka handles wait to be closed or are being closed. Also sets the metrics of it.
    pub fn closer_backlog(&self) -> usize {
        let Environment {
            closer, metrics, ..
        } = &*self.0.env;
        let backlog = closer.backlog();
        metrics
            .closer_backlog
            .set(i64::try_from(backlog).unwrap_or(i64::MAX));
        metrics
            .closer_abandoned
            .set(i64::try_from(closer.abandoned()).unwrap_or(i64::MAX));
        backlog
    }

    /// Ends every session that runs now, because this process has lost its right to run them: the
    /// incarnation under which it owned them has ended. Nothing is committed or answered any more,
    /// whoever waits gets [`Error::NotHere`], and the members stay in their groups, for whoever
    /// opens the sessions next. That may be this process again: sessions are opened as before.
    ///
    /// Returns how many had not ended by the deadline. Their handles are closed behind that.
    pub async fn abandon_all(&self, deadline: Deadline) -> usize {
        let sessions: Vec<SessionHandle> = self.running().values().cloned().collect();
        let abandoning = sessions.iter().map(|session| session.abandon(deadline));
        let ended = join_all(abandoning).await;
        ended.into_iter().filter(|ended| !ended).count()
    }

    /// Stops every session: answers its poll, commits what auto-commit owes, lets its member
    /// depart and closes its handle. No session is opened any more. Returns how many handles were
    /// not closed by the deadline.
    pub async fn shutdown(&self, departure: Departure, deadline: Deadline) -> usize {
        let sessions: Vec<SessionHandle> = {
            let running = self.running();
            self.0.stopping.store(true, Ordering::Release);
            running.values().cloned().collect()
        };
        join_all(sessions.iter().map(|session| async move {
            session.finish_because(Finish::NodeStops, deadline).await;
            session.depart(departure, deadline).await
        }))
        .await;
        self.0.env.closer.drained(deadline.instant()).await
    }
}

/// Starts an actix system on a thread of its own, so that whoever uses sessions needs none, and
/// in it the arbiters.
fn start_arbiters(count: usize) -> Result<Vec<ArbiterHandle>, Error> {
    let (sender, started) = std::sync::mpsc::channel();
    thread::Builder::new()
        .name("sluice-sessions".to_owned())
        .spawn(move || {
            let system = System::new();
            let arbiters = system.block_on(async {
                (0..count)
                    .map(|_| Arbiter::new().handle())
                    .collect::<Vec<_>>()
            });
            // Nobody listens only if the thread that started this one is gone.
            if sender.send(arbiters).is_ok()
                && let Err(error) = system.run()
            {
                tracing::error!(%error, "the sessions' threads stopped");
            }
        })
        .map_err(|error| Error::Internal(format!("cannot start threads: {error}")))?;
    started
        .recv()
        .map_err(|_| Error::Internal("the sessions' threads did not start".to_owned()))
}
