//! Writing records: `/api/topics/{topic}/produce`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use sluice_actors::{Deadline, Outcome, Production, RecordError};
use sluice_types::TopicName;
use tracing::Instrument;

use super::call::Call;
use super::error::{Code, Problem, none_written, of_record, shutting_down};
use super::reply::Reply;
use super::request::produce::{Options, parse};
use super::schema;
use super::state::State;
use super::unserved::Unserved;
use crate::ownership::{Error, Run};
use crate::receipts::{LONGEST, RETENTION, Receipt, RequestId, Status};

/// Bodies over this size are taken apart on a thread that may take its time.
const INLINE: usize = 256 * 1024;

/// Writes records.
///
/// Answered when all in-sync replicas have them. One entry a record, in order; with at least one
/// record written the status is 200, and the entries of others hold their `error`. With
/// `async=true` it is answered as soon as the records are on their way, and the request's status
/// tells the rest.
#[utoipa::path(
    post,
    path = "/api/topics/{topic}/produce",
    operation_id = "produce",
    tag = "topics",
    params(
        ("topic" = schema::TopicName, Path, description = "The topic"),
        ("key.format" = Option<schema::ProduceFormat>, Query, description = "How keys become bytes"),
        ("value.format" = Option<schema::ProduceFormat>, Query, description = "How values become bytes"),
        ("key.schema" = Option<schema::SchemaName>, Query, description = "With `avro`: subject (its latest version) or id of the schema of keys; `<topic>-key` by default"),
        ("value.schema" = Option<schema::SchemaName>, Query, description = "With `avro`: subject (its latest version) or id of the schema of values; `<topic>-value` by default"),
        ("compression" = Option<schema::Compression>, Query, description = "How batches are compressed"),
        ("async" = Option<bool>, Query, description = "Whether to answer before Kafka has acknowledged"),
    ),
    request_body = schema::ProduceRequest,
    responses(
        (status = 200, description = "At least one record was written", body = schema::ProduceAnswer),
        (status = 202, description = "With `async=true`: the records are on their way", body = schema::ProduceAccepted),
    ),
)]
pub(super) async fn produce(call: Call) -> Result<Reply, Unserved> {
    let topic = call.topic()?;
    let (query, mut faults) = call.query();
    let options = Options::parse(query, &mut faults);
    let state = call.state();
    let (body, charge) = call.metered_body(state.producers.budget()).await?;
    let max_records = state.produce_records;
    let records = parsed(body, move |body| parse(body, max_records, faults));
    let records = records.await?;
    let budget = call.write_budget();
    let deadline = budget.deadline();
    let production = Production {
        topic: topic.clone(),
        key_format: options.key_format,
        value_format: options.value_format,
        key_schema: options.key_schema,
        value_schema: options.value_schema,
        compression: options.compression,
        records,
    };
    if options.is_async {
        let (id, receipt) = note(&state, production.records.len())?;
        let sending = async {
            let delivery = state.producers.enqueue(production, deadline).await;
            Ok::<_, Problem>(delivery?)
        };
        let delivery = budget.run(sending).await?;
        let ending = async move {
            let outcomes = delivery.outcomes(Deadline::after(LONGEST)).await;
            receipt.end(topic, outcomes);
        };
        tokio::spawn(ending.in_current_span());
        let accepted = json!({"requestId": id.to_string(), "status": "pending"});
        return Ok(Reply::accepted(&accepted)?);
    }
    let writing = async {
        let delivery = state.producers.enqueue(production, deadline).await;
        // What is left of the body are the records in the queue, which have a charge of their own.
        drop(charge);
        Ok::<_, Problem>(delivery?.outcomes(deadline).await)
    };
    let outcomes = budget.run(writing).await?;
    Ok(answer(&outcomes, &topic)?)
}

/// Notes a request that is answered before it is done.
fn note(state: &Arc<State>, records: usize) -> Result<(RequestId, Receipt), Problem> {
    if state.draining.is_on() {
        // What becomes of it would be known to nobody.
        return Err(shutting_down());
    }
    let id = RequestId::new(state.identity.node(), state.clock.now());
    let receipt = state.ledger.begin(id.number, records).map_err(|_| {
        Problem::new(
            Code::QueueFull,
            "This node keeps what became of as many asynchronous requests as it may; try again, without async, or have limits.async_result_bytes raised.",
        )
    })?;
    Ok((id, receipt))
}

