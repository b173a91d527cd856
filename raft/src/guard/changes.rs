//! What people, or the nodes themselves, have changed about nodes.

use sluice_types::NodeName;

use super::Guard;
use crate::{Command, Error, Node, NodeState, Outcome};

/// How often a change is decided anew because another came first.
const ATTEMPTS: usize = 5;

/// Why a node is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeChangeError {
    /// There is no node of this name.
    #[error("there is no such node")]
    Unknown,
    /// It is dead: only its process can begin anew.
    #[error("the node is dead")]
    Dead,
    /// It is not dead: only a dead one is removed.
    #[error("the node is not dead")]
    NotDead,
    /// The registry does not say.
    #[error(transparent)]
    Registry(#[from] Error),
}

impl Guard {
    /// Has the node hand over its sessions and get no more. It goes on until it is asked to end.
    ///
    /// # Errors
    /// [`NodeChangeError`]. After [`Error::OutcomeUnknown`] it may be so nevertheless.
    pub async fn drain(&self, name: &NodeName) -> Result<(), NodeChangeError> {
        self.set_state(name, NodeState::Draining).await
    }

    /// Lets a node that drains take sessions again.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn undrain(&self, name: &NodeName) -> Result<(), NodeChangeError> {
        self.set_state(name, NodeState::Alive).await
    }

    /// Forgets a dead node.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn remove(&self, name: &NodeName) -> Result<(), NodeChangeError> {
        self.change(name, |node| match node.state {
            NodeState::Dead => Ok(Some(Command::RemoveNode {
                node: node.id.clone(),
                at: self.options.clock.now(),
            })),
            NodeState::Alive | NodeState::Draining => Err(NodeChangeError::NotDead),
        })
        .await
    }

    async fn set_state(&self, name: &NodeName, to: NodeState) -> Result<(), NodeChangeError> {
        self.change(name, |node| {
            if node.state == NodeState::Dead {
                return Err(NodeChangeError::Dead);
            }
            Ok((node.state != to).then(|| Command::ChangeNode {
                node: node.id.clone(),
                revision: node.revision,
                to,
                at: self.options.clock.now(),
            }))
        })
        .await
    }

    /// Decides on the node as it is and has that done; anew if it has changed meanwhile.
    async fn change(
        &self,
        name: &NodeName,
        decide: impl Fn(&Node) -> Result<Option<Command>, NodeChangeError>,
    ) -> Result<(), NodeChangeError> {
        for _ in 0..ATTEMPTS {
            self.consensus.asking.catch_up().await?;
            let node = self.consensus.replica.read().node(name).cloned();
            let node = node.ok_or(NodeChangeError::Unknown)?;
            let Some(command) = decide(&node)? else {
                return Ok(());
            };
            if self.consensus.asking.propose(command).await? == Outcome::Applied {
                return Ok(());
            }
        }
        // Somebody else changes it all the time.
        Err(Error::OutcomeUnknown.into())
    }
}
