//! The session registry: which node owns which session, and what its next owner must know.
//!
//! [`Command`]s change it, one after another, the same way everywhere; a [`RegistryHandle`] is
//! all that a node sees of it. The registry knows nothing of Kafka or of HTTP.

#![forbid(unsafe_code)]

mod command;
mod error;
mod handle;
mod registry;
#[allow(dead_code, reason = "used by the consensus, which is the next to come")]
mod replica;
#[allow(dead_code, reason = "used by the consensus, which is the next to come")]
mod store;
#[allow(dead_code, reason = "used by the consensus, which is the next to come")]
mod types;
mod watch;

pub use command::{Command, Creation};
pub use error::Error;
pub use handle::RegistryHandle;
pub use registry::{Outcome, Registry, Session, SessionState, SessionView};
pub use store::{Failure, StoreFailed, VolumeError};
pub use types::{ClusterId, Member, RaftId};
pub use watch::{Changes, SessionWatch};
