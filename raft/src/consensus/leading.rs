//! What the leader does for itself and for others.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::time::{Instant, timeout};

use super::Timing;
use super::proposing::{Proposals, Proposed};
use super::quorum::{Leader, Quorum, ReadIndex};
use crate::net::frame::ResponseV1;
use crate::types::{Member, Raft};
use crate::{Command, RaftId};

/// How long a change of the members may take. One that takes longer is begun anew, from what has
/// become of it.
const CHANGE: Duration = Duration::from_secs(5);

/// What became of a request to be taken in.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// The member takes part.
    Welcome,
    /// This member does not lead.
    NotLeader(Option<Leader>),
    /// Not now: another change is under way, or no majority answers.
    NotNow,
}

/// The leader's side of the registry; of use only while this member leads.
#[derive(Clone)]
pub(crate) struct Leading {
    quorum: Quorum,
    proposals: Proposals,
}

impl Leading {
    /// Runs a task until the last clone is gone.
    pub(crate) fn new(raft: Raft, timing: &Timing) -> Self {
        let quorum = Quorum::new(raft, timing);
        Self {
            proposals: Proposals::start(quorum.clone(), timing.patience),
            quorum,
        }
    }

    pub(crate) fn raft(&self) -> &Raft {
        self.quorum.raft()
    }

    /// Whether this member takes itself for the leader.
    pub(crate) fn leads(&self) -> bool {
        self.quorum.leads()
    }

    /// Whether this member gives its leadership up now.
    pub(crate) fn yields(&self) -> bool {
        self.quorum.yields()
    }

    /// Counts the elections, as far as this member knows.
    pub(crate) fn term(&self) -> u64 {
        self.raft().metrics().borrow().current_term
    }

    /// The leader, as this member knows it.
    pub(crate) fn leader(&self) -> Option<Leader> {
        self.quorum.leader()
    }

    /// The leader, as this member knows it; nobody if that is this member and it gives the
    /// leadership up.
    pub(crate) fn acting_leader(&self) -> Option<Leader> {
        self.leader().filter(|_| !(self.leads() && self.yields()))
    }

    /// Has the command applied.
    pub(crate) async fn propose(&self, command: Command, deadline: Instant) -> Proposed {
        self.proposals.propose(command, deadline).await
    }

    /// What has to be applied so that a read sees everything that was acknowledged before the
    /// call.
    pub(crate) async fn read_index(&self, deadline: Instant) -> ReadIndex {
        self.quorum.read_index(deadline).await
    }

    /// Gives the leadership up; see [`Quorum::step_down`].
    pub(crate) async fn step_down(&self, deadline: Instant) -> bool {
        self.quorum.step_down(deadline).await
    }

    /// Whether this member may stand for election.
    pub(crate) fn stands(&self) -> bool {
        self.quorum.stands()
    }

    /// Leaves elections to others, or not; see [`Quorum::set_modest`].
    pub(crate) fn set_modest(&self, is_modest: bool) {
        self.quorum.set_modest(is_modest);
    }

    /// Takes a member in, as a learner, or notes where it is now.
    pub(crate) async fn admit(&self, id: RaftId, member: Member) -> Admitted {
        if !self.leads() {
            return Admitted::NotLeader(self.leader());
        }
        let known = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow();
            metrics
                .membership_config
                .membership()
                .get_node(&id)
                .cloned()
        };
        if known.as_ref() == Some(&member) {
            return Admitted::Welcome;
        }
        tracing::info!(raft_id = %id, name = member.name, address = member.address, "taking a member in");
        let nodes = BTreeMap::from([(id, member)]);
        let change = match known {
            None => ChangeMembers::AddNodes(nodes),
            Some(_) => ChangeMembers::SetNodes(nodes),
        };
        match self.change(change).await {
            Ok(()) => Admitted::Welcome,
            Err(error) => {
                tracing::info!(raft_id = %id, error, "member not taken in now");
                Admitted::NotNow
            }
        }
    }

    /// Has the members changed. What is given up amid the change may come about nevertheless.
    ///
    /// # Errors
    /// Why not, for the log.
    pub(crate) async fn change(&self, change: ChangeMembers<RaftId, Member>) -> Result<(), String> {
        // Into the log of a leader that is cut off it must not come.
        match self.read_index(Instant::now() + CHANGE).await {
            ReadIndex::Next(_) => {}
            ReadIndex::NotLeader(_) => return Err("this member does not lead".to_owned()),
            ReadIndex::NoQuorum => return Err("no majority answers".to_owned()),
        }
        match timeout(CHANGE, self.raft().change_membership(change, true)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it takes too long".to_owned()),
        }
    }
}

pub(crate) fn not_leader(leader: Option<Leader>) -> ResponseV1 {
    let leader = leader.map(|(id, member)| (id, member.into()));
    ResponseV1::NotLeader { leader }
}

impl From<Proposed> for ResponseV1 {
    fn from(proposed: Proposed) -> Self {
        match proposed {
            Proposed::Applied { outcome, next } => Self::Proposed { outcome, next },
            Proposed::NotLeader(leader) => not_leader(leader),
            Proposed::NoQuorum => Self::NoQuorum,
            Proposed::Unknown => Self::OutcomeUnknown,
        }
    }
}

impl From<Admitted> for ResponseV1 {
    fn from(admitted: Admitted) -> Self {
        match admitted {
            Admitted::Welcome => Self::Welcome,
            Admitted::NotLeader(leader) => not_leader(leader),
            Admitted::NotNow => Self::NoQuorum,
        }
    }
}

impl From<ReadIndex> for ResponseV1 {
    fn from(read: ReadIndex) -> Self {
        match read {
            ReadIndex::Next(next) => Self::ReadAt { next },
            ReadIndex::NotLeader(leader) => not_leader(leader),
            ReadIndex::NoQuorum => Self::NoQuorum,
        }
    }
}
