//! Nodes and leaders that fail.

use std::time::Duration;

use nodes::{Nodes, address};

use super::*;
use crate::NodeState;

/// An owner that is not the leader, and a node that is neither.
async fn cast(nodes: &Nodes) -> (usize, usize) {
    let leader = nodes.leader().await;
    let size = nodes.running().len();
    ((leader + 1) % size, (leader + 2) % size)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_gone_is_replaced_at_once_but_for_what_its_lease_covers() {
    let mut nodes = Nodes::of(3).await;
    let (owner, witness) = cast(&nodes).await;
    nodes.create(owner, "g").await;
    nodes.create_assigned(owner, "m").await;
    let ghost = nodes.crash(owner).await;
    let dead = ghost.node();
    let (_, took) = nodes.moved(witness, "g", &dead).await;
    println!("moved within {took:?}");
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert_eq!(nodes.state(witness, &dead), NodeState::Dead);
    let (_, took) = nodes.moved(witness, "m", &dead).await;
    assert_eq!(ghost.guard.lease(), Duration::ZERO);
    assert!(took < secs(6), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_a_firewall_that_refuses_keeps_what_its_lease_covers() {
    let nodes = Nodes::of(3).await;
    let (owner, witness) = cast(&nodes).await;
    let leader = nodes.leader().await;
    nodes.create(owner, "g").await;
    nodes.create_assigned(owner, "m").await;
    let walled = nodes.of_number(owner).node();
    nodes.wall(owner);
    // What the leader says arrives; what it is told does not.
    nodes.network.cut_one_way(&address(owner), &address(leader));
    let start = tokio::time::Instant::now();
    let lease = nodes.guard(owner).lease();
    nodes.moved(witness, "g", &walled).await;
    let took = start.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    // It is not dead, and learns from its own registry that it was taken for it.
    nodes.phase(owner, Phase::Ended).await;
    assert_eq!(nodes.owner(witness, "m"), walled);
    nodes.moved(witness, "m", &walled).await;
    assert!(start.elapsed() >= lease, "{lease:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_dead_by_the_silence_rule_and_begins_anew_when_it_learns_it() {
    let nodes = Nodes::of(3).await;
    let (owner, witness) = cast(&nodes).await;
    nodes.create(owner, "g").await;
    nodes.create_assigned(owner, "m").await;
    let silent = nodes.of_number(owner).node();
    nodes.cut_off(&[owner]);
    let took = nodes.is_dead(witness, &silent).await;
    assert!(
        (Duration::from_millis(4_500)..secs(9)).contains(&took),
        "{took:?}"
    );
    assert_eq!(nodes.guard(owner).lease(), Duration::ZERO);
    nodes.moved(witness, "g", &silent).await;
    nodes.moved(witness, "m", &silent).await;

    assert_eq!(nodes.guard(owner).standing().phase, Phase::Registered);
    nodes.network.heal();
    nodes.phase(owner, Phase::Ended).await;
    assert_eq!(nodes.guard(owner).lease(), Duration::ZERO);
    let begun = nodes.guard(owner).renew();
    assert_ne!(begun.node, silent);
    nodes.all_live().await;
    assert_eq!(nodes.of_number(owner).node(), begun.node);
    assert_eq!(nodes.state(owner, &begun.node), NodeState::Alive);
    // Nothing of it comes back by itself.
    assert_ne!(nodes.owner(owner, "g").name, begun.node.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_gets_group_sessions_back_at_once_and_others_after_the_old_lease() {
    let mut nodes = Nodes::of(3).await;
    let (owner, witness) = cast(&nodes).await;
    nodes.create(owner, "g").await;
    nodes.create_assigned(owner, "m").await;
    let old = nodes.of_number(owner).node();
    let ghost = nodes.restart(owner);
    let new = nodes.of_number(owner).node();
    let (to, took) = nodes.moved(witness, "g", &old).await;
    assert_eq!(to, new);
    println!("moved within {took:?}");
    assert!(took < Duration::from_millis(2_000), "{took:?}");
    let (to, took) = nodes.moved(witness, "m", &old).await;
    assert_eq!(to, new);
    // The first process is not told: it may serve until its lease ends.
    assert_eq!(ghost.lease(), Duration::ZERO);
    assert!(took < secs(6), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_believes_refusals_at_once_and_not_silence() {
    let mut nodes = Nodes::of(5).await;
    let leader = nodes.leader().await;
    let silent = (leader + 1) % 5;
    let witness = (leader + 2) % 5;
    nodes.create(leader, "g").await;
    nodes.create_assigned(leader, "m").await;
    let quiet = nodes.of_number(silent).node();
    nodes.cut_off(&[silent]);
    // Silent for the old leader, for a while.
    always(secs(2), || {
        assert_eq!(nodes.state(witness, &quiet), NodeState::Alive)
    })
    .await;
    let ghost = nodes.crash(leader).await;
    let dead = ghost.node();
    let lost = tokio::time::Instant::now();
    let (_, took) = nodes.moved(witness, "g", &dead).await;
    println!("moved within {took:?}");
    assert!(took < Duration::from_millis(4_500), "{took:?}");
    nodes.moved(witness, "m", &dead).await;
    assert_eq!(ghost.guard.lease(), Duration::ZERO);
    nodes.is_dead(witness, &quiet).await;
    let took = lost.elapsed();
    assert!((secs(5)..secs(12)).contains(&took), "{took:?}");
}

/// Its followers knew since when it was silent: the election does not come on top.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_is_dead_by_the_silence_rule_from_its_last_sign() {
    // Elections that take so long that it shows, and about as long as the rule allows for.
    let timing = crate::Timing {
        election_min: Duration::from_millis(600),
        election_max: Duration::from_millis(760),
        ..crate::Timing::default()
    };
    let nodes = Nodes::with_timing(3, timing).await;
    let (other, witness) = cast(&nodes).await;
    let leader = nodes.leader().await;
    nodes.create(leader, "g").await;
    let silent = nodes.of_number(leader).node();
    let death_after = crate::liveness::Timing::default().death_after;
    let start = tokio::time::Instant::now();
    nodes.cut_off(&[leader]);
    nodes.leader_among(&[other, witness]).await;
    let elected = start.elapsed();
    nodes.is_dead(witness, &silent).await;
    let took = start.elapsed();
    println!("followed within {elected:?}, dead within {took:?}");
    // Its last sign may have been an interval before, or have been on its way.
    assert!(took > death_after - Duration::from_millis(500), "{took:?}");
    let most = elected + death_after - Duration::from_millis(500);
    assert!(took < most, "{took:?}, elected after {elected:?}");
    nodes.moved(witness, "g", &silent).await;
    for node in [other, witness] {
        let living = nodes.of_number(node).node();
        assert_eq!(nodes.state(witness, &living), NodeState::Alive);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_slept_does_not_take_it_for_the_silence_of_others() {
    let nodes = Nodes::of(3).await;
    let leader = nodes.leader().await;
    for _ in 0..3 {
        nodes.of_number(leader).clock.leap(secs(20));
        assert_eq!(nodes.guard(leader).lease(), Duration::ZERO);
        let all = (0..3).map(|n| nodes.of_number(n).node());
        let all: Vec<_> = all.collect();
        always(secs(1), || {
            for node in &all {
                assert_eq!(nodes.state(leader, node), NodeState::Alive);
            }
        })
        .await;
        nodes.all_live().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_all_have_stopped_and_started_every_session_has_an_owner_that_lives() {
    let mut nodes = Nodes::of(3).await;
    let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    for (number, name) in names.iter().enumerate() {
        match number % 4 {
            0 => nodes.create_assigned(number % 3, name).await,
            _ => nodes.create(number % 3, name).await,
        }
    }
    for number in 0..3 {
        nodes.crash(number).await;
    }
    for number in (0..3).rev() {
        nodes.start(number).await;
    }
    nodes.all_live().await;
    for name in &names {
        eventually(&format!("an owner of {name} that lives"), || async {
            let is_owned = |n| nodes.state(n, &nodes.owner(n, name)) == NodeState::Alive;
            (0..3).all(is_owned).then_some(())
        })
        .await;
    }
}
