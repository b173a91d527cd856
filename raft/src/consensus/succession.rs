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

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Consensus;
use crate::RaftId;
use crate::types::Member;

/// A sign that a leader gave to this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign {
    /// Who led.
    pub(crate) leader: RaftId,
    /// The term in which it did.
    pub(crate) term: u64,
    /// When it was taken: not before it came. The time for which the machine slept since does not
    /// count.
    at: Instant,
}

impl Sign {
    /// How long ago that is; never longer than it really is.
    pub(crate) fn silence(&self) -> Duration {
        self.at.elapsed()
    }
}

/// The last sign of the leader that this member follows, or followed before it led itself.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<Sign>>);

impl Heard {
    /// This member has taken a sign of this leader as that of the one to follow.
    ///
    /// Does nothing once there was one of a later term: signs may be taken side by side.
    pub(crate) fn of(&self, leader: RaftId, term: u64) {
        let mut last = self.sign();
        if last.is_none_or(|last| last.term <= term) {
            let at = Instant::now();
            *last = Some(Sign { leader, term, at });
        }
    }

    /// `None` if this process has never heard of a leader.
    pub(crate) fn last(&self) -> Option<Sign> {
        *self.sign()
    }

    /// The last sign, if it is of a leader between two terms in which this member led, or before
    /// the first one, 0 being none. Another may be hours old, or be of whoever has replaced this
    /// member already.
    pub(crate) fn between(&self, led: u64, leads: u64) -> Option<Sign> {
        self.last()
            .filter(|sign| led < sign.term && sign.term < leads)
    }

    /// How long ago the last sign is; `None` if this process has never heard of a leader.
    fn silence(&self) -> Option<Duration> {
        self.last().map(|sign| sign.silence())
    }

    fn sign(&self) -> MutexGuard<'_, Option<Sign>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn raft_id(number: u64) -> RaftId {
        RaftId::from_number(number)
    }

    #[test]
    fn who_has_led_meanwhile_replaces_nobody_heard_before() {
        let heard = Heard::default();
        assert_eq!(heard.between(0, 1), None);
        heard.of(raft_id(7), 2);
        assert_eq!(
            heard.between(0, 4).map(|sign| sign.leader),
            Some(raft_id(7))
        );
        // It led in 4, and again in 6: in between it heard of nobody.
        assert_eq!(heard.between(4, 6), None);
        heard.of(raft_id(8), 7);
        assert_eq!(
            heard.between(6, 9).map(|sign| sign.leader),
            Some(raft_id(8))
        );
        // Whoever is heard in a later term is not replaced, but replaces.
        assert_eq!(heard.between(5, 6), None);
    }

    #[test]
    fn a_sign_that_is_taken_late_does_not_hide_that_of_a_later_leader() {
        let heard = Heard::default();
        heard.of(raft_id(8), 3);
        let later = heard.last();
        heard.of(raft_id(7), 2);
        assert_eq!(heard.last(), later);
        heard.of(raft_id(8), 3);
        assert_ne!(heard.last(), later);
    }
}
