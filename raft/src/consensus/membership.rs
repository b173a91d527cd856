//! Who takes part: what the leader changes next.
//!
//! ```text
//!   joins ──▶ learner ── caught up, alive ──▶ voter ── drains, for 1 s ──▶ learner
//!                │  ▲                          │                              │
//!                │  └──────────────────────────┘ its node has a new volume     │ comes back
//!                ▼                                                            ▼
//!             forgotten, when away for long, or replaced                    voter
//! ```
//!
//! Pure: from what the leader sees to one step. No voter set is proposed unless a majority of the
//! present voters lives, so that the change can be decided, and a majority of the new ones lives
//! and does not drain, so that the next can. Stopping all nodes thus changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::RaftId;

/// How long a voter drains before it is made a learner: others that drain too say so meanwhile.
pub(crate) const DRAINS_FIRST: Duration = Duration::from_secs(1);

/// What the leader sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The leader. It stays a voter while it leads.
    pub(crate) leader: RaftId,
    /// The voters; two sets amid a change.
    pub(crate) voters: Vec<BTreeSet<RaftId>>,
    /// Everyone who takes part, voters too.
    pub(crate) members: BTreeMap<RaftId, Seen>,
    /// How long a learner may be away before it is forgotten.
    pub(crate) forget_after: Duration,
}

/// One member, as the leader sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Its node. Two members of one name are an old volume and a new one.
    pub(crate) name: String,
    /// How long it has not answered; `None` if it answers.
    pub(crate) away: Option<Duration>,
    /// Whether it has all but the last entries of the log.
    pub(crate) is_caught_up: bool,
    /// How long its node has been draining.
    pub(crate) draining: Option<Duration>,
}

impl Seen {
    fn is_alive(&self) -> bool {
        self.away.is_none()
    }

    fn can_vote(&self) -> bool {
        self.is_alive() && self.draining.is_none()
    }
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// From now on these vote; who voted before and is not among them learns.
    Voters(BTreeSet<RaftId>),
    /// This learner takes no part any more.
    Forget(RaftId),
}

/// The next change, if one is due.
pub(crate) fn next(view: &View) -> Option<Change> {
    let last = view.voters.last()?;
    if view.voters.len() > 1 {
        // Left by a leader that was lost amid the change.
        return Some(Change::Voters(last.clone()));
    }
    voters(view, last).or_else(|| forgotten(view, last))
}

fn voters(view: &View, current: &BTreeSet<RaftId>) -> Option<Change> {
    if !has_majority(current, |id| view.is(id, Seen::is_alive)) {
        return None;
    }
    let drained = |id: &RaftId| {
        let draining = view.members.get(id).and_then(|member| member.draining);
        draining.is_some_and(|since| since >= DRAINS_FIRST)
    };
    let stays = |id: &RaftId| *id == view.leader;
    let replaced = |id: &RaftId| view.is_replaced(*id);
    let dead = |id: &RaftId| !view.is(*id, Seen::is_alive);

    let full: BTreeSet<RaftId> = current.iter().copied().chain(view.promoted()).collect();
    let without = |leaves: &dyn Fn(&RaftId) -> bool| {
        let kept = full.iter().filter(|id| stays(id) || !leaves(id));
        kept.copied().collect::<BTreeSet<RaftId>>()
    };
    let drains = full.iter().any(|id| !stays(id) && drained(id));
    let mut candidates = vec![without(&|id| replaced(id) || drained(id))];
    if drains {
        candidates.push(without(&|id| replaced(id) || drained(id) || dead(id)));
    }
    candidates.push(without(&replaced));
    candidates.push(full.clone());
    let is_sound = |set: &BTreeSet<RaftId>| has_majority(set, |id| view.is(id, Seen::can_vote));
    let chosen = candidates.into_iter().find(is_sound)?;
    (chosen != *current).then_some(Change::Voters(chosen))
}

fn forgotten(view: &View, voters: &BTreeSet<RaftId>) -> Option<Change> {
    let is_gone = |id: &RaftId, member: &Seen| {
        let is_long_away = member.away.is_some_and(|away| away >= view.forget_after);
        !voters.contains(id) && (is_long_away || view.is_replaced(*id))
    };
    let mut members = view.members.iter();
    let (id, _) = members.find(|(id, member)| is_gone(id, member))?;
    Some(Change::Forget(*id))
}

