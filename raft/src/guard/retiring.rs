//! Giving up one's say before the process ends.
//!
//! ```text
//!   drains ──▶ is there another member that can vote?
//!                 │ yes                          │ no: all stop, or this is the only one
//!                 ▼                              ▼
//!              leads? ── step down            stays a voter: the same cluster
//!                 │  ▲                        comes back
//!                 ▼  │ elected again
//!              the leader makes it a learner
//! ```
//!
//! Who drains does not stand for election while somebody else can: the leader of those who stay
//! makes all who go learners in one change.

use std::time::Duration;

use sluice_types::NodeName;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Guard;
use crate::consensus::Leading;
use crate::{ConsensusStatus, NodeState, Registry};

/// Between two looks at who votes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Longest time for another to take over the leadership: two elections, if the first fails.
const SUCCESSION: Duration = Duration::from_secs(3);

/// How long those who drain leave it to others to stand for election. Longer than an election
/// takes; but somebody who lags behind in the log never wins one.
const MODEST_FOR: Duration = Duration::from_secs(2);

/// How it ended that a member gives up its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// Nothing depends on it any more.
    NoVoter,
    /// No other member could decide without it: all stop, are dead, or there is no other.
    StaysVoter,
    /// The time is over, and it is a voter still: those who stay count it as one that has failed.
    TimedOut,
}

/// Whether a member can be spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    /// It is no voter.
    Out,
    /// It is to be made a learner, once another leads.
    Leaves,
    /// It has to stay a voter.
    Stays,
}

impl Guard {
    /// Waits until the consensus does not depend on this member any more, if it can do without: the
    /// last step of a node that [drains](Self::drain) before its process ends. Gives up the
    /// leadership, should this member lead: meanwhile, for about an election, nobody gets anything
    /// from the registry, and callers try again.
    ///
    /// A node that does not drain, or whose incarnation has ended, stays a voter. A cluster of one
    /// answers at once. A dropped future leaves open how far it came.
    pub async fn retire(&self, within: Duration) -> Retired {
        let deadline = Instant::now() + within;
        loop {
            match self.outlook() {
                Outlook::Out => return Retired::NoVoter,
                Outlook::Stays => {
                    self.pass_the_lead_on(deadline).await;
                    return Retired::StaysVoter;
                }
                Outlook::Leaves => self.pass_the_lead_on(deadline).await,
            }
            let now = Instant::now();
            if now >= deadline {
                return Retired::TimedOut;
            }
            sleep_until(deadline.min(now + LOOK_EVERY)).await;
        }
    }

    /// Lets another lead, if this member does and there is another voter.
    async fn pass_the_lead_on(&self, deadline: Instant) {
        let status = self.consensus.status();
        if !status.leads || status.voters.len() < 2 {
            return;
        }
        let until = deadline.min(Instant::now() + SUCCESSION);
        let follows = self.consensus.leading.step_down(until).await;
        tracing::info!(follows, "gave the leadership up");
    }

    fn outlook(&self) -> Outlook {
        let status = self.consensus.status();
        outlook(&status, &self.options.name, &self.consensus.replica.read())
    }

    /// Leaves elections to others while this node drains and they can be spared for it.
    pub(super) async fn keep_modest(&self) {
        let modesty = Modesty(&self.consensus.leading);
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut led_at = Instant::now();
        loop {
            let now = ticks.tick().await;
            if modesty.0.leader().is_some() {
                led_at = now;
            }
            let is_led = now.duration_since(led_at) < MODEST_FOR;
            modesty
                .0
                .set_modest(is_led && self.outlook() == Outlook::Leaves);
        }
    }
}

/// Ends with the guard: from then on the member stands for election as any other.
struct Modesty<'a>(&'a Leading);

impl Drop for Modesty<'_> {
    fn drop(&mut self) {
        self.0.set_modest(false);
    }
}

/// Whether the member that `status` is of, whose node is `name`, can be spared. The rules are those
/// of the leader: who drains leaves if anybody is left who lives and does not drain.
fn outlook(status: &ConsensusStatus, name: &NodeName, registry: &Registry) -> Outlook {
    if !status.voters.contains(&status.raft_id) {
        return Outlook::Out;
    }
    let own = registry
        .node(name)
        .filter(|node| node.raft_id == status.raft_id);
    let drains = own.is_some_and(|node| node.state == NodeState::Draining);
    let is_left = registry.nodes().any(|node| {
        let is_other = node.raft_id != status.raft_id;
        is_other && node.state == NodeState::Alive && status.members.contains_key(&node.raft_id)
    });
    match drains && is_left {
        true => Outlook::Leaves,
        false => Outlook::Stays,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::registry::tests::{change_node, node, registration};
    use crate::{Command, Member, RaftId};

    /// What node 1 of three thinks, of which these vote and whose states are these.
    #[track_caller]
    fn assert_outlook(voters: &[u64], states: [NodeState; 3], expected: Outlook) {
        let members = (1..=3).map(|n| (RaftId::from_number(n), Member::default()));
        let status = ConsensusStatus {
            raft_id: RaftId::from_number(1),
            leader: None,
            leads: false,
            term: 1,
            applied: 0,
            snapshot: None,
            members: members.collect::<BTreeMap<_, _>>(),
            voters: voters.iter().copied().map(RaftId::from_number).collect(),
        };
        let mut registry = Registry::default();
        for (number, state) in (1..).zip(states) {
            let node = node(&format!("n{number}"));
            let mut registration = registration(node.clone(), None);
            registration.raft_id = RaftId::from_number(number);
            registry.apply(Command::Register(registration));
            registry.apply(change_node(node, 0, state));
        }
        let name = "n1".parse().unwrap();
        assert_eq!(outlook(&status, &name, &registry), expected, "{states:?}");
    }

    #[test]
    fn who_drains_leaves_if_anybody_is_left() {
        use NodeState::{Alive, Dead, Draining};
        assert_outlook(&[1, 2, 3], [Draining, Alive, Alive], Outlook::Leaves);
        assert_outlook(&[1, 2, 3], [Draining, Draining, Alive], Outlook::Leaves);
        // A learner that lives will be a voter.
        assert_outlook(&[1], [Draining, Alive, Dead], Outlook::Leaves);
        assert_outlook(&[1, 2, 3], [Draining, Draining, Draining], Outlook::Stays);
        assert_outlook(&[1, 2, 3], [Draining, Dead, Draining], Outlook::Stays);
        assert_outlook(&[1, 2, 3], [Alive, Alive, Alive], Outlook::Stays);
        assert_outlook(&[1, 2, 3], [Dead, Alive, Alive], Outlook::Stays);
        assert_outlook(&[2, 3], [Draining, Draining, Draining], Outlook::Out);
    }
}
