//! Who waits for the session's partitions, and what they are told.

use sluice_types::Partitions;

use super::actor::{Phase, SessionActor};
use super::reply::Reply;
use super::state::Slot;
use crate::{Assignment, Deadline, Error};

/// Who waits for the session's partitions.
pub(super) struct ReadyWaiter {
    pub(super) deadline: Deadline,
    pub(super) reply: Reply<Assignment>,
}

impl SessionActor {
    /// What to tell who waited for the session's partitions in vain.
    pub(super) fn why_not_ready(&self) -> Error {
        match &self.obstacle {
            Some(obstacle) => obstacle.clone(),
            None if self.brokers_down => {
                Error::KafkaUnavailable("no broker can be reached".to_owned())
            }
            None if self.phase == Phase::Running && self.retry_at.is_none() => Error::KafkaTimeout,
            None => Error::Rebalancing,
        }
    }

    /// Answers those who wait for the partitions, if they are there or cannot come.
    pub(super) fn answer_ready(&mut self) {
        let starting: Partitions = match self.was_ready {
            true => Partitions::new(),
            false => self.uncommitted(),
        };
        let has_partitions = self.phase == Phase::Running
            && (!self.state.slots().is_empty() || self.state.is_manual());
        let refusal = match &self.obstacle {
            Some(obstacle) => Some(obstacle.clone()),
            None if !starting.is_empty() => Some(Error::NoCommittedOffset(starting)),
            None => None,
        };
        let assignment = self.assignment();
        for waiter in std::mem::take(&mut self.ready) {
            if waiter.reply.is_closed() {
                continue;
            }
            let answer = match &refusal {
                Some(error) => Err(error.clone()),
                None if has_partitions => Ok(assignment.clone()),
                None if !waiter.deadline.remaining().is_zero() => {
                    self.ready.push(waiter);
                    continue;
                }
                None if self.brokers_down || self.link.is_none() => Err(Error::KafkaUnavailable(
                    "the group's coordinator cannot be reached".to_owned(),
                )),
                None => Ok(assignment.clone()),
            };
            self.was_ready |= answer.is_ok();
            let _ = waiter.reply.send(answer);
        }
    }

    /// Partitions that cannot start because nothing is committed for them.
    fn uncommitted(&self) -> Partitions {
        let never = |slot: &&Slot| slot.was_never_committed();
        self.state
            .slots()
            .iter()
            .filter(never)
            .map(|slot| slot.at.clone())
            .collect()
    }
}
