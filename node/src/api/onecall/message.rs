//! Writing one message: `POST /produce`.

use serde_json::json;

use crate::api::call::Call;
use crate::api::error::{Problem, none_written};
use crate::api::produce::parsed;
use crate::api::reply::Reply;
use crate::api::request::message::parse;
use crate::api::schema;
use crate::api::unserved::Unserved;

/// Writes one message.
///
/// Answered when all in-sync replicas have it. The message is stored byte for byte as it was sent,
/// the key as plain text. For more than one message, or other formats, there is
/// `POST /api/topics/{topic}/produce`.
#[utoipa::path(
    post,
    path = "/produce",
    operation_id = "produceOne",
    tag = "one call",
    request_body = schema::ProduceOneRequest,
    responses((status = 200, description = "The message is written", body = schema::ProduceOneAnswer)),
)]
pub(in crate::api) async fn produce(call: Call) -> Result<Reply, Unserved> {
    let faults = call.faults();
    let state = call.state();
    let (body, charge) = call.metered_body(state.producers.budget()).await?;
    let production = parsed(body, move |body| parse(body, faults)).await?;
    let topic = production.topic.clone();
    let budget = call.write_budget();
    let deadline = budget.deadline();
    let writing = async {
        let delivery = state.producers.enqueue(production, deadline).await;
        // What is left of the body is in the queue, and has a charge of its own.
        drop(charge);
        Ok::<_, Problem>(delivery?.outcomes(deadline).await)
    };
    let outcomes = budget.run(writing).await?;
    match outcomes.first() {
        Some(Ok(written)) => Ok(Reply::json(&json!({
            "success": true,
            "topic": topic,
            "partition": written.partition,
            "offset": written.offset,
        }))?),
        Some(Err(error)) => Err(none_written(&[error], &topic).into()),
        None => Err(Problem::internal("a message was neither written nor refused").into()),
    }
}
