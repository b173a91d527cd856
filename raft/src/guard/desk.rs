//! Where a leader takes the signs of life of nodes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_types::NodeId;

use super::clock::Moments;
use super::term::{Term, millis};
use crate::consensus::{Leading, not_leader};
use crate::liveness::Answer;
use crate::net::frame::{HeartbeatV1, ResponseV1};
use crate::replica::Replica;
use crate::{Moment, Registry};

/// The desk of one member, which somebody sits at only while the member leads.
pub(crate) struct Desk {
    leading: Leading,
    replica: Arc<Replica>,
    seat: Mutex<Option<Seat>>,
}

struct Seat {
    term: Term,
    moments: Arc<dyn Moments>,
    /// Known to its office alone: another may have been opened before that is dropped.
    key: Arc<()>,
}

impl Desk {
    pub(crate) fn new(leading: Leading, replica: Arc<Replica>) -> Self {
        Self {
            leading,
            replica,
            seat: Mutex::new(None),
        }
    }

    /// Answers a node's sign of life.
    pub(crate) fn answer(&self, heartbeat: HeartbeatV1) -> ResponseV1 {
        if self.leading.yields() {
            return not_leader(None);
        }
        let applied = self.replica.applied();
        let node = heartbeat.node.clone();
        let answered = self.sit(|term, registry, now| {
            match term.heartbeat(registry, heartbeat, applied, now) {
                Answer::Granted(lease) => ResponseV1::Granted {
                    lease: millis(lease),
                    moves: term.asked_of(&node).into_iter().map(Into::into).collect(),
                    tells_idlest: term.is_giver(&node),
                },
                Answer::NoQuorum => ResponseV1::NoQuorum,
                Answer::Ended => ResponseV1::Ended,
            }
        });
        answered.unwrap_or_else(|| not_leader(self.leading.leader()))
    }

    /// What is known of the nodes.
    pub(crate) fn sightings(&self) -> ResponseV1 {
        match self.sit(|term, _, now| term.sightings(now)) {
            Some(sightings) => ResponseV1::Sightings(sightings),
            None => not_leader(self.leading.leader()),
        }
    }

    /// Whether this incarnation has given a sign of life in this term; `None` while nobody leads
    /// here.
    pub(crate) fn hears(&self, node: &NodeId) -> Option<bool> {
        self.sit(|term, _, _| term.hears(node))
    }

    /// How long ago a majority was asked that followed this leader; `None` while nobody leads here,
    /// or has been followed yet.
    pub(crate) fn quorum_age(&self) -> Option<Duration> {
        self.sit(|term, _, now| term.quorum_age(now)).flatten()
    }

    /// Opens the desk for a term, until the office is dropped.
    pub(super) fn open(&self, term: Term, moments: Arc<dyn Moments>) -> Office<'_> {
        let (number, key) = (term.number(), Arc::new(()));
        *self.seat() = Some(Seat {
            term,
            moments,
            key: key.clone(),
        });
        Office {
            desk: self,
            number,
            key,
        }
    }

    /// Does something with the term, the registry and the moment; `None` while nobody leads here.
    fn sit<T>(&self, act: impl FnOnce(&mut Term, &Registry, Moment) -> T) -> Option<T> {
        let mut seat = self.seat();
        let Seat { term, moments, .. } = seat.as_mut()?;
        let registry = self.replica.read();
        Some(act(term, &registry, moments.now()))
    }

    fn seat(&self) -> MutexGuard<'_, Option<Seat>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The desk while it is open. Everything that it knows goes with it.
pub(super) struct Office<'a> {
    desk: &'a Desk,
    number: u64,
    key: Arc<()>,
}

impl Office<'_> {
    /// The number of the term.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Does something with the term, the registry and the moment.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Term, &Registry, Moment) -> T) -> Option<T> {
        self.desk.sit(act)
    }
}

impl Drop for Office<'_> {
    fn drop(&mut self) {
        let mut seat = self.desk.seat();
        seat.take_if(|seat| Arc::ptr_eq(&seat.key, &self.key));
    }
}
