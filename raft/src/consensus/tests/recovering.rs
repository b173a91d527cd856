//! Beginning anew after a majority was lost.

use sluice_types::Timestamp;

use super::cluster::Cluster;
use super::*;
use crate::registry::tests::{register, run};
use crate::types::Member;
use crate::{StartError, recover};

fn member(number: usize) -> Member {
    Member {
        name: format!("n{number}"),
        address: address(number),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_begins_anew_and_the_former_ones_are_strangers() {
    let timing = Timing {
        snapshot_every: 10,
        ..Timing::default()
    };
    let mut cluster = Cluster::with_timing(3, timing).await;
    for number in 0..25 {
        cluster.create(number % 3, &format!("c{number}")).await;
    }
    let left = cluster.leader().await;
    let before = cluster.registry(left).lookup(&id("c3")).unwrap();
    let former = cluster.member(left).raft_id();
    let running = recover(
        cluster.volume(left),
        member(left),
        Timestamp::from_millis(1),
    )
    .await;
    assert!(matches!(running, Err(StartError::Volume(_))), "{running:?}");
    for member in 0..3 {
        cluster.stop(member).await;
    }

    let recovered = recover(
        cluster.volume(left),
        member(left),
        Timestamp::from_millis(1),
    )
    .await;
    let recovered = recovered.unwrap();
    assert_eq!((recovered.generation, recovered.sessions), (1, 25));
    cluster.start(left).await;
    assert_eq!(cluster.member(left).raft_id(), recovered.raft_id);
    assert_ne!(recovered.raft_id, former);
    let after = read(&cluster, left, "c3").await.unwrap().unwrap();
    assert!(
        after.epoch > before.epoch,
        "a former owner's claim still holds"
    );

    // The others come back after all: they have a majority among themselves, of the old cluster.
    for other in (0..3).filter(|other| *other != left) {
        cluster.start(other).await;
        cluster.attend(other, 3);
    }
    let registered = cluster.registry(left).propose(register("a", 1)).await;
    assert_ne!(registered, Err(Error::NoQuorum));
    let owner = run("b", 9);
    let new = crate::registry::tests::registration(owner, None);
    let new = cluster.registry(left).propose(Command::Register(new)).await;
    assert_eq!(new, Ok(Outcome::Applied));
    let status = cluster.member(left).status();
    assert_eq!(status.voters, [recovered.raft_id]);
    assert_eq!(status.members.len(), 1);

    // A former member with an empty volume joins.
    let other = (left + 1) % 3;
    cluster.stop(other).await;
    cluster.stop((left + 2) % 3).await;
    cluster.lose_volume(other);
    cluster.attend(left, 3);
    cluster.start(other).await;
    cluster.attend(other, 3);
    cluster.voters(&[left, other]).await;
    assert!(read(&cluster, other, "c3").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_can_be_repeated() {
    let mut cluster = Cluster::of(1).await;
    cluster.create(0, "c").await;
    cluster.stop(0).await;
    for generation in 1..4 {
        let recovered = recover(cluster.volume(0), member(0), Timestamp::from_millis(1)).await;
        assert_eq!(recovered.map(|r| r.generation).unwrap(), generation);
    }
    cluster.start(0).await;
    assert!(read(&cluster, 0, "c").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_volume_is_nothing_to_begin_from() {
    let dir = tempfile::tempdir().unwrap();
    let empty = recover(dir.path().to_owned(), member(0), Timestamp::from_millis(1)).await;
    assert!(matches!(empty, Err(StartError::Stopped(_))), "{empty:?}");
}
