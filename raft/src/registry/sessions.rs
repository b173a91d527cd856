//! All sessions, by id and by owner.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use sluice_types::{Claim, ConsumerId, NodeId};

use super::session::{Session, SessionView};

/// The sessions. What is asked for one owner costs what that owner has, not what the cluster has.
///
/// Only the sessions are written; who owns which is found again when they are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<ConsumerId, SessionView>")]
pub(super) struct Sessions {
    by_id: BTreeMap<ConsumerId, SessionView>,
    by_owner: BTreeMap<NodeId, BTreeSet<ConsumerId>>,
}

impl Sessions {
    pub(super) fn get(&self, id: &ConsumerId) -> Option<&SessionView> {
        self.by_id.get(id)
    }

    pub(super) fn insert(&mut self, session: SessionView) {
        self.index(&session.owner, &session.id);
        self.by_id.insert(session.id.clone(), session);
    }

    pub(super) fn remove(&mut self, id: &ConsumerId) -> Option<SessionView> {
        let session = self.by_id.remove(id)?;
        self.unindex(&session.owner, id);
        Some(session)
    }

    /// Changes the session if the claim to it holds and `change` says that it is as asked then.
    pub(super) fn change(
        &mut self,
        claim: &Claim,
        change: impl FnOnce(&mut Session) -> bool,
    ) -> Option<SessionView> {
        let shared = self.by_id.get_mut(&claim.id)?;
        if shared.epoch != claim.epoch {
            return None;
        }
        let before = shared.owner.clone();
        let session = Arc::make_mut(shared);
        if !change(session) {
            return None;
        }
        let view = shared.clone();
        if view.owner != before {
            self.unindex(&before, &claim.id);
            self.index(&view.owner, &view.id);
        }
        Some(view)
    }

    pub(super) fn after(&self, after: Option<&ConsumerId>) -> impl Iterator<Item = &SessionView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id
            .range::<ConsumerId, _>((from, Bound::Unbounded))
            .map(|(_, session)| session)
    }

    pub(super) fn owned_by(&self, owner: &NodeId) -> impl Iterator<Item = &SessionView> {
        let ids = self.by_owner.get(owner).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn count(&self, owner: &NodeId) -> usize {
        self.by_owner.get(owner).map_or(0, BTreeSet::len)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = &NodeId> {
        self.by_owner.keys()
    }

    fn index(&mut self, owner: &NodeId, id: &ConsumerId) {
        match self.by_owner.get_mut(owner) {
            Some(owned) => {
                owned.insert(id.clone());
            }
            None => {
                self.by_owner
                    .insert(owner.clone(), BTreeSet::from([id.clone()]));
            }
        }
    }

    fn unindex(&mut self, owner: &NodeId, id: &ConsumerId) {
        if let Some(owned) = self.by_owner.get_mut(owner) {
            owned.remove(id);
            if owned.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }
}

impl Serialize for Sessions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_id.serialize(serializer)
    }
}

impl From<BTreeMap<ConsumerId, SessionView>> for Sessions {
    fn from(by_id: BTreeMap<ConsumerId, SessionView>) -> Self {
        let mut sessions = Self::default();
        for (id, mut session) in by_id {
            // Names that were shared before they were written are shared again.
            let owner = sessions.by_owner.get_key_value(&session.owner);
            let owner = owner.map_or_else(|| session.owner.clone(), |(owner, _)| owner.clone());
            let own = Arc::make_mut(&mut session);
            own.owner = owner;
            own.id = id;
            sessions.insert(session);
        }
        sessions
    }
}
