//! Each sentence of the rules, one by one.

use std::time::Duration;

use super::*;
use crate::liveness::{Answer, Former, Probe, Timing};
use crate::registry::tests::{
    claim, create_on, delete_of, id, make_assigned, move_to, node, register, registry_of, run,
};
use crate::{Move, Outcome};

mod succession;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A leader `l` and the nodes `a` and `b`, whose heartbeats come every 250 ms until they are
/// told to stop.
struct Cluster {
    registry: Registry,
    liveness: Liveness,
    failover: Failover,
    waiting: BTreeSet<ConsumerId>,
    now: u64,
    beating: BTreeSet<NodeId>,
    unready: BTreeSet<NodeId>,
    has_quorum: bool,
}

impl Cluster {
    /// At 100 s, the leader has led for a while.
    fn new() -> Self {
        let mut cluster = Self::just_elected();
        cluster.run(ms(10_000), |_| panic!("nothing is to be done"));
        cluster
    }

    fn just_elected() -> Self {
        Self::succeeding(None)
    }

    /// At 90 s, in place of this leader.
    fn succeeding(former: Option<Former>) -> Self {
        let leader = "l".parse().unwrap();
        let now = 90_000;
        Self {
            registry: registry_of(&["l", "a", "b"]),
            liveness: Liveness::new(leader, Timing::default(), former, moment(now)),
            failover: Failover::default(),
            waiting: BTreeSet::new(),
            now,
            beating: [node("l"), node("a"), node("b")].into(),
            unready: BTreeSet::new(),
            has_quorum: true,
        }
    }

    #[track_caller]
    fn apply(&mut self, command: Command) {
        let outcome = self.registry.apply(command.clone());
        assert!(
            matches!(
                outcome,
                Outcome::Done(_) | Outcome::Opened(_) | Outcome::Applied
            ),
            "{command:?} led to {outcome:?}"
        );
    }

    fn at(&self) -> Moment {
        moment(self.now)
    }

    /// Goes 50 ms on, lets come what comes, and plans.
    fn step(&mut self) -> Plan {
        self.now += 50;
        let now = self.at();
        if self.now.is_multiple_of(250) {
            if self.has_quorum {
                self.liveness.confirmed(now, now);
            }
            for node in &self.beating {
                let is_ready = !self.unready.contains(node);
                self.liveness.heartbeat(&self.registry, node, is_ready, now);
            }
        }
        self.plan()
    }

    fn plan(&mut self) -> Plan {
        let now = self.at();
        self.liveness.look(&self.registry, now);
        let stamp = Timestamp::from_millis(0);
        self.failover
            .plan(&self.registry, &self.liveness, &self.waiting, now, stamp)
    }

    /// Does what is planned; probes tell nothing.
    fn carry_out(&mut self, plan: &Plan) {
        for death in &plan.deaths {
            self.apply(death.clone());
        }
        if !plan.moves.is_empty() {
            let moves = plan.moves.clone();
            self.apply(Command::Move { moves });
        }
    }

    /// Lets time pass. `seen` gets each plan that has steps other than probes.
    fn run(&mut self, time: Duration, mut seen: impl FnMut(&Plan)) {
        let end = self.at() + time;
        while self.at() < end {
            let plan = self.step();
            if !plan.deaths.is_empty() || !plan.moves.is_empty() {
                seen(&plan);
            }
            self.carry_out(&plan);
        }
    }

    /// How long it takes until this holds.
    #[track_caller]
    fn takes(&mut self, mut holds: impl FnMut(&Registry) -> bool) -> Duration {
        let start = self.at();
        while !holds(&self.registry) {
            assert!(self.at().since(start) < ms(20_000), "it never comes");
            let plan = self.step();
            self.carry_out(&plan);
        }
        self.at().since(start)
    }

    /// The process of the node is gone: its stream breaks and its address refuses.
    fn crash(&mut self, node: &NodeId) {
        self.beating.remove(node);
        self.liveness.disconnected(node);
        for _ in 0..2 {
            let now = self.at();
            self.liveness.probed(node, Some(Probe::Refused), now);
        }
    }

