//! One session, and the changes it allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluice_types::{
    Claim, ConsumerId, CreationStamp, Epoch, Mode, NodeId, PartitionMap, Partitions, Point,
    SeekSeq, SessionSpec, Timestamp, TopicName,
};

use super::counts::PartitionCounts;
use crate::{Creation, Handover};

/// Whether a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionState {
    /// It serves its client.
    Active,
    /// It has ended for its client; its owner has yet to leave the group.
    Deleting {
        /// When it ended.
        since: Timestamp,
    },
}

/// What the registry holds of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub id: ConsumerId,
    /// Tells this life of the id from others.
    pub stamp: CreationStamp,
    /// What the client asked for.
    pub spec: SessionSpec,
    /// The node that runs it.
    pub owner: NodeId,
    /// Counts its ownerships and openings.
    pub epoch: Epoch,
    /// Whether it lives.
    pub state: SessionState,
    /// How it comes by its partitions.
    pub mode: Mode,
    /// The number of its last seek.
    pub seek_seq: SeekSeq,
    /// Starts that the group's commits do not say.
    pub points: PartitionMap<Point>,
    /// How many partitions each topic had when the session was created.
    pub counts_at_creation: PartitionCounts,
    /// The most partitions each topic has been seen to have.
    pub counts_seen: PartitionCounts,
    /// When it was created.
    pub created_at: Timestamp,
    /// What the last owner handed over, until the opening after the one that uses it.
    pub handed_over: Option<Box<HandedOver>>,
}

/// A handover on its way to the one assignment that it serves.
///
/// It serves the first assignment after the join of the handle that this epoch's opening made.
/// Whether it did is in the log before the partitions are taken ([`Command::Joined`]), so each
/// later opening knows: an unused handover goes on to the new epoch, a used one is dropped. An owner
/// that dies between that entry and its first answer costs repeats from the group's commit or the
/// point below, never a record: the other order would let a position serve twice, and the second
/// time skip what another member of the group was given in between.
///
/// It lies above the session's points and leaves them as they are, since they are what counts
/// again once it is used.
///
/// [`Command::Joined`]: crate::Command::Joined
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// What was handed over.
    pub handover: Handover,
    /// Whether the owner's handle has joined under this epoch: to its own first assignment it
    /// still applies, to nothing later.
    pub is_used: bool,
}

/// A session as the registry had it at one moment; it never changes.
pub type SessionView = Arc<Session>;

impl Session {
    pub(super) fn new(creation: Creation, epoch: Epoch) -> Self {
        Self {
            id: creation.id,
            stamp: creation.stamp,
            spec: creation.spec,
            owner: creation.owner,
            epoch,
            state: SessionState::Active,
            mode: Mode::Subscribed,
            seek_seq: SeekSeq::NONE,
            points: PartitionMap::new(),
            counts_seen: creation.counts.clone().into(),
            counts_at_creation: creation.counts.into(),
            created_at: creation.created_at,
            handed_over: None,
        }
    }

    /// The right to run it, or to end it.
    pub fn claim(&self) -> Claim {
        Claim {
            id: self.id.clone(),
            epoch: self.epoch,
        }
    }

    /// Whether it serves its client.
    pub fn is_active(&self) -> bool {
        self.state == SessionState::Active
    }

    /// Whether it has ended for its client.
    pub fn is_deleting(&self) -> bool {
        !self.is_active()
    }

    fn revision(&self) -> u32 {
        match self.mode {
            Mode::Subscribed => 0,
            Mode::Assigned { revision, .. } => revision,
        }
    }
}

/// The changes. Each says whether the session is as asked afterwards; if not, it is untouched.
impl Session {
    pub(super) fn open(&mut self, owner: &NodeId) -> bool {
        if self.is_deleting() || self.owner != *owner {
            return false;
        }
        self.begin_epoch();
        true
    }

    /// The owner must be one that takes sessions.
    pub(super) fn move_to(&mut self, owner: NodeId, handover: Option<Handover>) -> bool {
        self.owner = owner;
        self.begin_epoch();
        if let Some(handover) = handover.filter(|_| self.is_active()) {
            self.handed_over = Some(Box::new(HandedOver {
                handover,
                is_used: false,
            }));
        }
        true
    }

    /// Ends the ownership without another beginning.
    pub(super) fn disown(&mut self) -> bool {
        self.begin_epoch();
        true
    }

    pub(super) fn join(&mut self) -> bool {
        if self.is_deleting() {
            return false;
        }
        if let Some(handed_over) = &mut self.handed_over {
            handed_over.is_used = true;
        }
        true
    }

    /// From here one more handle may be opened. What was handed over and has not been used is for
    /// that one.
    fn begin_epoch(&mut self) {
        self.epoch = self.epoch.next();
        self.handed_over.take_if(|handed_over| handed_over.is_used);
    }

    pub(super) fn seek(&mut self, seq: SeekSeq, points: PartitionMap<Point>) -> bool {
        if self.is_deleting() {
            return false;
        }
        if seq <= self.seek_seq {
            // The same seek again is done already; another one that took its number is not.
            let stands = points
                .iter()
                .all(|(at, point)| self.points.get(&at) == Some(point));
            return seq == self.seek_seq && stands;
        }
        self.seek_seq = seq;
        for (at, point) in points.iter() {
            self.points.insert(&at, point.clone());
            if let Some(handed_over) = &mut self.handed_over {
                handed_over.handover.points.remove(&at);
            }
        }
        true
    }

    pub(super) fn assign(
        &mut self,
        partitions: Partitions,
        revision: u32,
        points: PartitionMap<Point>,
    ) -> bool {
        if self.is_deleting() {
            return false;
        }
        let mode = Mode::Assigned {
            partitions,
            revision,
        };
        if revision <= self.revision() {
            // Done already, unless another assignment took the number. A seek may have followed:
            // its points are not undone.
            return self.mode == mode;
        }
        self.mode = mode;
        self.points = points;
        self.handed_over = None;
        true
    }

    pub(super) fn observe(&mut self, counts: BTreeMap<TopicName, i32>) -> bool {
        if self.is_deleting() {
            return false;
        }
        self.counts_seen.raise(counts);
        true
    }

    pub(super) fn delete(&mut self, at: Timestamp) -> bool {
        if self.is_deleting() {
            return false;
        }
        self.state = SessionState::Deleting { since: at };
        self.epoch = self.epoch.next();
        self.handed_over = None;
        true
    }
}
