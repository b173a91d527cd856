//! What can be read of a node at any time, for whoever gathers metrics.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry, Result};

use super::Guard;
use super::status::{Role, has_left, role};
use crate::{Node, NodeState};

/// What nodes are counted by.
const STATES: [&str; 4] = ["alive", "draining", "dead", "left"];

/// Reads a guard and its consensus whenever metrics are gathered.
pub struct Gauges {
    guard: Weak<Guard>,
    term: IntGauge,
    is_leader: IntGauge,
    has_leader: IntGauge,
    last_log: IntGauge,
    applied: IntGauge,
    snapshot: IntGauge,
    members: IntGaugeVec,
    quorum_age: Gauge,
    nodes: IntGaugeVec,
    lease: Gauge,
    sessions: IntGauge,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Gauges {
    /// Registers everything that is counted and read of this guard, its consensus and its
    /// registry. Lasts as long as the registry does; it does not keep the guard.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(registry: &Registry, guard: &Arc<Guard>) -> Result<()> {
        for counter in guard.consensus.counts.collectors() {
            registry.register(counter)?;
        }
        registry.register(Box::new(Self::of(guard)?))
    }

    fn of(guard: &Arc<Guard>) -> Result<Self> {
        let labelled = |name, help, label| IntGaugeVec::new(Opts::new(name, help), &[label]);
        Ok(Self {
            guard: Arc::downgrade(guard),
            term: IntGauge::new("sluice_raft_term", "The term of the consensus")?,
            is_leader: IntGauge::new(
                "sluice_raft_is_leader",
                "1 while this member leads the consensus, or thinks so",
            )?,
            has_leader: IntGauge::new(
                "sluice_raft_has_leader",
                "1 while this member hears a leader, or is one that a majority follows",
            )?,
            last_log: IntGauge::new(
                "sluice_raft_last_log_index",
                "The last entry of this member's log",
            )?,
            applied: IntGauge::new(
                "sluice_raft_applied_index",
                "The entry of the log that this member's registry has next to apply",
            )?,
            snapshot: IntGauge::new(
                "sluice_raft_snapshot_index",
                "The entry that this member's latest snapshot goes up to",
            )?,
            members: labelled(
                "sluice_raft_members",
                "Members of the consensus as this one knows them, by role",
                "role",
            )?,
            quorum_age: Gauge::new(
                "sluice_raft_quorum_age_seconds",
                "How long ago a majority was asked that followed this leader; 0 while this member does not lead",
            )?,
            nodes: labelled(
                "sluice_cluster_nodes",
                "Nodes of the cluster as this one knows them, by state; one that has left was stopped in order, one that is dead is missed",
                "state",
            )?,
            lease: Gauge::new(
                "sluice_cluster_lease_remaining_seconds",
                "How long this node's lease lasts; 0 without one",
            )?,
            sessions: IntGauge::new(
                "sluice_registry_sessions",
                "Sessions of the whole cluster as this node knows them, those being deleted too",
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 11] {
        [
            &self.term,
            &self.is_leader,
            &self.has_leader,
            &self.last_log,
            &self.applied,
            &self.snapshot,
            &self.members,
            &self.quorum_age,
            &self.nodes,
            &self.lease,
            &self.sessions,
        ]
    }

    fn read(&self, guard: &Guard) {
        let status = guard.heard_status();
        self.term.set(number(status.term));
        self.is_leader.set(status.leads.into());
        self.has_leader.set(status.leader.is_some().into());
        self.last_log.set(number(guard.consensus.last_log()));
        self.applied.set(number(status.applied));
        self.snapshot.set(number(status.snapshot.unwrap_or(0)));
        for (known, label) in [
            (Role::Leader, "leader"),
            (Role::Voter, "voter"),
            (Role::Learner, "learner"),
        ] {
            let members = status.members.keys();
            let count = members.filter(|id| role(&status, **id) == Some(known));
            self.members
                .with_label_values(&[label])
                .set(number(count.count()));
        }
        let quorum_age = guard.consensus.desk.quorum_age().unwrap_or_default();
        self.quorum_age.set(quorum_age.as_secs_f64());
        self.lease.set(guard.lease().as_secs_f64());
        let registry = guard.consensus.replica.read();
        let label = |node: &Node| match node.state {
            NodeState::Alive => "alive",
            NodeState::Draining => "draining",
            NodeState::Dead if has_left(&status, node) => "left",
            NodeState::Dead => "dead",
        };
        for state in STATES {
            let count = registry.nodes().filter(|node| label(node) == state).count();
            self.nodes.with_label_values(&[state]).set(number(count));
        }
        self.sessions.set(number(registry.session_count()));
    }
}

fn number<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(guard) = self.guard.upgrade() {
            self.read(&guard);
        }
        let all = self.all().into_iter();
        all.flat_map(Collector::collect).collect()
    }
}