    fn restart(&mut self, name: &str, incarnation: u64) -> NodeId {
        self.beating.remove(&run(name, incarnation - 1));
        self.apply(register(name, incarnation));
        let reborn = run(name, incarnation);
        self.beating.insert(reborn.clone());
        reborn
    }

    fn owner(&self, name: &str) -> &NodeId {
        owner(&self.registry, name)
    }
}

fn moment(millis: u64) -> Moment {
    Moment::from_origin(ms(millis))
}

fn owner<'a>(registry: &'a Registry, name: &str) -> &'a NodeId {
    &registry.session(&id(name)).expect("it is there").owner
}

fn is_dead(registry: &Registry, name: &str) -> bool {
    registry.state_of(&node(name)) == NodeState::Dead
}

#[test]
fn a_silent_machine_is_declared_dead_five_seconds_after_its_last_heartbeat() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.beating.remove(&node("a"));
    let took = cluster.takes(|registry| is_dead(registry, "a"));
    assert_eq!(took, ms(5_000));
    let took = cluster.takes(|registry| *owner(registry, "g") != node("a"));
    assert!(took <= ms(50), "{took:?}");
}

#[test]
fn a_process_that_is_gone_is_replaced_at_once_where_kafka_fences() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.crash(&node("a"));
    let took = cluster.takes(|registry| *owner(registry, "g") != node("a"));
    assert!(took <= ms(100), "{took:?}");
    assert!(is_dead(&cluster.registry, "a"));
}

#[test]
fn one_refusal_is_not_enough_and_a_heartbeat_undoes_it() {
    let mut cluster = Cluster::new();
    let (a, now) = (node("a"), cluster.at());
    cluster.liveness.disconnected(&a);
    cluster.liveness.probed(&a, Some(Probe::Refused), now);
    assert_eq!(cluster.plan().deaths, []);
    cluster.liveness.heartbeat(&cluster.registry, &a, true, now);
    cluster.liveness.disconnected(&a);
    cluster.liveness.probed(&a, Some(Probe::Refused), now);
    cluster.liveness.probed(&a, Some(Probe::Reached), now);
    cluster.liveness.probed(&a, Some(Probe::Refused), now);
    assert_eq!(cluster.plan().deaths, []);
    cluster.liveness.probed(&a, Some(Probe::Refused), now);
    assert_eq!(cluster.plan().deaths.len(), 1);
}

#[test]
fn a_refusal_counts_for_nothing_while_heartbeats_come() {
    let mut cluster = Cluster::new();
    let (a, now) = (node("a"), cluster.at());
    for _ in 0..5 {
        cluster.liveness.probed(&a, Some(Probe::Refused), now);
    }
    assert_eq!(cluster.plan().deaths, []);
}

#[test]
fn only_a_broken_stream_is_probed_and_not_more_often_than_agreed() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.plan().probe, []);
    let a = node("a");
    cluster.beating.remove(&a);
    cluster.liveness.disconnected(&a);
    assert_eq!(cluster.plan().probe, vec![a.clone()]);
    cluster.liveness.probed(&a, None, cluster.at());
    assert_eq!(cluster.plan().probe, []);
    assert_eq!(cluster.step().probe, []);
    assert_eq!(cluster.step().probe, [a]);
}

#[test]
fn an_assigned_session_waits_for_the_last_lease_whatever_a_probe_says() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "m", 1));
    cluster.apply(make_assigned("m", 1));
    // The last heartbeat was at 100 s on a quorum of that moment: its lease ends at 103 s.
    cluster.crash(&node("a"));
    let end = moment(103_050);
    assert_eq!(cluster.liveness.lease_end(&node("a")), end);
    cluster.takes(|registry| is_dead(registry, "a"));
    cluster.takes(|registry| *owner(registry, "m") != node("a"));
    assert_eq!(cluster.at(), end);
}

