//! What the leader does for itself and for others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::time::{Instant, timeout, timeout_at};

use super::Timing;
use crate::net::frame::ResponseV1;
use crate::store::next_index;
use crate::types::{Member, Raft};
use crate::{Command, Outcome, RaftId};

/// How long a change of the members may take. One that takes longer is begun anew, from what has
/// become of it.
const CHANGE: Duration = Duration::from_secs(5);

/// A leader, and where it is.
pub(crate) type Leader = (RaftId, Member);

/// What became of a proposal.
#[derive(Debug)]
pub(crate) enum Proposed {
    /// It has been applied, as the entry before `next`.
    Applied { outcome: Outcome, next: u64 },
    /// This member does not lead. Nothing was done.
    NotLeader(Option<Leader>),
    /// No majority answers. Nothing was done.
    NoQuorum,
    /// It may have been applied, or may yet be.
    Unknown,
}

/// What a linearizable read has to wait for.
#[derive(Debug)]
pub(crate) enum ReadIndex {
    /// All entries before this one.
    Next(u64),
    /// This member does not lead.
    NotLeader(Option<Leader>),
    /// No majority answers.
    NoQuorum,
}

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
    raft: Raft,
    confirmed: Arc<Mutex<Option<Confirmed>>>,
    confirmation: Duration,
    /// Whether this member gives its leadership up: it does nothing more with it.
    yields: Arc<AtomicBool>,
}

/// When a majority was last asked, with success, whether this member leads.
#[derive(Clone, Copy)]
struct Confirmed {
    term: u64,
    asked: Instant,
}

impl Leading {
    pub(crate) fn new(raft: Raft, timing: &Timing) -> Self {
        Self {
            raft,
            confirmed: Arc::default(),
            confirmation: timing.confirmation(),
            yields: Arc::default(),
        }
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Whether this member takes itself for the leader.
    pub(crate) fn leads(&self) -> bool {
        self.raft.metrics().borrow().state.is_leader()
    }

    /// Whether this member gives its leadership up now.
    pub(crate) fn yields(&self) -> bool {
        self.yields.load(Ordering::SeqCst)
    }

    /// Gives the leadership up: true when another member leads, false when none has come to at
    /// the deadline, and this one goes on.
    ///
    /// openraft cannot hand it over. But a leader that is not heard of is followed by another, and
    /// whatever it did meanwhile would make it heard of.
    pub(crate) async fn step_down(&self, deadline: Instant) -> bool {
        let own = self.raft.metrics().borrow().id;
        let mut metrics = self.raft.metrics();
        let is_other = |leader: Option<RaftId>| leader.is_some_and(|leader| leader != own);
        let _yielding = Yielding::begin(self);
        let follows = metrics.wait_for(|now| is_other(now.current_leader));
        matches!(timeout_at(deadline, follows).await, Ok(Ok(_)))
    }

    /// Counts the elections, as far as this member knows.
    pub(crate) fn term(&self) -> u64 {
        self.raft.metrics().borrow().current_term
    }

    /// The leader, as this member knows it.
    pub(crate) fn leader(&self) -> Option<Leader> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        let member = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, member.clone()))
    }

    /// Has the command applied.
    ///
    /// What is once in the log of a leader cannot be taken back, even when no majority gets to see
    /// it. So a majority is asked first: a leader that is cut off says so, and changes nothing.
    pub(crate) async fn propose(&self, command: Command, deadline: Instant) -> Proposed {
        if !self.leads() {
            return Proposed::NotLeader(self.leader());
        }
        if self.yields() {
            return Proposed::NotLeader(None);
        }
        if !self.is_confirmed() {
            match self.read_index(deadline).await {
                ReadIndex::Next(_) => {}
                ReadIndex::NotLeader(leader) => return Proposed::NotLeader(leader),
                ReadIndex::NoQuorum => return Proposed::NoQuorum,
            }
        }
        // A write that is dropped at the deadline stays in the log. And openraft answers "not
        // leader" also to a write that was in the log when another leader came: it may have been
        // kept elsewhere.
        match timeout_at(deadline, self.raft.client_write(command)).await {
            Ok(Ok(response)) => match response.data {
                Some(outcome) => Proposed::Applied {
                    outcome,
                    next: response.log_id.index + 1,
                },
                None => Proposed::Unknown,
            },
            Ok(Err(_)) | Err(_) => Proposed::Unknown,
        }
    }

    /// What has to be applied so that a read sees everything that was acknowledged before the
    /// call.
    pub(crate) async fn read_index(&self, deadline: Instant) -> ReadIndex {
        if self.yields() {
            return ReadIndex::NotLeader(None);
        }
        let asked = Instant::now();
        let term = self.raft.metrics().borrow().current_term;
        match timeout_at(deadline, self.raft.get_read_log_id()).await {
            Ok(Ok((last, _))) => {
                self.confirm(Confirmed { term, asked });
                ReadIndex::Next(next_index(last))
            }
            Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)))) => {
                ReadIndex::NotLeader(self.leader())
            }
            Ok(Err(_)) | Err(_) => ReadIndex::NoQuorum,
        }
    }

    /// Takes a member in, as a learner, or notes where it is now.
    pub(crate) async fn admit(&self, id: RaftId, member: Member) -> Admitted {
        if !self.leads() {
            return Admitted::NotLeader(self.leader());
        }
        let known = {
            let metrics = self.raft.metrics();
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
        match timeout(CHANGE, self.raft.change_membership(change, true)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it takes too long".to_owned()),
        }
    }

    fn is_confirmed(&self) -> bool {
        let term = self.raft.metrics().borrow().current_term;
        let confirmed = *self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        confirmed.is_some_and(|confirmed| {
            confirmed.term == term && confirmed.asked.elapsed() < self.confirmation
        })
    }

    fn confirm(&self, confirmed: Confirmed) {
        let mut known = self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_later = |known: Confirmed| known.asked < confirmed.asked;
        if known.is_none_or(is_later) {
            *known = Some(confirmed);
        }
    }
}

/// Gives the leadership up as long as it is there.
struct Yielding<'a>(&'a Leading);

impl<'a> Yielding<'a> {
    fn begin(leading: &'a Leading) -> Self {
        leading.yields.store(true, Ordering::SeqCst);
        leading.raft.runtime_config().heartbeat(false);
        leading.raft.runtime_config().elect(false);
        Self(leading)
    }
}

impl Drop for Yielding<'_> {
    fn drop(&mut self) {
        self.0.raft.runtime_config().heartbeat(true);
        self.0.raft.runtime_config().elect(true);
        self.0.yields.store(false, Ordering::SeqCst);
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
