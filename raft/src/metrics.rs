//! What this crate counts.
//!
//! Counters count from the start of the process, whether or not anybody gathers them; what can be
//! read at any time is read when it is gathered, by [`Gauges`](crate::guard::Gauges).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Result};
use sluice_types::{Claim, ConsumerId, Epoch};

use crate::{Command, Outcome};

/// Most requests to move a session that are remembered.
const MOST_ASKED: usize = 256;

/// The counters of one process.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Leaders that this member has seen come.
    pub(crate) leader_changes: IntCounter,
    /// Snapshots that it has made or been sent.
    pub(crate) snapshots: IntCounter,
    /// Proposals of this process that came to nothing, or of which it is not known.
    pub(crate) proposals_failed: IntCounter,
    /// Deaths that it has declared as the leader.
    pub(crate) deaths: IntCounter,
    /// How long sessions were without an owner, as this leader saw it.
    pub(crate) failover: Histogram,
    /// Moves by `cause`: failover, as the leader; handover and rebalance, as the old owner.
    moved: IntCounterVec,
    /// What evening out asks for, so that those moves can be told from others.
    asked: Mutex<BTreeMap<ConsumerId, Epoch>>,
}

impl Counts {
    /// # Errors
    /// A name or help that prometheus does not take.
    pub(crate) fn new() -> Result<Self> {
        let moved = IntCounterVec::new(
            Opts::new(
                "sluice_cluster_sessions_moved_total",
                "Sessions given to another owner, by cause: failover as this leader has it done, handover and rebalance as this owner has",
            ),
            &["cause"],
        )?;
        for cause in [Cause::Failover, Cause::Handover, Cause::Rebalance] {
            moved.with_label_values(&[cause.label()]);
        }
        let waits = HistogramOpts::new(
            "sluice_cluster_failover_seconds",
            "How long sessions were without an owner, from the last sign of life of the old one to their move",
        );
        Ok(Self {
            leader_changes: IntCounter::new(
                "sluice_raft_leader_changes_total",
                "Leaders that this member has seen come",
            )?,
            snapshots: IntCounter::new(
                "sluice_raft_snapshots_total",
                "Snapshots of the registry that this member has made or been sent",
            )?,
            proposals_failed: IntCounter::new(
                "sluice_raft_proposals_failed_total",
                "Proposals of this node that came to nothing, or of which that is not known",
            )?,
            deaths: IntCounter::new(
                "sluice_cluster_deaths_total",
                "Deaths of nodes that this node has declared as the leader",
            )?,
            failover: Histogram::with_opts(waits.buckets(vec![
                0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 15.0, 60.0,
            ]))?,
            moved,
            asked: Mutex::default(),
        })
    }

    /// Each, to be registered.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        vec![
            Box::new(self.leader_changes.clone()),
            Box::new(self.snapshots.clone()),
            Box::new(self.proposals_failed.clone()),
            Box::new(self.deaths.clone()),
            Box::new(self.failover.clone()),
            Box::new(self.moved.clone()),
        ]
    }

    /// The leader asks for these moves.
    pub(crate) fn asks<'a>(&self, claims: impl Iterator<Item = &'a Claim>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // What is done is not asked for again: an epoch ends once.
        if asked.len() > MOST_ASKED {
            asked.clear();
        }
        asked.extend(claims.map(|claim| (claim.id.clone(), claim.epoch)));
    }

    /// Counts the moves that a command of this process has made.
    pub(crate) fn note_moves(&self, command: &Command, outcome: &Outcome) {
        let (Command::Move { moves }, Outcome::Opened(moved)) = (command, outcome) else {
            return;
        };
        for session in moved {
            let made = moves.get(&session.id);
            let handed_over = made.filter(|made| made.handover.is_some());
            let cause = match handed_over {
                None => Cause::Failover,
                Some(made) if self.was_asked(&session.id, made.epoch) => Cause::Rebalance,
                Some(_) => Cause::Handover,
            };
            self.moved.with_label_values(&[cause.label()]).inc();
        }
    }

    /// A session was without an owner for so long.
    pub(crate) fn note_failover(&self, lasted: Duration) {
        self.failover.observe(lasted.as_secs_f64());
    }

    fn was_asked(&self, id: &ConsumerId, epoch: Epoch) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(id) == Some(&epoch)
    }

    /// How many moves have been counted, for tests.
    #[cfg(test)]
    pub(crate) fn moved(&self, cause: &str) -> u64 {
        self.moved.with_label_values(&[cause]).get()
    }
}

/// Why a session moves.
#[derive(Clone, Copy)]
enum Cause {
    /// Its owner has ended.
    Failover,
    /// Its owner hands it over.
    Handover,
    /// Its owner hands it over because the leader evens sessions out.
    Rebalance,
}

impl Cause {
    fn label(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Handover => "handover",
            Self::Rebalance => "rebalance",
        }
    }
}
