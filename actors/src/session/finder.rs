//! Finding where partitions start: asks Kafka what `start` decides upon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Context;
use sluice_types::{
    CreationStamp, OffsetReset, Offsets, PartitionMap, Partitions, SeekSeq, TopicName,
    TopicPartition,
};
use tokio::time::{Instant, sleep};

use super::actor::SessionActor;
use super::link::Link;
use super::ops::{Apply, Urgent};
use super::start::{self, Facts, Start};
use super::trouble::Trouble;
use crate::authority::Record;
use crate::blocking::Blocking;
use crate::kafka::CommittedOffset;
use crate::{Error, SeekTarget};

/// How long one question to Kafka may take.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// How long to wait before a question that failed is asked again.
pub(super) const AGAIN: Duration = Duration::from_millis(200);

/// Where partitions start.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where to read, for every partition.
    pub(crate) starts: Offsets,
    /// Those of `starts` that have to be committed before they are shown.
    pub(crate) uncommitted: Offsets,
    /// Those of `starts` up to which the owner before has delivered.
    pub(crate) handed_over: Offsets,
    /// Partitions that cannot start.
    pub(crate) troubles: PartitionMap<Trouble>,
}

/// Finds starts; outlives the actor's turn.
pub(crate) struct Finder {
    pub(crate) blocking: Blocking,
    pub(crate) link: Arc<Link>,
    pub(crate) life: CreationStamp,
    pub(crate) reset: OffsetReset,
    pub(crate) seek_seq: SeekSeq,
    /// Whether there is a group, to ask for its commits and to commit to.
    pub(crate) grouped: bool,
}

impl Finder {
    /// Finds the starts of partitions that the group gave. Kafka is asked until it answers;
    /// the group waits for that no longer than `max.poll.interval.ms`.
    pub(super) async fn find(
        &self,
        partitions: &Partitions,
        record: &Record,
    ) -> Result<Found, Apply> {
        loop {
            match self.try_find(partitions, record).await {
                Ok(found) => return Ok(found),
                Err(refused @ Error::AccessDenied(_)) => {
                    // Shown to whoever waits; asked again, since an operator may mend it.
                    return Err(Box::new(self.again(partitions.clone(), refused)));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot find where partitions start, asking again");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    fn again(
        &self,
        partitions: Partitions,
        refused: Error,
    ) -> impl FnOnce(&mut SessionActor, &mut Context<SessionActor>) + 'static {
        move |actor, ctx| {
            actor.obstacle = Some(refused);
            actor.fail_poll(ctx);
            actor.answer_ready();
            actor.retry_later(Urgent::Assign(partitions), ctx);
        }
    }

    /// Finds starts, asking Kafka once. Of `record` what was handed over counts: it must be the
    /// first assignment.
    pub(crate) async fn try_find(
        &self,
        partitions: &Partitions,
        record: &Record,
    ) -> Result<Found, Error> {
        let handed_over = record.handed_over.as_ref().map(|left| &left.points);
        let committed = self.committed(partitions).await?;
        let (mut resets, mut nowhere) = (PartitionMap::new(), Partitions::new());
        let mut found = Found::default();
        for at in partitions.iter() {
            let facts = Facts {
                handed_over: handed_over.and_then(|points| points.get(&at)),
                point: record.points.get(&at),
                committed: committed.get(&at),
                is_new: is_new(&at, &record.counts_at_creation),
            };
            match start::decide(facts, self.life, self.reset) {
                Start::HandedOver(offset) => {
                    found.starts.insert(&at, offset);
                    found.handed_over.insert(&at, offset);
                }
                Start::At(offset) => drop(found.starts.insert(&at, offset)),
                Start::Beginning => drop(resets.insert(&at, SeekTarget::Earliest)),
                Start::End => drop(resets.insert(&at, SeekTarget::Latest)),
                Start::Nowhere => drop(nowhere.insert(at)),
            }
        }
        self.resolve(resets, nowhere, &mut found).await?;
        Ok(found)
    }

    /// What the group has committed.
    pub(super) async fn committed(
        &self,
        partitions: &Partitions,
    ) -> Result<PartitionMap<CommittedOffset>, Error> {
        if !self.grouped {
            return Ok(PartitionMap::new());
        }
        let (link, asked) = (self.link.clone(), partitions.clone());
        self.blocking
            .run(move || link.handle.committed(&asked, STEP))
            .await?
    }

    async fn resolve(
        &self,
        resets: PartitionMap<SeekTarget>,
        nowhere: Partitions,
        found: &mut Found,
    ) -> Result<(), Error> {
        let (link, asked) = (self.link.clone(), resets.clone());
        let resolved = self
            .blocking
            .run(move || link.resolve(&asked, STEP))
            .await??;
        let mut ends = resolved.clone();
        ends.retain(|at, _| resets.get(at) == Some(&SeekTarget::Latest));
        found
            .starts
            .extend(resolved.iter().map(|(at, offset)| (at, *offset)));
        found.uncommitted = self.commit_ends(ends).await;
        if nowhere.is_empty() {
            return Ok(());
        }
        let (link, asked) = (self.link.clone(), nowhere);
        let bounds = self
            .blocking
            .run(move || link.bounds(&asked, STEP))
            .await??;
        for (at, bounds) in bounds.iter() {
            found.starts.insert(&at, bounds.first);
            found.troubles.insert(
                &at,
                Trouble {
                    position: None,
                    bounds: *bounds,
                },
            );
        }
        Ok(())
    }

    /// Commits the ends at which partitions start, so that they hold for the whole group and
    /// through every crash; returns those that could not be.
    async fn commit_ends(&self, ends: Offsets) -> Offsets {
        if !self.grouped {
            return Offsets::new();
        }
        let until = Instant::now() + STEP;
        let judged = self
            .link
            .commit_and_wait(ends.clone(), self.seek_seq, until)
            .await;
        let mut left = ends;
        left.retain(|at, _| !judged.committed.contains(at));
        left
    }
}

fn is_new(at: &TopicPartition, counts: &BTreeMap<TopicName, i32>) -> bool {
    counts
        .get(&at.topic)
        .is_some_and(|count| at.partition.get() >= *count)
}
