//! What there is: `GET /`, `GET /topics`.

use serde_json::json;
use sluice_types::TopicName;

use super::default_group;
use crate::api::call::Call;
use crate::api::error::Problem;
use crate::api::reply::Reply;
use crate::api::schema;
use crate::api::unserved::Unserved;

/// Kafka's own topics begin with this.
const INTERNAL: &str = "__";

/// What this is, and where to go on.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "root",
    tag = "one call",
    responses((status = 200, description = "The API", body = schema::Welcome)),
)]
pub(in crate::api) async fn root(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    Reply::json(&json!({
        "message": "Sluice, an HTTP proxy in front of Apache Kafka",
        "version": env!("CARGO_PKG_VERSION"),
        "endpoints": {
            "health": "/health",
            "consume": "/consume",
            "topics": "/topics",
            "docs": "/docs",
        },
    }))
}

/// Kafka's topics, without its internal ones, by name.
#[utoipa::path(
    get,
    path = "/topics",
    operation_id = "topics",
    tag = "one call",
    responses((status = 200, description = "The topics", body = Vec<schema::ListedTopic>)),
)]
pub(in crate::api) async fn topics(call: Call) -> Result<Reply, Unserved> {
    call.check_empty()?;
    let budget = call.budget();
    let state = call.state();
    let asking = async {
        let topics = state.sessions.topics(budget.deadline()).await;
        topics.map_err(Problem::from)
    };
    let topics = budget.run(asking).await?;
    let of_clients = topics.iter().filter(|(name, _)| !is_internal(name));
    let listed: Vec<_> = of_clients
        .map(|(name, partitions)| {
            json!({
                "topic": name,
                "partitions": partitions,
                "group_id": default_group(name).ok(),
            })
        })
        .collect();
    Ok(Reply::json(&listed)?)
}

fn is_internal(topic: &TopicName) -> bool {
    topic.as_str().starts_with(INTERNAL)
}
