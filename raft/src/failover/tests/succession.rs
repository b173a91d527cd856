//! What a new leader thinks of the silence of the one before.
//!
//! It is elected at 90 s, and confirmed at 90.25 s for the first time.

use super::*;

/// A new leader in place of `a`, which it heard last at `heard_at`, and which owns a session.
fn succeeding_a(heard_at: u64) -> Cluster {
    let former = Former {
        node: node("a"),
        heard_at: moment(heard_at),
    };
    let mut cluster = Cluster::succeeding(Some(former));
    cluster.apply(create_on(node("a"), "g", 1));
    cluster
}

/// When the silent node is declared dead, in milliseconds.
#[track_caller]
fn dies(cluster: &mut Cluster, name: &str) -> u64 {
    cluster.takes(|registry| is_dead(registry, name));
    cluster.now
}

#[test]
fn a_leader_that_freezes_is_dead_five_seconds_after_its_last_sign() {
    for election in [0, 700, 1_400, 2_000] {
        let last_sign = 90_000 - election;
        let mut cluster = succeeding_a(last_sign);
        cluster.beating.remove(&node("a"));
        let silence = dies(&mut cluster, "a") - last_sign;
        assert!((5_000..=5_300).contains(&silence), "{election}: {silence}");
    }
}

#[test]
fn its_assigned_sessions_wait_for_the_last_lease_that_it_can_have() {
    let mut cluster = succeeding_a(80_000);
    cluster.apply(make_assigned("g", 1));
    cluster.beating.remove(&node("a"));
    cluster.step();
    cluster.crash(&node("a"));
    assert_eq!(dies(&mut cluster, "a"), 90_250);
    cluster.takes(|registry| *owner(registry, "g") != node("a"));
    assert_eq!(cluster.now, 93_050);
}

#[test]
fn others_are_given_the_whole_time_from_the_election() {
    let mut cluster = succeeding_a(88_000);
    cluster.beating = [node("l")].into();
    assert_eq!(dies(&mut cluster, "a"), 93_250);
    assert_eq!(dies(&mut cluster, "b"), 95_250);
}

#[test]
fn after_an_election_that_took_long_the_old_leader_is_not_dead_if_it_lives() {
    let mut cluster = succeeding_a(84_000);
    cluster.run(ms(10_000), |plan| panic!("{plan:?}"));
    // From now on it is a node like others.
    let last_beat = cluster.now;
    cluster.beating.remove(&node("a"));
    assert_eq!(dies(&mut cluster, "a") - last_beat, 5_000);
}

#[test]
fn a_leader_that_was_frozen_when_it_followed_gives_the_old_one_the_time_of_a_lease() {
    let mut cluster = succeeding_a(84_000);
    cluster.beating.remove(&node("a"));
    cluster.run(ms(3_000), |plan| panic!("{plan:?}"));
    let mut late = succeeding_a(84_000);
    late.beating.remove(&node("a"));
    late.run(ms(3_000), |plan| panic!("{plan:?}"));
    late.beating.insert(node("a"));
    late.run(ms(10_000), |plan| panic!("{plan:?}"));
    assert_eq!(dies(&mut cluster, "a"), 93_250);
}

#[test]
fn a_later_run_of_the_old_leader_is_a_node_like_others() {
    let mut cluster = succeeding_a(85_000);
    let reborn = cluster.restart("a", 2);
    cluster.beating.remove(&reborn);
    cluster.run(ms(5_200), |plan| assert_eq!(plan.deaths, []));
    cluster.takes(|registry| registry.state_of(&reborn) == NodeState::Dead);
    assert_eq!(cluster.now, 95_250);
}

#[test]
fn a_new_leader_that_freezes_or_is_cut_off_takes_the_old_one_for_a_node_like_others() {
    let mut frozen = succeeding_a(88_500);
    frozen.beating.remove(&node("a"));
    frozen.run(ms(2_000), |plan| panic!("{plan:?}"));
    frozen.now += 1_000;
    frozen.step();
    let thawed = frozen.now;
    assert_eq!(dies(&mut frozen, "a") - thawed, 5_000);

    let mut cut_off = succeeding_a(88_500);
    cut_off.beating.remove(&node("a"));
    cut_off.run(ms(500), |plan| panic!("{plan:?}"));
    cut_off.has_quorum = false;
    cut_off.run(ms(3_500), |plan| panic!("{plan:?}"));
    cut_off.has_quorum = true;
    let back = cut_off.now;
    assert_eq!(dies(&mut cut_off, "a") - back, 5_250);
}
