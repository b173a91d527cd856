//! What is known of all nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_types::{ConsumerId, NodeId};

use super::Guard;
use crate::net::frame::{QuestionV1, ResponseV1, SightingV1};
use crate::placement::{Loads, spread};
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
    /// The leader's name, if one has been heard of for as long as an election takes; of this member,
    /// if a majority has followed it within a lease.
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
    /// Whether it can open sessions, that is, reaches Kafka and keeps up with the registry, if that
    /// is known.
    pub is_ready: Option<bool>,
    /// Whether it is dead because it has left: it drained, and decides nothing any more. One that
    /// failed is missed.
    pub has_left: bool,
}

impl Guard {
    /// What is known of the cluster: of members and sessions at this node, of signs of life at the
    /// leader. When that does not answer within a second, at this node too.
    pub async fn report(&self) -> ClusterReport {
        let sightings = self.sightings().await;
        let status = self.heard_status();
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
            is_ready: sightings.get(&node.id).map(|seen| seen.is_ready),
            has_left: has_left(&status, node),
            node: node.clone(),
        };
        ClusterReport {
            id: self.consensus.identity.cluster(),
            leader,
            term: status.term,
            nodes: registry.nodes().map(report).collect(),
        }
    }

    /// Whether there is a leader, as far as this member knows: see [`ClusterReport::leader`].
    pub fn has_leader(&self) -> bool {
        self.heard_status().leader.is_some()
    }

    /// The status of the consensus, with a leader only if that has been heard of lately: this
    /// member would stand for election by now, or another, had it been silent for longer. Of itself
    /// it takes the word of a majority, not older than a lease.
    pub(super) fn heard_status(&self) -> ConsensusStatus {
        let mut status = self.consensus.status();
        let is_heard = |leader: &RaftId| {
            if status.leads {
                let age = self.consensus.desk.quorum_age();
                return age.is_some_and(|age| age < self.options.timing.lease);
            }
            let sign = self.consensus.heard.last();
            let sign = sign.filter(|sign| sign.leader == *leader);
            sign.is_some_and(|sign| sign.silence() < self.consensus.timing.election_max * 2)
        };
        status.leader = status.leader.filter(is_heard);
        status
    }

    /// Where these sessions of this node should go, spread by load over the other nodes that are
    /// alive, do not drain, and can open them as the leader says; if none can, over all that are
    /// alive. When the leader does not say within a second, all that are alive count as able.
    ///
    /// What finds no room is left out, all if there is no other node. What is placed here counts in
    /// the next call only when it has moved.
    pub async fn destinations(&self, sessions: &[ConsumerId]) -> BTreeMap<ConsumerId, NodeId> {
        let sightings = self.sightings().await;
        // Of a node that the leader has not heard yet nothing bad is known.
        let is_ready = |node: &NodeId| sightings.get(node).is_none_or(|seen| seen.is_ready);
        let loads = Loads::of(&self.consensus.replica.read(), is_ready);
        let others = loads.without(&self.standing().node);
        spread(others, sessions.iter().cloned())
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
            is_ready: self.options.host.reaches_kafka(),
        };
        let all = sightings.into_iter().chain([own]);
        all.map(|seen| (seen.node.clone(), seen)).collect()
    }
}

/// Whether a node is dead and not missed: it drained first, and does not vote.
///
/// That it does not vote is not enough. A new member that fails before it votes does not, nor does
/// one of those whom the leader leaves out to keep a majority, when another drains.
pub(super) fn has_left(status: &ConsensusStatus, node: &Node) -> bool {
    node.died_draining() && !status.voters.contains(&node.raft_id)
}

pub(super) fn role(status: &ConsensusStatus, id: RaftId) -> Option<Role> {
    if status.leader == Some(id) {
        return Some(Role::Leader);
    }
    if status.voters.contains(&id) {
        return Some(Role::Voter);
    }
    status.members.contains_key(&id).then_some(Role::Learner)
}
