//! A member that stands for election as soon as it is sure that the leader is gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Guard;
use crate::consensus::Missed;
use crate::liveness::Probe;
use crate::net::frame::{QuestionV1, ResponseV1};
use crate::{RaftId, types::Member};

/// How often a leader that is missed is sought.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long one that can be reached may take to say whether it leads.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// How often in a row a leader must turn out to be gone: a port may be closed for a moment.
const SURE: u32 = 2;

impl Guard {
    /// Looks after the leader whom this member follows, and stands for election when it is gone.
    pub(super) async fn succeed(&self) {
        let mut gone = 0;
        loop {
            let missed = self.consensus.misses_leader();
            let (id, member) = match &missed {
                Missed::Not(left) => {
                    gone = 0;
                    sleep(*left).await;
                    continue;
                }
                Missed::Leader { leader, .. } => leader,
            };
            gone = match self.is_gone(*id, member).await {
                true => gone + 1,
                false => 0,
            };
            if gone == SURE {
                self.consensus.stand(&missed).await;
                gone = 0;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the process of the leader is gone, or says itself that it leads no more. Silence
    /// says nothing.
    async fn is_gone(&self, leader: RaftId, member: &Member) -> bool {
        let Ok(address) = member.address.parse() else {
            return false;
        };
        match self.options.prober.probe(&address).await {
            Probe::Refused => true,
            Probe::Unknown => false,
            Probe::Reached => self.has_yielded(leader, member).await,
        }
    }

    async fn has_yielded(&self, leader: RaftId, member: &Member) -> bool {
        let name = self.consensus.cluster_name.clone();
        let question = QuestionV1::Who { name };
        let deadline = Instant::now() + ANSWER_WITHIN;
        let peers = &self.consensus.peers;
        let asked = peers.ask(&member.address, Some(leader), question, deadline);
        match asked.await {
            Ok(ResponseV1::Here { leader: known, .. }) => {
                known.is_none_or(|(known, _)| known != leader)
            }
            Ok(_) | Err(_) => false,
        }
    }
}
