//! Every code of docs/errors.md that one node can answer, provoked over HTTP on the real node.
//!
//! ```text
//! bad_input.rs     what is wrong with a request by itself
//! every_answer.rs  what holds for all answers: ids, types, methods, deadlines
//! sessions.rs      what a session cannot do
//! groups.rs        what its group does not let it do
//! fuzz.rs          odd requests by the thousand
//! raw.rs           HTTP by hand
//! codes.rs         the codes of the page, of the binary, and of the tests are the same
//! ```
//! Codes about Kafka being away or refusing access are in `kafka_down` and `access`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bad_input;
mod codes;
mod every_answer;
mod fuzz;
mod groups;
mod raw;
mod sessions;

use std::time::Duration;

use serde_json::json;
use sluice_tests::{Answer, Client, Kafka, Node, eventually, unique};
use tokio::sync::OnceCell;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the node of the tests that need nothing special.
pub(crate) async fn node() -> &'static Node {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let start = async || Node::builder().kafka(Kafka::shared().await).start().await;
    NODE.get_or_init(start).await
}

/// Returns a client of it.
pub(crate) async fn client() -> Client {
    node().await.client()
}

/// Makes a topic.
pub(crate) async fn topic(partitions: i32) -> String {
    let topic = unique("orders");
    let kafka = Kafka::shared().await;
    kafka.create_topic(&topic, partitions).await.unwrap();
    topic
}

/// A new session of this group and topic.
pub(crate) async fn session(client: &Client, group: &str, topic: &str) -> String {
    let body = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
    let subscribed = client.subscribe(body).await.expect(200);
    subscribed.text_at("consumer_id").to_owned()
}

/// Waits until Kafka knows no member of the group.
pub(crate) async fn left(group: &str) {
    let kafka = Kafka::shared().await;
    eventually(DEADLINE, "the group has no members", async || {
        kafka.members(group).await.map(|members| members.is_empty())
    })
    .await;
}

/// An answer that is worth a retry says after how many seconds.
#[track_caller]
pub(crate) fn assert_waits(answer: &Answer) {
    let seconds = answer.header("retry-after").map(str::parse::<u64>);
    assert!(
        matches!(seconds, Some(Ok(1..=60))),
        "{:?}",
        answer.headers.get("retry-after")
    );
}