/// What became of a request with `async=true`.
///
/// Any node can say it, for 30 minutes after the end. If the node that took the request is lost,
/// it has `failed`, and the `error` says that its outcome is unknown.
#[utoipa::path(
    get,
    path = "/api/produce/status/{requestId}",
    operation_id = "produceStatus",
    tag = "topics",
    params(("requestId" = schema::RequestId, Path, description = "The request")),
    responses((status = 200, description = "How far it is", body = schema::ProduceOutcome)),
)]
pub(super) async fn status(call: Call) -> Result<Reply, Unserved> {
    call.check_empty()?;
    let text = call.path("requestId");
    let id: RequestId = text.parse().map_err(|_| request_not_found(text))?;
    let state = call.state();
    let age = state.clock.now().as_millis() - id.taken.as_millis();
    if u128::from(age.max(0).unsigned_abs()) > (RETENTION + LONGEST).as_millis() {
        return Err(request_not_found(text).into());
    }
    let budget = call.budget();
    let name = &id.node.name;
    let finding = async {
        let run = state
            .ownership
            .find_run(name, budget.deadline(), call.hop());
        run.await.map_err(|error| match error {
            Error::OwnerUnavailable => Unserved::from(Problem::new(
                Code::OwnerUnavailable,
                "The node that took this request cannot be reached; try again.",
            )),
            other => other.into(),
        })
    };
    match budget.run(finding).await? {
        Run::There(owner) => Err(Unserved::Elsewhere(owner)),
        Run::Over => Ok(lost(&id)?),
        Run::Here => match state.ledger.status(id.number) {
            Some(status) => Ok(told(&id, &status)?),
            None if state.identity.is(&id.node) => Err(request_not_found(text).into()),
            // An earlier run of this node took it.
            None => Ok(lost(&id)?),
        },
    }
}

fn request_not_found(id: &str) -> Problem {
    Problem::new(
        Code::RequestNotFound,
        "There is no request with this id, or it ended more than 30 minutes ago.",
    )
    .with("requests", json!([id]))
}

fn lost(id: &RequestId) -> Result<Reply, Problem> {
    Reply::json(&json!({
        "requestId": id.to_string(),
        "status": "failed",
        "offsets": [],
        "error": "The node that took the request is gone, and the outcome is unknown: its records may have been written.",
    }))
}

fn told(id: &RequestId, status: &Status) -> Result<Reply, Problem> {
    let id = id.to_string();
    let Status::Ended(ended) = status else {
        return Reply::json(&json!({"requestId": id, "status": "pending"}));
    };
    let (outcomes, topic) = (&ended.outcomes, &ended.topic);
    let errors: Vec<&RecordError> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    let failed = errors.len() == outcomes.len();
    let error = failed.then(|| none_written(&errors, topic).detail);
    Reply::json(&Told {
        request_id: id,
        status: if failed { "failed" } else { "completed" },
        offsets: outcomes.iter().map(|o| Entry::of(o, topic)).collect(),
        error: error.as_deref(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    request_id: String,
    status: &'static str,
    offsets: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// What is made of a body, on a thread that may take its time if the body is large.
pub(super) async fn parsed<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&Bytes) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if body.len() <= INLINE {
        return parse(&body);
    }
    actix_web::web::block(move || parse(&body))
        .await
        .unwrap_or_else(|error| Err(Problem::internal(error.to_string())))
}

/// What is told of one record.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Written {
        partition: i32,
        offset: Option<i64>,
        timestamp: Option<i64>,
    },
    Failed {
        error: EntryError,
    },
}

#[derive(Serialize)]
struct EntryError {
    code: &'static str,
    detail: String,
}

impl Entry {
    fn of(outcome: &Outcome, topic: &TopicName) -> Self {
        match outcome {
            Ok(written) => Self::Written {
                partition: written.partition.get(),
                offset: written.offset.map(|offset| offset.get()),
                timestamp: written.timestamp.map(|time| time.as_millis()),
            },
            Err(error) => {
                let problem = of_record(error, topic);
                Self::Failed {
                    error: EntryError {
                        code: problem.code.meaning().code,
                        detail: problem.detail.into_owned(),
                    },
                }
            }
        }
    }
}

/// 200 if at least one record was written, else a problem by cause; one entry a record in any case.
fn answer(outcomes: &[Outcome], topic: &TopicName) -> Result<Reply, Problem> {
    let offsets: Vec<Entry> = outcomes.iter().map(|o| Entry::of(o, topic)).collect();
    let errors: Vec<&RecordError> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    if errors.len() < outcomes.len() {
        return Reply::json(&Offsets { offsets });
    }
    let offsets = serde_json::to_value(offsets).unwrap_or_else(|_| json!([]));
    Err(none_written(&errors, topic).with("offsets", offsets))
}

#[derive(Serialize)]
struct Offsets {
    offsets: Vec<Entry>,
}
