//! What a leader does about nodes that fail. Pure: facts in, steps out.
//!
//! ```text
//!  stream breaks          refused twice                         group sessions move
//!  ------------> probe ------------------+                   +-----------------------> opened
//!                                        v                   |                        elsewhere
//!                                   declared dead -----------+
//!                                        ^      (in the log) |   last lease has ended
//!  last heartbeat --- silence, 5 s ------+                   +-----------------------> assigned
//!                                                            |                        sessions
//!  a new incarnation registers: the old one has ended -------+                        move
//! ```
//!
//! A group session may move at once, since its broker fences the old owner when the new one joins.
//! Nobody fences an assigned one: it waits until no lease of the old owner can be left, however
//! certain its death seems. A refusal may be a firewall's.
//!
//! Sessions of owners that have ended go in batches, those with waiting requests first, and home if
//! their node has come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{ConsumerId, Mode, NodeId, Timestamp};

use crate::liveness::Liveness;
use crate::placement::{Batch, Loads};
use crate::{Command, Moment, Move, Node, NodeState, Registry, Session};

/// How fast sessions without an owner are given new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Most sessions that one node is given at a time.
    pub most: usize,
    /// Between two times.
    pub every: Duration,
}

impl Default for Pace {
    /// 320 a second and node, about what a node opens: a full one is emptied in 3 s, a tenth of
    /// the time after which Kafka takes the partitions away.
    fn default() -> Self {
        Self {
            most: 32,
            every: Duration::from_millis(100),
        }
    }
}

/// The next steps. An empty plan is to be made again at [`wake`](Self::wake), and whenever a fact
/// or the registry has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Nodes whose address is to be connected to, each at most once at a time.
    pub probe: Vec<NodeId>,
    /// Declarations of death to propose.
    pub deaths: Vec<Command>,
    /// The moves to propose, in one command; empty for none.
    pub moves: BTreeMap<ConsumerId, Move>,
    /// When there may be more to do although nothing has changed.
    pub wake: Option<Moment>,
}

impl Plan {
    fn wake_at(&mut self, when: Moment) {
        self.wake = Some(self.wake.map_or(when, |wake| wake.min(when)));
    }
}

/// The planner of one term of leadership: remembers only its pace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failover {
    pace: Pace,
    moved_at: Option<Moment>,
}

impl Failover {
    /// A planner that has planned nothing yet.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            moved_at: None,
        }
    }

    /// Plans the next steps. `waiting` are the sessions that requests wait for; `at` stamps the
    /// commands. [`Liveness::look`] must have been called for the same registry and moment, and
    /// the proposals of the plan before must have been answered.
    ///
    /// Plans nothing without a recent quorum: whoever is cut off hears nobody, and what it
    /// proposes might take effect much later.
    pub fn plan(
        &mut self,
        registry: &Registry,
        liveness: &Liveness,
        waiting: &BTreeSet<ConsumerId>,
        now: Moment,
        at: Timestamp,
    ) -> Plan {
        let mut plan = Plan::default();
        if !liveness.has_quorum(now) {
            return plan;
        }
        for node in registry.nodes() {
            watch(node, liveness, now, at, &mut plan);
        }
        self.give_owners(registry, liveness, waiting, now, &mut plan);
        plan
    }

    /// Plans moves of the sessions whose owners have ended, if it is time for some.
    fn give_owners(
        &mut self,
        registry: &Registry,
        liveness: &Liveness,
        waiting: &BTreeSet<ConsumerId>,
        now: Moment,
        plan: &mut Plan,
    ) {
        let mut owners = registry.ended_owners().peekable();
        if owners.peek().is_none() {
            return;
        }
        let may_move = self.moved_at.map(|moved_at| moved_at + self.pace.every);
        if let Some(later) = may_move.filter(|later| *later > now) {
            plan.wake_at(later);
            return;
        }
        let loads = Loads::of(registry, |node| liveness.is_ready(node));
        let mut batch = Batch::new(loads, self.pace.most);
        for session in waiting.iter().filter_map(|id| registry.session(id)) {
            let owner = &session.owner;
            let has_ended = registry.state_of(owner) == NodeState::Dead;
            if has_ended && may_move_at(session, liveness.lease_end(owner)) <= Some(now) {
                batch.place(session, home(registry, owner));
            }
        }
        for owner in owners {
            let home = home(registry, owner);
            let lease_end = liveness.lease_end(owner);
            if lease_end > now {
                plan.wake_at(lease_end);
            }
            // What is not placed now is not even looked at: there may be very many.
            for session in registry.owned_by(owner) {
                if !batch.has_room(home) {
                    break;
                }
                if may_move_at(session, lease_end) <= Some(now) {
                    batch.place(session, home);
                }
            }
        }
        plan.moves = batch.into_moves();
        if !plan.moves.is_empty() {
            self.moved_at = Some(now);
            plan.wake_at(now + self.pace.every);
        }
    }
}

/// Looks after one node: dead, to be probed, or to be looked at again.
fn watch(node: &Node, liveness: &Liveness, now: Moment, at: Timestamp, plan: &mut Plan) {
    let silent_at = liveness
        .silent_at(&node.id)
        .filter(|_| node.state != NodeState::Dead);
    let Some(silent_at) = silent_at else {
        return;
    };
    if liveness.is_gone(&node.id) || silent_at <= now {
        plan.deaths.push(Command::ChangeNode {
            node: node.id.clone(),
            revision: node.revision,
            to: NodeState::Dead,
            at,
        });
        return;
    }
    plan.wake_at(silent_at);
    match liveness.probe_at(&node.id) {
        Some(due) if due <= now => plan.probe.push(node.id.clone()),
        Some(due) => plan.wake_at(due),
        None => {}
    }
}

/// From when on a session of an owner that has ended may be opened elsewhere; `None` for always.
/// Without a lease only where Kafka fences the old owner when a new one joins.
fn may_move_at(session: &Session, lease_end: Moment) -> Option<Moment> {
    match session.mode {
        Mode::Subscribed => None,
        Mode::Assigned { .. } => Some(lease_end),
    }
}

/// The node that the owner was a run of, in its present one.
fn home<'a>(registry: &'a Registry, owner: &NodeId) -> Option<&'a NodeId> {
    registry.node(&owner.name).map(|node| &node.id)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
