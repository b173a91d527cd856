//! The session registry: which node owns which session, and what its next owner must know.
//!
//! [`Command`]s change it, one after another, the same way everywhere; a [`RegistryHandle`] is
//! all that a node sees of it. The registry knows nothing of Kafka or of HTTP.

#![forbid(unsafe_code)]

mod command;
mod consensus;
mod error;
pub mod failover;
pub mod guard;
mod handle;
pub mod lease;
pub mod liveness;
mod metrics;
mod moment;
mod net;
#[cfg(test)]
mod patience;
pub mod rebalance;
mod registry;
mod replica;
pub mod snapshot;
mod store;
mod types;
mod watch;

pub use command::{Command, Creation, Handover, Move, Registration};
pub use consensus::{
    Consensus, ConsensusStatus, Exported, Options, Recovered, StartError, Timing, export, import,
    recover,
};
pub use error::Error;
pub use handle::RegistryHandle;
pub use moment::Moment;
pub use net::{Transport, TransportError};
pub use registry::placement;
pub use registry::{
    HandedOver, InvalidAddress, Node, NodeAddress, NodeState, Outcome, PartitionCounts, RaftId,
    Registry, Session, SessionState, SessionView, Version,
};
pub use store::{Failure, Space, StoreFailed, VolumeError};
pub use types::{ClusterId, Member};
pub use watch::{Changes, SessionWatch};
