//! What the leader knows of the life of nodes: facts only, [`failover`](crate::failover) decides.
//!
//! All times are [`Moment`]s of the leader's clock and come as arguments.
//!
//! ```text
//!   any node     elected, or its last sign of life ------ death_after ------> dead
//!
//!   the leader   its last sign to this one ------ death_after ------> dead
//!   before       elected, confirmed --- lease --->| not sooner
//! ```
//!
//! A leader is heard by all who follow it: the one that replaces it knows since when it is silent.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_types::{NodeId, NodeName};

use crate::lease::Grants;
use crate::{Moment, NodeState, Registry};

/// Refusals in a row that show a process to be gone: one may be a listener that restarts.
const REFUSALS: u32 = 2;

/// The times that nodes and leader agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease lasts from the quorum time.
    pub lease: Duration,
    /// How long a node is silent before it is declared dead. Longer than the lease.
    pub death_after: Duration,
    /// Between two probes of a node whose stream is broken.
    pub probe_every: Duration,
    /// A leader that has not looked for this long was frozen itself, and has heard nobody.
    pub deaf_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(3),
            death_after: Duration::from_secs(5),
            probe_every: Duration::from_millis(100),
            deaf_after: Duration::from_secs(1),
        }
    }
}

/// What a connection attempt to a node's address told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nobody listens there.
    Refused,
    /// Somebody does.
    Reached,
    /// Neither: no answer in time, or no such host.
    Unknown,
}

/// What a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A lease, as the time from the sending of the heartbeat.
    Granted(Duration),
    /// This leader knows of no recent quorum.
    NoQuorum,
    /// The incarnation has ended: its process drops its handles without leaving the groups, takes a
    /// new incarnation and registers that. It asks the registry first: a leader that has just been
    /// replaced may not know an incarnation that has just registered.
    Ended,
}

/// The leader that this one replaces, while it has given no sign of life to this one as a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// In the incarnation that led.
    pub node: NodeId,
    /// When this leader heard it last, as one that followed it; never before it really did.
    pub heard_at: Moment,
}

/// What is known of one incarnation.
#[derive(Clone, Copy, Debug)]
struct Facts {
    known_since: Moment,
    received_at: Option<Moment>,
    probed_at: Option<Moment>,
    refusals: u32,
    is_connected: bool,
    is_ready: bool,
}

/// The facts of one term of leadership.
#[derive(Clone, Debug)]
pub struct Liveness {
    timing: Timing,
    leader: NodeName,
    grants: Grants,
    looked_at: Moment,
    listening_since: Moment,
    former: Option<Former>,
    nodes: BTreeMap<NodeId, Facts>,
}

impl Liveness {
    /// Knows nothing yet but whom it replaces; `leader` is the node that leads, `now` a moment
    /// after it was elected.
    pub fn new(leader: NodeName, timing: Timing, former: Option<Former>, now: Moment) -> Self {
        Self {
            timing,
            leader,
            grants: Grants::new(timing.lease, now),
            looked_at: now,
            listening_since: now,
            former,
            nodes: BTreeMap::new(),
        }
    }

    /// A quorum that was asked at `asked_at` has confirmed the leadership.
    ///
    /// While there was none, nodes may have been silent because this leader was cut off: their
    /// silence counts from now. That of the leader before was not of this one's making at first.
    pub fn confirmed(&mut self, asked_at: Moment, now: Moment) {
        if !self.has_quorum(now) {
            if self.quorum_age(now).is_some() {
                self.former = None;
            }
            self.listening_since = now;
        }
        self.grants.confirmed(asked_at);
    }

    /// A heartbeat has come, as a node sends them once it is registered. It says whether the node
    /// can open sessions, that is, reaches Kafka and has a replica that keeps up: one that cannot is
    /// given sessions only if no other can take them.
    pub fn heartbeat(
        &mut self,
        registry: &Registry,
        node: &NodeId,
        is_ready: bool,
        now: Moment,
    ) -> Answer {
        if registry.state_of(node) == NodeState::Dead {
            // Without a quorum this registry may be too old to know the incarnation.
            return match self.has_quorum(now) {
                true => Answer::Ended,
                false => Answer::NoQuorum,
            };
        }
        self.former.take_if(|former| former.node == *node);
        let facts = self.facts(node, now);
        facts.received_at = Some(now);
        facts.refusals = 0;
        facts.is_connected = true;
        facts.is_ready = is_ready;
        match self.grants.grant(node, now) {
            Some(lease) => Answer::Granted(lease),
            None => Answer::NoQuorum,
        }
    }

