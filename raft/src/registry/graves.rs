//! What is remembered of sessions that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_types::{ConsumerId, CreationStamp, Epoch, Timestamp};

use super::Session;

/// How long a session that is gone is remembered by name: far longer than any proposal, which
/// ends with its request's deadline, can be on its way.
const KEPT: Duration = Duration::from_secs(600);

/// Keeps the commands and the owners of an earlier life away from a later one.
///
/// A stamp that is buried begins no session again, and the next life of an id begins above the
/// epochs of the last: a claim that outlived its session never fits another. When the name is
/// forgotten, the epoch still counts, as the floor on which every new session begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Graves {
    last_epochs: BTreeMap<ConsumerId, Epoch>,
    stamps: BTreeSet<CreationStamp>,
    by_time: BTreeSet<(Timestamp, u64, ConsumerId)>,
    floor: Option<Epoch>,
}

impl Graves {
    pub(super) fn bury(&mut self, session: &Session, at: Timestamp) {
        self.last_epochs.insert(session.id.clone(), session.epoch);
        self.stamps.insert(session.stamp);
        self.by_time
            .insert((at, session.stamp.get(), session.id.clone()));
    }

    pub(super) fn holds(&self, stamp: CreationStamp) -> bool {
        self.stamps.contains(&stamp)
    }

    /// The epoch with which the next life of the id begins.
    pub(super) fn next_epoch(&self, id: &ConsumerId) -> Epoch {
        let last = self.last_epochs.get(id).copied().max(self.floor);
        last.map_or(Epoch::FIRST, Epoch::next)
    }

    /// Forgets the names that have been kept long enough at `now`, a command's time.
    pub(super) fn forget_before(&mut self, now: Timestamp) {
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        while let Some((at, ..)) = self.by_time.first() {
            if now.as_millis().saturating_sub(at.as_millis()) < kept {
                return;
            }
            if let Some((_, stamp, id)) = self.by_time.pop_first() {
                self.stamps.remove(&CreationStamp::from_number(stamp));
                // A younger grave of the same id may go with it: the floor keeps its epoch.
                self.floor = self.floor.max(self.last_epochs.remove(&id));
            }
        }
    }
}
