//! Partitions that come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sluice_types::{Partitions, TopicName, TopicPartition};
use tokio::time::{Instant, sleep};

use super::builder::partitions_of;
use super::ops::{Done, Urgent};
use super::worker::Worker;
use crate::Error;
use crate::session::{Finder, Found, Slot};

/// How long to wait before a question that failed is asked again.
pub(super) const AGAIN: Duration = Duration::from_millis(200);
/// How long a refused request is left alone: an operator may mend it.
const REFUSED: Duration = Duration::from_secs(1);

/// How often a consumer without a group looks for new partitions; with one, librdkafka does as
/// often.
const LOOK: Duration = Duration::from_secs(10);
/// How long Kafka may take to say how many there are, for each topic.
const COUNT: Duration = Duration::from_secs(2);

impl Worker {
    /// Without a group, looks for new partitions if it is time to.
    pub(super) fn queue_look(&mut self) {
        let due = !self.is_grouped() && self.has_partitions && self.last_look.elapsed() >= LOOK;
        if due {
            self.last_look = Instant::now();
            self.urgent.push_back(Urgent::CountPartitions);
        }
    }

    pub(super) fn count_partitions(&mut self) -> BoxFuture<'static, Done> {
        let (link, topics) = (self.link.clone(), self.settings.topics.clone());
        let count = move |topic: TopicName| {
            let count = link.handle.partition_count(&topic, COUNT)?;
            Ok((topic, count))
        };
        let counting = self
            .blocking
            .run(move || topics.into_iter().map(count).collect());
        counting
            .map(|counts| Done::Counted(counts.and_then(|counts| counts)))
            .boxed()
    }

    /// Takes partitions that were not there before.
    pub(super) fn counted(&mut self, counts: Result<BTreeMap<TopicName, i32>, Error>) {
        let all = match counts {
            Ok(counts) => partitions_of(&counts),
            Err(error) => return tracing::debug!(%error, "cannot look for new partitions"),
        };
        let new: Partitions = all.iter().filter(|at| !self.state.holds(at)).collect();
        if !new.is_empty() {
            self.urgent.push_back(Urgent::Assign(new));
        }
    }

    /// Finds where partitions start.
    pub(super) fn find_starts(&mut self, partitions: Partitions) -> BoxFuture<'static, Done> {
        let finder = Finder {
            blocking: self.blocking.clone(),
            link: self.link.clone(),
            life: self.life,
            reset: self.settings.reset,
            seek_seq: self.state.seek_seq(),
            grouped: self.is_grouped(),
        };
        let record = self.record.clone();
        async move {
            let found = finder.try_find(&partitions, &record).await;
            match &found {
                Ok(_) => {}
                Err(Error::AccessDenied(_)) => sleep(REFUSED).await,
                Err(_) => sleep(AGAIN).await,
            }
            Done::Found { partitions, found }
        }
        .boxed()
    }

    /// Takes partitions whose starts are known.
    pub(super) fn assigned(&mut self, partitions: Partitions, found: Result<Found, Error>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot find where partitions start, asking again");
                if matches!(error, Error::AccessDenied(_)) {
                    self.obstacle = Some(error);
                }
                return self.urgent.push_front(Urgent::Assign(partitions));
            }
        };
        self.assignment_open = false;
        let Found {
            starts,
            uncommitted,
            troubles,
            ..
        } = found;
        let assigned = if self.is_grouped() {
            self.link.handle.assign(&starts)
        } else {
            let mut all = self.state.fetched();
            all.extend(starts.iter().map(|(at, start)| (at, *start)));
            self.link.handle.assign_manually(&all).map(|()| false)
        };
        let replaces = match assigned {
            Ok(replaces) => replaces,
            // It was taken back meanwhile; librdkafka tells so next.
            Err(error) => return tracing::warn!(%error, "kafka took the assignment back"),
        };
        self.state
            .assign(&starts, self.link.handle.generation(), replaces);
        if replaces {
            self.intake.clear();
        }
        for (at, trouble) in troubles.iter() {
            self.state.set_trouble(&at, *trouble);
        }
        self.pause(&troubles.partitions());
        self.hold_back(&uncommitted.partitions());
        if !uncommitted.is_empty() {
            self.urgent.push_back(Urgent::CommitStarts(uncommitted));
        }
        self.brokers_down = false;
        self.obstacle = None;
        self.has_partitions = true;
        tracing::info!(partitions = ?starts.partitions(), "assigned");
    }

    /// Gives partitions back.
    pub(super) fn revoked(&mut self, partitions: &Partitions) {
        tracing::info!(?partitions, "revoked");
        self.revoking = None;
        // librdkafka keeps a pause over an unassign: a partition that comes back would stay
        // silent.
        let paused = |at: &TopicPartition| {
            let is_paused = |slot: &Slot| slot.at == *at && slot.paused;
            self.state.slots().iter().any(is_paused)
        };
        let paused: Partitions = partitions.iter().filter(paused).collect();
        self.resume(&paused);
        match self.link.handle.unassign(partitions) {
            Ok(true) => {
                self.state.revoke_all();
                self.intake.clear();
                self.has_partitions = false;
            }
            Ok(false) => {
                self.state.revoke(partitions, self.link.handle.generation());
                self.intake.discard(partitions);
            }
            Err(error) => tracing::warn!(%error, "cannot unassign"),
        }
    }

    /// Keeps partitions from being read and shown until their start is committed.
    pub(super) fn hold_back(&mut self, partitions: &Partitions) {
        self.pause(partitions);
        for slot in self.state.slots_mut() {
            slot.starting |= partitions.contains(&slot.at);
        }
    }

    /// Stops fetching partitions.
    pub(super) fn pause(&mut self, partitions: &Partitions) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = self.link.handle.pause(partitions) {
            return tracing::warn!(%error, "cannot stop fetching");
        }
        for slot in self.state.slots_mut() {
            slot.paused |= partitions.contains(&slot.at);
        }
    }

    /// Fetches paused partitions again.
    pub(super) fn resume(&mut self, partitions: &Partitions) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = self.link.handle.resume(partitions) {
            return tracing::warn!(%error, "cannot fetch again");
        }
        for slot in self.state.slots_mut() {
            slot.paused &= !partitions.contains(&slot.at);
        }
    }
}
