//! Looking at a topic: `GET /messages/{topic}`.

use crate::api::call::Call;
use crate::api::error::Problem;
use crate::api::reply::Reply;
use crate::api::request::call::limit;
use crate::api::schema;
use crate::api::unserved::Unserved;

/// The newest messages of a topic, over all partitions, oldest first.
///
/// Takes part in no group, and is quick however long the topic is. From the ends of the partitions
/// backwards, the message with the latest time comes next. If they have more than 16 MiB, there are
/// fewer.
#[utoipa::path(
    get,
    path = "/messages/{topic}",
    operation_id = "messages",
    tag = "one call",
    params(
        ("topic" = schema::TopicName, Path, description = "The topic"),
        ("limit" = Option<schema::MessageLimit>, Query, description = "Most messages"),
    ),
    responses((status = 200, description = "The messages", body = Vec<schema::Message>)),
)]
pub(in crate::api) async fn messages(call: Call) -> Result<Reply, Unserved> {
    let topic = call.topic()?;
    let (query, faults) = call.query();
    let limit = limit(query, faults)?;
    let budget = call.budget();
    let state = call.state();
    let reading = async {
        let listing = state.newest.of_topic(topic, limit, budget.deadline()).await;
        listing.map_err(Problem::from)
    };
    Ok(Reply::listing(budget.run(reading).await?))
}
