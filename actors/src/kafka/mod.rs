//! The Kafka side of a session: one consumer handle, its callbacks, and where it is closed; and
//! what producers need of librdkafka beside rdkafka.

mod bootstrap;
mod client_config;
mod closer;
mod cluster;
mod context;
mod failure;
#[allow(unsafe_code, reason = "the one file that calls librdkafka directly")]
mod ffi;
mod handle;
mod logs;
mod reader;
mod told;

pub(crate) use bootstrap::Bootstrap;
pub use client_config::check_property;
pub(crate) use client_config::{
    HandleKind, NO_GROUP, base_config, consumer_config, member_timeout,
};
pub(crate) use closer::Closer;
pub(crate) use cluster::Cluster;
pub(crate) use context::{Context, KafkaEvent};
pub(crate) use failure::{code_failure, failure, log};
#[cfg(test)]
pub(crate) use ffi::raise_fatal_error;
pub(crate) use ffi::{Message, is_perhaps_written};
pub(crate) use handle::{CommittedOffset, Handle, NO_TOPIC, Taken};
pub(crate) use logs::LogBounds;
pub(crate) use reader::{Part, Reader};
pub(crate) use told::{CommitOutcome, ListedOffset};
