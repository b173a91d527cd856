//! One process of the model: a replica, a lease, open handles, perhaps a leadership.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{ConsumerId, Epoch, NodeId, NodeName};

use crate::failover::{Failover, Pace};
use crate::lease::Lease;
use crate::liveness::{Former, Liveness, Timing};
use crate::registry::tests::{node as first_run, registration, run};
use crate::{Command, Moment, NodeState, Registry};

/// A leadership, which may be over without its holder knowing.
#[derive(Clone)]
pub(super) struct Lead {
    pub(super) term: u64,
    pub(super) liveness: Liveness,
    pub(super) failover: Failover,
}

/// The last sign of a leader to one that follows it.
#[derive(Clone)]
struct Sign {
    leader: NodeName,
    term: u64,
    at: Moment,
}

#[derive(Clone)]
pub(super) struct Process {
    pub(super) id: NodeId,
    /// What its clock shows at the model's time 0.
    origin: u64,
    pub(super) is_frozen: bool,
    pub(super) applied: usize,
    pub(super) registry: Registry,
    pub(super) lease: Lease,
    /// Whom it sends its heartbeats to.
    pub(super) believes: usize,
    pub(super) handles: BTreeMap<ConsumerId, Epoch>,
    pub(super) used: BTreeSet<(ConsumerId, Epoch)>,
    pub(super) lead: Option<Lead>,
    heard: Option<Sign>,
    last_led: u64,
}

impl Process {
    pub(super) fn new(id: NodeId, origin: u64, applied: usize, registry: Registry) -> Self {
        Self {
            id,
            origin,
            is_frozen: false,
            applied,
            registry,
            lease: Lease::default(),
            believes: 0,
            handles: BTreeMap::new(),
            used: BTreeSet::new(),
            lead: None,
            heard: None,
            last_led: 0,
        }
    }

    pub(super) fn clock(&self, now: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(self.origin + now))
    }

    pub(super) fn apply(&mut self, log: &[Command], up_to: usize) {
        while self.applied < up_to {
            self.registry.apply(log[self.applied].clone());
            self.applied += 1;
        }
    }

    /// Learns that it was declared dead: drops what it has and begins anew.
    pub(super) fn begin_anew(&mut self, incarnation: u64) {
        self.id = run(self.id.name.as_str(), incarnation);
        self.lease = Lease::default();
        self.handles.clear();
        self.used.clear();
    }

    /// Follows a leader.
    pub(super) fn hear(&mut self, leader: NodeName, term: u64, now: u64) {
        let at = self.clock(now);
        self.heard = Some(Sign { leader, term, at });
    }

    /// Begins to lead. Whether it replaces a leader that it has heard.
    pub(super) fn lead(&mut self, term: u64, now: u64) -> bool {
        let (name, clock) = (self.id.name.clone(), self.clock(now));
        let former = self.former();
        let is_heir = former.is_some();
        self.last_led = term;
        let liveness = Liveness::new(name, Timing::default(), former, clock);
        self.lead = Some(Lead {
            term,
            liveness,
            failover: Failover::new(Pace::default()),
        });
        is_heir
    }

    fn former(&self) -> Option<Former> {
        let sign = self.heard.as_ref()?;
        let node = self.registry.node(&sign.leader)?;
        let is_it = sign.term > self.last_led && node.state != NodeState::Dead;
        is_it.then(|| Former {
            node: node.id.clone(),
            heard_at: sign.at,
        })
    }

    /// The command that makes it known, in place of whom its replica knows.
    pub(super) fn register(&self) -> Command {
        let known = self.registry.node(&self.id.name);
        let mut registration = registration(self.id.clone(), None);
        registration.replaces = known.map(|known| known.id.incarnation);
        Command::Register(registration)
    }

    /// Whether it may serve the session under this epoch as an assigned one.
    pub(super) fn may_serve(&self, id: &ConsumerId, now: u64) -> Option<Epoch> {
        let epoch = self.handles.get(id).copied()?;
        self.lease.is_valid(self.clock(now)).then_some(epoch)
    }
}

pub(super) fn node(index: usize) -> NodeId {
    first_run(["a", "b", "c"][index])
}
