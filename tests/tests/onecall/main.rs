//! The one-call API, on real nodes and a real Kafka.
//!
//! ```text
//! small.rs     what there is: the API, topics, health, one message written, several addresses
//! sharing.rs   calls that share the messages of a group, on one node and on several
//! delivery.rs  what becomes of messages on their way, and when they are committed
//! lost.rs      the owner of the session ends
//! looking.rs   the newest messages of a topic
//! refused.rs   what is wrong with a request
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod delivery;
mod looking;
mod lost;
mod refused;
mod sharing;
mod small;

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use sluice_tests::{Answer, Client, Reply};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// `POST /consume`.
async fn consume(client: &Client, body: impl Serialize) -> Reply {
    client.call(Method::POST, "/consume", body).await
}

/// The messages of an answer, which says how many they are.
#[track_caller]
fn messages(answer: &Answer) -> &[Value] {
    let messages = answer["messages"].as_array().expect("there is a list");
    assert_eq!(answer["count"], messages.len());
    assert_eq!(answer["success"], true);
    messages
}

/// Partition and offset of each.
fn places(messages: &[Value]) -> Vec<(i64, i64)> {
    let place =
        |message: &Value| Some((message["partition"].as_i64()?, message["offset"].as_i64()?));
    messages
        .iter()
        .map(|message| place(message).unwrap())
        .collect()
}
