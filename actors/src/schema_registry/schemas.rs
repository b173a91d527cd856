//! What a node knows of the registry's schemas.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::runtime::Handle;
use tokio::time::timeout_at;

use super::client::{Client, Reference, Told};
use super::config::SchemaRegistryConfig;
use super::metrics::RegistryMetrics;
use crate::avro::{Schema, SchemaId, SchemaRef};
use crate::{Deadline, Error};

/// Most schemas that one may refer to, directly or not.
const MAX_REFERENCES: usize = 1000;
/// What the registry calls schemas of Avro.
const AVRO: &str = "AVRO";

/// A schema that the registry has.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) id: SchemaId,
    pub(crate) schema: Schema,
}

/// Why there is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemaError {
    /// The registry does not have it.
    #[error("the schema registry does not have it")]
    NotFound,
    /// It is no Avro schema; it says why.
    #[error("it is no Avro schema: {0}")]
    Unusable(String),
    /// Whether there is one is not known: the registry cannot be asked.
    #[error("the schema registry cannot be asked: {0}")]
    Unavailable(String),
}

/// The schemas of a registry. What is found by its id is remembered for good, what is the latest
/// version of a subject for a while, and a failure not at all. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Schemas(Arc<Inner>);

struct Inner {
    client: Client,
    by_id: Cache<SchemaId, Arc<Registered>>,
    latest: Cache<String, Arc<Registered>>,
    /// Where requests run, so that they are not on a session's thread and end for all who wait
    /// when one of those has gone.
    runtime: Handle,
}

impl Schemas {
    /// To be called within the runtime on which requests are to run.
    ///
    /// # Errors
    /// [`Error::Internal`]: an address or a certificate cannot be read, or a metric's name is
    /// taken.
    pub(crate) fn start(
        config: &SchemaRegistryConfig,
        metrics: &prometheus::Registry,
    ) -> Result<Self, Error> {
        let metrics = RegistryMetrics::register(metrics)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            client: Client::new(config, metrics)?,
            by_id: Cache::new(config.cache_entries),
            latest: Cache::builder()
                .max_capacity(config.cache_entries)
                .time_to_live(config.latest_ttl)
                .build(),
            runtime: Handle::current(),
        })))
    }

    /// The schema of this name.
    ///
    /// # Errors
    /// [`SchemaError`]; at the deadline that the registry cannot be asked.
    pub(crate) async fn find(
        &self,
        name: &SchemaRef,
        deadline: Deadline,
    ) -> Result<Arc<Registered>, SchemaError> {
        match name {
            SchemaRef::Id(id) => self.by_id(*id, deadline).await,
            SchemaRef::Latest(subject) => {
                if let Some(known) = self.0.latest.get(subject).await {
                    return Ok(known);
                }
                let (inner, subject) = (Arc::clone(&self.0), subject.clone());
                let finding = async move {
                    let found = inner
                        .latest
                        .try_get_with(subject.clone(), inner.newest(&subject));
                    found.await.map_err(Arc::unwrap_or_clone)
                };
                self.run(finding, deadline).await
            }
        }
    }

    /// As [`find`](Self::find).
    pub(crate) async fn by_id(
        &self,
        id: SchemaId,
        deadline: Deadline,
    ) -> Result<Arc<Registered>, SchemaError> {
        if let Some(known) = self.0.by_id.get(&id).await {
            return Ok(known);
        }
        let inner = Arc::clone(&self.0);
        let finding = async move {
            let found = inner.by_id.try_get_with(id, inner.fetch(id));
            found.await.map_err(Arc::unwrap_or_clone)
        };
        self.run(finding, deadline).await
    }

    /// How long it may take to find a schema that refers to no other.
    pub(crate) fn longest(&self) -> Duration {
        self.0.client.longest()
    }

    async fn run(
        &self,
        finding: impl Future<Output = Result<Arc<Registered>, SchemaError>> + Send + 'static,
        deadline: Deadline,
    ) -> Result<Arc<Registered>, SchemaError> {
        // It goes on when the deadline has passed, for the next who asks.
        let finding = self.0.runtime.spawn(finding);
        match timeout_at(deadline.instant(), finding).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) if error.is_panic() => {
                Err(SchemaError::Unusable("it cannot be read".to_owned()))
            }
            Ok(Err(_)) => Err(SchemaError::Unavailable("the node is stopping".to_owned())),
            Err(_) => Err(SchemaError::Unavailable(
                "it did not answer in time".to_owned(),
            )),
        }
    }
}

impl Inner {
    async fn fetch(&self, id: SchemaId) -> Result<Arc<Registered>, SchemaError> {
        let told = self.client.by_id(id).await?;
        self.read(id, told).await
    }

    async fn newest(&self, subject: &str) -> Result<Arc<Registered>, SchemaError> {
        let told = self.client.latest(subject).await?;
        let Some(id) = told.id.and_then(SchemaId::new) else {
            let reason = "it tells no id of a subject's latest version".to_owned();
            return Err(SchemaError::Unavailable(reason));
        };
        let read = self.by_id.try_get_with(id, self.read(id, told));
        read.await.map_err(Arc::unwrap_or_clone)
    }

    async fn read(&self, id: SchemaId, told: Told) -> Result<Arc<Registered>, SchemaError> {
        check_kind(&told)?;
        let references = self.references(&told).await?;
        let schema = Schema::parse(&told.schema, &references).map_err(SchemaError::Unusable)?;
        Ok(Arc::new(Registered { id, schema }))
    }

    /// The texts of all schemas that one refers to, each once.
    async fn references(&self, of: &Told) -> Result<Vec<String>, SchemaError> {
        let mut seen: HashSet<Reference> = HashSet::new();
        let mut open = of.references.clone().unwrap_or_default();
        let mut texts = Vec::new();
        while let Some(reference) = open.pop() {
            if !seen.insert(reference.clone()) {
                continue;
            }
            if seen.len() > MAX_REFERENCES {
                let reason = format!("it refers to more than {MAX_REFERENCES} others");
                return Err(SchemaError::Unusable(reason));
            }
            let told = self.client.version(&reference).await;
            let told = told.map_err(|error| match error {
                SchemaError::NotFound => SchemaError::Unusable(format!(
                    "it refers to version {} of {}, which is not there",
                    reference.version, reference.subject
                )),
                error => error,
            })?;
            check_kind(&told)?;
            open.extend(told.references.unwrap_or_default());
            texts.push(told.schema);
        }
        Ok(texts)
    }
}

fn check_kind(told: &Told) -> Result<(), SchemaError> {
    match told.kind.as_deref() {
        None | Some(AVRO) => Ok(()),
        Some(kind) => Err(SchemaError::Unusable(format!("it is of type {kind}"))),
    }
}
