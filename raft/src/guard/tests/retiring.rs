//! Nodes that end in good order, one or several at once.

use std::time::Duration;

use futures::future::join_all;
use nodes::Nodes;
use sluice_types::NodeId;
use tokio::time::Instant;

use super::*;
use crate::NodeState;

/// How long a node gives itself.
const WITHIN: Duration = Duration::from_secs(20);

async fn attended(size: usize) -> Nodes {
    let mut nodes = Nodes::of(size).await;
    nodes.attend_all();
    nodes
}

/// These nodes are told to end at the same time, and do. How it went for each.
async fn end(nodes: &mut Nodes, numbers: &[usize]) -> Vec<Retired> {
    let retirements = numbers.iter().map(|number| {
        let guard = nodes.guard(*number).clone();
        async move {
            let name = guard.standing().node.name;
            assert_eq!(guard.drain(&name).await, Ok(()));
            guard.retire(WITHIN).await
        }
    });
    let retired = join_all(retirements).await;
    for number in numbers {
        nodes.crash(*number).await;
    }
    retired
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_at_once_may_end_and_the_rest_decides() {
    let mut nodes = attended(5).await;
    nodes.create(0, "before").await;
    let leader = nodes.leader().await;
    // The leader among those who end, and then among those who stay.
    let first = [leader, (leader + 1) % 5];
    assert_eq!(end(&mut nodes, &first).await, [Retired::NoVoter; 2]);
    let rest = nodes.running();
    nodes.voters(&rest).await;
    nodes.create(rest[0], "between").await;
    let leader = nodes.leader().await;
    let second: Vec<usize> = rest.iter().copied().filter(|n| *n != leader).collect();
    assert_eq!(end(&mut nodes, &second).await, [Retired::NoVoter; 2]);
    nodes.voters(&[leader]).await;
    nodes.create(leader, "after").await;
    nodes.all_live().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_but_the_slowest_to_be_elected_may_end_at_once() {
    let mut nodes = attended(3).await;
    // The lower the number, the sooner it stands for election.
    assert_eq!(end(&mut nodes, &[0, 1]).await, [Retired::NoVoter; 2]);
    nodes.voters(&[2]).await;
    nodes.create(2, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_at_once_are_the_same_cluster_when_they_are_back() {
    let mut nodes = attended(3).await;
    nodes.create(1, "c").await;
    assert_eq!(
        end(&mut nodes, &[0, 1, 2]).await,
        [Retired::StaysVoter; 3],
        "nobody is left to decide"
    );
    for number in [0, 1] {
        nodes.start(number).await;
    }
    // It answers others, and is not yet the node that it will be.
    nodes.silence(1);
    let begun = nodes.of_number(0).node();
    always(Duration::from_secs(4), || {
        let voters = nodes.of_number(0).consensus.status().voters;
        assert_ne!(voters.len(), 1, "{voters:?}");
    })
    .await;
    assert_eq!(nodes.state(0, &begun), NodeState::Alive);
    nodes.restart(1);
    nodes.start(2).await;
    nodes.all_live().await;
    nodes.voters(&[0, 1, 2]).await;
    for number in 0..3 {
        let node = nodes.of_number(number).node();
        assert_eq!(nodes.state(number, &node), NodeState::Alive);
        assert!(
            nodes
                .registry(number)
                .lookup(&crate::registry::tests::id("c"))
                .is_some()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_retired_votes_again_when_it_is_back() {
    let mut nodes = attended(3).await;
    for _ in 0..2 {
        let leader = nodes.leader().await;
        assert_eq!(end(&mut nodes, &[leader]).await, [Retired::NoVoter]);
        let rest = nodes.running();
        nodes.voters(&rest).await;
        nodes.start(leader).await;
        nodes.all_live().await;
        nodes.voters(&[0, 1, 2]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ended_in_order_has_left_and_who_failed_is_missed() {
    let mut nodes = attended(4).await;
    let leader = nodes.leader().await;
    let [ends, fails, witness] = [1, 2, 3].map(|n| (leader + n) % 4);
    let gone = nodes.of_number(ends).node();
    assert_eq!(end(&mut nodes, &[ends]).await, [Retired::NoVoter]);
    nodes.is_dead(witness, &gone).await;
    let failed = nodes.crash(fails).await;
    nodes.is_dead(witness, &failed.node()).await;
    for asked in [leader, witness] {
        let registry = prometheus::Registry::new();
        Gauges::register(&registry, nodes.guard(asked)).unwrap();
        eventually("the nodes to be told apart", || async {
            let report = nodes.guard(asked).report().await;
            let left = |node: NodeId| {
                let mut told = report.nodes.iter();
                told.find(|told| told.node.id == node)
                    .map(|told| (told.node.state, told.has_left))
            };
            let is_told = left(gone.clone()) == Some((NodeState::Dead, true))
                && left(failed.node()) == Some((NodeState::Dead, false));
            let counted = |state| measuring::value(&registry, "sluice_cluster_nodes", Some(state));
            let counts = ["alive", "draining", "dead", "left"].map(counted);
            (is_told && counts == [2.0, 0.0, 1.0, 1.0]).then_some(())
        })
        .await;
    }
    // However long it is away.
    let status = nodes.of_number(leader).consensus.status();
    assert!(status.voters.contains(&failed.consensus.raft_id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_one_ends_at_once() {
    let mut nodes = attended(1).await;
    let begun = Instant::now();
    assert_eq!(end(&mut nodes, &[0]).await, [Retired::StaysVoter]);
    assert!(begun.elapsed() < Duration::from_secs(1));
    nodes.start(0).await;
    nodes.all_live().await;
}
