//! Several members in one process, over links that can be cut.

mod attendance;
mod cluster;
mod faults;
mod recovering;
mod signs;
mod strangers;
mod transferring;

use std::time::Duration;

use tokio::time::Instant;

use cluster::{Cluster, address, names};

use crate::patience::eventually;
use crate::registry::tests::{claim, create, id};
use crate::{Command, Error, Outcome, SessionView, Timing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_one_keeps_its_registry_over_a_restart() {
    let mut cluster = Cluster::of(1).await;
    cluster.create(0, "c").await;
    let before = cluster.registry(0).lookup(&id("c"));
    cluster.stop(0).await;
    cluster.start(0).await;
    let after = cluster.registry(0).lookup_linearizable(&id("c")).await;
    assert_eq!(after, Ok(before));
    assert!(cluster.member(0).form(Default::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_knows_how_much_room_its_volume_has() {
    let mut cluster = Cluster::of(1).await;
    let space = cluster.member(0).space().await.unwrap();
    assert!(space.free > 0 && space.needed >= 64 << 20, "{space:?}");
    cluster.lose_volume(0);
    assert!(cluster.member(0).space().await.is_err(), "it is not there");
}

/// In its old term it would not know how far its log was committed, and take an old state for the
/// present one: nodes that had all been killed called living sessions unknown for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_starts_again_does_not_lead_on_in_its_old_term() {
    for size in [1, 3] {
        let mut cluster = Cluster::of(size).await;
        cluster.create(0, "c").await;
        let leader = cluster.leader().await;
        let term = cluster.member(leader).leading.term();
        for member in 0..size {
            cluster.stop(member).await;
        }
        cluster.start(leader).await;
        assert!(!cluster.member(leader).leading.leads() || size == 1);
        for member in (0..size).filter(|member| *member != leader) {
            cluster.start(member).await;
        }
        let now = cluster.leader().await;
        assert!(cluster.member(now).leading.term() > term);
        let found = read(&cluster, now, "c").await.unwrap();
        assert!(found.is_some());
    }
}

async fn read(cluster: &Cluster, member: usize, name: &str) -> Result<Option<SessionView>, Error> {
    let registry = cluster.registry(member);
    registry.lookup_linearizable(&id(name)).await
}

async fn writes_on_any_member_are_read_on_every_member(size: usize) {
    let cluster = Cluster::of(size).await;
    for writer in 0..size {
        let name = format!("c{writer}");
        let mut watch = cluster.registry(writer).watch(&id(&name));
        cluster.create(writer, &name).await;
        assert!(watch.current().is_some(), "not here after the proposal");
        for reader in 0..size {
            let read = read(&cluster, reader, &name).await.unwrap();
            assert!(read.is_some(), "written on {writer}, not read on {reader}");
        }
    }
    let all = names(&cluster.registry(0));
    assert_eq!(all.len(), size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_on_any_of_three_are_read_on_each() {
    writes_on_any_member_are_read_on_every_member(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_on_any_of_five_are_read_on_each() {
    writes_on_any_member_are_read_on_every_member(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_goes_on_when_the_leader_is_lost() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, "c").await;
    let lost = cluster.leader().await;
    cluster.stop(lost).await;
    for member in cluster.running() {
        let name = format!("after{member}");
        cluster.create(member, &name).await;
    }
    assert_ne!(cluster.leader().await, lost);
    cluster.start(lost).await;
    let found = cluster.registry(lost).lookup_linearizable(&id("c")).await;
    assert!(found.unwrap().is_some());
    assert_eq!(names(&cluster.registry(lost)).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_falls_silent_is_not_waited_for_when_there_is_another() {
    let cluster = Cluster::of(3).await;
    let silent = cluster.leader().await;
    cluster.cut_off(&[silent]);
    let asker = (silent + 1) % 3;
    let begun = Instant::now();
    cluster.create(asker, "c").await;
    assert!(begun.elapsed() < Timing::default().patience);
    assert!(read(&cluster, asker, "c").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_proposals_at_once_each_get_their_own_outcome() {
    let cluster = Cluster::of(3).await;
    let propose = |number: usize| {
        let cluster = &cluster;
        async move {
            let name = format!("c{}", number % 300);
            let registry = cluster.registry(number % 3);
            let outcome = registry.propose(create(&name, number as u64)).await;
            match outcome.unwrap() {
                Outcome::Done(session) => {
                    assert_eq!(session.id.as_str(), name);
                    true
                }
                Outcome::Exists(session) => {
                    assert_eq!(session.id.as_str(), name);
                    false
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let begun = futures::future::join_all((0..600).map(propose)).await;
    assert_eq!(begun.iter().filter(|is_new| **is_new).count(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_and_changes_nothing() {
    let cluster = Cluster::of(5).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 5;
    let rest: Vec<usize> = (0..5).filter(|n| ![leader, follower].contains(n)).collect();
    cluster.cut_off(&[leader, follower]);
    let new_leader = cluster.leader_among(&rest).await;
    for cut_off in [leader, follower] {
        let registry = cluster.registry(cut_off);
        let name = format!("lost{cut_off}");
        let (refused, found) = tokio::join!(
            registry.propose(create(&name, 77)),
            read(&cluster, cut_off, "c")
        );
        assert_eq!(refused, Err(Error::NoQuorum));
        assert_eq!(found, Err(Error::NoQuorum));
    }
    cluster.create(new_leader, "kept").await;
    cluster.network.heal();
    for member in 0..5 {
        let registry = cluster.registry(member);
        eventually("the kept session", || async {
            registry.lookup_linearizable(&id("kept")).await.ok()?
        })
        .await;
        assert_eq!(names(&registry), ["kept"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_answers_does_not_say_what_it_cannot_know() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    // It is heard, and hears nothing: others go on taking it for the leader.
    for other in (0..3).filter(|other| *other != leader) {
        cluster
            .network
            .cut_one_way(&address(other), &address(leader));
    }
    let proposed = cluster.registry(leader).propose(create("c", 1)).await;
    assert!(
        matches!(proposed, Err(Error::NoQuorum | Error::OutcomeUnknown)),
        "{proposed:?}"
    );
    cluster.network.heal();
    let told_nothing = proposed == Err(Error::NoQuorum);
    let found = eventually("a majority", || async {
        cluster
            .registry(leader)
            .lookup_linearizable(&id("c"))
            .await
            .ok()
    })
    .await;
    assert!(
        !told_nothing || found.is_none(),
        "it was said that nothing changed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_links_are_endured() {
    let cluster = Cluster::of(3).await;
    cluster.network.delay(Duration::from_millis(20));
    for member in 0..3 {
        cluster.create(member, &format!("c{member}")).await;
    }
    let read = cluster.registry(1).lookup_linearizable(&id("c2")).await;
    assert!(read.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_for_long_is_sent_a_snapshot() {
    let timing = Timing {
        snapshot_every: 20,
        ..Timing::default()
    };
    let mut cluster = Cluster::with_timing(3, timing).await;
    cluster.create(0, "first").await;
    let away = (cluster.leader().await + 1) % 3;
    cluster.stop(away).await;
    let leader = cluster.leader().await;
    for number in 0..120 {
        cluster.create(leader, &format!("c{number}")).await;
    }
    let snapshot = eventually("a snapshot", || async {
        cluster
            .member(leader)
            .status()
            .snapshot
            .filter(|at| *at > 60)
    })
    .await;
    cluster.start(away).await;
    let registry = cluster.registry(away);
    let read = registry.lookup_linearizable(&id("c119")).await;
    assert!(read.unwrap().is_some());
    assert_eq!(names(&registry).len(), 121);
    let received = cluster.member(away).status().snapshot;
    assert!(
        received >= Some(snapshot),
        "{received:?} is not what was sent"
    );
    // It stands on its own feet.
    cluster.stop(away).await;
    cluster.start(away).await;
    assert!(names(&cluster.registry(away)).len() >= 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_and_started_again_are_the_same_registry() {
    let mut cluster = Cluster::of(3).await;
    for number in 0..30 {
        cluster.create(number % 3, &format!("c{number}")).await;
    }
    let deleted = Command::Delete {
        claim: claim("c7", 1),
        at: sluice_types::Timestamp::from_millis(1),
    };
    let deleted = cluster.registry(2).propose(deleted).await;
    assert!(matches!(deleted, Ok(Outcome::Done(_))), "{deleted:?}");
    let leader = cluster.leader().await;
    let before = cluster.registry(leader).list(None, None, 100);
    for member in 0..3 {
        cluster.stop(member).await;
    }
    for member in (0..3).rev() {
        cluster.start(member).await;
    }
    for member in 0..3 {
        let registry = cluster.registry(member);
        let read = registry.lookup_linearizable(&id("c7")).await.unwrap();
        assert!(read.is_some_and(|session| session.is_deleting()));
        assert_eq!(registry.list(None, None, 100), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_command_takes_effect_once_whoever_is_asked() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, "c").await;
    for member in 0..3 {
        let stamp = u64::from(b'c');
        let again = cluster.registry(member).propose(create("c", stamp)).await;
        assert!(matches!(again, Ok(Outcome::Exists(_))), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_steps_down_is_followed_by_another() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let patience = Duration::from_secs(20);
    let registry = cluster.registry(leader);
    let (follows, created) = tokio::join!(
        cluster.member(leader).step_down(patience),
        registry.propose(create("c", 1))
    );
    assert!(follows);
    assert!(matches!(created, Ok(Outcome::Done(_))), "{created:?}");
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    assert!(cluster.member(next).confirm(patience).await);
    assert!(!cluster.member(leader).confirm(patience).await);
    assert!(
        cluster.member(leader).step_down(patience).await,
        "it does not lead"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_can_follow_goes_on() {
    let cluster = Cluster::of(1).await;
    assert!(
        !cluster
            .member(0)
            .step_down(Duration::from_millis(100))
            .await
    );
    cluster.create(0, "c").await;
    assert!(cluster.member(0).confirm(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_is_not_confirmed() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    assert!(cluster.member(leader).confirm(Duration::from_secs(5)).await);
    cluster.cut_off(&[leader]);
    assert!(!cluster.member(leader).confirm(Duration::from_secs(1)).await);
}
