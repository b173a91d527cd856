//! A session seen from outside.

use std::collections::BTreeMap;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use sluice_types::{Offset, Offsets, PartitionMap};

use super::actor::{Phase, SessionActor};
use super::finder::STEP;
use super::reply::Reply;
use crate::{Deadline, Snapshot, SnapshotState};

impl SessionActor {
    /// Reports what is left to read, as last known, to the metrics.
    pub(super) fn report_lag(&self) {
        let Some(link) = &self.link else { return };
        let mut lag = BTreeMap::new();
        for (at, position) in self.state.positions().iter() {
            let Some(end) = link.handle.cached_end(&at) else {
                continue;
            };
            *lag.entry(at.topic).or_insert(0) += (end.get() - position.get()).max(0);
        }
        self.env
            .metrics
            .lag
            .report(&self.opening.claim.id, &self.opening.spec.group_id, lag);
    }

    /// Describes the session; asks Kafka for the group's commits and the ends of the logs, and
    /// leaves them out if it does not answer.
    pub(super) fn snapshot(
        &mut self,
        deadline: Deadline,
        reply: Reply<Snapshot>,
        ctx: &mut Context<Self>,
    ) {
        let partitions = self.state.partitions();
        let Some(link) = self.link.clone().filter(|_| !partitions.is_empty()) else {
            let _ = reply.send(Ok(self.describe(Offsets::new(), PartitionMap::new())));
            return;
        };
        let wait = STEP.min(deadline.remaining() / 2);
        let asked = self.env.blocking.run(move || {
            let committed = link.handle.committed(&partitions, wait).unwrap_or_default();
            let bounds = link.bounds(&partitions, wait).unwrap_or_default();
            (committed, bounds)
        });
        ctx.spawn(asked.into_actor(self).map(move |asked, actor, _| {
            let (committed, bounds) = asked.unwrap_or_default();
            let committed = committed
                .iter()
                .map(|(at, seen)| (at, seen.offset))
                .collect();
            let ends = bounds.iter().map(|(at, bounds)| (at, bounds.end)).collect();
            let _ = reply.send(Ok(actor.describe(committed, ends)));
        }));
    }

    fn describe(&self, mut committed: Offsets, ends: PartitionMap<Offset>) -> Snapshot {
        committed.retain(|at, _| self.state.holds(at));
        let positions = self.state.positions();
        let lag = positions
            .iter()
            .filter_map(|(at, position)| {
                let end = ends.get(&at)?;
                Some((at, (end.get() - position.get()).max(0)))
            })
            .collect();
        Snapshot {
            claim: self.opening.claim.clone(),
            spec: self.opening.spec.clone(),
            mode: self.record.mode.clone(),
            state: match self.phase {
                Phase::Running => SnapshotState::Running,
                Phase::Joining | Phase::Finished => SnapshotState::Joining,
            },
            assignment: self.assignment(),
            positions,
            committed,
            lag,
            idle: match self.poll {
                Some(_) => std::time::Duration::ZERO,
                None => self.silence.lasts(),
            },
            created_at: self.opening.created_at,
        }
    }
}
