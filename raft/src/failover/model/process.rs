//! One process of the model: a replica, a lease, open handles, perhaps a leadership.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{ConsumerId, Epoch, NodeId};

use crate::failover::{Failover, Pace};
use crate::lease::Lease;
use crate::liveness::{Liveness, Timing};
use crate::registry::tests::{node as first_run, registration, run};
use crate::{Command, Moment, Registry};

/// A leadership, which may be over without its holder knowing.
#[derive(Clone)]
pub(super) struct Lead {
    pub(super) term: u64,
    pub(super) liveness: Liveness,
    pub(super) failover: Failover,
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

    pub(super) fn lead(&mut self, term: u64, now: u64) {
        let liveness = Liveness::new(self.id.name.clone(), Timing::default(), self.clock(now));
        self.lead = Some(Lead {
            term,
            liveness,
            failover: Failover::new(Pace::default()),
        });
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
