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
use crate::placement::{Loads, spread};
use crate::{Command, Moment, Node, NodeState, Registry, Session, SessionView};

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
    pub moves: BTreeMap<ConsumerId, crate::Move>,
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
        let may_move = self.moved_at.map(|moved_at| moved_at + self.pace.every);
        let orphans = orphans(registry, liveness, now, &mut plan);
        match may_move {
            _ if orphans.is_empty() => {}
            Some(later) if later > now => plan.wake_at(later),
            _ => {
                let mut loads = Loads::of(registry, |node| liveness.is_ready(node));
                let home = |session: &SessionView| home(registry, session);
                plan.moves = spread(&orphans, waiting, home, &mut loads, self.pace.most);
                if !plan.moves.is_empty() {
                    self.moved_at = Some(now);
                    plan.wake_at(now + self.pace.every);
                }
            }
        }
        plan
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

/// The sessions whose owner has ended and that may be opened elsewhere now.
fn orphans<'a>(
    registry: &'a Registry,
    liveness: &Liveness,
    now: Moment,
    plan: &mut Plan,
) -> Vec<&'a SessionView> {
    let mut orphans = Vec::new();
    for owner in registry.ended_owners() {
        let lease_end = liveness.lease_end(owner);
        for session in registry.owned_by(owner) {
            if needs_no_lease(session) || lease_end <= now {
                orphans.push(session);
            } else {
                plan.wake_at(lease_end);
            }
        }
    }
    orphans
}

/// Whether Kafka fences the old owner when a new one joins.
fn needs_no_lease(session: &Session) -> bool {
    session.mode == Mode::Subscribed
}

/// The node that the session's owner was a run of, in its present one.
fn home<'a>(registry: &'a Registry, session: &SessionView) -> Option<&'a NodeId> {
    registry.node(&session.owner.name).map(|node| &node.id)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
