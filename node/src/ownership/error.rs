//! Why a session could not be reached, made or ended.

use sluice_types::Epoch;

use super::Owner;

/// What the joint work of registry and sessions can answer instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The session itself says so.
    #[error(transparent)]
    Session(#[from] sluice_actors::Error),
    /// No such session; the registry has been asked, not only this node's copy of it.
    #[error("no such consumer")]
    ConsumerNotFound,
    /// The id lives with another specification.
    #[error("this consumer id lives with another specification")]
    ConsumerExists,
    /// The session is between owners or being restarted, for longer than the request waits.
    #[error("the consumer is being restarted or moved")]
    OwnerUnavailable,
    /// The session is another node's: the request belongs there.
    #[error("the consumer is on node {}", .0.node)]
    Elsewhere(Owner),
    /// The request was sent here by a node that took this one for the owner, which it is not.
    #[error("the consumer is not on this node")]
    Misdirected {
        /// The present ownership, for the sender to wait for; `None` of a session that is yet to be
        /// made, which this node takes no more.
        epoch: Option<Epoch>,
    },
    /// The registry cannot decide now; nothing has changed.
    #[error("the registry has no quorum")]
    NoQuorum,
    /// The node takes no more requests.
    #[error("the node is shutting down")]
    ShuttingDown,
}
