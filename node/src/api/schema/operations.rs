//! Bodies for operators, and errors.

use serde::Serialize;
use utoipa::ToSchema;

use super::names::{ConsumerId, GroupId, Mode, TopicName};
use super::produce::ProducedRecord;

/// A session in a list.
#[derive(ToSchema)]
pub(in crate::api) struct ListedConsumer {
    consumer_id: ConsumerId,
    group_id: GroupId,
    topics: Vec<TopicName>,
    mode: Mode,
    owner: String,
    epoch: u64,
    created_at: i64,
}

/// A page of sessions.
#[derive(ToSchema)]
#[schema(example = json!({"consumers": [{"consumer_id": "550e8400-e29b-41d4-a716-446655440000", "group_id": "billing", "topics": ["orders"], "mode": "subscribed", "owner": "sluice-0", "epoch": 1, "created_at": 1704537600000i64}], "next_cursor": null}))]
pub(in crate::api) struct ConsumerList {
    consumers: Vec<ListedConsumer>,
    /// For `cursor` of the next page; `null` on the last one.
    #[schema(nullable)]
    next_cursor: String,
}

/// The process is fine.
#[derive(ToSchema)]
#[schema(example = json!({"status": "ok", "node": "sluice-0"}))]
pub(in crate::api) struct Live {
    status: String,
    node: String,
}

/// The node takes requests.
#[derive(ToSchema)]
#[schema(example = json!({"status": "ready", "node": "sluice-0", "registry": "ok", "leader": "ok", "lease": "ok", "kafka": "ok"}))]
pub(in crate::api) struct Ready {
    status: String,
    node: String,
    registry: Health,
    /// Of nodes with a `data_dir`.
    leader: Option<Health>,
    /// Of nodes with a `data_dir`.
    lease: Option<Health>,
    kafka: Health,
}

/// How something is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Health {
    Ok,
    Degraded,
}

/// An error. Further members depend on the code.
#[derive(ToSchema)]
pub(in crate::api) struct Problem {
    /// `urn:sluice:error:` and the code.
    r#type: String,
    /// The same for every error with this code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// One sentence: what was wrong, what to do.
    detail: String,
    /// What kind of error it is; it never changes its meaning.
    code: String,
    /// With `invalid_field`: all faults of the request.
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// When no record of a produce was written: what became of each.
    #[schema(required = false)]
    offsets: Vec<ProducedRecord>,
}

/// One fault of a request.
#[derive(ToSchema)]
pub(in crate::api) struct FieldError {
    /// The field, or the name of a parameter or header.
    field: String,
    /// What is wrong with it.
    message: String,
}
