//! How the present run of a node is found, for what only that process knows.

use std::time::Duration;

use sluice_actors::Deadline;
use sluice_raft::{Node, NodeState};
use sluice_types::NodeName;

use super::host::Host;
use super::{Error, Hop, Owner, Ownership};

/// A waiting request looks this often even if nobody wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where the process of a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// It is this process.
    Here,
    /// It is another one.
    There(Owner),
    /// There is none.
    Over,
}

impl<H: Host> Ownership<H> {
    /// Finds the process of a node, waiting while it cannot be reached. That there is none is said
    /// only after asking the registry itself: a copy that is behind may not know it yet.
    ///
    /// # Errors
    /// [`Error::OwnerUnavailable`] when it could not be reached until the deadline, and for a
    /// request that another node has sent here; [`Error::NoQuorum`].
    pub async fn find_run(
        &self,
        name: &NodeName,
        deadline: Deadline,
        hop: &Hop,
    ) -> Result<Run, Error> {
        if *name == self.core.identity.name() {
            return Ok(Run::Here);
        }
        if hop.is_forwarded() {
            return Err(Error::OwnerUnavailable);
        }
        let registry = &self.core.registry;
        let lives = |node: &Node| node.state != NodeState::Dead;
        let mut changes = registry.changes();
        loop {
            let node = match registry.node(name).filter(lives) {
                Some(node) => node,
                None => {
                    registry.catch_up().await.map_err(|_| Error::NoQuorum)?;
                    match registry.node(name).filter(lives) {
                        Some(node) => node,
                        None => return Ok(Run::Over),
                    }
                }
            };
            if let Some(address) = hop.way_to(&node.id, registry) {
                return Ok(Run::There(Owner {
                    node: node.id,
                    address,
                    epoch: None,
                }));
            }
            tokio::select! {
                () = changes.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = tokio::time::sleep_until(deadline.instant()) => {
                    return Err(Error::OwnerUnavailable);
                }
            }
        }
    }
}
