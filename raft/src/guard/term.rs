//! What a leader knows of the nodes, and decides, in one term. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{ConsumerId, NodeId, NodeName, Timestamp};

use crate::failover::{Failover, Pace, Plan};
use crate::liveness::{Answer, Former, Liveness, Probe, Timing};
use crate::net::frame::{HeartbeatV1, SightingV1};
use crate::placement::Evening;
use crate::rebalance::{AskedMove, Rebalance};
use crate::{Moment, NodeState, Registry};

/// How long no sign of life comes before the stream of them counts as broken: two are missing.
const QUIET: Duration = Duration::from_millis(600);

/// Entries that a node may lack and be one that keeps up.
const NEARLY: u64 = 1_000;

/// A node's latest sign of life.
#[derive(Clone, Debug)]
struct Heard {
    at: Moment,
    applied: u64,
    lease_end: Moment,
    waiting: Vec<ConsumerId>,
    idlest: Vec<ConsumerId>,
}

/// One term of leadership.
#[derive(Debug)]
pub(super) struct Term {
    number: u64,
    liveness: Liveness,
    failover: Failover,
    rebalance: Rebalance,
    heard: BTreeMap<NodeId, Heard>,
    /// Owners that have ended, and when that began to show.
    ended_at: BTreeMap<NodeId, Moment>,
    /// Probes that have told nothing yet, and when they began.
    probing: BTreeMap<NodeId, Moment>,
}