    /// The stream of a node's heartbeats has broken.
    pub fn disconnected(&mut self, node: &NodeId) {
        if let Some(facts) = self.nodes.get_mut(node) {
            facts.is_connected = false;
        }
    }

    /// A probe begins, or has told something.
    pub fn probed(&mut self, node: &NodeId, told: Option<Probe>, now: Moment) {
        let Some(facts) = self.nodes.get_mut(node) else {
            return;
        };
        facts.probed_at = Some(now);
        match told {
            Some(Probe::Refused) => facts.refusals += 1,
            Some(Probe::Reached | Probe::Unknown) => facts.refusals = 0,
            None => {}
        }
    }

    /// Brings the facts up to the registry and to the time. To be called before each decision,
    /// more often than [`Timing::deaf_after`], after the heartbeats that have arrived are taken.
    pub fn look(&mut self, registry: &Registry, now: Moment) {
        if now.since(self.looked_at) >= self.timing.deaf_after {
            self.listening_since = now;
            self.former = None;
        }
        self.looked_at = now;
        self.nodes
            .retain(|node, _| registry.state_of(node) != NodeState::Dead);
        for node in registry.nodes() {
            if node.state != NodeState::Dead {
                self.facts(&node.id, now);
            }
        }
        self.grants.forget_before(now);
    }

    /// Whether a majority has followed this leader lately.
    pub fn has_quorum(&self, now: Moment) -> bool {
        self.grants.has_quorum(now)
    }

    /// How long ago the quorum was asked that confirmed the leadership last.
    pub fn quorum_age(&self, now: Moment) -> Option<Duration> {
        self.grants.quorum_age(now)
    }

    /// Whether the process is gone: the stream is broken, and its address refused twice since.
    pub fn is_gone(&self, node: &NodeId) -> bool {
        self.others(node)
            .is_some_and(|facts| !facts.is_connected && facts.refusals >= REFUSALS)
    }

    /// When the silence of a node becomes its death, unless it is heard before.
    ///
    /// That of the leader before counts from its last sign, but it has the time of a lease to be
    /// heard by this one: it may be well, and this process have been frozen, or nobody have led
    /// for long.
    pub fn silent_at(&self, node: &NodeId) -> Option<Moment> {
        let facts = self.others(node)?;
        if let Some(heard_at) = self.led_until(node) {
            let heard_by = self.listening_since + self.timing.lease;
            return Some(heard_by.max(heard_at + self.timing.death_after));
        }
        let sign = facts.received_at.max(Some(facts.known_since))?;
        Some(sign.max(self.listening_since) + self.timing.death_after)
    }

    /// The last sign of the leader before, if the node is that and has given none as a node.
    pub fn led_until(&self, node: &NodeId) -> Option<Moment> {
        let former = self.former.as_ref();
        let former = former.filter(|former| former.node == *node);
        former.map(|former| former.heard_at)
    }

    /// When the node is to be probed; `None` while its stream is whole.
    pub fn probe_at(&self, node: &NodeId) -> Option<Moment> {
        let facts = self.others(node).filter(|facts| !facts.is_connected)?;
        let probed = facts.probed_at.map(|at| at + self.timing.probe_every);
        Some(probed.unwrap_or(facts.known_since))
    }

    /// Whether the node can open sessions. One that has just registered is taken to: it does so
    /// when it has caught up.
    pub fn is_ready(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_none_or(|facts| facts.is_ready)
    }

    /// Whether signs of life come from the node.
    pub fn is_connected(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|facts| facts.is_connected)
    }

    /// When the last lease that an ended incarnation can hold has run out.
    pub fn lease_end(&self, node: &NodeId) -> Moment {
        self.grants.last_end(node)
    }

    /// The facts of a node other than the leader, who knows that it lives.
    fn others(&self, node: &NodeId) -> Option<&Facts> {
        self.nodes.get(node).filter(|_| node.name != self.leader)
    }

    fn facts(&mut self, node: &NodeId, now: Moment) -> &mut Facts {
        self.nodes.entry(node.clone()).or_insert(Facts {
            known_since: now,
            received_at: None,
            probed_at: None,
            refusals: 0,
            is_connected: false,
            is_ready: true,
        })
    }
}
