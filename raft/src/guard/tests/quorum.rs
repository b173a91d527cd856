//! Nodes that are cut off.

use std::time::Duration;

use nodes::Nodes;

use super::*;
use crate::{Error, NodeState};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_declares_nobody_dead_and_grants_nothing() {
    let nodes = Nodes::of(5).await;
    let leader = nodes.leader().await;
    let follower = (leader + 1) % 5;
    let rest: Vec<usize> = (0..5).filter(|n| ![leader, follower].contains(n)).collect();
    let all: Vec<_> = (0..5).map(|n| nodes.of_number(n).node()).collect();
    nodes.create(follower, "c").await;
    nodes.cut_off(&[leader, follower]);
    let seen = || {
        for node in &all {
            assert_eq!(nodes.state(leader, node), NodeState::Alive);
        }
    };
    always(Duration::from_millis(3_200), seen).await;
    // What it was granted is over, and there is no more to come.
    always(Duration::from_secs(4), || {
        seen();
        for cut_off in [leader, follower] {
            assert_eq!(nodes.guard(cut_off).lease(), Duration::ZERO);
        }
    })
    .await;
    assert_eq!(nodes.delete(follower, "c").await, Err(Error::NoQuorum));

    for cut_off in [leader, follower] {
        nodes.is_dead(rest[0], &all[cut_off]).await;
    }
    for number in &rest {
        assert!(!nodes.guard(*number).lease().is_zero());
        assert_eq!(nodes.of_number(*number).node(), all[*number]);
    }
    nodes.network.heal();
    for cut_off in [leader, follower] {
        nodes.phase(cut_off, Phase::Ended).await;
        nodes.guard(cut_off).renew();
    }
    nodes.all_live().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nobody_hears_anybody_nobody_is_dead_and_all_go_on_afterwards() {
    let nodes = Nodes::of(3).await;
    let all: Vec<_> = (0..3).map(|n| nodes.of_number(n).node()).collect();
    for number in 0..3 {
        nodes.cut_off(&[number]);
    }
    let nobody_is_dead = || {
        for number in 0..3 {
            for node in &all {
                assert_eq!(nodes.state(number, node), NodeState::Alive);
            }
        }
    };
    always(Duration::from_secs(8), nobody_is_dead).await;
    for number in 0..3 {
        assert_eq!(nodes.guard(number).lease(), Duration::ZERO);
    }
    nodes.network.heal();
    nodes.all_live().await;
    always(Duration::from_secs(1), nobody_is_dead).await;
    for (number, node) in all.iter().enumerate() {
        assert_eq!(nodes.of_number(number).node(), *node);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_steps_down_leaves_everybody_alive() {
    let nodes = Nodes::of(3).await;
    let all: Vec<_> = (0..3).map(|n| nodes.of_number(n).node()).collect();
    for _ in 0..3 {
        let leader = nodes.leader().await;
        let consensus = nodes.of_number(leader).consensus.clone();
        assert!(consensus.step_down(Duration::from_secs(20)).await);
        always(Duration::from_millis(500), || {
            for (number, node) in all.iter().enumerate() {
                assert_eq!(nodes.state(number, node), NodeState::Alive);
                assert_eq!(nodes.of_number(number).node(), *node);
            }
        })
        .await;
        assert_ne!(nodes.leader().await, leader);
        nodes.all_live().await;
    }
}
