//! Standing for election as soon as it is known that the leader is gone.
//!
//! openraft waits until it has heard nothing of the leader for the time in which others refuse
//! their votes, then as long again before it stands, and looks only now and then whether it is
//! time. That is for leaders that may only be slow. Of one that has surely gone, the first of the
//! two is enough.
//!
//! ```text
//!   last sign of the leader        others may be voted for      openraft stands
//!   |------- election_max ---------|-----------------------------|
//!                                      | sought, and not there: this member stands
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Consensus;
use crate::RaftId;
use crate::types::Member;

/// When the leader that this member follows last gave a sign.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<Instant>>);

impl Heard {
    /// It does so now.
    pub(crate) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long that is ago; `None` if this process has never heard of one.
    fn silence(&self) -> Option<Duration> {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|heard| heard.elapsed())
    }
}

/// Whether the leader is missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missed {
    /// For so long it cannot be.
    Not(Duration),
    /// It has been silent so long that others may vote for this member.
    Leader {
        /// The term in which it led.
        term: u64,
        /// Who it is, and where it was.
        leader: (RaftId, Member),
    },
}

impl Consensus {
    /// Whether the leader that this member follows is missed.
    pub(crate) fn misses_leader(&self) -> Missed {
        let patience = self.succession;
        let leader = self.leading.leader().filter(|_| !self.leading.leads());
        let (Some(leader), Some(silence)) = (leader, self.heard.silence()) else {
            return Missed::Not(patience);
        };
        match patience.checked_sub(silence) {
            Some(left) if !left.is_zero() => Missed::Not(left),
            _ => Missed::Leader {
                term: self.leading.term(),
                leader,
            },
        }
    }

    /// Stands for election, unless this member leaves that to others, or anything has happened
    /// since the leader of this term was missed.
    pub(crate) async fn stand(&self, missed: &Missed) {
        if self.misses_leader() != *missed || !self.leading.stands() {
            return;
        }
        tracing::info!(
            term = self.leading.term(),
            "standing for election: the leader is gone"
        );
        if let Err(error) = self.raft.trigger().elect().await {
            tracing::debug!(%error, "not standing for election");
        }
    }
}
