//! Members that come, go, and come back with other volumes.

use super::cluster::Cluster;
use super::*;
use crate::registry::tests::{change_node, node, registration};
use crate::{NodeState, RaftId};

fn quick() -> Timing {
    Timing {
        attendance: Duration::from_millis(100),
        ..Timing::default()
    }
}

/// A cluster of members that look who takes part, the first so many being the initial voters.
async fn attended(size: usize, initial: usize, timing: Timing) -> Cluster {
    let mut cluster = Cluster::unformed(size, timing).await;
    for member in 0..initial {
        cluster.attend(member, initial);
    }
    let all: Vec<usize> = (0..initial).collect();
    eventually("a cluster", || async {
        let mut members = all.iter().map(|member| cluster.member(*member).status());
        members.all(|status| status.leader.is_some()).then_some(())
    })
    .await;
    cluster
}

async fn comes_together(order: [usize; 3]) {
    let mut cluster = Cluster::unformed(3, quick()).await;
    for member in order {
        cluster.attend(member, 3);
    }
    cluster.voters(&[0, 1, 2]).await;
    let clusters = (0..3).map(|member| cluster.member(member).identity.cluster());
    let clusters: Vec<_> = clusters.collect();
    assert!(clusters[0].is_some());
    assert_eq!(clusters[0], clusters[1]);
    assert_eq!(clusters[0], clusters[2]);
    let registered = cluster
        .registry(2)
        .propose(crate::registry::tests::register("a", 1))
        .await;
    assert_eq!(registered, Ok(Outcome::Applied));
    cluster.create(1, "c").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_of_starting_forms_one_cluster() {
    comes_together([0, 1, 2]).await;
    comes_together([2, 1, 0]).await;
    comes_together([1, 0, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_peers_is_a_cluster_of_one() {
    let cluster = attended(1, 1, quick()).await;
    cluster.voters(&[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_member_joins_by_any_contact_and_comes_to_vote() {
    let mut cluster = attended(4, 3, quick()).await;
    cluster.attend(3, 3);
    cluster.voters(&[0, 1, 2, 3]).await;
    let read = read(&cluster, 3, "c").await;
    assert_eq!(read, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_volume_takes_the_place_of_the_lost_one() {
    let mut cluster = attended(3, 3, quick()).await;
    // Even that of the one who formed the cluster.
    for lost in [2, 0] {
        let before = cluster.member(lost).raft_id();
        cluster.stop(lost).await;
        cluster.lose_volume(lost);
        cluster.start(lost).await;
        cluster.attend(lost, 3);
        cluster.voters(&[0, 1, 2]).await;
        assert_ne!(cluster.member(lost).raft_id(), before);
        eventually("the old volume to be forgotten", || async {
            let leader = cluster.leader().await;
            let members = cluster.member(leader).status().members;
            (!members.contains_key(&before)).then_some(())
        })
        .await;
    }
}

/// Registers a node for a member of the consensus.
async fn register_node(cluster: &Cluster, name: &str, raft_id: RaftId) {
    let mut registration = registration(node(name), None);
    registration.raft_id = raft_id;
    let registered = cluster
        .registry(0)
        .propose(Command::Register(registration))
        .await;
    assert_eq!(registered, Ok(Outcome::Applied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_drains_learns_and_votes_again_when_it_is_back() {
    let cluster = attended(3, 3, quick()).await;
    let leader = cluster.leader().await;
    let drains = (leader + 1) % 3;
    let rest: Vec<usize> = (0..3).filter(|member| *member != drains).collect();
    register_node(&cluster, "d", cluster.member(drains).raft_id()).await;
    for (revision, state) in [(0, NodeState::Draining), (1, NodeState::Alive)] {
        let change = change_node(node("d"), revision, state);
        assert_eq!(
            cluster.registry(drains).propose(change).await,
            Ok(Outcome::Applied)
        );
        match state {
            NodeState::Draining => cluster.voters(&rest).await,
            NodeState::Alive | NodeState::Dead => cluster.voters(&[0, 1, 2]).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_stays_away_is_forgotten_and_taken_in_again() {
    let timing = Timing {
        forget_after: Duration::from_millis(500),
        ..quick()
    };
    let mut cluster = attended(3, 3, timing).await;
    let away = (cluster.leader().await + 1) % 3;
    let id = cluster.member(away).raft_id();
    register_node(&cluster, "d", id).await;
    let drain = change_node(node("d"), 0, NodeState::Draining);
    assert_eq!(
        cluster.registry(away).propose(drain).await,
        Ok(Outcome::Applied)
    );
    let rest: Vec<usize> = (0..3).filter(|member| *member != away).collect();
    cluster.voters(&rest).await;
    cluster.stop(away).await;
    eventually("the member to be forgotten", || async {
        let leader = cluster.leader().await;
        let members = cluster.member(leader).status().members;
        (!members.contains_key(&id)).then_some(())
    })
    .await;
    let back = change_node(node("d"), 1, NodeState::Alive);
    assert_eq!(
        cluster.registry(rest[0]).propose(back).await,
        Ok(Outcome::Applied)
    );
    cluster.start(away).await;
    cluster.attend(away, 3);
    cluster.voters(&[0, 1, 2]).await;
}
