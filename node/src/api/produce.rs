//! Writing records: `/api/topics/{topic}/produce`.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use sluice_actors::{Outcome, Outgoing, Production, RecordError};
use sluice_types::TopicName;

use super::call::Call;
use super::error::{Problem, none_written, of_record};
use super::reply::Reply;
use super::request::Faults;
use super::request::produce::{Options, parse};
use super::schema;
use super::unserved::Unserved;

/// Bodies over this size are taken apart on a thread that may take its time.
const INLINE: usize = 256 * 1024;

/// Writes records.
///
/// Answered when all in-sync replicas have them. One entry a record, in order; with at least one
/// record written the status is 200, and the entries of others hold their `error`.
#[utoipa::path(
    post,
    path = "/api/topics/{topic}/produce",
    operation_id = "produce",
    tag = "topics",
    params(
        ("topic" = schema::TopicName, Path, description = "The topic"),
        ("key.format" = Option<schema::ProduceFormat>, Query, description = "How keys become bytes"),
        ("value.format" = Option<schema::ProduceFormat>, Query, description = "How values become bytes"),
        ("key.schema" = Option<String>, Query, description = "With `avro`: subject or id of the schema of keys"),
        ("value.schema" = Option<String>, Query, description = "With `avro`: subject or id of the schema of values"),
        ("compression" = Option<schema::Compression>, Query, description = "How batches are compressed"),
    ),
    request_body = schema::ProduceRequest,
    responses((status = 200, description = "At least one record was written", body = schema::ProduceAnswer)),
)]
pub(super) async fn produce(call: Call) -> Result<Reply, Unserved> {
    let topic = call.topic()?;
    let (query, mut faults) = call.query();
    let options = Options::parse(query, &mut faults);
    let state = call.state();
    let (body, charge) = call.metered_body(state.producers.budget()).await?;
    let records = records(body, options, state.produce_records, faults).await?;
    let budget = call.write_budget();
    let deadline = budget.deadline();
    let production = Production {
        topic: topic.clone(),
        key_format: options.key_format,
        value_format: options.value_format,
        compression: options.compression,
        records,
    };
    let writing = async {
        let delivery = state.producers.enqueue(production, deadline).await;
        // What is left of the body are the records in the queue, which have a charge of their own.
        drop(charge);
        Ok::<_, Problem>(delivery?.outcomes(deadline).await)
    };
    let outcomes = budget.run(writing).await?;
    Ok(answer(&outcomes, &topic)?)
}

async fn records(
    body: Bytes,
    options: Options,
    max_records: usize,
    faults: Faults,
) -> Result<Vec<Outgoing>, Problem> {
    if body.len() <= INLINE {
        return parse(&body, options, max_records, faults);
    }
    actix_web::web::block(move || parse(&body, options, max_records, faults))
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
