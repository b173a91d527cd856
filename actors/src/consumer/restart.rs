//! Positions that change otherwise than by reading: seeks, and positions outside their logs.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sluice_types::{Offset, Offsets, PartitionMap, Partitions, TopicPartition};
use tokio::time::sleep;

use super::ops::{Done, Urgent};
use super::worker::Worker;
use crate::Error;
use crate::kafka::LogBounds;
use crate::session::{Restart, Trouble, restart};

/// How long one question to Kafka may take.
const STEP: Duration = Duration::from_secs(5);

impl Worker {
    /// Moves a partition for the program.
    pub(super) fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), Error> {
        if !self.state.holds(at) {
            return Err(not_assigned(at));
        }
        let target = Offsets::from_iter([(at.clone(), offset)]);
        self.state.sought(&target, self.state.seek_seq().next());
        self.intake.discard(&target.partitions());
        self.urgent.push_back(Urgent::Reposition(target));
        Ok(())
    }

    /// What the next poll returns first; `None` while the start has yet to be committed.
    pub(super) fn position(&self, at: &TopicPartition) -> Option<Result<Offset, Error>> {
        let Some(slot) = self.state.slots().iter().find(|slot| slot.at == *at) else {
            return Some(Err(not_assigned(at)));
        };
        if slot.was_never_committed() {
            let partitions = Partitions::from_iter([at.clone()]);
            return Some(Err(Error::NoCommittedOffset(partitions)));
        }
        if let Some(trouble) = slot.trouble() {
            return Some(Err(trouble.error(at)));
        }
        self.state.positions().get(at).copied().map(Ok)
    }

    /// Tells the handle to read from elsewhere.
    pub(super) fn reposition(&mut self, mut targets: Offsets) -> Option<BoxFuture<'static, Done>> {
        // What was wanted first may have been overtaken.
        let standing = self.state.fetched();
        targets.retain(|at, offset| standing.get(at) == Some(offset));
        if targets.is_empty() {
            return None;
        }
        self.repositioning = true;
        let link = self.link.clone();
        let asked = targets.clone();
        let moving = self
            .blocking
            .run(move || link.handle.reposition(&asked, &standing));
        let done = moving.map(|moved| Done::Repositioned {
            targets,
            outcome: moved.and_then(|moved| moved),
        });
        Some(done.boxed())
    }

    pub(super) fn repositioned(&mut self, targets: Offsets, outcome: Result<(), Error>) {
        self.repositioning = false;
        self.state
            .set_astray(&targets.partitions(), outcome.is_err());
        if let Err(error) = outcome {
            tracing::warn!(%error, "cannot read from elsewhere yet");
            self.astray
                .extend(targets.iter().map(|(at, offset)| (at, *offset)));
        }
    }

    /// Tries once more to move the handle where it could not be moved: it is polled meanwhile,
    /// since the group may have taken the partition, and tell so.
    pub(super) fn move_again(&mut self) {
        let targets = std::mem::take(&mut self.astray);
        if !targets.is_empty() {
            self.urgent.push_back(Urgent::Reposition(targets));
        }
    }

    pub(super) fn is_repositioning(&self) -> bool {
        let waits = |op: &Urgent| matches!(op, Urgent::Reposition(_));
        self.repositioning || self.urgent.iter().any(waits)
    }

    /// Asks which positions are outside their logs: librdkafka does not say.
    pub(super) fn ask_bounds(&mut self) -> BoxFuture<'static, Done> {
        let (standing, partitions) = (self.state.fetched(), self.state.partitions());
        let link = self.link.clone();
        let asking = self.blocking.run(move || link.bounds(&partitions, STEP));
        async move {
            let bounds = asking.await.and_then(|bounds| bounds);
            if bounds.is_err() {
                sleep(super::assign::AGAIN).await;
            }
            Done::Bounds { standing, bounds }
        }
        .boxed()
    }

    /// Follows the offset reset where a position is outside its log.
    pub(super) fn restart(
        &mut self,
        standing: &Offsets,
        bounds: Result<PartitionMap<LogBounds>, Error>,
    ) {
        let bounds = match bounds {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::debug!(%error, "cannot ask for the bounds of the log");
                return self.urgent.push_back(Urgent::OutOfRange);
            }
        };
        let (mut stays, mut moves, mut ends) = (Offsets::new(), Offsets::new(), Offsets::new());
        for (at, bounds) in bounds.iter() {
            let Some(position) = standing.get(&at).copied() else {
                continue;
            };
            let target = match restart(position, *bounds, self.settings.reset) {
                // Its fetcher may have stopped all the same.
                Restart::Here => {
                    stays.insert(&at, position);
                    continue;
                }
                Restart::Beginning => Some(bounds.first),
                Restart::End => Some(bounds.end),
                Restart::Nowhere => None,
            };
            let LogBounds { first, end } = *bounds;
            tracing::warn!(partition = %at, %position, %first, %end, "position is outside the log");
            match target {
                Some(target) => drop(moves.insert(&at, target)),
                None => {
                    let trouble = Trouble {
                        position: Some(position),
                        bounds: *bounds,
                    };
                    self.state.set_trouble(&at, trouble);
                }
            }
            if target == Some(bounds.end) && self.is_grouped() {
                ends.insert(&at, bounds.end);
            }
        }
        self.state.reset(&moves);
        self.intake.discard(&moves.partitions());
        if !ends.is_empty() {
            self.hold_back(&ends.partitions());
            self.urgent.push_back(Urgent::CommitStarts(ends));
        }
        stays.extend(moves.iter().map(|(at, offset)| (at, *offset)));
        if !stays.is_empty() {
            self.urgent.push_back(Urgent::Reposition(stays));
        }
    }
}

fn not_assigned(at: &TopicPartition) -> Error {
    Error::NotAssigned(Partitions::from_iter([at.clone()]))
}
