//! All nodes, and the version that they have in common.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_types::{Incarnation, NodeId, NodeName, Timestamp};

use super::node::{Node, NodeState, Version};
use crate::Registration;

/// How long an incarnation that has ended is remembered: far longer than its registration can be
/// on its way.
const KEPT: Duration = Duration::from_secs(600);

/// What became of a change of the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NodeChange {
    /// It is as asked, now or already.
    Done,
    /// Another change came first.
    Stale,
    /// The incarnation has ended.
    Ended,
    /// The node does not know the active version.
    TooOld,
}

/// The nodes of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Nodes {
    by_name: BTreeMap<NodeName, Node>,
    /// Incarnations that were replaced or removed: dead is final.
    ended: BTreeMap<Incarnation, Timestamp>,
    active: Version,
}

impl Nodes {
    pub(super) fn register(&mut self, registration: Registration) -> NodeChange {
        self.forget_before(registration.at);
        let Registration { id, replaces, .. } = &registration;
        let known = self.by_name.get(&id.name);
        if let Some(node) = known.filter(|node| node.id == *id) {
            return match node.state {
                NodeState::Alive | NodeState::Draining => NodeChange::Done,
                NodeState::Dead => NodeChange::Ended,
            };
        }
        if self.ended.contains_key(&id.incarnation) {
            return NodeChange::Ended;
        }
        if known.map(|node| node.id.incarnation) != *replaces {
            return NodeChange::Stale;
        }
        if registration.version < self.active {
            return NodeChange::TooOld;
        }
        if let Some(replaced) = replaces {
            self.ended.insert(*replaced, registration.at);
        }
        self.by_name
            .insert(id.name.clone(), Node::new(registration));
        NodeChange::Done
    }

    pub(super) fn change(
        &mut self,
        id: &NodeId,
        revision: u32,
        to: NodeState,
        at: Timestamp,
    ) -> NodeChange {
        let node = self.by_name.get_mut(&id.name);
        let node = node.filter(|node| node.id == *id);
        match node.is_some_and(|node| node.change(revision, to, at)) {
            true => NodeChange::Done,
            false => NodeChange::Stale,
        }
    }

    pub(super) fn remove(&mut self, id: &NodeId, at: Timestamp) -> NodeChange {
        self.forget_before(at);
        match self.by_name.get(&id.name) {
            None => NodeChange::Done,
            Some(node) if node.id == *id && node.state == NodeState::Dead => {
                self.by_name.remove(&id.name);
                self.ended.insert(id.incarnation, at);
                NodeChange::Done
            }
            Some(_) => NodeChange::Stale,
        }
    }

    /// Forgets every node, as if all had been removed.
    pub(super) fn clear(&mut self, at: Timestamp) {
        let nodes = std::mem::take(&mut self.by_name).into_values();
        self.ended
            .extend(nodes.map(|node| (node.id.incarnation, at)));
    }

    /// Raises the active version. Nodes that are dead count: one that comes back reads the log.
    pub(super) fn raise(&mut self, to: Version) -> NodeChange {
        if to <= self.active {
            return NodeChange::Done;
        }
        match self.common() {
            Some(common) if to <= common => {
                self.active = to;
                NodeChange::Done
            }
            _ => NodeChange::Stale,
        }
    }

    pub(super) fn active(&self) -> Version {
        self.active
    }

    /// The highest version that every node knows; `None` without nodes.
    pub(super) fn common(&self) -> Option<Version> {
        self.by_name.values().map(|node| node.version).min()
    }

    pub(super) fn get(&self, name: &NodeName) -> Option<&Node> {
        self.by_name.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.by_name.values()
    }

    /// The state of this incarnation; one that the registry does not hold has ended.
    pub(super) fn state(&self, id: &NodeId) -> NodeState {
        let node = self.by_name.get(&id.name).filter(|node| node.id == *id);
        node.map_or(NodeState::Dead, |node| node.state)
    }

    fn forget_before(&mut self, now: Timestamp) {
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        self.ended
            .retain(|_, at| now.as_millis().saturating_sub(at.as_millis()) < kept);
    }
}
