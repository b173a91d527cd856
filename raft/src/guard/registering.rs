//! Becoming a node, and finding out that one is none any more.

use std::time::Duration;

use sluice_types::NodeId;
use tokio::time::sleep;

use super::Guard;
use crate::{Command, Error, NodeState, Outcome, Registration};

/// Between two attempts that failed at once. Those without a quorum last longer by themselves.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of an incarnation that wanted to be a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// It is in the log.
    Done,
    /// It has ended already.
    Ended,
    /// This release does not know what the cluster uses.
    TooOld,
}

impl Guard {
    /// Has the incarnation registered in place of the one that the registry holds. Tries until it
    /// is in the log.
    pub(super) async fn register(&self, node: &NodeId) -> Registered {
        let mut is_told = false;
        loop {
            match self.try_to_register(node).await {
                Ok(Outcome::Applied) => return Registered::Done,
                Ok(Outcome::NotAlive) => return Registered::Ended,
                Ok(Outcome::TooOld) => return Registered::TooOld,
                // Another has registered meanwhile.
                Ok(outcome) => tracing::debug!(%node, ?outcome, "not registered yet"),
                // It goes on for as long as no majority is there.
                Err(error) if is_told => tracing::debug!(%node, %error, "not registered yet"),
                Err(error) => {
                    tracing::info!(%node, %error, "not registered yet");
                    is_told = true;
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_to_register(&self, node: &NodeId) -> Result<Outcome, Error> {
        self.consensus.asking.catch_up().await?;
        let replaces = {
            let registry = self.consensus.replica.read();
            let known = registry.node(&node.name);
            // What an attempt did of which nothing was heard is answered the same again.
            known
                .map(|known| known.id.incarnation)
                .filter(|known| *known != node.incarnation)
        };
        let registration = Registration {
            id: node.clone(),
            replaces,
            address: self.options.address.clone(),
            raft_id: self.consensus.raft_id(),
            version: self.options.version,
            release: self.options.release.clone(),
            capacity: self.options.capacity,
            at: self.options.clock.now(),
        };
        let command = Command::Register(registration);
        self.consensus.asking.propose(command).await
    }

    /// Whether the registry says so as far as this process has it: a death that is in the log is
    /// final.
    pub(super) fn has_surely_ended(&self, node: &NodeId) -> bool {
        let registry = self.consensus.replica.read();
        let known = registry.node(&node.name).filter(|known| known.id == *node);
        known.is_some_and(|known| known.state == NodeState::Dead)
    }

    /// Whether this process's registry does not hold the incarnation as one that lives. It may
    /// only lag behind the registration.
    pub(super) fn may_have_ended(&self, node: &NodeId) -> bool {
        self.consensus.replica.read().state_of(node) == NodeState::Dead
    }

    /// Whether the incarnation, which was registered, has ended, by a linearizable read. `false`
    /// as well when nobody can tell.
    pub(super) async fn has_ended(&self, node: &NodeId) -> bool {
        self.consensus.asking.catch_up().await.is_ok() && self.may_have_ended(node)
    }
}
