//! Changes that people ask for, and what they are told.

use nodes::{Nodes, eventually};

use super::*;
use crate::{Command, NodeState, Outcome, Version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_drains_and_comes_back_whoever_is_asked() {
    let nodes = Nodes::of(3).await;
    let node = nodes.of_number(1).node();
    let nobody = "nobody".parse().unwrap();
    for asked in 0..3 {
        let guard = nodes.guard(asked);
        for _ in 0..2 {
            assert_eq!(guard.drain(&node.name).await, Ok(()));
            assert_eq!(nodes.state(asked, &node), NodeState::Draining);
        }
        for _ in 0..2 {
            assert_eq!(guard.undrain(&node.name).await, Ok(()));
            assert_eq!(nodes.state(asked, &node), NodeState::Alive);
        }
        let refused = guard.remove(&node.name).await;
        assert_eq!(refused, Err(NodeChangeError::NotDead));
        let refused = guard.drain(&nobody).await;
        assert_eq!(refused, Err(NodeChangeError::Unknown));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_removed_and_nothing_else_is_done_to_it() {
    let mut nodes = Nodes::of(3).await;
    let leader = nodes.leader().await;
    let (other, witness) = ((leader + 1) % 3, (leader + 2) % 3);
    let dead = nodes.crash(other).await.node();
    nodes.is_dead(witness, &dead).await;
    let guard = nodes.guard(witness);
    for refused in [
        guard.drain(&dead.name).await,
        guard.undrain(&dead.name).await,
    ] {
        assert_eq!(refused, Err(NodeChangeError::Dead));
    }
    assert_eq!(guard.remove(&dead.name).await, Ok(()));
    let again = guard.remove(&dead.name).await;
    assert_eq!(again, Err(NodeChangeError::Unknown));
    nodes.start(other).await;
    nodes.all_live().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_of_all_nodes() {
    let nodes = Nodes::of(3).await;
    nodes.create(0, "c").await;
    let leader = nodes.leader().await;
    for asked in 0..3 {
        // The leader has heard of all since it was confirmed.
        let report = eventually("a whole report", || async {
            let report = nodes.guard(asked).report().await;
            let is_known =
                |n: &NodeReport| n.applied.is_some() && n.lease > Some(Default::default());
            let is_whole = report.nodes.len() == 3 && report.nodes.iter().all(is_known);
            (is_whole && report.nodes[0].sessions == 1).then_some(report)
        })
        .await;
        assert_eq!(report.leader, Some(format!("n{leader}")));
        assert!(report.id.is_some() && report.term > 0);
        for (number, told) in report.nodes.iter().enumerate() {
            assert_eq!(told.node.id, nodes.of_number(number).node());
            let role = if number == leader {
                Role::Leader
            } else {
                Role::Voter
            };
            assert_eq!(told.role, Some(role));
            assert!(told.lease <= Some(std::time::Duration::from_secs(3)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_too_old_is_no_node() {
    let mut nodes = Nodes::of(1).await;
    nodes.version = Version::from_number(2);
    nodes.restart(0);
    nodes.all_live().await;
    let to = nodes.version;
    let raised = nodes
        .registry(0)
        .propose(Command::RaiseVersion { to })
        .await;
    assert_eq!(raised, Ok(Outcome::Applied));
    nodes.version = Version::FIRST;
    nodes.restart(0);
    nodes.phase(0, Phase::TooOld).await;
    assert_eq!(nodes.guard(0).renew().phase, Phase::TooOld);
}
