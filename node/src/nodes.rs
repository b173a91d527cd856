//! What operators see of the cluster's nodes, and what they change about them.

use std::time::Duration;

use sluice_raft::guard::{ClusterReport, NodeChangeError, NodeReport, Role};
use sluice_raft::{Node, RegistryHandle};
use sluice_types::NodeName;

use crate::cluster::Membership;

/// The cluster's nodes, as an operator at this one sees them.
#[derive(Clone)]
pub(crate) struct Nodes {
    registry: RegistryHandle,
    membership: Option<Membership>,
}

/// Why nothing is changed about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// Its cluster says so.
    #[error(transparent)]
    Node(#[from] NodeChangeError),
    /// It keeps its registry in its own process: no other can take anything over from it.
    #[error("the node has no cluster")]
    Alone,
}

impl Nodes {
    /// The nodes of this registry.
    pub(crate) fn new(registry: RegistryHandle, membership: Option<Membership>) -> Self {
        Self {
            registry,
            membership,
        }
    }

    /// What is known of the cluster here; of a node without a volume, what is known of that.
    pub(crate) async fn report(&self) -> ClusterReport {
        match &self.membership {
            Some(membership) => without_doubtful_leader(membership.guard.report().await),
            None => self.report_alone(),
        }
    }

    /// A registry of one process has no log and grants no leases; its node decides everything.
    fn report_alone(&self) -> ClusterReport {
        let alone = |node: Node| NodeReport {
            role: Some(Role::Leader),
            sessions: self.registry.owned_by(&node.id).len(),
            is_ready: None,
            has_left: false,
            applied: None,
            lease: None,
            node,
        };
        let nodes: Vec<NodeReport> = self.registry.nodes().into_iter().map(alone).collect();
        ClusterReport {
            id: None,
            leader: nodes.first().map(|report| report.node.id.name.to_string()),
            term: 0,
            nodes,
        }
    }

    /// Has a node hand over its sessions and get no more.
    pub(crate) async fn drain(&self, name: &NodeName) -> Result<(), ChangeError> {
        match &self.membership {
            Some(membership) => Ok(membership.guard.drain(name).await?),
            None => self.own(name).and(Err(ChangeError::Alone)),
        }
    }

    /// Lets a node that drains take sessions again.
    pub(crate) async fn undrain(&self, name: &NodeName) -> Result<(), ChangeError> {
        match &self.membership {
            Some(membership) => Ok(membership.guard.undrain(name).await?),
            // It never drains.
            None => self.own(name),
        }
    }

    /// Forgets a dead node.
    pub(crate) async fn remove(&self, name: &NodeName) -> Result<(), ChangeError> {
        match &self.membership {
            Some(membership) => Ok(membership.guard.remove(name).await?),
            None => self.own(name).and(Err(NodeChangeError::NotDead.into())),
        }
    }

    fn own(&self, name: &NodeName) -> Result<(), ChangeError> {
        let node = self.registry.node(name);
        node.map(drop).ok_or(NodeChangeError::Unknown.into())
    }
}

/// Names no leader that no majority confirms. One that has lost its majority goes on taking itself
/// for the leader, but grants no leases, to itself neither.
fn without_doubtful_leader(mut report: ClusterReport) -> ClusterReport {
    for node in &mut report.nodes {
        if node.role == Some(Role::Leader) && node.lease == Some(Duration::ZERO) {
            node.role = Some(Role::Voter);
            report.leader = None;
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use sluice_types::{Incarnation, NodeId, SystemClock};

    use super::*;
    use crate::cluster::Introduction;

    #[tokio::test]
    async fn a_node_without_a_volume_answers_for_itself() {
        let name: NodeName = "a".parse().unwrap();
        let id = NodeId {
            name: name.clone(),
            incarnation: Incarnation::random(),
        };
        let nodes = Nodes::new(Introduction::registry_of(&id, &SystemClock), None);
        let report = nodes.report().await;
        assert_eq!((report.id, report.leader.as_deref()), (None, Some("a")));
        assert_eq!(report.nodes.len(), 1);
        assert_eq!(report.nodes[0].node.id, id);

        assert_eq!(nodes.drain(&name).await, Err(ChangeError::Alone));
        assert_eq!(nodes.undrain(&name).await, Ok(()));
        let living = Err(NodeChangeError::NotDead.into());
        assert_eq!(nodes.remove(&name).await, living);
        let unknown = "b".parse().unwrap();
        let missing = Err(NodeChangeError::Unknown.into());
        assert_eq!(nodes.drain(&unknown).await, missing);
        assert_eq!(nodes.undrain(&unknown).await, missing);
        assert_eq!(nodes.remove(&unknown).await, missing);
    }
}