impl View {
    fn is(&self, id: RaftId, test: impl Fn(&Seen) -> bool) -> bool {
        self.members.get(&id).is_some_and(test)
    }

    /// Learners that can be voters.
    fn promoted(&self) -> impl Iterator<Item = RaftId> + '_ {
        let ready = |member: &Seen| member.can_vote() && member.is_caught_up;
        let ready = self.members.iter().filter(move |(_, member)| ready(member));
        ready.map(|(id, _)| *id)
    }

    /// Whether the member's node has another volume now, with a member that can take its place.
    fn is_replaced(&self, id: RaftId) -> bool {
        let Some(old) = self.members.get(&id) else {
            return false;
        };
        let takes_place = |(other, new): (&RaftId, &Seen)| {
            *other != id && new.name == old.name && new.can_vote() && new.is_caught_up
        };
        !old.is_alive() && self.members.iter().any(takes_place)
    }
}

fn has_majority(set: &BTreeSet<RaftId>, test: impl Fn(RaftId) -> bool) -> bool {
    let count = set.iter().filter(|id| test(**id)).count();
    count * 2 > set.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(numbers: &[u64]) -> BTreeSet<RaftId> {
        numbers.iter().copied().map(RaftId::from).collect()
    }

    /// Members 1.. so many, all fit; the first voters of them vote, and 1 leads.
    fn view(members: u64, voters: u64) -> View {
        let seen = |number: u64| Seen {
            name: format!("n{number}"),
            is_caught_up: true,
            ..Seen::default()
        };
        View {
            leader: RaftId::from(1),
            voters: vec![(1..=voters).map(RaftId::from).collect()],
            members: (1..=members).map(|n| (n.into(), seen(n))).collect(),
            forget_after: Duration::from_secs(600),
        }
    }

    impl View {
        fn with(mut self, number: u64, change: impl Fn(&mut Seen)) -> Self {
            change(self.members.get_mut(&number.into()).unwrap());
            self
        }

        fn dead(self, number: u64) -> Self {
            self.with(number, |member| member.away = Some(Duration::from_secs(9)))
        }

        fn draining(self, number: u64) -> Self {
            self.with(number, |member| member.draining = Some(DRAINS_FIRST))
        }
    }

    #[track_caller]
    fn assert_voters(view: &View, numbers: &[u64]) {
        assert_eq!(next(view), Some(Change::Voters(ids(numbers))));
    }

    #[test]
    fn a_cluster_that_is_well_stays_as_it_is() {
        assert_eq!(next(&view(3, 3)), None);
        assert_eq!(next(&view(3, 3).dead(3)), None);
        assert_eq!(next(&View::default()), None);
    }

    #[test]
    fn a_learner_votes_when_it_is_alive_and_has_caught_up() {
        assert_voters(&view(4, 3), &[1, 2, 3, 4]);
        let lags = view(4, 3).with(4, |member| member.is_caught_up = false);
        assert_eq!(next(&lags), None);
        assert_eq!(next(&view(4, 3).dead(4)), None);
        assert_eq!(next(&view(4, 3).draining(4)), None);
    }

    #[test]
    fn a_joint_configuration_is_completed_before_anything_else() {
        let mut joint = view(5, 3);
        joint.voters.push(ids(&[1, 2]));
        assert_voters(&joint.draining(2), &[1, 2]);
    }

    #[test]
    fn a_voter_that_drains_learns_after_the_others_could_say_that_they_drain_too() {
        let just_begun = view(3, 3).with(3, |member| member.draining = Some(Duration::ZERO));
        assert_eq!(next(&just_begun), None);
        assert_voters(&view(3, 3).draining(3), &[1, 2]);
        assert_voters(&view(5, 5).draining(4).draining(5), &[1, 2, 3]);
    }

    #[test]
    fn the_leader_votes_while_it_leads() {
        assert_eq!(next(&view(3, 3).draining(1)), None);
        let two_drain = view(3, 3).draining(1).draining(2);
        assert_eq!(next(&two_drain), None);
        let leader = RaftId::from(3);
        assert_voters(
            &View {
                leader,
                ..two_drain
            },
            &[3],
        );
    }

    #[test]
    fn stopping_all_nodes_changes_nothing() {
        let all = view(3, 3).draining(1).draining(2).draining(3);
        assert_eq!(next(&all), None);
        let rest = view(5, 5).dead(4).dead(5).draining(1).draining(2);
        assert_eq!(next(&rest.draining(3)), None);
    }

    #[test]
    fn the_dead_leave_with_a_drainer_if_only_that_keeps_a_majority() {
        // 1, 2 and 4 would be left, of which 4 is dead: still a majority.
        assert_voters(&view(4, 4).dead(4).draining(3), &[1, 2, 4]);
        // 1, 2, 4 and 5 would be left, two of them dead.
        assert_voters(&view(5, 5).dead(4).dead(5).draining(3), &[1, 2]);
        assert_eq!(next(&view(5, 5).dead(3).dead(4).dead(5).draining(2)), None);
    }

    #[test]
    fn a_new_volume_takes_the_place_of_the_old_in_one_change() {
        let replaced = view(4, 3)
            .dead(3)
            .with(4, |member| member.name = "n3".to_owned());
        assert_voters(&replaced, &[1, 2, 4]);
        let mut after = replaced;
        after.voters = vec![ids(&[1, 2, 4])];
        assert_eq!(next(&after), Some(Change::Forget(RaftId::from(3))));
        // Two nodes that were given one name by mistake do not chase each other out.
        let both = view(4, 4).with(4, |member| member.name = "n3".to_owned());
        assert_eq!(next(&both), None);
    }

    #[test]
    fn a_learner_that_stays_away_is_forgotten() {
        let away = |seconds| {
            view(4, 3).with(4, move |member| {
                member.away = Some(Duration::from_secs(seconds));
            })
        };
        assert_eq!(next(&away(599)), None);
        assert_eq!(next(&away(600)), Some(Change::Forget(RaftId::from(4))));
        let voter = view(3, 3).with(3, |member| member.away = Some(Duration::from_secs(9999)));
        assert_eq!(next(&voter), None);
    }

    fn any_view() -> impl Strategy<Value = View> {
        let member = (
            0..8_u64,
            prop::option::weighted(0.3, 0..1000_u64),
            any::<bool>(),
            prop::option::weighted(0.3, 0..3_u64),
        );
        let member = member.prop_map(|(name, away, is_caught_up, draining)| Seen {
            name: format!("n{name}"),
            away: away.map(Duration::from_secs),
            is_caught_up,
            draining: draining.map(Duration::from_secs),
        });
        (prop::collection::vec(member, 1..8), 1..8_usize).prop_map(|(members, voters)| {
            let voters = 1..=voters.min(members.len()) as u64;
            let members = (1..).map(RaftId::from).zip(members);
            let mut view = View {
                leader: RaftId::from(1),
                voters: vec![voters.map(RaftId::from).collect()],
                members: members.collect(),
                forget_after: Duration::from_secs(600),
            };
            // The leader hears itself.
            if let Some(leader) = view.members.get_mut(&view.leader) {
                leader.away = None;
                leader.is_caught_up = true;
            }
            view
        })
    }

    proptest! {
        #[test]
        fn no_change_can_cost_the_majority(view in any_view()) {
            let mut view = view;
            // Each change leads nearer to where nothing is left to do.
            for _ in 0..20 {
                match next(&view) {
                    None => return Ok(()),
                    Some(Change::Forget(id)) => {
                        prop_assert!(!view.voters[0].contains(&id));
                        view.members.remove(&id);
                    }
                    Some(Change::Voters(voters)) => {
                        let alive = |id| view.is(id, Seen::is_alive);
                        prop_assert!(has_majority(&view.voters[0], alive));
                        prop_assert!(has_majority(&voters, |id| view.is(id, Seen::can_vote)));
                        prop_assert!(voters.contains(&view.leader));
                        view.voters = vec![voters];
                    }
                }
            }
            prop_assert!(false, "never comes to rest: {view:?}");
        }
    }
}
