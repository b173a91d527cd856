//! The other nodes of the cluster.
//!
//! ```text
//!   entry node                                     owner
//!   api/forwarding.rs -> client.rs ==== HTTP ====> the same routes, on the internal port
//!                          |  badge.rs: cluster, secret, sender, receiver
//!   the answer, whole <----+------ answer token -- fates.rs keeps its fate
//!   to the client: delivered, or lost - words.rs -> and is told it
//! ```

mod badge;
mod client;
mod fates;
mod strangers;
mod transport;
mod words;

pub(crate) use badge::{Badge, Credentials, Refused};
pub(crate) use client::{Answered, Forward, PeerError, Peers, RemoteFate};
pub(crate) use fates::Fates;
pub(crate) use strangers::Strangers;
pub(crate) use transport::{FRAMES, Frames};
pub(crate) use words::{Saying, Word};

use std::time::Duration;

use actix_web::http::header::HeaderName;

/// Where a node is told what became of its answers.
pub(crate) const WORDS: &str = "/answers";

/// How much of a request's time had passed when it was sent on, in milliseconds.
pub(crate) const ELAPSED: HeaderName = HeaderName::from_static("sluice-elapsed-ms");
/// The id of a session to be, where the client left it to Sluice.
pub(crate) const NEW_ID: HeaderName = HeaderName::from_static("sluice-consumer-id");
/// How many bytes of records the entry node takes now.
pub(crate) const ROOM: HeaderName = HeaderName::from_static("sluice-room");
/// Names an answer whose fate the owner waits to be told.
pub(crate) const ANSWER: HeaderName = HeaderName::from_static("sluice-answer");
/// The code of an error, for the entry node's metrics.
pub(crate) const CODE: HeaderName = HeaderName::from_static("sluice-code");
/// How long the node that was asked took for its answer, in microseconds.
pub(crate) const SERVED: HeaderName = HeaderName::from_static("sluice-served-us");
/// The present ownership of a session that is not on the node asked.
pub(crate) const EPOCH: HeaderName = HeaderName::from_static("sluice-epoch");

/// How long the owner of an answer waits for a word on it.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the entry node says that the client is still taking an answer.
const SAY_EVERY: Duration = Duration::from_secs(2);