impl Term {
    /// `now` is a moment after the election was won.
    pub(super) fn new(
        number: u64,
        leader: NodeName,
        timing: Timing,
        pace: Pace,
        evening: Evening,
        former: Option<Former>,
        now: Moment,
    ) -> Self {
        Self {
            number,
            liveness: Liveness::new(leader, timing, former, now),
            failover: Failover::new(pace),
            rebalance: Rebalance::new(evening, now),
            heard: BTreeMap::new(),
            ended_at: BTreeMap::new(),
            probing: BTreeMap::new(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// A quorum that was asked at `asked_at` has confirmed the term, and the registry has all that
    /// was committed before.
    pub(super) fn confirmed(&mut self, asked_at: Moment, now: Moment) {
        self.liveness.confirmed(asked_at, now);
    }

    /// A sign of life has come. `applied` is how far this leader itself has got.
    pub(super) fn heartbeat(
        &mut self,
        registry: &Registry,
        heartbeat: HeartbeatV1,
        applied: u64,
        now: Moment,
    ) -> Answer {
        let HeartbeatV1 {
            node,
            waiting,
            idlest,
            ..
        } = heartbeat;
        let is_ready = heartbeat.reaches_kafka && heartbeat.applied + NEARLY >= applied;
        let answer = self.liveness.heartbeat(registry, &node, is_ready, now);
        let lease_end = match answer {
            Answer::Granted(lease) => now + lease,
            Answer::NoQuorum => now,
            Answer::Ended => {
                self.heard.remove(&node);
                return answer;
            }
        };
        let heard = Heard {
            at: now,
            applied: heartbeat.applied,
            lease_end,
            waiting,
            idlest,
        };
        self.heard.insert(node, heard);
        answer
    }

    /// Brings the facts up to the time. Several times a second, whatever else goes on.
    pub(super) fn look(&mut self, registry: &Registry, now: Moment) {
        self.liveness.look(registry, now);
        self.note_ended(registry, now);
        self.heard
            .retain(|node, _| registry.state_of(node) != NodeState::Dead);
        for (node, heard) in &self.heard {
            if now.since(heard.at) >= QUIET {
                self.liveness.disconnected(node);
            }
        }
    }

    fn note_ended(&mut self, registry: &Registry, now: Moment) {
        let is_left = |owner: &NodeId| registry.count_of(owner) > 0;
        self.ended_at.retain(|owner, _| is_left(owner));
        for owner in registry.ended_owners() {
            if !self.ended_at.contains_key(owner) {
                let heard = self.heard.get(owner).map(|heard| heard.at);
                let heard = heard.or_else(|| self.liveness.led_until(owner));
                self.ended_at.insert(owner.clone(), heard.unwrap_or(now));
            }
        }
    }

    /// The next steps, right after a [`look`](Self::look), and once those of the plan before have
    /// been done. Its probes begin now.
    pub(super) fn plan(&mut self, registry: &Registry, now: Moment, at: Timestamp) -> Plan {
        let waiting = self.waiting();
        let heard = &self.heard;
        let idlest = |node: &NodeId| heard.get(node).map_or(&[][..], |heard| &heard.idlest);
        self.rebalance
            .look(registry, &self.liveness, &waiting, idlest, now);
        let mut plan = self
            .failover
            .plan(registry, &self.liveness, &waiting, now, at);
        plan.probe.retain(|node| !self.probing.contains_key(node));
        for node in &plan.probe {
            self.liveness.probed(node, None, now);
            self.probing.insert(node.clone(), now);
        }
        plan
    }

    /// The sessions that requests wait for anywhere.
    fn waiting(&self) -> BTreeSet<ConsumerId> {
        let waiting = self.heard.values().flat_map(|heard| &heard.waiting);
        waiting.cloned().collect()
    }

    /// What the node is asked to hand over.
    pub(super) fn asked_of(&self, node: &NodeId) -> Vec<AskedMove> {
        self.rebalance.asked_of(node)
    }

    /// Whether the node is to tell its idlest sessions.
    pub(super) fn is_giver(&self, node: &NodeId) -> bool {
        self.rebalance.is_giver(node)
    }

    /// A probe has told something. What it told before the node was heard again counts for nothing.
    pub(super) fn probed(&mut self, node: &NodeId, told: Probe, now: Moment) {
        let began = self.probing.remove(node);
        let heard = self.heard.get(node).map(|heard| heard.at);
        if began.is_some_and(|began| heard.is_none_or(|heard| heard < began)) {
            self.liveness.probed(node, Some(told), now);
        }
    }

    /// Whether a majority has followed this leader lately.
    pub(super) fn has_quorum(&self, now: Moment) -> bool {
        self.liveness.has_quorum(now)
    }

    /// How long ago the quorum was asked that confirmed the term last.
    pub(super) fn quorum_age(&self, now: Moment) -> Option<Duration> {
        self.liveness.quorum_age(now)
    }

    /// Since when the sessions of an owner that has ended have been without one: its last sign of
    /// life, if this leader has had any, be it when that led.
    pub(super) fn ended_at(&self, owner: &NodeId) -> Option<Moment> {
        self.ended_at.get(owner).copied()
    }

    /// Whether this incarnation has given a sign of life, and has not ended.
    pub(super) fn hears(&self, node: &NodeId) -> bool {
        self.heard.contains_key(node)
    }

    pub(super) fn sightings(&self, now: Moment) -> Vec<SightingV1> {
        let sighting = |(node, heard): (&NodeId, &Heard)| SightingV1 {
            node: node.clone(),
            applied: heard.applied,
            lease: millis(heard.lease_end.since(now)),
            is_ready: self.liveness.is_ready(node),
        };
        self.heard.iter().map(sighting).collect()
    }
}

/// Whole milliseconds, rounded down: a lease is never longer than it was granted.
pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;
    use crate::registry::tests::{create_on, id, node, registry_of};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    /// A leader `l` of the nodes `l`, `a` and `b`, confirmed and hearing all of them at 10 s.
    struct Led {
        term: Term,
        registry: Registry,
    }

    impl Led {
        fn new() -> Self {
            let mut led = Self::elected();
            led.hear_at(10_000, &["l", "a", "b"]);
            led
        }

        /// At 9 s, in place of `a`, which was heard last at 8 s.
        fn elected() -> Self {
            let leader = "l".parse().unwrap();
            let (timing, pace) = (Timing::default(), Pace::default());
            let former = Some(Former {
                node: node("a"),
                heard_at: at(8_000),
            });
            let evening = Evening::default();
            Self {
                term: Term::new(1, leader, timing, pace, evening, former, at(9_000)),
                registry: registry_of(&["l", "a", "b"]),
            }
        }

        fn hear_at(&mut self, now: u64, names: &[&str]) {
            self.term.confirmed(at(now), at(now));
            for name in names {
                let answer = self.hear(name, &[], now);
                assert!(matches!(answer, Answer::Granted(_)), "{answer:?}");
            }
        }

        fn hear(&mut self, name: &str, waiting: &[&str], now: u64) -> Answer {
            let heartbeat = HeartbeatV1 {
                node: node(name),
                reaches_kafka: true,
                applied: 7,
                waiting: waiting.iter().map(|name| id(name)).collect(),
                idlest: Vec::new(),
            };
            let registry = &self.registry;
            self.term.heartbeat(registry, heartbeat, 7, at(now))
        }

        fn plan(&mut self, now: u64) -> Plan {
            self.term.look(&self.registry, at(now));
            let stamp = Timestamp::from_millis(0);
            self.term.plan(&self.registry, at(now), stamp)
        }
    }

    #[test]
    fn a_stream_is_broken_when_two_signs_of_life_are_missing() {
        let mut led = Led::new();
        led.hear_at(10_250, &["l", "b"]);
        led.hear_at(10_500, &["l", "b"]);
        assert_eq!(led.plan(10_599).probe, []);
        assert_eq!(led.plan(10_600).probe, [node("a")]);
    }

    #[test]
    fn a_node_is_not_probed_twice_at_once() {
        let mut led = Led::new();
        led.hear_at(10_500, &["l", "b"]);
        assert_eq!(led.plan(10_600).probe, [node("a")]);
        assert_eq!(led.plan(10_800).probe, []);
        led.term.probed(&node("a"), Probe::Unknown, at(10_850));
        assert_eq!(led.plan(10_950).probe, [node("a")]);
    }

    #[test]
    fn a_refusal_from_before_the_node_was_heard_again_does_not_count() {
        let mut led = Led::new();
        led.hear_at(10_500, &["l", "b"]);
        assert_eq!(led.plan(10_600).probe, [node("a")]);
        led.hear_at(10_650, &["l", "a", "b"]);
        led.term.probed(&node("a"), Probe::Refused, at(10_700));
        led.hear_at(11_250, &["l", "b"]);
        assert_eq!(led.plan(11_250).probe, [node("a")]);
        led.term.probed(&node("a"), Probe::Refused, at(11_260));
        assert_eq!(led.plan(11_300).deaths, []);
        assert_eq!(led.plan(11_360).probe, [node("a")]);
        led.term.probed(&node("a"), Probe::Refused, at(11_370));
        assert_eq!(led.plan(11_380).deaths.len(), 1);
    }

    #[test]
    fn sessions_are_without_an_owner_since_its_last_sign_of_life() {
        let mut led = Led::new();
        led.registry.apply(create_on(node("a"), "c", 1));
        led.hear_at(10_250, &["l", "a", "b"]);
        led.plan(10_300);
        assert_eq!(led.term.ended_at(&node("a")), None);
        let dead = crate::registry::tests::change_node(node("a"), 0, NodeState::Dead);
        led.registry.apply(dead);
        for now in [11_000, 11_050] {
            led.plan(now);
            assert_eq!(led.term.ended_at(&node("a")), Some(at(10_250)));
        }
    }

    #[test]
    fn those_of_the_leader_before_are_so_since_it_was_heard_last() {
        let mut led = Led::elected();
        led.registry.apply(create_on(node("a"), "c", 1));
        led.plan(9_500);
        led.hear_at(10_000, &["l", "b"]);
        let dead = crate::registry::tests::change_node(node("a"), 0, NodeState::Dead);
        led.registry.apply(dead);
        led.plan(10_050);
        assert_eq!(led.term.ended_at(&node("a")), Some(at(8_000)));
    }

    #[test]
    fn a_node_that_lags_far_behind_is_not_ready() {
        let mut led = Led::new();
        let far = |applied| HeartbeatV1 {
            node: node("a"),
            reaches_kafka: true,
            applied,
            waiting: Vec::new(),
            idlest: Vec::new(),
        };
        for (applied, is_ready) in [(1_000, false), (9_000, true)] {
            let registry = &led.registry;
            led.term
                .heartbeat(registry, far(applied), 10_000, at(10_001));
            assert_eq!(led.term.liveness.is_ready(&node("a")), is_ready);
        }
    }

    #[test]
    fn sessions_that_requests_wait_for_anywhere_are_given_owners_first() {
        let mut led = Led::new();
        led.term.failover = Failover::new(Pace {
            most: 1,
            ..Pace::default()
        });
        for (stamp, name) in ["c", "d", "e", "f"].into_iter().enumerate() {
            let create = create_on(node("a"), name, stamp as u64);
            led.registry.apply(create);
        }
        led.registry.apply(crate::registry::tests::register("a", 2));
        led.hear("b", &["e"], 10_100);
        led.hear("l", &["f"], 10_100);
        let plan = led.plan(10_150);
        assert!(plan.moves.contains_key(&id("e")), "{plan:?}");
        let moves = plan.moves;
        led.registry.apply(Command::Move { moves });
        let plan = led.plan(10_300);
        assert!(plan.moves.contains_key(&id("f")), "{plan:?}");
    }

    #[test]
    fn what_is_known_of_a_node_is_its_last_sign_of_life() {
        let led = Led::new();
        let sightings = led.term.sightings(at(11_000));
        let leases: Vec<_> = sightings.iter().map(|s| (s.applied, s.lease)).collect();
        assert_eq!(leases, [(7, 2_000); 3]);
    }
}