#[test]
fn a_dead_node_is_granted_no_lease_and_told_so() {
    let mut cluster = Cluster::new();
    cluster.crash(&node("a"));
    cluster.takes(|registry| is_dead(registry, "a"));
    let end = cluster.liveness.lease_end(&node("a"));
    let now = cluster.at();
    let answer = cluster
        .liveness
        .heartbeat(&cluster.registry, &node("a"), true, now);
    assert_eq!(answer, Answer::Ended);
    assert_eq!(cluster.liveness.lease_end(&node("a")), end);
}

#[test]
fn a_leader_that_may_be_behind_tells_nobody_that_it_has_ended() {
    let mut cluster = Cluster::just_elected();
    let now = cluster.at();
    let unknown = run("a", 7);
    let registry = &cluster.registry;
    let answer = cluster.liveness.heartbeat(registry, &unknown, true, now);
    assert_eq!(answer, Answer::NoQuorum);
}

#[test]
fn a_new_leader_waits_out_the_silence_rule() {
    let mut cluster = Cluster::just_elected();
    cluster.beating.remove(&node("a"));
    let took = cluster.takes(|registry| is_dead(registry, "a"));
    // Its first quorum came at the first beat.
    assert_eq!(took, ms(5_250));
}

#[test]
fn a_new_leader_probes_at_once_and_believes_refusals_but_not_about_leases() {
    let mut cluster = Cluster::just_elected();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.apply(create_on(node("a"), "m", 2));
    cluster.apply(make_assigned("m", 1));
    cluster.beating.remove(&node("a"));
    let elected = cluster.at();
    while !cluster.step().probe.contains(&node("a")) {
        assert!(cluster.at().since(elected) <= ms(250));
    }
    cluster.crash(&node("a"));
    cluster.takes(|registry| *owner(registry, "g") != node("a"));
    assert!(cluster.at().since(elected) <= ms(400));
    // An earlier leader may have granted a lease until the election and three seconds.
    cluster.takes(|registry| *owner(registry, "m") != node("a"));
    assert_eq!(cluster.at().since(elected), ms(3_050));
}

#[test]
fn a_restarted_node_gets_its_group_sessions_back_at_once_and_assigned_ones_after_the_old_lease() {
    let mut cluster = Cluster::new();
    for (stamp, name) in ["g", "h", "m"].into_iter().enumerate() {
        cluster.apply(create_on(node("a"), name, stamp as u64));
    }
    cluster.apply(make_assigned("m", 1));
    let reborn = cluster.restart("a", 2);
    let took = cluster.takes(|registry| registry.count_of(&run("a", 2)) == 2);
    assert_eq!(took, ms(50));
    assert_eq!(*cluster.owner("m"), node("a"));
    cluster.takes(|registry| *owner(registry, "m") == reborn);
    assert_eq!(cluster.at(), moment(103_050));
}

#[test]
fn a_restarted_node_that_is_not_ready_does_not_get_them() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    let reborn = cluster.restart("a", 2);
    cluster.unready.insert(reborn.clone());
    let now = cluster.at();
    let registry = &cluster.registry;
    cluster.liveness.heartbeat(registry, &reborn, false, now);
    cluster.takes(|registry| *owner(registry, "g") == node("b"));
}

#[test]
fn without_any_node_that_reaches_kafka_sessions_have_owners_all_the_same() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.unready = [node("l"), node("b")].into();
    cluster.crash(&node("a"));
    cluster.takes(|registry| *owner(registry, "g") != node("a"));
}

#[test]
fn a_session_being_deleted_finds_somebody_to_leave_its_group() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.apply(delete_of("g", 1));
    cluster.crash(&node("a"));
    cluster.takes(|registry| *owner(registry, "g") != node("a"));
}

