//! How far a request has come, and where it goes next.

use std::time::Duration;

use sluice_raft::{NodeAddress, NodeState, RegistryHandle};
use sluice_types::{Epoch, NodeId};
use tokio::time::Instant;

/// How long a node that could not be reached is not tried again for the same request, unless the
/// registry says otherwise before.
const AVOIDED: Duration = Duration::from_millis(250);

/// The node that a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Where its internal port is reached.
    pub address: NodeAddress,
    /// The ownership meant; `None` if the session is yet to be made there.
    pub epoch: Option<Epoch>,
}

/// How far a request has come.
#[derive(Clone, Debug)]
pub struct Hop {
    forwarded: bool,
    avoided: Vec<(NodeId, Instant)>,
}

impl Hop {
    /// A request that a client has sent here.
    pub const fn first() -> Self {
        Self {
            forwarded: false,
            avoided: Vec::new(),
        }
    }

    /// A request that another node has sent here. It goes no further: a second hop could go round
    /// in a circle.
    pub fn forwarded() -> Self {
        Self {
            forwarded: true,
            avoided: Vec::new(),
        }
    }

    /// Whether another node has sent it.
    pub fn is_forwarded(&self) -> bool {
        self.forwarded
    }

    /// Notes that the node could not be reached.
    pub fn avoid(&mut self, node: NodeId) {
        self.avoided.retain(|(avoided, _)| *avoided != node);
        self.avoided.push((node, Instant::now() + AVOIDED));
    }

    /// Whether the request has been sent to another node already.
    pub fn was_sent_on(&self) -> bool {
        !self.avoided.is_empty()
    }

    /// The nodes that could not be reached just now.
    pub(super) fn avoided(&self) -> impl Iterator<Item = &NodeId> {
        let now = Instant::now();
        let avoided = self.avoided.iter().filter(move |(_, until)| *until > now);
        avoided.map(|(node, _)| node)
    }

    /// The way to a node, if it runs as far as the registry knows and could be reached.
    pub(super) fn way_to(&self, node: &NodeId, registry: &RegistryHandle) -> Option<NodeAddress> {
        let known = registry.node(&node.name)?;
        let runs = known.id == *node && known.state != NodeState::Dead;
        (runs && self.avoided().all(|avoided| avoided != node)).then_some(known.address)
    }
}
