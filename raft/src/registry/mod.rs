//! The registry's state: pure, the same after the same commands on every node.
//!
//! ```text
//!            Create                 Delete                 Gone
//!   (free) ---------> Active e ---------------> Deleting -------> (free; the grave keeps the
//!                      |    ^                     e+1              last epoch and the stamp)
//!                      +----+
//!             Open: e+1     Seek, Assign, Observed: e stays
//! ```
//!
//! Nothing here reads a clock or waits.

mod graves;
mod session;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluice_types::{Claim, ConsumerId, Epoch, NodeId, Timestamp};

use crate::{Command, Creation};
use graves::Graves;
pub use session::{Session, SessionState, SessionView};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect, or had taken effect already; the session as it is now. After
    /// [`Command::Gone`]: as it last was.
    Done(SessionView),
    /// [`Command::Open`]: the sessions that were opened; the others stay as they were.
    Opened(Vec<SessionView>),
    /// [`Command::Create`]: the id has a session. If it bears the stamp of the command, then the
    /// command had taken effect before.
    Exists(SessionView),
    /// The claim does not hold (any more), or the command is older than what the registry has.
    /// Nothing changed.
    Stale,
}

/// Every session of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    sessions: BTreeMap<ConsumerId, SessionView>,
    graves: Graves,
}

impl Registry {
    /// Makes the change, if it is still the time for it.
    pub fn apply(&mut self, command: Command) -> Outcome {
        match command {
            Command::Create(creation) => self.create(creation),
            Command::Open { owner, claims } => self.open(&owner, claims),
            Command::Seek { claim, seq, points } => {
                self.change(&claim, |session| session.seek(seq, points))
            }
            Command::Assign {
                claim,
                partitions,
                revision,
                points,
            } => self.change(&claim, |session| {
                session.assign(partitions, revision, points)
            }),
            Command::Observed { claim, counts } => {
                self.change(&claim, |session| session.observe(counts))
            }
            Command::Delete { claim, at } => self.change(&claim, |session| session.delete(at)),
            Command::Gone { claim, at } => self.gone(&claim, at),
        }
    }

    fn create(&mut self, creation: Creation) -> Outcome {
        self.graves.forget_before(creation.created_at);
        if let Some(session) = self.sessions.get(&creation.id) {
            return Outcome::Exists(session.clone());
        }
        if self.graves.holds(creation.stamp) {
            return Outcome::Stale;
        }
        let epoch = self.graves.next_epoch(&creation.id);
        let session = Arc::new(Session::new(creation, epoch));
        self.sessions.insert(session.id.clone(), session.clone());
        Outcome::Done(session)
    }

    fn open(&mut self, owner: &NodeId, claims: BTreeMap<ConsumerId, Epoch>) -> Outcome {
        let opened = claims.into_iter().filter_map(|(id, epoch)| {
            let claim = Claim { id, epoch };
            match self.change(&claim, |session| session.open(owner)) {
                Outcome::Done(session) => Some(session),
                Outcome::Opened(_) | Outcome::Exists(_) | Outcome::Stale => None,
            }
        });
        Outcome::Opened(opened.collect())
    }

    /// Changes one session; `change` says whether it is as asked now.
    fn change(&mut self, claim: &Claim, change: impl FnOnce(&mut Session) -> bool) -> Outcome {
        let is_as_asked = self.claimed(claim).is_some_and(change);
        match self.sessions.get(&claim.id) {
            Some(session) if is_as_asked => Outcome::Done(session.clone()),
            _ => Outcome::Stale,
        }
    }

    fn gone(&mut self, claim: &Claim, at: Timestamp) -> Outcome {
        self.graves.forget_before(at);
        match self.sessions.get(&claim.id) {
            Some(session) if session.epoch == claim.epoch && session.is_deleting() => {}
            _ => return Outcome::Stale,
        }
        match self.sessions.remove(&claim.id) {
            Some(session) => {
                self.graves.bury(&session, at);
                Outcome::Done(session)
            }
            None => Outcome::Stale,
        }
    }

    /// The session, if the claim to it holds.
    fn claimed(&mut self, claim: &Claim) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&claim.id)?;
        (session.epoch == claim.epoch).then(|| Arc::make_mut(session))
    }

    /// The session with this id, being deleted or not.
    pub fn session(&self, id: &ConsumerId) -> Option<&SessionView> {
        self.sessions.get(id)
    }

    /// The sessions behind `after`, by id.
    pub fn sessions_after(&self, after: Option<&ConsumerId>) -> impl Iterator<Item = &SessionView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sessions
            .range::<ConsumerId, _>((from, Bound::Unbounded))
            .map(|(_, session)| session)
    }
}

#[cfg(test)]
pub(crate) mod tests;
