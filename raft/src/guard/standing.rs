//! How this process stands with the cluster.

use std::fmt;
use std::time::Duration;

use sluice_types::{Incarnation, NodeId, NodeName};

use crate::Moment;
use crate::lease::Lease;

/// Where an incarnation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not yet known to the registry, and owns nothing.
    Registering,
    /// It is a node.
    Registered,
    /// It has ended, whether this process was dead or not: the handles are to be dropped without
    /// leaving their groups. Then [`Guard::renew`](super::Guard::renew) begins another.
    Ended,
    /// It cannot be a node: the cluster uses commands or formats that this release does not know.
    /// The process has to end.
    TooOld,
}

/// How this process stands with the cluster.
#[derive(Clone)]
pub struct Standing {
    /// This process, in its present incarnation.
    pub node: NodeId,
    /// Where that is in its life.
    pub phase: Phase,
    lease: Lease,
}

impl Standing {
    /// A new incarnation of the node, before it is registered.
    pub fn begin(name: NodeName) -> Self {
        Self {
            node: NodeId {
                name,
                incarnation: Incarnation::random(),
            },
            phase: Phase::Registering,
            lease: Lease::default(),
        }
    }

    /// A node with a registry of its own process: nobody else can own what it owns, so that its
    /// lease never ends.
    pub fn alone(node: NodeId) -> Self {
        let mut lease = Lease::default();
        lease.granted(Moment::from_origin(Duration::ZERO), Duration::MAX);
        Self {
            node,
            phase: Phase::Registered,
            lease,
        }
    }

    /// A sign of life of this incarnation, sent at `sent_at`, was answered by a grant.
    pub fn granted(&mut self, sent_at: Moment, grant: Duration) {
        self.lease.granted(sent_at, grant);
    }

    /// How long the incarnation's lease lasts from `now`; zero without one, and unless it is
    /// registered. The moment is of the clock that the guard was given.
    pub fn lease(&self, now: Moment) -> Duration {
        match self.phase {
            Phase::Registered => self.lease.remaining(now),
            Phase::Registering | Phase::Ended | Phase::TooOld => Duration::ZERO,
        }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.node, self.phase)
    }
}
