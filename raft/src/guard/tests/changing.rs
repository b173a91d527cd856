//! Changes that people ask for, and what they are told.

use nodes::Nodes;

use super::*;
use crate::{NodeState, Version};

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
async fn the_version_is_raised_and_a_release_that_is_too_old_is_no_node() {
    let mut nodes = Nodes::of(1).await;
    nodes.version = Version::from_number(2);
    nodes.restart(0);
    nodes.all_live().await;
    eventually("the later version", || async {
        let active = nodes.of_number(0).consensus.replica.read().active_version();
        (active == nodes.version).then_some(())
    })
    .await;
    nodes.version = Version::FIRST;
    nodes.restart(0);
    nodes.phase(0, Phase::TooOld).await;
    assert_eq!(nodes.guard(0).renew().phase, Phase::TooOld);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_and_consensus_forget_a_node_that_stays_away_and_none_that_counts() {
    let timing = crate::Timing {
        forget_after: std::time::Duration::from_secs(1),
        ..crate::Timing::default()
    };
    let mut nodes = Nodes::with_timing(4, timing).await;
    nodes.attend_all();
    let leader = nodes.leader().await;
    let [ends, fails] = [1, 2].map(|n| (leader + n) % 4);
    // One that ends in good order is no voter any more.
    let retired = nodes.guard(ends);
    let name = retired.standing().node.name;
    assert_eq!(retired.drain(&name).await, Ok(()));
    let patience = std::time::Duration::from_secs(20);
    assert_eq!(retired.retire(patience).await, Retired::NoVoter);
    nodes.crash(ends).await;
    let crashed = nodes.crash(fails).await;
    let member = crashed.consensus.raft_id();
    let forgotten = eventually("one node to be forgotten", || async {
        let report = nodes.guard(leader).report().await;
        (report.nodes.len() == 3).then_some(report)
    })
    .await;
    let names = forgotten.nodes.iter().map(|told| &told.node.id.name);
    assert!(names.into_iter().all(|left| *left != name));
    let status = nodes.of_number(leader).consensus.status();
    assert_eq!(status.members.len(), 3);
    // Whoever failed counts still, and is seen to.
    assert!(status.voters.contains(&member));
    always(std::time::Duration::from_secs(2), || {
        let dead = crashed.node();
        let known = nodes.registry(leader).node(&dead.name);
        assert_eq!(known.map(|node| node.id), Some(dead));
    })
    .await;
}
