//! What operators ask: metrics and lists.

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use prometheus::TextEncoder;
use serde_json::{Value, json};
use sluice_types::Mode;

use super::call::Call;
use super::error::Problem;
use super::reply::Reply;
use super::request::list as list_request;
use super::schema;
use super::unserved::Unserved;

/// All metrics, as Prometheus reads them.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operations",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    let state = call.state();
    // The closer is looked at when somebody asks, not each time that a handle comes or goes.
    state.sessions.closer_backlog();
    let families = state.metrics.gather();
    let text = TextEncoder::new()
        .encode_to_string(&families)
        .map_err(|error| Problem::internal(format!("the metrics cannot be written: {error}")))?;
    let reply = Reply::new("text/plain; version=0.0.4; charset=utf-8", text);
    Ok(reply.header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// The sessions of the cluster, by id.
#[utoipa::path(
    get,
    path = "/api/consumers",
    operation_id = "list",
    tag = "operations",
    params(
        ("group_id" = Option<schema::GroupId>, Query, description = "Only sessions of this group"),
        ("limit" = Option<schema::ListLimit>, Query, description = "At most so many"),
        ("cursor" = Option<schema::ConsumerId>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Some sessions", body = schema::ConsumerList)),
)]
pub(super) async fn list(call: Call) -> Result<Reply, Unserved> {
    let (query, faults) = call.query();
    let asked = list_request::parse(query, faults)?;
    let state = call.state();
    let listing = state
        .ownership
        .list(asked.group.as_ref(), asked.after.as_ref(), asked.limit);
    let page = call
        .budget()
        .run(async { Ok::<_, Problem>(listing.await) })
        .await?;
    let consumers: Vec<Value> = page
        .consumers
        .iter()
        .map(|session| {
            let mode = match session.mode {
                Mode::Subscribed => "subscribed",
                Mode::Assigned { .. } => "assigned",
            };
            json!({
                "consumer_id": session.id,
                "group_id": session.spec.group_id,
                "topics": session.spec.topics,
                "mode": mode,
                "owner": session.owner.name,
                "epoch": session.epoch,
                "created_at": session.created_at.as_millis(),
            })
        })
        .collect();
    Ok(Reply::json(
        &json!({"consumers": consumers, "next_cursor": page.next}),
    )?)
}
