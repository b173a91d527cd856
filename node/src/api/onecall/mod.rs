//! The one-call API: whatever needs no session of its own, each in a single request.
//!
//! ```text
//! info.rs      what there is: the API itself, Kafka's topics
//! consume.rs   reads, on a session that all callers of a group and topic share
//! messages.rs  looks at the newest messages of a topic
//! message.rs   writes one message
//! ```
//! `GET /health` stands with the other probes.

mod consume;
mod info;
mod message;
mod messages;
mod routes;

pub(super) use routes::{CONSUME_ONCE, ONE_CALL};

// For the description.
pub(super) use consume::__path_consume;
pub(super) use info::{__path_root, __path_topics};
pub(super) use message::__path_produce;
pub(super) use messages::__path_messages;

use sluice_types::{GroupId, InvalidId, TopicName};

/// The group of those who name none.
///
/// # Errors
/// The topic's name is so long that there is no such group.
fn default_group(topic: &TopicName) -> Result<GroupId, InvalidId> {
    format!("sluice-consumer-api-group.{topic}").parse()
}
