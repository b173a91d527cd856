//! What the loop has to do: the registry's view against what runs here. Pure.

use std::collections::{HashMap, HashSet};

use sluice_raft::SessionView;
use sluice_types::{Claim, ConsumerId, CreationStamp, Epoch};
use tokio::time::Instant;

use super::supervision::{Absence, Supervision};

/// The steps that bring the sessions here closer to the registry.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// To be opened under their epoch, which nobody has used.
    pub(super) open: Vec<SessionView>,
    /// To be given a new epoch, then opened.
    pub(super) reopen: Vec<SessionView>,
    /// Their clients have been silent too long while their actors failed.
    pub(super) expire: Vec<SessionView>,
    /// Being deleted, with nobody at it: to leave the group and be gone.
    pub(super) leave: Vec<SessionView>,
    /// They run here, but the registry knows nothing of them.
    pub(super) evict: Vec<Claim>,
    /// They run here, but have another owner by now.
    pub(super) let_go: Vec<Claim>,
    /// When there may be more to do although nothing has changed.
    pub(super) wake: Option<Instant>,
}

/// Whose a session of the registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// This process's.
    Ours,
    /// Another node's, in this life of it and since this epoch.
    Other(CreationStamp, Epoch),
}

/// Compares `ours`, the registry's sessions of this node, with `running`, those that run here.
/// `running` must have been read first: what ran and has been deleted since is then not evicted
/// before its time, and what was created since is not taken for a stranger.
///
/// `owner` says whose a session is: of what another node owns the handle is dropped here, and the
/// member left to that node.
pub(super) fn plan(
    ours: &[SessionView],
    running: &[Claim],
    owner: impl Fn(&ConsumerId) -> Option<Ownership>,
    supervision: &mut Supervision,
    now: Instant,
) -> Plan {
    let running_claims: HashSet<&Claim> = running.iter().collect();
    let stamps: HashMap<_, _> = ours.iter().map(|s| (&s.id, s.stamp)).collect();
    supervision.keep(|id, stamp| stamps.get(id) == Some(&stamp));

    let mut plan = Plan::default();
    for session in ours {
        if supervision.is_held(session.stamp) {
            continue;
        }
        if session.is_deleting() {
            plan.leave.push(session.clone());
            continue;
        }
        let runs = running_claims.contains(&session.claim())
            && !supervision.has_ended(&session.id, session.epoch);
        if runs {
            let look_again = supervision.forgive(session, now);
            plan.wake_at(look_again);
            continue;
        }
        match supervision.absence(session, now) {
            Absence::Expired => plan.expire.push(session.clone()),
            Absence::Unopened => plan.open.push(session.clone()),
            Absence::Used => plan.reopen.push(session.clone()),
            Absence::Until(when) => plan.wake_at(Some(when)),
        }
    }
    let strays = running.iter().filter(|claim| owner(&claim.id).is_none());
    let (evict, look_again) = supervision.evict(strays.cloned().collect(), now);
    plan.evict = evict;
    let former = |claim: &&Claim| match owner(&claim.id) {
        Some(Ownership::Other(stamp, epoch)) => claim.epoch < epoch && !supervision.is_held(stamp),
        Some(Ownership::Ours) | None => false,
    };
    plan.let_go = running.iter().filter(former).cloned().collect();
    plan.wake_at(look_again);
    plan
}

impl Plan {
    fn wake_at(&mut self, when: Option<Instant>) {
        self.wake = match (self.wake, when) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
