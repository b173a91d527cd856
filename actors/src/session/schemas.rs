//! The schemas that a session's records need. What is not known yet is fetched beside the session,
//! and its record waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use sluice_types::Format;
use tokio::time::Instant;

use super::actor::SessionActor;
use crate::avro::{SchemaId, read, unframed};
use crate::schema_registry::{Registered, SchemaError};
use crate::{Deadline, Error};

/// Most schemas that a session knows; those in use are soon known again.
const MOST: usize = 1000;
/// How long a schema that cannot be had is taken to be none.
const NONE_FOR: Duration = Duration::from_secs(10);
/// How long the registry is left alone when it could not be asked.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long the registry may take beyond the end of a poll that waits for nothing else.
const PATIENCE: Duration = Duration::from_secs(3);

/// The schemas that a session knows.
#[derive(Default)]
pub(crate) struct KnownSchemas(HashMap<SchemaId, Known>);

enum Known {
    There(Arc<Registered>),
    /// The registry does not have it, or it is none of Avro.
    None {
        since: Instant,
    },
}

impl KnownSchemas {
    /// The schema that has to be known before this can be written.
    pub(super) fn missing(&self, bytes: Option<&[u8]>, format: Format) -> Option<SchemaId> {
        if format != Format::Avro {
            return None;
        }
        let (id, _) = unframed(bytes?)?;
        match self.0.get(&id) {
            Some(Known::There(_)) => None,
            Some(Known::None { since }) if since.elapsed() < NONE_FOR => None,
            Some(Known::None { .. }) | None => Some(id),
        }
    }

    /// Appends framed data as JSON; says whether it is that. Else it appends nothing.
    pub(super) fn write(&self, out: &mut Vec<u8>, bytes: &[u8]) -> bool {
        let framed = unframed(bytes);
        let known = framed.and_then(|(id, data)| Some((self.0.get(&id)?, data)));
        match known {
            Some((Known::There(registered), data)) => read(out, &registered.schema, data),
            Some((Known::None { .. }, _)) | None => false,
        }
    }

    fn learn(&mut self, id: SchemaId, known: Known) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(id, known);
    }
}

/// What the session knows, and what it waits for.
#[derive(Default)]
pub(super) struct Schemas {
    pub(super) known: KnownSchemas,
    /// The next record waits for its schema, and none comes before it.
    pub(super) is_awaited: bool,
    is_asked: bool,
    /// Why the registry could not be asked, and when that was.
    failure: Option<(String, Instant)>,
}

impl SessionActor {
    /// Has the schema of a record fetched, unless one is being fetched already.
    pub(super) fn fetch_schema(&mut self, id: SchemaId, ctx: &mut Context<Self>) {
        let failure = self.schemas.failure.as_ref();
        if self.schemas.is_asked || failure.is_some_and(|(_, at)| at.elapsed() < ASK_AGAIN) {
            return;
        }
        let Some(registry) = self.env.schemas.clone() else {
            let reason = "this node has none".to_owned();
            self.schemas.failure = Some((reason, Instant::now()));
            return;
        };
        self.schemas.is_asked = true;
        let fetching = async move {
            // The client's own time-outs end it.
            let deadline = Deadline::after(registry.longest() * 2);
            registry.by_id(id, deadline).await
        };
        let learning = fetching
            .into_actor(self)
            .map(move |found, actor, ctx| actor.learn_schema(id, found, ctx));
        ctx.spawn(learning);
    }

    fn learn_schema(
        &mut self,
        id: SchemaId,
        found: Result<Arc<Registered>, SchemaError>,
        ctx: &mut Context<Self>,
    ) {
        self.schemas.is_asked = false;
        let failed_before = self.schemas.failure.take().is_some();
        match found {
            Ok(registered) => self.schemas.known.learn(id, Known::There(registered)),
            Err(SchemaError::Unavailable(reason)) => {
                if !failed_before {
                    tracing::warn!(parent: &self.span, reason, "the schema registry cannot be asked");
                }
                self.schemas.failure = Some((reason, Instant::now()));
            }
            Err(reason @ (SchemaError::NotFound | SchemaError::Unusable(_))) => {
                tracing::debug!(parent: &self.span, %reason, %id, "records have no schema");
                let since = Instant::now();
                self.schemas.known.learn(id, Known::None { since });
            }
        }
        self.pump(ctx);
        self.end_late_poll(ctx);
    }

    /// Whether the poll of this number cannot be answered without a schema. If it is being fetched
    /// the poll waits a little longer, else it ends.
    pub(super) fn await_schema(&mut self, serial: u64, ctx: &mut Context<Self>) -> bool {
        if !self.schemas.is_awaited {
            return false;
        }
        let Some(waiting) = self.poll.as_ref().filter(|poll| poll.serial == serial) else {
            return true;
        };
        let patience = self.schema_patience(waiting.deadline);
        if let Some(patience) = patience.filter(|_| !waiting.is_late) {
            ctx.run_later(patience, move |actor, ctx| actor.time_out_poll(serial, ctx));
            if let Some(waiting) = &mut self.poll {
                waiting.is_late = true;
            }
        } else if let Some(waiting) = self.poll.take() {
            let _ = waiting.reply.send(Err(self.no_schema()));
        }
        true
    }

    /// Ends a poll that waited for a schema only, unless one that is being fetched may help it.
    fn end_late_poll(&mut self, ctx: &mut Context<Self>) {
        let may_help = self.schemas.is_awaited && self.schemas.is_asked;
        if let Some(waiting) = self.poll.as_ref().filter(|poll| poll.is_late && !may_help) {
            self.time_out_poll(waiting.serial, ctx);
        }
    }

    /// How much longer the poll may wait for a schema that is being fetched.
    fn schema_patience(&self, deadline: Deadline) -> Option<Duration> {
        let patience = PATIENCE.min(deadline.remaining());
        (self.schemas.is_asked && !patience.is_zero()).then_some(patience)
    }

    /// What a poll is told whose next record has no schema when its time is over.
    fn no_schema(&self) -> Error {
        let failure = self.schemas.failure.as_ref();
        let late = || "it did not answer in time".to_owned();
        Error::SchemaRegistryUnavailable(failure.map_or_else(late, |(reason, _)| reason.clone()))
    }
}
