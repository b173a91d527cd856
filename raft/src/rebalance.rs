//! Evening sessions out over nodes that all live: what the leader asks owners to hand over. Pure.
//!
//! ```text
//!   loads are off ──▶ who gives is asked for its idlest ──▶ some of them are asked to move
//!        ▲                                                       │ told with each grant
//!        │                                                       ▼
//!        └───────── moved, given up, or its taker is no more ◀── the owner hands over
//! ```
//!
//! Only an owner can hand over without losing anything, so it is asked, again with each sign of
//! life, until it has. Nothing is asked while there is something better to do: an owner that has
//! ended or is not heard, one that drains, requests that wait, a leader that is new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{Claim, ConsumerId, NodeId};

use crate::liveness::Liveness;
use crate::placement::{Evening, Loads, even_out};
use crate::{Moment, NodeState, Registry, Session};

/// How long a request may wait and hold evening out up: one whose session cannot be opened waits
/// for ever.
const WAITS_FOR: Duration = Duration::from_secs(30);

/// How long a session is left alone that its owner did not hand over, in times that it was given.
const LEFT_ALONE: u32 = 10;

/// A session that its owner is asked to hand over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedMove {
    /// The session, in the ownership that is to end. If the claim holds no longer, it is done.
    pub claim: Claim,
    /// Who is to take it.
    pub to: NodeId,
}

/// A move that has been asked for.
#[derive(Clone, Debug)]
struct Asked {
    from: NodeId,
    asked: AskedMove,
    at: Moment,
}

/// What one term of leadership asks for.
#[derive(Clone, Debug)]
pub struct Rebalance {
    evening: Evening,
    since: Moment,
    is_calm: bool,
    asked: BTreeMap<ConsumerId, Asked>,
    asked_at: Option<Moment>,
    /// Sessions that were not handed over in time, and until when they are left alone.
    stuck: BTreeMap<ConsumerId, Moment>,
    /// Since when requests have been waiting.
    waits: BTreeMap<ConsumerId, Moment>,
    givers: BTreeSet<NodeId>,
}

impl Rebalance {
    /// Asks for nothing yet. `now` is a moment after the election was won.
    pub fn new(evening: Evening, now: Moment) -> Self {
        Self {
            evening,
            since: now,
            is_calm: false,
            asked: BTreeMap::new(),
            asked_at: None,
            stuck: BTreeMap::new(),
            waits: BTreeMap::new(),
            givers: BTreeSet::new(),
        }
    }

    /// Decides what is asked for from now on. `waiting` are the sessions that requests wait for,
    /// `idlest` what each node has told of its own. [`Liveness::look`] must have been called for
    /// the same registry and moment.
    pub fn look<'a>(
        &mut self,
        registry: &Registry,
        liveness: &Liveness,
        waiting: &BTreeSet<ConsumerId>,
        idlest: impl Fn(&NodeId) -> &'a [ConsumerId],
        now: Moment,
    ) {
        self.note_waiting(waiting, now);
        self.settle(registry, liveness, now);
        self.givers.clear();
        self.is_calm = self.is_calm(registry, liveness, now);
        if !self.is_calm {
            return;
        }
        let mut loads = Loads::of(registry, |node| liveness.is_ready(node));
        for Asked { from, asked, .. } in self.asked.values() {
            loads.shift(from, &asked.to);
        }
        let evening = Evening {
            most: self.evening.most.saturating_sub(self.asked.len()),
            ..self.evening
        };
        let shifts = even_out(&loads, evening);
        self.givers = shifts.iter().map(|shift| shift.from.clone()).collect();
        let may_ask = self.asked_at.map(|at| at + self.evening.every);
        if may_ask.is_some_and(|later| later > now) {
            return;
        }
        for shift in shifts {
            let told = idlest(&shift.from).iter();
            let sessions = told.filter_map(|id| registry.session(id));
            let may_move = |session: &&crate::SessionView| {
                session.owner == shift.from
                    && session.is_active()
                    && !self.asked.contains_key(&session.id)
                    && !self.stuck.contains_key(&session.id)
            };
            let chosen: Vec<Claim> = sessions
                .filter(may_move)
                .take(shift.count)
                .map(|session| session.claim())
                .collect();
            for claim in chosen {
                self.asked_at = Some(now);
                self.ask(claim, &shift.from, &shift.to, now);
            }
        }
    }

    fn ask(&mut self, claim: Claim, from: &NodeId, to: &NodeId, at: Moment) {
        let asked = Asked {
            from: from.clone(),
            asked: AskedMove {
                claim,
                to: to.clone(),
            },
            at,
        };
        self.asked.insert(asked.asked.claim.id.clone(), asked);
    }

    /// What the node is asked to hand over now; the same until it is done or there is something
    /// better to do.
    pub fn asked_of(&self, node: &NodeId) -> Vec<AskedMove> {
        if !self.is_calm {
            return Vec::new();
        }
        let own = self.asked.values().filter(|asked| asked.from == *node);
        own.map(|asked| asked.asked.clone()).collect()
    }

    /// Whether the node is to tell which of its sessions are the idlest.
    pub fn is_giver(&self, node: &NodeId) -> bool {
        self.givers.contains(node)
    }

    /// Everything that is asked for.
    pub fn asked(&self) -> impl Iterator<Item = &Claim> {
        self.asked.values().map(|asked| &asked.asked.claim)
    }

    fn note_waiting(&mut self, waiting: &BTreeSet<ConsumerId>, now: Moment) {
        self.waits.retain(|id, _| waiting.contains(id));
        for id in waiting {
            self.waits.entry(id.clone()).or_insert(now);
        }
    }

    /// Forgets what is done or cannot be done.
    fn settle(&mut self, registry: &Registry, liveness: &Liveness, now: Moment) {
        self.stuck.retain(|_, until| *until > now);
        let is_due = |session: &Session, asked: &Asked| {
            session.epoch == asked.asked.claim.epoch && session.owner == asked.from
        };
        let evening = self.evening;
        let stuck = &mut self.stuck;
        self.asked.retain(|id, asked| {
            let to = &asked.asked.to;
            let session = registry.session(id);
            let is_wanted = session.is_some_and(|session| is_due(session, asked))
                && registry.state_of(to) == NodeState::Alive
                && liveness.is_ready(to);
            if is_wanted && asked.at + evening.give_up <= now {
                stuck.insert(id.clone(), now + evening.give_up * LEFT_ALONE);
                return false;
            }
            is_wanted
        });
    }

    /// Whether there is nothing better to do.
    fn is_calm(&self, registry: &Registry, liveness: &Liveness, now: Moment) -> bool {
        let is_fine = |node: &crate::Node| match node.state {
            NodeState::Alive => liveness.is_connected(&node.id),
            NodeState::Draining => registry.count_of(&node.id) == 0,
            // Its sessions are those of an owner that has ended.
            NodeState::Dead => true,
        };
        let waits = |since: &Moment| now.since(*since) < WAITS_FOR;
        liveness.has_quorum(now)
            && now >= self.since + self.evening.settle
            && registry.ended_owners().next().is_none()
            && registry.nodes().all(is_fine)
            && !self.waits.values().any(waits)
    }
}

#[cfg(test)]
mod tests;
