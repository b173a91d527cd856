//! Whether this member leads, by a majority's word.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::time::{Instant, timeout_at};

use super::Timing;
use crate::RaftId;
use crate::store::next_index;
use crate::types::{Member, Raft};

/// A leader, and where it is.
pub(crate) type Leader = (RaftId, Member);

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

/// The consensus, and what is known of the leadership of this member. Clones are the same.
#[derive(Clone)]
pub(crate) struct Quorum {
    raft: Raft,
    confirmed: Arc<Mutex<Option<Confirmed>>>,
    confirmation: Duration,
    /// Whether this member gives its leadership up: it does nothing more with it.
    yields: Arc<AtomicBool>,
    /// Whether this member leaves it to others to stand for election.
    is_modest: Arc<AtomicBool>,
}

/// When a majority was last asked, with success, whether this member leads.
#[derive(Clone, Copy)]
struct Confirmed {
    term: u64,
    asked: Instant,
}

impl Quorum {
    pub(crate) fn new(raft: Raft, timing: &Timing) -> Self {
        Self {
            raft,
            confirmed: Arc::default(),
            confirmation: timing.confirmation(),
            yields: Arc::default(),
            is_modest: Arc::default(),
        }
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Whether this member takes itself for the leader.
    pub(crate) fn leads(&self) -> bool {
        self.raft.metrics().borrow().state.is_leader()
    }

    /// The leader, as this member knows it.
    pub(crate) fn leader(&self) -> Option<Leader> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        let member = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, member.clone()))
    }

    /// Whether this member leads, at most a moment ago by a majority's word; if not, why.
    pub(crate) async fn check(&self, deadline: Instant) -> Result<(), ReadIndex> {
        if !self.leads() {
            return Err(ReadIndex::NotLeader(self.leader()));
        }
        if self.is_confirmed() && !self.yields() {
            return Ok(());
        }
        match self.read_index(deadline).await {
            ReadIndex::Next(_) => Ok(()),
            refused => Err(refused),
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

    /// Whether this member gives its leadership up now.
    pub(crate) fn yields(&self) -> bool {
        self.yields.load(Ordering::SeqCst)
    }

    /// Has this member stand for election no more, or again. It votes for others, and leads on if
    /// it leads.
    ///
    /// To be said again and again: at the very moment of a [`step_down`](Self::step_down) it may go
    /// unheard.
    pub(crate) fn set_modest(&self, is_modest: bool) {
        self.is_modest.store(is_modest, Ordering::SeqCst);
        self.stand_or_not();
    }

    /// Whether this member may stand for election.
    pub(crate) fn stands(&self) -> bool {
        !self.yields() && !self.is_modest.load(Ordering::SeqCst)
    }

    fn stand_or_not(&self) {
        self.raft.runtime_config().elect(self.stands());
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
struct Yielding<'a>(&'a Quorum);

impl<'a> Yielding<'a> {
    fn begin(quorum: &'a Quorum) -> Self {
        quorum.yields.store(true, Ordering::SeqCst);
        quorum.raft.runtime_config().heartbeat(false);
        quorum.stand_or_not();
        Self(quorum)
    }
}

impl Drop for Yielding<'_> {
    fn drop(&mut self) {
        self.0.raft.runtime_config().heartbeat(true);
        self.0.yields.store(false, Ordering::SeqCst);
        self.0.stand_or_not();
    }
}
