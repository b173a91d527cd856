//! Asking the registry, wherever its leader is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Timing;
use super::leading::Leading;
use super::proposing::Proposed;
use super::quorum::ReadIndex;
use crate::metrics::Counts;
use crate::net::frame::{QuestionV1, ResponseV1};
use crate::net::{Asked, Peers, Unanswered};
use crate::replica::Replica;
use crate::store::codec::length;
use crate::{Command, Error, Outcome, RaftId};

/// Between two attempts, if nothing is heard of a new leader meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// How much sooner than the asker the leader gives up, so that its answer arrives.
const ON_THE_WAY: Duration = Duration::from_millis(200);

/// Least time for an attempt. One that is cut short would leave in doubt what, without it, is
/// known: that nothing has changed.
const LEAST: Duration = Duration::from_millis(400);

/// Most bytes of a command: a frame carries one with room to spare.
const COMMAND_BYTES: usize = 4 << 20;

/// The registry, as any member asks it.
#[derive(Clone)]
pub(crate) struct Asking {
    leading: Leading,
    peers: Peers,
    replica: Arc<Replica>,
    patience: Duration,
    counts: Arc<Counts>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

impl Asking {
    pub(crate) fn new(
        leading: Leading,
        peers: Peers,
        replica: Arc<Replica>,
        timing: &Timing,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            leading,
            peers,
            replica,
            patience: timing.patience,
            counts,
        }
    }

    /// Has the command applied; afterwards this member's replica has it too, if it keeps up.
    ///
    /// An attempt that surely has had no effect is repeated until the patience ends. So is one of
    /// which that is not known: a command takes effect once. But then an answer that nothing has
    /// changed may be about the repetition, and what became of the command is not known.
    ///
    /// # Errors
    /// [`Error::NoQuorum`]: nothing has changed. [`Error::OutcomeUnknown`].
    pub(crate) async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        let proposed = self.insist(&command).await;
        match &proposed {
            Ok(outcome) => self.counts.note_moves(&command, outcome),
            Err(_) => self.counts.proposals_failed.inc(),
        }
        proposed
    }

    async fn insist(&self, command: &Command) -> Result<Outcome, Error> {
        if !is_sendable(command) {
            return Err(Error::NoQuorum);
        }
        let deadline = Instant::now() + self.patience;
        let mut is_in_doubt = false;
        loop {
            match self.attempt(command.clone(), deadline).await {
                Proposed::Applied { outcome, next } => {
                    if is_in_doubt && !is_conclusive(&outcome) {
                        return Err(Error::OutcomeUnknown);
                    }
                    let _ = timeout_at(deadline, self.replica.wait_applied(next)).await;
                    return Ok(outcome);
                }
                Proposed::Unknown => is_in_doubt = true,
                Proposed::NotLeader(_) | Proposed::NoQuorum => {}
            }
            if !self.pause(deadline).await {
                return Err(if is_in_doubt {
                    Error::OutcomeUnknown
                } else {
                    Error::NoQuorum
                });
            }
        }
    }

    /// Waits until this member's replica has all that was acknowledged before the call.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] when the patience has ended.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let ReadIndex::Next(next) = self.read_index(deadline).await {
                let applied = timeout_at(deadline, self.replica.wait_applied(next)).await;
                return applied.map_err(|_| Error::NoQuorum);
            }
            if !self.pause(deadline).await {
                return Err(Error::NoQuorum);
            }
        }
    }

    async fn attempt(&self, command: Command, deadline: Instant) -> Proposed {
        if self.leading.leads() {
            return self.leading.propose(command, deadline).await;
        }
        let question = QuestionV1::Propose {
            command,
            wait: wait_until(deadline),
        };
        match self.ask_leader(question, deadline).await {
            Ok(ResponseV1::Proposed { outcome, next }) => Proposed::Applied { outcome, next },
            Ok(ResponseV1::NotLeader { leader }) => {
                Proposed::NotLeader(leader.map(|(id, member)| (id, member.into())))
            }
            Ok(ResponseV1::NoQuorum) => Proposed::NoQuorum,
            Err(Unanswered::NotAsked(_)) => Proposed::NotLeader(None),
            Ok(_) | Err(Unanswered::Unknown(_)) => Proposed::Unknown,
        }
    }

    async fn read_index(&self, deadline: Instant) -> ReadIndex {
        if self.leading.leads() {
            return self.leading.read_index(deadline).await;
        }
        // A read may be asked again at will: one try is not given all the time.
        let soon = deadline.min(Instant::now() + self.patience / 4);
        let question = QuestionV1::ReadIndex {
            wait: wait_until(soon),
        };
        match self.ask_leader(question, soon).await {
            Ok(ResponseV1::ReadAt { next }) => ReadIndex::Next(next),
            Ok(_) | Err(_) => ReadIndex::NoQuorum,
        }
    }

    /// Asks the leader, as long as no other is heard of: one that has fallen silent is not waited
    /// for when there is a new one.
    async fn ask_leader(&self, question: QuestionV1, deadline: Instant) -> Asked {
        let Some((leader, member)) = self.leading.leader() else {
            return Err(Unanswered::NotAsked("no leader is known".to_owned()));
        };
        let to = Some(leader);
        let mut metrics = self.leading.raft().metrics();
        let is_other = |now: Option<RaftId>| now.is_some_and(|now| now != leader);
        tokio::select! {
            answer = self.peers.ask(&member.address, to, question, deadline) => answer,
            _ = metrics.wait_for(|now| is_other(now.current_leader)) => {
                Err(Unanswered::Unknown("another leads now".to_owned()))
            }
        }
    }

    /// Waits a little, or until something is heard of a leader; false when there is no time for
    /// another attempt, or this member has stopped.
    async fn pause(&self, deadline: Instant) -> bool {
        let mut metrics = self.leading.raft().metrics();
        if metrics.borrow_and_update().running_state.is_err() {
            return false;
        }
        let leader = metrics.borrow().current_leader;
        let until = deadline.min(Instant::now() + PAUSE);
        tokio::select! {
            () = sleep_until(until) => {}
            _ = metrics.wait_for(|now| now.current_leader != leader) => {}
        }
        Instant::now() + LEAST < deadline
    }
}

fn wait_until(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now());
    let wait = left.saturating_sub(ON_THE_WAY).as_millis();
    u32::try_from(wait).unwrap_or(u32::MAX)
}

/// Whether an outcome says what became of a command that may have been applied before.
fn is_conclusive(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done(_) | Outcome::Exists(_) | Outcome::Applied => true,
        // "Some were opened", "none is as you think": so it may be since the first time.
        Outcome::Opened(_)
        | Outcome::Stale
        | Outcome::NotAlive
        | Outcome::TooOld
        | Outcome::Full => false,
    }
}

/// Whether the command is one that fits in the log.
///
/// None that is made of requests comes near the limit.
fn is_sendable(command: &Command) -> bool {
    let length = length(command);
    let fits = length.is_some_and(|length| length <= COMMAND_BYTES);
    if !fits {
        tracing::error!(bytes = length, "command too large to be proposed");
    }
    fits
}
