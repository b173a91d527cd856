//! What is known of all nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_types::NodeId;

use super::Guard;
use crate::net::frame::{QuestionV1, ResponseV1, SightingV1};
use crate::{ClusterId, ConsensusStatus, Node, RaftId};

/// What a node's member is in the consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides with the other voters, and leads them.
    Leader,
    /// It decides with the other voters.
    Voter,
    /// It is told what is decided.
    Learner,
}

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterReport {
    /// The cluster, once this member is in one.
    pub id: Option<ClusterId>,
    /// The leader's name, if one is known.
    pub leader: Option<String>,
    /// Counts the elections.
    pub term: u64,
    /// All nodes, by name.
    pub nodes: Vec<NodeReport>,
}

/// What is known of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// As the registry of this process holds it.
    pub node: Node,
    /// What its member is; `None` if it is none.
    pub role: Option<Role>,
    /// How many sessions it owns.
    pub sessions: usize,
    /// How many entries of the log it had applied when it was last heard, if that is known.
    pub applied: Option<u64>,
    /// How long its lease lasts at most, zero without one, if that is known.
    pub lease: Option<Duration>,
}

impl Guard {
    /// What is known of the cluster: of members and sessions at this node, of signs of life at the
    /// leader. When that does not answer within a second, at this node too.
    pub async fn report(&self) -> ClusterReport {
        let sightings = self.sightings().await;
        let status = self.consensus.status();
        let leader = status.leader.and_then(|id| status.members.get(&id));
        let leader = leader.map(|member| member.name.clone());
        let registry = self.consensus.replica.read();
        let report = |node: &Node| NodeReport {
            role: role(&status, node.raft_id),
            sessions: registry.count_of(&node.id),
            applied: sightings.get(&node.id).map(|seen| seen.applied),
            lease: sightings
                .get(&node.id)
                .map(|seen| Duration::from_millis(seen.lease.into())),
            node: node.clone(),
        };
        ClusterReport {
            id: self.consensus.identity.cluster(),
            leader,
            term: status.term,
            nodes: registry.nodes().map(report).collect(),
        }
    }

    /// What the leader knows of the nodes, and what this one knows of itself.
    async fn sightings(&self) -> BTreeMap<NodeId, SightingV1> {
        let answer = if self.consensus.leading.leads() {
            Some(self.consensus.desk.sightings())
        } else {
            self.ask_leader(QuestionV1::Sightings).await
        };
        let sightings = match answer {
            Some(ResponseV1::Sightings(sightings)) => sightings,
            Some(_) | None => Vec::new(),
        };
        let standing = self.standing();
        let own = SightingV1 {
            node: standing.node.clone(),
            applied: self.consensus.replica.applied(),
            lease: super::term::millis(standing.lease(self.options.moments.now())),
        };
        let all = sightings.into_iter().chain([own]);
        all.map(|seen| (seen.node.clone(), seen)).collect()
    }
}

fn role(status: &ConsensusStatus, id: RaftId) -> Option<Role> {
    if status.leader == Some(id) {
        return Some(Role::Leader);
    }
    if status.voters.contains(&id) {
        return Some(Role::Voter);
    }
    status.members.contains_key(&id).then_some(Role::Learner)
}