#[test]
fn sessions_with_waiting_requests_go_first_and_the_rate_is_bounded() {
    let mut cluster = Cluster::new();
    for number in 0..90 {
        cluster.apply(create_on(node("a"), &format!("s{number:02}"), number));
    }
    cluster.waiting = [id("s77"), id("s88")].into();
    cluster.failover = Failover::new(Pace {
        most: 5,
        every: ms(100),
    });
    cluster.crash(&node("a"));
    let mut batches = Vec::new();
    let start = cluster.now;
    let mut times = Vec::new();
    while cluster.registry.count_of(&node("a")) > 0 {
        let plan = cluster.step();
        cluster.carry_out(&plan);
        if !plan.moves.is_empty() {
            times.push(cluster.now - start);
            batches.push(plan.moves);
        }
    }
    assert!(batches[0].contains_key(&id("s77")) && batches[0].contains_key(&id("s88")));
    for (index, batch) in batches.iter().enumerate() {
        for taker in ["l", "b"] {
            let given = batch.values().filter(|m| m.to == node(taker)).count();
            assert_eq!(given, 5, "batch {index} to {taker}");
        }
    }
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] == 100),
        "{times:?}"
    );
    assert_eq!(batches.len(), 9);
}

#[test]
fn a_leader_without_a_quorum_decides_nothing() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.has_quorum = false;
    cluster.beating = [node("l")].into();
    cluster.run(ms(3_500), |plan| panic!("{plan:?}"));
    cluster.crash(&node("a"));
    cluster.run(ms(10_000), |plan| panic!("{plan:?}"));
}

#[test]
fn a_leader_that_was_cut_off_gives_everybody_time_to_be_heard_again() {
    let mut cluster = Cluster::new();
    cluster.has_quorum = false;
    cluster.beating = [node("l")].into();
    cluster.run(ms(20_000), |plan| panic!("{plan:?}"));
    cluster.has_quorum = true;
    cluster.run(ms(4_000), |plan| panic!("{plan:?}"));
    cluster.beating.extend([node("a"), node("b")]);
    cluster.run(ms(10_000), |plan| panic!("{plan:?}"));
}

#[test]
fn a_leader_that_was_frozen_does_not_take_its_own_sleep_for_the_silence_of_others() {
    let mut cluster = Cluster::new();
    cluster.now += 20_000;
    let (now, long_ago) = (cluster.at(), moment(100_000));
    // The first thing it hears after its sleep is an old confirmation, then a new one.
    cluster.liveness.confirmed(long_ago, now);
    assert_eq!(cluster.plan(), Plan::default());
    cluster.liveness.confirmed(now, now);
    assert_eq!(cluster.plan().deaths, []);
    cluster.run(ms(10_000), |plan| panic!("{plan:?}"));
}

#[test]
fn a_leader_does_not_doubt_its_own_life() {
    let mut cluster = Cluster::new();
    cluster.crash(&node("l"));
    cluster.run(ms(20_000), |plan| panic!("{plan:?}"));
}

#[test]
fn a_node_that_has_just_registered_is_given_time_for_its_first_heartbeat() {
    let mut cluster = Cluster::new();
    cluster.apply(register("c", 1));
    cluster.run(ms(4_900), |plan| panic!("{plan:?}"));
    let took = cluster.takes(|registry| is_dead(registry, "c"));
    assert!(took <= ms(200), "{took:?}");
}

#[test]
fn the_planner_asks_to_be_woken_when_there_may_be_more_to_do() {
    let mut cluster = Cluster::new();
    let silent_at = cluster.at() + ms(5_000);
    assert_eq!(cluster.plan().wake, Some(silent_at));
    cluster.apply(create_on(node("a"), "m", 1));
    cluster.apply(make_assigned("m", 1));
    cluster.crash(&node("a"));
    let plan = cluster.plan();
    cluster.carry_out(&plan);
    assert_eq!(
        cluster.plan().wake,
        Some(cluster.liveness.lease_end(&node("a")))
    );
}

#[test]
fn a_plan_moves_only_what_nobody_has_moved_meanwhile() {
    let mut cluster = Cluster::new();
    cluster.apply(create_on(node("a"), "g", 1));
    cluster.crash(&node("a"));
    let plan = cluster.step();
    cluster.carry_out(&plan);
    let plan = cluster.step();
    let expected = Move {
        epoch: claim("g", 1).epoch,
        to: node("b"),
        handover: None,
    };
    assert_eq!(plan.moves, BTreeMap::from([(id("g"), expected)]));
    cluster.apply(move_to(node("l"), &[claim("g", 1)], None));
    cluster.carry_out(&plan);
    assert_eq!(*cluster.owner("g"), node("l"));
}
